"""Paint the shapes of an annotation into a mask."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from fullyconv.data.annotations.shapes import Shape, meets_image
from fullyconv.data.annotations.stamps import Rule, Size, Stamp, combine, stamp

Order = Literal["file", "smaller-on-top"]
"""Which of two shapes is seen where both are: the later in the file, or the smaller."""


HELD = 1 << 27
"""At most about so many pixels of stamps are held until their order is known; beyond, they are drawn a second time."""


class Painted(NamedTuple):
    """A mask that was painted: its labels, and what is to be known of it."""

    labels: np.ndarray
    """uint8 (H, W)."""
    contested: int
    """The pixels at which shapes of different labels lie on each other, so that their order decides."""
    faults: list[str]
    """Why shapes could not be painted, a line for each of these."""
    outside: int
    """The shapes that lie beside the image."""
    empty: int
    """The shapes that lie in the image and cover none of its pixels, as slivers between the centres of pixels do."""


def paint(shapes: Sequence[Shape], size: Size, rule: Rule, order: Order = "file", background: int = 0) -> Painted:
    """Paint shapes one over the other onto ``background``, the label of the pixels that none covers.

    ``size`` is the image's height and width; ``rule`` says which pixels a polygon covers (see ``stamps``).
    """
    labels = np.full(size, background, np.uint8)
    covered, contested = np.zeros(size, bool), np.zeros(size, bool)
    faults, outside, empty = list[str](), 0, 0
    drawn: list[tuple[int, Shape, Stamp | None]] = []
    held = 0

    def lay(label: int, own: Stamp) -> None:
        place = slice(own.top, own.top + own.inside.shape[0]), slice(own.left, own.left + own.inside.shape[1])
        contested[place] |= own.inside & covered[place] & (labels[place] != label)
        labels[place][own.inside] = label
        covered[place] |= own.inside

    for shape in shapes:
        try:
            if shape.fault:
                raise ValueError(shape.fault)
            whole = _stamp(shape, size, rule)
        except ValueError as error:
            faults.append(str(error))
            continue
        pixels = int(whole.inside.sum())
        if not pixels and meets_image(shape, size):
            empty += 1
        elif not pixels:
            outside += 1
        if order == "file":  # at once, so that one stamp is held at a time
            lay(shape.label, whole)
        else:
            held += whole.inside.size
            drawn.append((pixels, shape, whole if held <= HELD else None))
    for _, shape, kept in sorted(drawn, key=lambda entry: -entry[0]):
        lay(shape.label, kept or _stamp(shape, size, rule))
    return Painted(labels, int(contested.sum()), faults, outside, empty)


def _stamp(shape: Shape, size: Size, rule: Rule) -> Stamp:
    """Return the pixels that any part of a shape covers. Raises ValueError if a part cannot be drawn."""
    return combine([stamp(part, size, rule) for part in shape.parts], np.logical_or)
