"""Follow a network: the size, stride, offset and receptive field of each of its layers.

The network runs on fake tensors, which have shapes but no numbers, and each ATen operation is followed as it
is dispatched. So nothing is computed, no memory is taken, and networks whose Python code depends on sizes can
be followed (TensorFlow's padding in timm, say), which symbolic tracing with torch.fx cannot do.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import takewhile

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from fullyconv.errors import GeometryError
from fullyconv.geometry import layout, mixing, windows
from fullyconv.geometry.axis import Axis, Interval, Lattice
from fullyconv.geometry.call import Call
from fullyconv.geometry.signal import Signal
from fullyconv.sharing import in_evaluation_mode

RULES = windows.RULES | layout.RULES | mixing.RULES
"""What ATen operations do to rows and columns, by their names."""
LABELS = {
    **dict.fromkeys(("addmm", "mm"), "linear"),
    **dict.fromkeys(("bmm", "baddbmm"), "matrix product"),
    "native_layer_norm": "layer norm",
    **dict.fromkeys(("native_batch_norm", "cudnn_batch_norm", "_native_batch_norm_legit_no_training"), "batch norm"),
}
"""What the layers are called that have parameters or operations, but leave rows and columns as they are."""


@dataclass(frozen=True)
class Layer:
    """One layer's output, a map of cells, on the image.

    ``name`` is that of the module in which the operation ``op`` ran; ``parameters`` counts those it takes
    itself. ``operations`` are floating-point operations, a multiplication and an addition counted as two, of
    convolutions, matrix products and attention, as torch counts them (0 for others). ``depth``: the most
    convolutions and linear layers, those with parameters, on any way from the image to here, with this one.
    """

    name: str
    op: str
    rows: Axis
    cols: Axis
    parameters: int
    operations: int
    depth: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, in cells."""
        return self.rows.size, self.cols.size

    @property
    def stride(self) -> tuple[Fraction, Fraction]:
        """Pixels from one cell to the next, down and across."""
        return self.rows.stride, self.cols.stride

    @property
    def offset(self) -> tuple[Fraction, Fraction]:
        """Where cell (0, 0) is centred, in pixels; pixel (0, 0) is centred at (0, 0)."""
        return self.rows.offset, self.cols.offset

    @property
    def lattice(self) -> Lattice:
        """Where its cells look."""
        return Lattice(self.stride, self.offset)

    @property
    def field(self) -> tuple[int, int] | None:
        """The largest receptive field of any cell, in pixels, borders ignored; None: the whole image."""
        rows, cols = self.rows.field, self.cols.field
        return None if rows is None or cols is None else (rows, cols)

    def sees(self, row: int, col: int) -> tuple[Interval, Interval] | None:
        """The pixels that cell (row, col) sees: ((top, bottom), (left, right)), all included.

        None if it sees nothing but padding. Rows and columns are followed separately.
        Raises GeometryError if there is no such cell.
        """
        height, width = self.size
        if not (0 <= row < height and 0 <= col < width):
            raise GeometryError(f"layer {self.name!r} has {height}×{width} cells; there is no cell ({row}, {col})")
        down, across = self.rows.seen[row], self.cols.seen[col]
        return None if down is None or across is None else (down, across)


@dataclass(frozen=True)
class Trace:
    """A network on an image of ``size``: its layers, in the order in which they ran, and its outputs.

    ``outputs``: those of its output tensors that depend on the image, flattened, in order.
    ``whole_image``: (layer, kind) of each operation by which every cell sees the whole image.
    """

    size: tuple[int, int]
    layers: list[Layer]
    outputs: list[Layer]
    whole_image: list[tuple[str, str]]

    @property
    def operations(self) -> int:
        """Of all layers."""
        return sum(layer.operations for layer in self.layers)


