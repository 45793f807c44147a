"""Limit the memory of constants that OpenVINO computes when it opens a file.

OpenVINO computes everything that does not depend on the images: shapes while it reads the file, the rest when it
compiles the network. A tiny file could therefore demand any amount of memory, for example by broadcasting a constant.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fullyconv.errors import WeightsError

if TYPE_CHECKING:
    from openvino import Model

MAX_BYTES, MAX_RATIO = 64 * 2**20, 32
"""Constants may take MAX_BYTES plus MAX_RATIO times the size of the weights, because 8-bit weights are unpacked."""
MAX_SHAPE_NUMBERS = 2**16
"""Maximum number of numbers from which a shape is computed, unless the weights have more bytes."""
MAX_DIMENSIONS = 64
"""Maximum number of dimensions of a tensor; those of exports have five."""
MAX_CONSTANT = 8192
"""Maximum size in bytes of a constant whose values are examined; shapes consist of few numbers."""

TYPES = {"i64": "<i8", "i32": "<i4", "u64": "<u8", "f32": "<f4", "f64": "<f8", "u8": "u1", "i8": "i1", "boolean": "u1"}


class Bound(NamedTuple):
    """Upper bounds of a constant tensor: its number of elements, largest absolute value, and number of dimensions.

    ``least`` is a lower bound of the absolute values; None if they may be 0.
    """

    many: float
    value: float
    sides: float
    least: float | None = None


UNKNOWN = Bound(math.inf, math.inf, MAX_DIMENSIONS)


@dataclass
class Layer:
    """An operation in a file: its type, its attributes ``data``, and the ids of the layers at its input ports."""

    kind: str
    data: dict[str, str] = field(default_factory=dict)
    inputs: dict[int, str] = field(default_factory=dict)


def check_shapes(path: Path, layers: dict[str, Layer], weights: np.ndarray) -> None:
    """Raise WeightsError if OpenVINO would compute shapes from unreasonably large constants while reading a file."""
    most = max(MAX_SHAPE_NUMBERS, weights.nbytes)
    bounds: dict[str, Bound | None] = {}
    for name in _in_order(path, layers):
        layer = layers[name]
        given = [bounds[source] for _, source in sorted(layer.inputs.items())]
        for port, bound in zip(sorted(layer.inputs), given, strict=True):
            if bound is not None and bound.many > most and not _is_data(layer.kind, port):
                raise WeightsError(
                    f"{path}: it computes more than {most:,} numbers for the shape of {layer.kind} {name[:20]!r} when "
                    "it is opened, unlike any export of fullyconv. Export it again."
                )
        bounds[name] = _bound(layer, given, weights)


def check_constants(path: Path, model: "Model", weights: int) -> None:
    """Raise WeightsError if compiling a network would compute constants far larger than its ``weights`` in bytes."""
    room = MAX_BYTES + MAX_RATIO * weights
    fixed: dict[str, bool] = {}
    for node in model.get_ordered_ops():
        kind, before = node.get_type_name(), [port.get_source_output().get_node() for port in node.inputs()]
        given = [fixed[one.get_name()] for one in before]
        if kind == "ShapeOf":
            is_fixed = node.input(0).get_partial_shape().is_static or given[0]
        else:
            is_fixed = kind == "Constant" or (kind != "Parameter" and all(given))
        fixed[node.get_name()] = is_fixed
        if not is_fixed or kind in ("Constant", "Result"):
            continue
        for output in node.outputs():
            shape = output.get_partial_shape()
            if shape.is_static:
                room -= math.prod(shape.to_shape()) * output.get_element_type().size
        if room < 0:
            raise WeightsError(
                f"{path}: its constants, including {kind} {node.get_friendly_name()[:80]!r}, take more than "
                f"{(MAX_BYTES + MAX_RATIO * weights) / 2**20:.0f} MiB when it is opened, although its weights have "
                f"{weights / 2**20:.1f} MiB. Export it again."
            )


def _in_order(path: Path, layers: dict[str, Layer]) -> Iterator[str]:
    """Yield the ids of the layers in topological order. Raises WeightsError if there is none."""
    waiting = {name: len(set(layer.inputs.values())) for name, layer in layers.items()}
    after: dict[str, list[str]] = {}
    for name, layer in layers.items():
        for source in set(layer.inputs.values()):
            after.setdefault(source, []).append(name)
    ready = [name for name, count in waiting.items() if count == 0]
    done = 0
    while ready:
        name = ready.pop()
        done += 1
        yield name
        for following in after.get(name, ()):
            waiting[following] -= 1
            if waiting[following] == 0:
                ready.append(following)
    if done < len(layers):
        raise WeightsError(f"{path} cannot be opened: its layers form a cycle, or some are missing. Export it again.")


ELEMENTWISE = frozenset(
    (
        *(
            "Add",
            "Subtract",
            "Multiply",
            "Divide",
            "FloorMod",
            "Mod",
            "Maximum",
            "Minimum",
            "Power",
            "SquaredDifference",
        ),
        *("Equal", "NotEqual", "Less", "LessEqual", "Greater", "GreaterEqual", "LogicalAnd", "LogicalOr", "LogicalXor"),
        *("Select", "PRelu", "FakeQuantize", "BatchNormInference", "Concat", "MatMul", "Einsum", "Result"),
    )
)
"""Operations whose inputs are all data; none of them defines the shape of the output by its values."""
FIRST_TWO = frozenset(("Gather", "GatherND", "GatherElements", "GridSample", "Convolution", "GroupConvolution"))
FIRST_TWO |= {"ConvolutionBackpropData", "GroupConvolutionBackpropData", "DeformableConvolution"}


def _is_data(kind: str, port: int) -> bool:
    """Whether an input is data, rather than values that define a shape."""
    return kind in ELEMENTWISE or port == 0 or (port == 1 and kind in FIRST_TWO)


def _bound(layer: Layer, given: Sequence[Bound | None], weights: np.ndarray) -> Bound | None:
    """Return the bound of a layer's output; None if it depends on the images."""
    kind = layer.kind
    if kind == "Const":
        return _constant(layer, weights)
    if kind == "ShapeOf" and len(given) == 1:
        known = given[0] or UNKNOWN
        return Bound(known.sides, known.many if known.sides <= 1 else math.inf, 1)
    if kind == "Parameter" or None in given:
        return None
    rule = RULES.get(kind)
    bounds = [bound for bound in given if bound is not None]
    try:
        found = rule(bounds) if rule is not None else UNKNOWN
        return UNKNOWN if math.isnan(found.many + found.value + found.sides) else found  # NaN: 0 times infinity
    except (IndexError, OverflowError):  # inputs are missing, or the bound exceeds floats
        return UNKNOWN


