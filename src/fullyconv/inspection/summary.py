"""A network's figures as plain text: the rows of the paper's Table 1, and a table of every layer."""

from collections.abc import Sequence
from fractions import Fraction

from fullyconv import geometry
from fullyconv.geometry import Axis, Layer, Trace
from fullyconv.model.fcn import FCN

COLUMNS = ("layer", "operation", "output", "stride", "offset", "field", "parameters", "operations")
TEXT_COLUMNS = 2


def summary(net: FCN, traced: Trace) -> str:
    """Return the rows of the CVPR paper's Table 1 for the scores of ``net``, its crops, and what sees the whole image.

    ``traced`` is the network traced on an image of the size in question.
    """
    scores = traced.outputs[0]
    parameters = sum(parameter.numel() for parameter in net.parameters())
    rows = [
        ("network", f"{net.name}, {net.num_classes} classes"),
        ("image", _by(traced.size)),
        ("scores", f"{_by(scores.size)} cells, {_by(scores.stride)} pixels apart, the first at {_by(scores.offset)}"),
        ("convolution layers", f"{scores.depth}, on the longest way from image to scores"),
        ("parameters", f"{parameters / 1e6:.0f}M ({parameters:,})"),
        ("receptive field", _by(scores.field) if scores.field else "the whole image"),
        ("maximum stride", _by(max(layer.stride for layer in traced.layers))),
        ("operations", f"{traced.operations / 1e9:.1f} G (a multiplication and an addition are two)"),
    ]
    if net.fusion.crops or net.border == "zero":
        rows.append(("crops", ", ".join(str(crop) for crop in crops(net, scores))))
    rows.append(("sees the whole image", _whole_image(traced)))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:{width}}  {value}" for name, value in rows)


def crops(net: FCN, scores: Layer) -> list[int]:
    """Return the rows cropped in each fusion, from coarse to fine, and from the last upsampling to the image.

    They are those of the paper's release (19 for FCN-32s; 5, 27 for FCN-16s; 5, 9, 31 for FCN-8s) and defined for
    networks with its padding.
    """
    factor = int(scores.stride[0])
    kernel = 2 * factor - (scores.offset[0].denominator == 1)  # odd where cells are centred on pixels, as AlexNet's
    upsampled = scores.rows.through(geometry.transposed_convolution(kernel, factor))
    last = geometry.crop(Axis.image(1), onto=upsampled)
    return [*(down for down, _ in net.fusion.crops.values()), -last]


def table(traced: Trace) -> str:
    """Return a table of the layers in the order in which they run; sizes and the like are height × width."""
    rows = [COLUMNS, *(_row(layer) for layer in traced.layers)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        left = [f"{text:<{width}}" for text, width in zip(row[:TEXT_COLUMNS], widths, strict=False)]
        right = [f"{text:>{width}}" for text, width in zip(row[TEXT_COLUMNS:], widths[TEXT_COLUMNS:], strict=True)]
        lines.append("  ".join([*left, *right]))
    return "\n".join(lines)


def _row(layer: Layer) -> tuple[str, ...]:
    return (
        layer.name.removeprefix("backbone.body").lstrip(".") or "-",
        layer.op,
        _by(layer.size),
        _one_or_by(layer.stride),
        _one_or_by(layer.offset),
        _one_or_by(layer.field) if layer.field else "all",
        f"{layer.parameters:,}" if layer.parameters else "",
        f"{layer.operations / 1e6:,.1f} M" if layer.operations else "",
    )


def _whole_image(traced: Trace) -> str:
    if not traced.whole_image:
        return "no layer"
    first, kind = traced.whole_image[0]
    more = len(traced.whole_image) - 1
    return f"{first} ({kind})" + (f" and {more} more" if more else "")


def _by(pair: Sequence[int | Fraction]) -> str:
    return f"{float(pair[0]):g} × {float(pair[1]):g}"


def _one_or_by(pair: Sequence[int | Fraction]) -> str:
    return f"{float(pair[0]):g}" if pair[0] == pair[1] else _by(pair)