class Scorer(nn.Module):
    """A network that is followed to its ``scores``: what it does after them sees no more of the image."""

    def scores(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) → scores (N, classes, h, w)."""
        raise NotImplementedError


def trace(network: nn.Module, size: tuple[int, int], channels: int = 3) -> Trace:
    """Follow ``network`` on an image (1, channels, *size), in evaluation mode.

    A ``Scorer``, as every FCN is one, is followed to its scores, any other network through its ``forward``. A shared
    copy is run: other threads may use the network meanwhile.

    Attention counts as seeing the whole image, even within windows. So does reshaping that scrambles cells in
    a way that is not followed (window partitions, patch merging): where rows and columns come back after it,
    cells are taken to stand for patches of the map before, with stride = cells before / cells now and offset
    = (stride − 1) / 2 in cells of that map; `Trace.whole_image` calls this "rearrangement", unless each cell
    saw the whole image already.

    Raises GeometryError, naming the layer, if the network does not run at this size, if it has an operation
    that is not known and changes the shape, or if maps meet whose strides differ.
    """
    parameters = list(network.parameters())
    dtype = next((p.dtype for p in parameters if p.is_floating_point()), torch.float32)
    device = parameters[0].device if parameters else torch.device("cpu")
    start = Signal(Axis.image(size[0]), Axis.image(size[1]), (2, 3))
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    network = in_evaluation_mode(network)
    follower = _Follower(network)
    with torch.inference_mode(False), torch.no_grad(), fake, follower:
        image = torch.empty(1, channels, *size, dtype=dtype, device=device)
        follower.made[id(image)] = _Made(image, start, "", "image", 0)
        try:
            output = network.scores(image) if isinstance(network, Scorer) else network(image)
        except GeometryError:
            raise
        except Exception as error:
            place = follower.path[-1] if follower.path else ""
            raise GeometryError(f"layer {place!r} does not run on {size[0]}×{size[1]} pixels: {error}") from error
    outputs = [follower.output(x) for x in tree_leaves(output) if id(x) in follower.made]
    return Trace(size, follower.layers, outputs, list(dict.fromkeys(follower.whole_image)))


@dataclass(frozen=True)
class _Made:
    """A tensor made from the image, what is known of it, and by which layer and operation it was made."""

    tensor: Tensor  # held, so that its id stays its own
    signal: Signal
    name: str
    op: str
    depth: int


@dataclass(frozen=True)
class _Derived:
    """A tensor made from parameters alone, and these, by their ids."""

    tensor: Tensor
    parameters: dict[int, int]


def follow_modules(network: nn.Module) -> list[str]:
    """The names of the modules that are running, the innermost last: a list that changes as ``network`` runs.

    The hooks by which it does stay, so ``network`` must be a shared copy that nobody else has.
    """
    path: list[str] = []

    def enter(name: str) -> Callable[[nn.Module, object], None]:
        return lambda module, inputs: path.append(name)

    def leave(module: nn.Module, inputs: object, outputs: object) -> None:
        path.pop()

    for name, module in network.named_modules():
        if not isinstance(module, torch.jit.ScriptModule):
            module.register_forward_pre_hook(enter(name), prepend=True)
            module.register_forward_hook(leave, prepend=True)
    return path


class _Follower(TorchDispatchMode):
    """Sees each ATen operation as it is dispatched, and keeps what is known of each tensor made from the image."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.path = follow_modules(network)
        self.made: dict[int, _Made] = {}  # by the tensor's id
        self.derived: dict[int, _Derived] = {}  # tensors made from parameters alone, as a transposed weight
        self.stale: dict[int, Tensor] = {}  # tensors that changed when others, of the same memory, were written
        self.layers: list[Layer] = []
        self.whole_image: list[tuple[str, str]] = []

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: Sequence[type],
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        result = func(*args, **(kwargs or {}))
        inputs = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        outputs = [x for x in tree_leaves(result) if isinstance(x, Tensor)]
        filled = func._schema.name.endswith("_like") or "::new_" in func._schema.name  # takes the shape alone
        if outputs and not filled and any(id(x) in self.made or id(x) in self.stale for x in inputs):
            named = {arg.name: arg.default_value for arg in func._schema.arguments}
            named |= dict(zip(named, args, strict=False)) | (kwargs or {})
            count = flop_registry.get(func._overloadpacket)
            operations = count(*args, **(kwargs or {}), out_val=result) if count else 0
            self.follow(func, named, inputs, outputs, operations)
        elif parameters := self.parameters(inputs):
            self.derived |= {id(x): _Derived(x, parameters) for x in outputs}
        return result

    def follow(
        self, func: OpOverload, args: dict[str, object], inputs: list[Tensor], outputs: list[Tensor], operations: int
    ) -> None:
        """Apply the rule for ``func`` and keep what it says of ``outputs``."""
        op = func._schema.name.removeprefix("aten::").rstrip("_")  # add_ is add
        name = self.path[-1] if self.path else ""
        parameters = sum(self.parameters(inputs).values())
        depth = max((self.made[id(x)].depth for x in inputs if id(x) in self.made), default=0)
        depth += bool(parameters and operations)
        before = len(self.layers)

        def show(label: str, signal: Signal) -> None:
            first = len(self.layers) == before  # what an operation costs is counted once
            costs = (parameters, operations) if first else (0, 0)
            self.layers.append(Layer(name, label, signal.rows, signal.cols, *costs, depth))

        def note(kind: str) -> int:
            self.whole_image.append((name, kind))
            return len(self.whole_image) - 1

        def gate(pools: frozenset[int]) -> None:
            for entry in pools:
                pool, kind = self.whole_image[entry]
                if kind == "global pooling":
                    self.whole_image[entry] = (_common(pool, name), "squeeze-and-excitation")

        if any(id(x) in self.stale for x in inputs):
            raise GeometryError(f"layer {name!r}: part of a tensor was written; that is not followed, use cat or pad")
        call = Call(op, args, outputs, torch.Tag.pointwise in func.tags, self.signal, show, note, gate)
        try:
            found = _apply_rule(call)
            signals = [found] * len(outputs) if isinstance(found, Signal) else found
            if func._schema.is_mutable:
                self.written(outputs[0], signals[0])
        except GeometryError as error:
            raise GeometryError(f"layer {name!r}, operation {op}: {error}") from None
        if len(self.layers) == before and (parameters or operations):
            show(LABELS.get(op, op), signals[0])
        label = self.layers[-1].op if len(self.layers) > before else op
        for tensor, signal in zip(outputs, signals, strict=True):
            self.made[id(tensor)] = _Made(tensor, signal, name, label, depth)

    def parameters(self, tensors: list[Tensor]) -> dict[int, int]:
        """How many numbers each parameter holds that ``tensors`` are, or were made from; by the parameter's id."""
        found = {id(x): x.numel() for x in tensors if isinstance(x, nn.Parameter)}
        for tensor in tensors:
            if id(tensor) in self.derived:
                found |= self.derived[id(tensor)].parameters
        return found

    def signal(self, tensor: Tensor) -> Signal | None:
        """What is known of ``tensor``; None if it was not made from the image."""
        made = self.made.get(id(tensor))
        return made.signal if made else None

    def written(self, tensor: Tensor, signal: Signal) -> None:
        """After an operation in place: tensors that share memory with ``tensor`` must not be used any more."""
        old = self.signal(tensor)
        if old is None or old.rows is not signal.rows or old.cols is not signal.cols:
            base = tensor if tensor._base is None else tensor._base
            views = [made.tensor for made in self.made.values() if made.tensor._base is base]
            self.stale |= {id(x): x for x in (base, *views) if x is not tensor}

    def output(self, tensor: Tensor) -> Layer:
        """One of the network's outputs; one that has no rows and columns is a single cell."""
        made = self.made[id(tensor)]
        signal = made.signal
        if signal.where is None and not signal.pools:
            signal = signal.pooled()
        return Layer(made.name, made.op, signal.rows, signal.cols, 0, 0, made.depth)


def _apply_rule(call: Call) -> Signal | Sequence[Signal]:
    """What is known of the outputs of ``call``, of which at least one input depends on the image.

    Raises GeometryError if the operation is not known and gives something of another shape.
    """
    rule = RULES.get(call.op) or (mixing.attention if "attention" in call.op else None)
    if rule:
        return rule(call)
    if call.pointwise:
        return layout.joining(call)
    x, signal = call.only()
    if signal.where is None:
        return signal
    if call.out.shape == x.shape:
        return call.mixed(signal, call.op, signal.where)
    shapes = f"{tuple(x.shape)} → {tuple(call.out.shape)}"
    raise GeometryError(f"{shapes}: it is not known what this does to rows and columns; use other operations")


def _common(first: str, second: str) -> str:
    """The innermost module that holds both; ``first`` if none but the network does."""
    pairs = zip(first.split("."), second.split("."), strict=False)
    return ".".join(part for part, other in takewhile(lambda pair: pair[0] == pair[1], pairs)) or first
