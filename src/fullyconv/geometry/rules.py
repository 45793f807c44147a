"""Which rule says what an ATen operation does to rows and columns."""

from collections.abc import Sequence

from fullyconv.errors import GeometryError
from fullyconv.geometry import layout, mixing, windows
from fullyconv.geometry.call import Call
from fullyconv.geometry.signal import Signal

RULES = windows.RULES | layout.RULES | mixing.RULES


def follow(call: Call) -> Signal | Sequence[Signal]:
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
