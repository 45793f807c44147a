"""Turn a descriptor into the code that maps mask values and colours to labels."""

from fullyconv.classes import IGNORE
from fullyconv.data.layouts.described.descriptor import Descriptor
from fullyconv.data.mask_codes import MaskCode, count_values


def mask_code(descriptor: Descriptor) -> MaskCode:
    """Return how the masks that a descriptor describes become labels.

    Without ``values``, a palette of greys also gives the values of grey masks; a file may then instead number the
    classes from 0, provided that no value would have two meanings.
    """
    count = len(descriptor.classes)
    voids = dict.fromkeys(descriptor.voids, IGNORE)
    palette, void_colour = descriptor.colours()
    colours = {colour: label for label, colour in enumerate(palette)}
    if void_colour is not None:
        colours[void_colour] = IGNORE
    values: dict[int, int] | None = None
    other_values: dict[int, int] | None = None
    if descriptor.values is not None:
        values = {value: descriptor.classes.index(name) for value, name in descriptor.values.items()} | voids
    elif colours and all(red == green == blue for red, green, blue in colours):
        values = {grey: label for (grey, _, _), label in colours.items()} | voids
        counted = count_values(count, voids)
        clash = any(values.get(value, label) != label for value, label in counted.items())
        other_values = None if clash or descriptor.takes_nearest else counted
    by_colour = False
    if descriptor.takes_nearest:
        if values is None:
            by_colour = True
        elif not colours:  # grey masks stored as RGB
            colours = {(value,) * 3: label for value, label in values.items() if 0 <= value <= 255}
    return MaskCode(
        count,
        descriptor.ignore_index,
        colours or None,
        by_colour,
        values,
        void=tuple(descriptor.void),
        other_values=other_values,
        nearest=descriptor.takes_nearest,
    )
