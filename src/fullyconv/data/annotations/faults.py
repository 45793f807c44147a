"""Shapes that cannot be drawn: each says why, and the others are drawn nevertheless."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from fullyconv.data.annotations.shapes import Shape
from fullyconv.data.annotations.stamps import Size

Written = TypeVar("Written")
Class = TypeVar("Class")


def shapes_or_faults(
    shape_of: Callable[[Written, Mapping[Class, int], Size], Shape],
    written: Sequence[Written],
    labels: Mapping[Class, int],
    size: Size,
) -> list[Shape]:
    """Return the shape of each of the things that a file has written for an image.

    ``shape_of`` is given one of them, the labels of the classes, and the image's height and width. Where it raises
    ValueError, the shape is one that cannot be drawn, with the error as the reason.
    """
    shapes = []
    for own in written:
        try:
            shapes.append(shape_of(own, labels, size))
        except ValueError as error:
            shapes.append(Shape(0, (), str(error)))
    return shapes


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn errors about missing or wrong values into a ValueError that says what they are of, as "its polygon"."""
    try:
        yield
    except KeyError as error:
        raise ValueError(f"{what} has no {error.args[0]}") from error
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{what} cannot be read: {error}") from error