def _constant(layer: Layer, weights: np.ndarray) -> Bound:
    try:
        sides = [max(1, int(side)) for side in layer.data.get("shape", "").split(",") if side.strip()]
        offset, size = int(layer.data.get("offset", 0)), int(layer.data.get("size", 0))
    except ValueError:  # OpenVINO refuses it
        return UNKNOWN
    count, kind = math.prod(sides), TYPES.get(layer.data.get("element_type", ""))
    if kind is None or size > MAX_CONSTANT or size % np.dtype(kind).itemsize:
        return Bound(count, math.inf, len(sides))
    values = np.abs(weights[offset : offset + size].view(kind).astype(np.float64)) if size else np.zeros(1)
    if not np.isfinite(values).all():
        return Bound(count, math.inf, len(sides))
    return Bound(count, float(values.max()), len(sides), float(values.min()) or None)


def _join(bounds: Sequence[Bound], value: float) -> Bound:
    """Return the bound of an elementwise operation: vectors have equal lengths, more dimensions may broadcast."""
    sides = max(bound.sides for bound in bounds)
    counts = [bound.many for bound in bounds]
    return Bound(max(counts) if sides <= 1 else math.prod(counts), value, sides)


def _divide(bounds: Sequence[Bound]) -> Bound:
    number, by = bounds
    return _join(bounds, number.value / by.least if by.least else math.inf)


