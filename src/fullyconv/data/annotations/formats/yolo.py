"""Read data sets for Ultralytics' YOLO with outlines, also Roboflow's exports of them.

A ``data.yaml`` names the classes and the images of each split. The text file of an image has a row for each object: its
class and the points of one polygon, as fractions of the width and height of the upright image. Ultralytics paints the
smaller of two objects on top; polygons are drawn by COCO's rule, for its own (``cv2.fillPoly`` of points that were cut
to whole pixels, at the size of the network's input) makes small objects a quarter larger than they were outlined.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from fullyconv.data.annotations.annotated import AnnotatedImage, Annotations, digest, named_classes
from fullyconv.data.annotations.faults import shapes_or_faults
from fullyconv.data.annotations.formats.yolo_yaml import find_images, one_of, read_description
from fullyconv.data.annotations.json_files import read_bytes
from fullyconv.data.annotations.shapes import Polygon, Shape
from fullyconv.data.annotations.stamps import Size
from fullyconv.data.splits.names import original_of
from fullyconv.errors import DataError
from fullyconv.files import exists

BEYOND = 0.01
"""Ultralytics takes coordinates that are so far beyond 0 to 1."""


def read_yolo(root: Path, paths: Sequence[Path]) -> Annotations:
    """Read the data set that a YAML file in ``root`` describes; of several files, the one called data.yaml.

    Images are sought in the folder that ``path`` names if that exists, else beside the file. Classes are ``names``,
    after a background. Raises DataError if the file is wrong, the images of train are not found, or no image has a file
    with its outlines.
    """
    file = one_of(paths)
    content = read_description(file)
    named = [content.names[key] for key in sorted(content.names)]
    classes, labels = named_classes(file, named, "classes")
    label_of = {key: labels[name] for key, name in content.names.items()}
    root = file.parent
    if content.path and exists(file.parent / content.path / "."):
        root = file.parent / content.path
    splits, notes = find_images(file, content, root)
    images, without = list[AnnotatedImage](), list[Path]()
    for split, found in splits.items():
        for image in found:
            rows = rows_of(image, root)
            if not rows.is_file():
                without.append(rows)
            text = read_bytes(rows) if rows.is_file() else b""
            shapes = partial(shapes_of, text, label_of)
            version = digest(text, repr(label_of))
            images.append(AnnotatedImage(image, rows, shapes, version, None, split, original_of(image.stem)))
    if len(without) == len(images):
        raise DataError(
            f"{file}: none of the {len(images)} images has a file with its outlines; for the first, {without[0]} is "
            "expected"
        )
    if without:
        notes.append(
            f"{len(without)} of {len(images)} images, such as the one of {without[0].name}, have no file of outlines; "
            "all of their pixels are background"
        )
    if 0 not in label_of.values():
        notes.append(f"background was added as class 0, before the classes of {file.name}: {classes[1]} is class 1")
    written_to = root if root.resolve().is_relative_to(file.parent.resolve()) else file.parent
    return Annotations(
        written_to,
        "yolo",
        images,
        classes,
        "coco",
        "smaller-on-top",
        background_shapes=0 in labels.values(),
        notes=notes,
    )


def rows_of(image: Path, root: Path) -> Path:
    """Return the file of an image's outlines: in ``labels`` where the image is in ``images``, else beside it."""
    parts = list(image.relative_to(root).parts) if image.is_relative_to(root) else [image.name]
    folders = [place for place, part in enumerate(parts[:-1]) if part == "images"]
    if folders:
        parts[folders[-1]] = "labels"
    return (root if image.is_relative_to(root) else image.parent).joinpath(*parts).with_suffix(".txt")


def shapes_of(text: bytes, labels: Mapping[int, int], size: Size) -> list[Shape]:
    """Return the shapes in a file of outlines; ``labels`` are those of YOLO's classes, ``size`` is the image's."""
    rows = text.removeprefix(b"\xef\xbb\xbf").decode(errors="replace").splitlines()
    return shapes_or_faults(_shape, [row.split() for row in rows if row.strip()], labels, size)


def _shape(row: Sequence[str], labels: Mapping[int, int], size: Size) -> Shape:
    """Return the shape of a row: its class and points. Raises ValueError for a box, or no polygon of a known class."""
    try:
        values = np.array(row, np.float64)
    except ValueError:
        raise ValueError("its row holds what is no number") from None
    points = values[1:]
    if len(points) == 4:
        raise ValueError("it is a box (a class and four numbers); boxes are not painted")
    if len(points) < 6 or len(points) % 2:
        raise ValueError(f"its row has {len(row)} numbers; a class and at least three points are expected")
    if not np.isfinite(values).all() or points.min() < -BEYOND or points.max() > 1 + BEYOND:
        raise ValueError("its coordinates are not within 0 to 1, fractions of the image's width and height")
    if values[0] not in labels:
        raise ValueError(f"its class {row[0][:20]} is not among the names")
    return Shape(labels[int(values[0])], (Polygon((points.reshape(-1, 2) * size[::-1],)),))
