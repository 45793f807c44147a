"""What a reader of annotations returns: the images, their shapes, and the classes."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fullyconv.classes import IGNORE, MAX_CLASSES, printable
from fullyconv.data.annotations.painter import Order
from fullyconv.data.annotations.shapes import Shape
from fullyconv.data.annotations.stamps import Rule, Size
from fullyconv.errors import DataError
from fullyconv.palettes import Colour


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """One image, and how its shapes are read when its mask is drawn.

    - ``image``: the path of the image, whether or not it exists.
    - ``source``: the file that annotates it, for messages.
    - ``shapes``: a function that is given the mask's size and returns the shapes in the order in which they are
      painted. It can be pickled. It raises DataError if they cannot be read at all; a single shape that cannot be drawn
      has a ``fault`` instead.
    - ``version``: a text that differs whenever ``shapes`` would return other shapes; the mask is then drawn again.
    - ``size``: height and width as annotated; None if the annotation does not say, so that the image is asked.
    - ``split``: the image's split, if the annotation tells it.
    - ``group``: images of one group, such as augmented copies of one photograph, stay in one split; an image whose
      group is empty is in a group of its own.
    """

    image: Path
    source: Path
    shapes: Callable[[Size], Sequence[Shape]]
    version: str
    size: Size | None = None
    split: str | None = None
    group: str = ""


@dataclass(frozen=True)
class Annotations:
    """A data set as the files of an annotation tool describe it; every reader returns one.

    - ``root``: the data set's folder, in which drawn masks are kept.
    - ``images``: in any order; an image may be there twice if it is in two splits.
    - ``layout``: the format's name, a key of ``layouts.annotated.READERS``.
    - ``classes``: the names of the classes; labels are their indices.
    - ``rule`` and ``order``: how the tool itself draws shapes (see ``stamps`` and ``painter``).
    - ``background``: the label of pixels that no shape covers: of a class, or IGNORE.
    - ``background_shapes``: whether a class of the tool means background, so that shapes may be of it.
    - ``palette``: the tool's colours of the classes, if it has any.
    - ``notes``: what was decided without being specified, one line each.
    """

    root: Path
    layout: str
    images: list[AnnotatedImage]
    classes: list[str]
    rule: Rule
    order: Order = "file"
    background: int = 0
    background_shapes: bool = False
    palette: list[Colour] | None = None
    notes: list[str] = field(default_factory=list)


def size_if_given(height: int | None, width: int | None) -> Size | None:
    """Return the size of an image whose annotation tells it; 0 stands for an unknown one."""
    return (height, width) if height and width else None


def refuse_twice(images: Iterable[AnnotatedImage], remedy: str) -> None:
    """Raise DataError, with what to do, if an image is annotated more than once."""
    first: dict[Path, AnnotatedImage] = {}
    for own in images:
        if (other := first.setdefault(own.image, own)) is not own:
            place = f", as {other.source} does" if other.source != own.source else " more than once"
            raise DataError(f"{own.source}: annotates {own.image}{place}; {remedy}")


def digest(*contents: bytes | str) -> str:
    """Return a digest of what masks are drawn from, as 24 hexadecimal digits."""
    whole = hashlib.blake2b(digest_size=12)
    for content in contents:
        piece = content.encode(errors="surrogatepass") if isinstance(content, str) else content
        whole.update(len(piece).to_bytes(8, "big"))
        whole.update(piece)
    return whole.hexdigest()


VOIDS = frozenset(("void", "__ignore__"))
BACKGROUND = "background"
_BACKGROUNDS = frozenset((BACKGROUND, "_background_", "__background__", "bg"))


def named_classes(
    path: Path, names: Sequence[str], what: str, add_background: bool = True
) -> tuple[list[str], dict[str, int]]:
    """Return the classes that ``path`` names, by default with background first, and the label of each name.

    ``what`` is what the format calls classes. Raises DataError for too few or too many of them, and for a name that is
    not printable.
    """
    try:
        names = [printable(name) for name in names]
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error
    classes, labels = with_background(names) if add_background else (list(names), {n: i for i, n in enumerate(names)})
    if not 2 <= len(classes) <= MAX_CLASSES:
        added = int(add_background)
        raise DataError(f"{path}: has {len(classes) - added} {what}; {2 - added} to {MAX_CLASSES - added} are expected")
    return classes, labels


def is_background(name: str) -> bool:
    """Whether a class of this name is what is left when all objects are named."""
    return name.strip().lower() in _BACKGROUNDS


def with_background(names: Sequence[str]) -> tuple[list[str], dict[str, int]]:
    """Return the classes with background first, and the label of each of ``names``.

    A name that means background (in any case) is not added again; equal names have one label. Those that mean pixels
    without a class, ``void`` and LabelMe's ``__ignore__``, have the label IGNORE.
    """
    classes, labels = [BACKGROUND], dict[str, int]()
    for name in names:
        if is_background(name):
            labels[name] = 0
        elif name.strip().lower() in VOIDS:
            labels[name] = IGNORE
        elif name not in labels:
            labels[name] = len(classes)
            classes.append(name)
    return classes, labels