def _spread(count: float, target: Bound) -> Bound:
    """Return the bound of ``count`` elements that are broadcast or repeated to ``target``."""
    return Bound(max(1, count) * max(1, target.value) ** min(target.many, MAX_DIMENSIONS), math.inf, MAX_DIMENSIONS)


def _broadcast(bounds: Sequence[Bound]) -> Bound:
    data, target = bounds[:2]
    return _spread(data.many, target)._replace(value=data.value, sides=target.many)


def _tile(bounds: Sequence[Bound]) -> Bound:
    data, repeats = bounds
    return _spread(data.many, repeats)._replace(value=data.value, sides=max(data.sides, repeats.many))


def _range(bounds: Sequence[Bound]) -> Bound:
    start, stop, step = bounds
    value = start.value + stop.value
    return Bound(1 + value / step.least if step.least else math.inf, value, 1)


def _reshape(bounds: Sequence[Bound]) -> Bound:
    data, target = bounds
    return data._replace(sides=target.many)


def _more_sides(bounds: Sequence[Bound]) -> Bound:
    return bounds[0]._replace(sides=bounds[0].sides + bounds[1].many)


def _gather(bounds: Sequence[Bound]) -> Bound:
    data, places = bounds[:2]
    return Bound(data.many * places.many, data.value, max(0, data.sides + places.sides - 1))


def _squeeze(bounds: Sequence[Bound]) -> Bound:
    one = len(bounds) == 2 and bounds[1].many == 1
    return bounds[0]._replace(sides=max(0, bounds[0].sides - one))


def _values(bounds: Sequence[Bound]) -> list[float]:
    return [bound.value for bound in bounds]


RULES: dict[str, Callable[[Sequence[Bound]], Bound]] = {
    **dict.fromkeys(("Add", "Subtract"), lambda bounds: _join(bounds, sum(_values(bounds)))),
    "Multiply": lambda bounds: _join(bounds, math.prod(_values(bounds))),
    "Divide": _divide,
    **dict.fromkeys(("Maximum", "Minimum", "Select"), lambda bounds: _join(bounds, max(_values(bounds)))),
    **dict.fromkeys(("FloorMod", "Mod"), lambda bounds: _join(bounds, max(_values(bounds)))),
    **dict.fromkeys(("Equal", "NotEqual", "Less", "LessEqual", "Greater"), lambda bounds: _join(bounds, 1)),
    **dict.fromkeys(("GreaterEqual", "LogicalAnd", "LogicalOr", "LogicalNot"), lambda bounds: _join(bounds, 1)),
    **dict.fromkeys(("Convert", "Abs", "Negative", "Slice", "Split", "VariadicSplit"), lambda bounds: bounds[0]),
    **dict.fromkeys(("Transpose", "ReduceMax", "ReduceMin"), lambda bounds: bounds[0]),
    **dict.fromkeys(("Floor", "Ceiling", "Round"), lambda b: b[0]._replace(value=b[0].value + 1, least=None)),
    "ReduceMean": lambda bounds: bounds[0]._replace(least=None),
    "Squeeze": _squeeze,
    "ReduceSum": lambda bounds: bounds[0]._replace(value=bounds[0].value * bounds[0].many, least=None),
    "ReduceProd": lambda bounds: bounds[0]._replace(value=max(1, bounds[0].value) ** bounds[0].many, least=None),
    "Concat": lambda b: Bound(sum(one.many for one in b), max(_values(b)), max(one.sides for one in b)),
    "Reshape": _reshape,
    "Unsqueeze": _more_sides,
    "StridedSlice": _more_sides,
    "Gather": _gather,
    "Broadcast": _broadcast,
    "Tile": _tile,
    "Range": _range,
}
"""The bound of each operation's output from those of its inputs; other operations have the bound UNKNOWN."""
