"""Read the JSON files of labelme (wkentaro/labelme), one for each image.

A file lists ``shapes``, each painted over those before it. The label ``_background_`` is class 0, as for holes, and
``__ignore__`` is void. Lines and points have the widths that labelme itself draws them with.
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, NotRequired

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from fullyconv.classes import printable
from fullyconv.data.annotations.annotated import AnnotatedImage, Annotations, named_classes, refuse_twice, size_if_given
from fullyconv.data.annotations.faults import shapes_or_faults
from fullyconv.data.annotations.formats.embedded import keep_image
from fullyconv.data.annotations.formats.labelme_shapes import LabelmeShape, Outline, outline_of, shape_of
from fullyconv.data.annotations.image_index import ImageIndex
from fullyconv.data.annotations.json_files import Many, read_json
from fullyconv.data.annotations.stamps import Size
from fullyconv.data.parallel import in_parallel
from fullyconv.data.splits.names import split_of_folders
from fullyconv.errors import DataError


class Labelme(TypedDict):
    """A file of labelme's: the shapes of one image, and the image itself in Base64 unless that was not wanted."""

    shapes: Many[LabelmeShape]
    imagePath: NotRequired[str | None]
    imageData: NotRequired[str | None]
    imageHeight: NotRequired[int | None]
    imageWidth: NotRequired[int | None]


LABELME = TypeAdapter(Labelme)


class _File(NamedTuple):
    path: Path
    image: Path
    size: Size | None
    split: str | None
    outlines: list[Outline]
    digest: str
    embedded: bool


def read_labelme(root: Path, paths: Sequence[Path], home: Path | None = None) -> Annotations:
    """Read the JSON files of a data set, one for each image; ``root`` is the folder in which the images lie.

    Classes are the labels, sorted by name, after a background. An image is sought by ``imagePath``, else by the name of
    the JSON file, and else taken out of the file and kept with the drawn masks of ``home`` (by default ``root``).
    Raises DataError that names the files that are not labelme's, labels that cannot be a class's name, and two files of
    one image.
    """
    index = ImageIndex(root)
    files, faults = list[_File](), list[str]()
    for file in in_parallel(partial(_read, index=index, home=home or root), paths):
        if isinstance(file, DataError):
            faults.append(str(file))
        else:
            files.append(file)
    if len(faults) == 1:
        raise DataError(faults[0])
    if faults:
        raise DataError(f"{root}: {len(faults)} JSON files cannot be read:", *(f"  {line}" for line in faults[:10]))
    named = sorted({outline.label for file in files for outline in file.outlines} - {""})
    classes, labels = named_classes(root, named, "labels")
    images = [
        AnnotatedImage(
            file.image,
            file.path,
            partial(shapes_or_faults, shape_of, file.outlines, labels),
            file.digest,
            file.size,
            file.split,
        )
        for file in files
    ]
    refuse_twice(images, "keep one of the two, or correct `imagePath`")
    return Annotations(
        root,
        "labelme",
        images,
        classes,
        "pillow",
        background_shapes=0 in labels.values(),
        notes=_notes(files, index, classes),
    )


def _read(path: Path, index: ImageIndex, home: Path) -> _File | DataError:
    """Read a file; return the error rather than raise it, so that all such files can be named."""
    try:
        parsed, version = read_json(path, LABELME)
        outlines = [outline_of(shape) for shape in parsed["shapes"]]
        for label in {outline.label for outline in outlines}:
            printable(label)
        split = split_of_folders(path, index.root)
        image, embedded = _find(index, path, split, parsed, home)
    except ValueError as error:
        return DataError(f"{path}: {error}")
    except DataError as error:
        return error
    size = size_if_given(parsed.get("imageHeight"), parsed.get("imageWidth"))
    split = split or split_of_folders(image, index.root)
    return _File(path, image, size, split, outlines, version, embedded)


def _find(index: ImageIndex, path: Path, split: str | None, parsed: Labelme, home: Path) -> tuple[Path, bool]:
    """Return the image of a file, and whether it was taken out of the file itself."""
    named = parsed.get("imagePath") or ""
    for name in (named, path.name):
        if name.strip("./\\") and (image := index.find(name, path, split)) in index:
            return image, False
    if data := parsed.get("imageData"):
        return keep_image(index.root, path, data, home), True
    return index.find(named, path, split) if named.strip("./\\") else path.with_suffix(".jpg"), False


def _notes(files: Sequence[_File], index: ImageIndex, classes: Sequence[str]) -> list[str]:
    notes = []
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for name in classes:
        alike["".join(name.lower().split())].append(name)
    for names in alike.values():
        if len(names) > 1:
            listed = " and ".join(map(repr, names))
            notes.append(f"the labels {listed} differ only by case or spaces; they are classes of their own")
    if empty := sum(not file.outlines for file in files):
        notes.append(f"{empty} of {len(files)} files have no shapes; all pixels of their images are background")
    if embedded := sum(file.embedded for file in files):
        notes.append(f"{embedded} images were taken out of their JSON files, as no files of them were found")
    known, folders = {file.image.with_suffix("") for file in files}, {file.image.parent for file in files}
    # an image with the name of another, but for its ending, is its mask
    if left := sorted(image for image in index if image.parent in folders and image.with_suffix("") not in known):
        notes.append(f"{len(left)} images, such as {left[0].name}, have no JSON file among these; they are left out")
    paths = {file.path for file in files}
    others = sorted(own for folder in {path.parent for path in paths} for own in folder.glob("[!.]*.json"))
    if len(paths) > 1 and (strange := [own for own in others if own not in paths]):
        notes.append(f"{len(strange)} JSON files, such as {strange[0].name}, are not labelme's; they are left out")
    return notes
