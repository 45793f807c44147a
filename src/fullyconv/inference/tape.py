"""What a network does to an image, as a list of ATen operations: recorded at two heights, to know which sizes are rows.

The network runs on fake tensors, which have shapes but no numbers. Between the two recordings, whose images differ in
height by the coarsest stride, what grows holds rows; what is given as a number (the shape of a view) and grows, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map

from fullyconv.errors import GeometryError
from fullyconv.geometry.trace import follow_modules
from fullyconv.model.fcn import FCN
from fullyconv.sharing import Remembered, in_evaluation_mode


@dataclass(frozen=True)
class Ref:
    """The value of an earlier operation, as an argument: its place in the tape. −1 is the image."""

    index: int


@dataclass(frozen=True)
class Rows:
    """Where a value holds rows: ``unit`` entries of dimension ``dim`` for each. ``count``: at the recorded heights."""

    dim: int
    unit: int
    count: tuple[int, int]

    def at(self, height: int, heights: tuple[int, int]) -> int:
        """How many there are of an image of this height."""
        few, many = self.count
        return few + (many - few) * (height - heights[0]) // (heights[1] - heights[0])


@dataclass
class Operation:
    """One operation: its arguments, with `Ref` for values; what it gives, at both heights; the layer it ran in."""

    func: OpOverload
    args: tuple[object, ...]
    kwargs: dict[str, object]
    shape: tuple[int, ...]
    layer: str
    taller: "Operation | None" = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """As in ``convolution``; an operation in place has its name without the underscore."""
        return str(self.func._schema.name).removeprefix("aten::").rstrip("_")

    @property
    def inputs(self) -> list[int]:
        """The places of the values among its arguments."""
        return [leaf.index for leaf in tree_iter((self.args, self.kwargs)) if isinstance(leaf, Ref)]

    def refuse(self, why: str) -> GeometryError:
        return GeometryError(
            f"layer {self.layer!r}, operation {self.name}: {why}, so this network cannot run band by band; use tiles: "
            "--tile auto."
        )


_tapes: Remembered[list[Operation]] = Remembered(most=16)


def record(net: FCN, image: tuple[int, int], heights: tuple[int, int], dtype: torch.dtype) -> list[Operation]:
    """The operations from an image (1, channels, height, width) to its scores, in evaluation mode.

    ``image``: channels and width. The last operation gives the scores. Recorded once for images of one kind, as long as
    the network has the same tensors.
    """
    held = tuple(id(tensor) for tensor in (*net.parameters(), *net.buffers()))
    return _tapes.get(net, (image, heights, dtype, held), lambda: _recorded(net, image, heights, dtype))


def _recorded(net: FCN, image: tuple[int, int], heights: tuple[int, int], dtype: torch.dtype) -> list[Operation]:
    channels, width = image
    few, many = (_Recorder(net).run((1, channels, height, width), dtype) for height in heights)
    if [one.func for one in few] != [one.func for one in many]:
        raise GeometryError(f"{net.name} does something else at another height: it cannot run band by band; use tiles.")
    for one, taller in zip(few, many, strict=True):
        one.taller = taller
    return few


class _Recorder(TorchDispatchMode):
    def __init__(self, net: FCN):
        super().__init__()
        self.net = in_evaluation_mode(net)
        self.path = follow_modules(self.net)
        self.operations: list[Operation] = []
        self.places: dict[int, int] = {}  # by the tensor's id
        self.held: list[Tensor] = []  # so that ids stay their own

    def run(self, shape: Sequence[int], dtype: torch.dtype) -> list[Operation]:
        fake = FakeTensorMode(allow_non_fake_inputs=True)
        with torch.inference_mode(False), torch.no_grad(), fake:
            image = torch.empty(shape, dtype=dtype, device=self.net.device)
            self.places[id(image)] = -1
            with self:
                scores = self.net.scores(image)
        return self.operations[: self.places[id(scores)] + 1]

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: Sequence[type],
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        given = [leaf for leaf in tree_iter((args, kwargs)) if isinstance(leaf, Tensor)]
        output = next((leaf for leaf in tree_iter(result) if isinstance(leaf, Tensor)), None)
        if output is not None and given:
            args, kwargs = tree_map(self.referred, (tuple(args), kwargs))
            operation = Operation(func, args, kwargs, tuple(output.shape), self.path[-1] if self.path else "")
            if func._schema.is_mutable and output._base is not None:
                raise operation.refuse("part of a tensor is written")
            self.held.append(output)
            self.places[id(output)] = len(self.operations)
            self.operations.append(operation)
        return result

    def referred(self, leaf: object) -> object:
        return Ref(self.places[id(leaf)]) if isinstance(leaf, Tensor) and id(leaf) in self.places else leaf


def rows_of(operation: Operation, count: tuple[int, int] | None = None) -> Rows:
    """Where the value holds rows: ``count`` of them at the two heights, or (None) one entry each."""
    assert operation.taller is not None
    few, many = operation.shape, operation.taller.shape
    grown = [d for d in range(len(few)) if len(few) == len(many) and few[d] != many[d]]
    if len(grown) != 1:
        raise operation.refuse("its rows are not in one place")
    (dim,) = grown
    if count is None:
        return Rows(dim, 1, (few[dim], many[dim]))
    unit = few[dim] // count[0]
    if (unit * count[0], unit * count[1]) != (few[dim], many[dim]):
        raise operation.refuse("its rows are taken apart")
    return Rows(dim, unit, count)


def same_order(before: tuple[int, ...], rows: Rows, after: tuple[int, ...], new: Rows) -> bool:
    """Whether a view of shape ``before`` as ``after`` leaves each row in one piece, and the rows in their order."""
    return rows.unit * prod(before[rows.dim + 1 :]) == new.unit * prod(after[new.dim + 1 :])
