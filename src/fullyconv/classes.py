"""The names of classes: PASCAL VOC's, default names, and how two lists of names differ."""

import difflib
import unicodedata
from collections.abc import Sequence

MAX_CLASSES = 255
"""Most classes of one labeling: labels are bytes, one value of which stands for pixels without a class."""
IGNORE = 255
"""The label, in memory, of pixels without a class."""

VOC_CLASSES = [
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
]
FOREGROUND = ["background", "foreground"]
"""The default names for masks of 0 and 255."""
SHOWN = 5


def numbered(count: int) -> list[str]:
    """Return default names for ``count`` classes."""
    return [f"class {index}" for index in range(count)]


def printable(name: str) -> str:
    """Return the name. Raises ValueError where it holds line breaks, control characters or text-direction marks.

    In terminals, figures, web pages and tables such characters would act rather than be seen. Letters that are written
    from right to left need no marks.
    """
    for character in name:
        turns = unicodedata.bidirectional(character) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
        if turns or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
            raise ValueError(
                f"{name[:80]!r} holds the control character U+{ord(character):04X}; names are one line of text"
            )
    return name


def unknown_class(name: str, classes: Sequence[str]) -> str:
    """Return the sentences that say that a name is no class, and what may have been meant."""
    near = difflib.get_close_matches(name, classes, n=1)
    remedy = f"Did you mean {near[0]}?" if near else f"They are {', '.join(classes)}."
    return f"{name!r} is no class of the data. {remedy}"


def difference(found: Sequence[str], expected: Sequence[str]) -> str:
    """Describe how the classes of a data set differ from those of a network; the result is empty if they agree.

    Default names agree with any others of the same number.
    """
    found, expected = list(found), list(expected)
    many = f"{len(found)} classes, not {len(expected)}" if len(found) != len(expected) else ""
    if found == expected or not (_given(found) and _given(expected)):
        return many
    new, lacking = ([name for name in a if name not in b] for a, b in ((found, expected), (expected, found)))
    words = [many, f"{_list(new)} new" if new else "", f"{_list(lacking)} missing" if lacking else ""]
    if not any(words):
        place = next(i for i, (a, b) in enumerate(zip(found, expected, strict=True)) if a != b)
        words = [f"another order, class {place} is {found[place]}, not {expected[place]}"]
    return "; ".join(filter(None, words))


def _given(names: list[str]) -> bool:
    return names not in (numbered(len(names)), FOREGROUND)


def _list(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
