"""Read CVAT's XML exports, "CVAT for images" and "CVAT for video".

Shapes are painted as CVAT's own mask export does it: by ``z_order``, then as they follow each other. Boxes are painted;
polylines, points, cuboids and skeletons are not. Unlike that export, shapes of one group keep their own labels, and an
ellipse is not rounded to whole pixels.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from fullyconv.classes import IGNORE
from fullyconv.data.annotations.annotated import AnnotatedImage, Annotations, digest, named_classes, refuse_twice
from fullyconv.data.annotations.faults import reading, shapes_or_faults
from fullyconv.data.annotations.formats.cvat.video import Found, frames_of
from fullyconv.data.annotations.formats.cvat.xml import DRAWN, Content, Element, Picture, read_xml
from fullyconv.data.annotations.image_index import ImageIndex
from fullyconv.data.annotations.run_lengths import bitmap_of_rows
from fullyconv.data.annotations.shapes import Bitmap, Ellipse, Geometry, Polygon, Rectangle, Shape, turned
from fullyconv.data.annotations.stamps import Size
from fullyconv.data.splits.names import split_among, split_of_file
from fullyconv.palettes import Colour


def read_cvat(root: Path, paths: Sequence[Path]) -> Annotations:
    """Read CVAT's files; ``root`` is the folder in which the images lie.

    Classes are the labels as the files list them, or else sorted by name, after a background. Frames of one video stay
    in one split. Raises DataError for a file that is not CVAT's, that has no labels, or that names an image twice or
    ambiguously.
    """
    files = {path: read_xml(path) for path in paths}
    colours: dict[str, Colour | None] = {}
    for content in files.values():
        for name, colour in (content.labels or dict.fromkeys(sorted(set(_used_labels(content))))).items():
            colours.setdefault(name, colour)
    classes, labels = named_classes(paths[0], list(colours), "labels")
    index, notes, images = ImageIndex(root), list[str](), list[AnnotatedImage]()
    for path, content in files.items():
        pictures = [*_pictures(path, content, index), *frames_of(path, content, index, notes)]
        if empty := sum(not picture.elements for _, picture, _ in pictures):
            notes.append(
                f"{path.name}: {empty} of {len(pictures)} images have no annotation; all of their pixels are background"
            )
        images += [_image(path, *picture, labels) for picture in pictures]
    refuse_twice(
        images,
        "an export of a project does so whose tasks have images of equal names; export each task, into a folder of its "
        "own",
    )
    palette = _palette(classes, labels, colours)
    return Annotations(
        root, "cvat", images, classes, "coco", background_shapes=0 in labels.values(), palette=palette, notes=notes
    )


def _used_labels(content: Content) -> Iterator[str]:
    yield from (element.label for picture in content.pictures for element in picture.elements)
    yield from (track.label for track in content.tracks)


def _palette(
    classes: Sequence[str], labels: Mapping[str, int], colours: Mapping[str, Colour | None]
) -> list[Colour] | None:
    """Return CVAT's colours of the classes, if each has one of its own; the background is black unless it has one."""
    known = {0: (0, 0, 0)} | {labels[name]: colour for name, colour in colours.items() if colour}
    known.pop(IGNORE, None)
    return [known[label] for label in range(len(classes))] if len(set(known.values())) == len(classes) else None


def _pictures(path: Path, content: Content, index: ImageIndex) -> Iterator[Found]:
    for picture in content.pictures:
        place = index.find(f"images/{picture.subset}/{picture.name}", path, _split(picture.subset, path))
        is_video = content.task(picture.task).get("mode") == "interpolation"
        yield place, picture, f"{path}:{picture.task}" if is_video else ""


def _split(subset: str, path: Path) -> str | None:
    return split_among([subset]) or split_of_file(path)


def _image(path: Path, place: Path, picture: Picture, group: str, labels: Mapping[str, int]) -> AnnotatedImage:
    elements = sorted(picture.elements, key=lambda element: element.z_order)
    size = picture.size if min(picture.size) > 0 else None
    shapes = partial(shapes_or_faults, _shape, elements, labels)
    return AnnotatedImage(place, path, shapes, digest(repr(elements)), size, _split(picture.subset, path), group)


def _shape(element: Element, labels: Mapping[str, int], size: Size) -> Shape:
    if element.kind not in DRAWN:
        raise ValueError(f"shapes of the kind {element.kind} have no area; CVAT's masks do not show them either")
    if element.label not in labels:
        raise ValueError(f"its label {element.label[:80]!r} is not among the labels")
    with reading(f"its {element.kind}"):
        return Shape(labels[element.label], (_geometry(element.kind, element.fields, size),))


def _geometry(kind: str, fields: Mapping[str, str], size: Size) -> Geometry:
    rotation = float(fields.get("rotation", 0))
    if kind == "polygon":
        pairs = [pair.split(",") for pair in fields["points"].split(";") if pair.strip()]
        return Polygon((np.array(pairs, np.float64).reshape(len(pairs), 2),))
    if kind == "ellipse":
        x, y, radius_x, radius_y = (float(fields[name]) for name in ("cx", "cy", "rx", "ry"))
        return Ellipse(x, y, radius_x, radius_y, rotation)
    if kind == "mask":
        height, width = int(fields["height"]), int(fields["width"])
        if not (0 < height <= size[0] and 0 < width <= size[1]):
            raise ValueError(f"it is {width}x{height} pixels; the image is {size[1]}x{size[0]}")
        runs = [int(number) for number in fields["rle"].split(",")]
        return Bitmap(bitmap_of_rows(runs, height, width), int(fields["left"]), int(fields["top"]))
    left, top, right, bottom = (float(fields[name]) for name in ("xtl", "ytl", "xbr", "ybr"))
    box = turned(Rectangle(left, top, right, bottom), rotation, ((left + right) / 2, (top + bottom) / 2))
    # corners are rounded as CVAT's export rounds them
    return Polygon((box.rings[0].round(2),)) if isinstance(box, Polygon) else box
