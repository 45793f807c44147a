"""Tell what tool wrote an annotation file by its beginning, and find such files in a folder."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from fullyconv.data.layouts.files import subfolders
from fullyconv.errors import DataError

Format = Literal["coco", "coco-panoptic", "labelme", "label-studio", "cityscapes-polygons", "cvat"]
HEAD = 1 << 16
"""The bytes of a file that are looked at."""
TRIED = 20
"""The files of a folder that are looked at to see whether it holds a format: tools do not mix them."""
_OF_LABELME = ({b"shapes", b"imagePath"}, {b"shapes", b"points", b"label"})
_OTHERS_OF_COCO = re.compile(r"(captions|person_keypoints|image_info)_")


def format_of(path: Path) -> Format | None:
    """Return the format of a file, by its beginning; None where none is known, or it cannot be read."""
    if not path.is_file():  # a pipe would be waited for
        return None
    try:
        with path.open("rb") as opened:
            head = opened.read(HEAD)
            opened.seek(max(0, path.stat().st_size - HEAD))
            tail = opened.read(HEAD)
    except OSError:
        return None
    if _begins_with(head, b"<"):
        parts = set(re.findall(rb"<(\w+)[\s>]", head))
        return "cvat" if b"annotations" in parts and parts & {b"meta", b"image", b"track"} else None
    keys = set(re.findall(rb'"(\w+)"\s*:', head))
    if _begins_with(head, b"{") and (b"imageData" in keys or any(pair <= keys for pair in _OF_LABELME)):
        return "labelme"
    if b'"segments_info"' in head + tail:  # a list of images may come first, or one of categories
        return "coco-panoptic"
    if b"images" in keys and keys & {b"annotations", b"categories", b"file_name"} and _begins_with(head, b"{"):
        return "coco"
    if {b"categories", b"annotations"} <= keys and _begins_with(head, b"{"):
        return "coco"
    if _begins_with(head, b"["):
        keys |= set(re.findall(rb'"(\w+)"\s*:', tail))  # a brush's mask may fill the beginning
        is_task = b"data" in keys and keys & {b"annotations", b"completions", b"predictions"}
        return "label-studio" if is_task or keys & {b"original_width", b"annotation_id"} else None
    if not _begins_with(head, b"{"):
        return None
    return "cityscapes-polygons" if {b"imgHeight", b"objects"} <= keys else None


def is_yolo(path: Path) -> bool:
    """Whether a YAML file describes a data set for Ultralytics' YOLO, by its keys; a descriptor has ``classes``."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as opened:
            keys = set(re.findall(rb"""(?m)^["']?(\w+)["']?[ \t]*:""", opened.read(HEAD)))
    except OSError:
        return False
    return bool(keys & {b"names", b"nc"}) and bool(keys & {b"train", b"val"}) and b"classes" not in keys


def yolo_files(path: Path) -> list[Path]:
    """Return the YAML files of YOLO data sets: ``path`` itself, or those in a folder."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return [own for own in files if own.suffix.lower() in (".yaml", ".yml") and own.is_file() and is_yolo(own)]


def _begins_with(head: bytes, sign: bytes) -> bool:
    return head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == sign


def annotation_files(path: Path, wanted: Format) -> list[Path]:
    """Return the files of one format: ``path`` itself, or those in a folder and in the folders within it.

    labelme writes a file for each image, and is sought deeper than the others: in folders of splits of annotations.
    """
    if not path.is_dir():
        return [path] if format_of(path) == wanted else []
    found = [file for files in _files_by_folder(path, wanted) for file in files if format_of(file) == wanted]
    if wanted == "coco":
        found = [file for file in found if not _OTHERS_OF_COCO.match(file.name)] or found
    return found


def holds_annotations(path: Path, wanted: Format) -> bool:
    """Whether ``annotation_files`` finds any, without a look at each file of a folder that may hold very many."""
    if not path.is_dir():
        return format_of(path) == wanted
    return next(_files_by_folder(path, wanted), None) is not None


def _files_by_folder(path: Path, wanted: Format) -> Iterator[list[Path]]:
    """Yield the files with the format's ending in each folder in which one of the first files has the format."""
    for place in _folders(path, 3 if wanted == "labelme" else 1):
        files = _files(place, ".xml" if wanted == "cvat" else ".json")
        if any(format_of(file) == wanted for file in files[:TRIED]):
            yield files


def _folders(folder: Path, depth: int) -> list[Path]:
    below = [inner for own in subfolders(folder) for inner in _folders(own, depth - 1)] if depth else []
    return [folder, *below]


def _files(folder: Path, ending: str) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(own.name for own in entries if own.name.lower().endswith(ending) and own.is_file())
            names = [name for name in names if not name.startswith(".")]
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror})") from error
    return [folder / name for name in names]
