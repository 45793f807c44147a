"""Describe a folder that is in no known layout, and suggest what to do next."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from fullyconv.data.images.files import is_image_name
from fullyconv.data.layouts.folders import kind_of
from fullyconv.data.splits.names import letters

MAX_FILES = 2000
"""Maximum number of files to examine."""
READ = 5
"""Maximum number of files of one kind whose beginning is read."""
HEAD = 1 << 16
"""Number of bytes that are read of a file."""

_ONE_EACH = "put the images, and one mask for each, into images/ and masks/, or say in a dataset.yaml where they are"
_DRAW = f"draw them as masks first, one PNG file for each image. Then {_ONE_EACH}"
_OPENED = ("a LabelMe file", "a COCO file", "a Label Studio export")
"""What is opened where it is found: in the folder that is given, or in those within it."""
_BRUSH = re.compile(r"task-\d+-annotation-\d+-by-.*\.(png|npy)", re.IGNORECASE)
"""The names of Label Studio's exports of brushes, to PNG and to NumPy."""
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
_JPEG = (".jpg", ".jpeg")
_VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")


def looks_like(path: Path) -> str:
    """Return a sentence that says what is at ``path``, and one that says what to do."""
    files = [path] if path.is_file() else list(islice(_files(path, 5), MAX_FILES))
    if not files:
        return f"it is an empty folder; {_ONE_EACH}"
    if (told := _volumes(files) or _annotations(files)) is not None:
        return told
    endings = Counter(file.suffix.lower() for file in files)
    if archives := [file for file in files if file.suffix.lower() in _ARCHIVES]:
        return (
            f"it holds archives, such as {archives[0].name}; unpack them, and pass the folder that contains the images"
        )
    if any(endings[suffix] for suffix in _VIDEOS):
        video = next(file for file in files if file.suffix.lower() in _VIDEOS)
        return f"it holds videos, such as {video.name}; save the frames that have masks as images. Then {_ONE_EACH}"
    if whole := [file for file in files if re.fullmatch(r"ADE_.*_seg\.png", file.name)]:
        return (
            f"it is the whole of ADE20K ({whole[0].name}) in a form without a JSON file for each image, so that its "
            "classes have no names. Use the release of 2021, or SceneParse150 with 150 classes (ADEChallengeData2016)"
        )
    images = [file for file in files if is_image_name(file)]
    if not images:
        return f"it holds no images ({_names(path)}); {_ONE_EACH}"
    return _images(path, images)


def _images(path: Path, images: list[Path]) -> str:
    if path.is_file():
        return "it is a single image; expected the folder of a data set, or its dataset.yaml"
    folders = sorted({image.parent for image in images})
    if len(folders) == 1:
        return _one_folder(images)
    listed = ", ".join(f"{place.relative_to(path).as_posix()}/" for place in folders[:10])
    where = f"{len(folders)} folders ({listed}{' and others' if len(folders) > 10 else ''})"
    names = {kind: [place for place in folders if kind_of(place.name) == kind] for kind in ("images", "masks")}
    if names["masks"] and not names["images"]:
        masks = names["masks"][0].relative_to(path).as_posix()
        others = [place for place in folders if place not in names["masks"]]
        usual = others[0].relative_to(path).as_posix() if len(others) == 1 else "FOLDER"
        return (
            f"it holds images in {where}; {masks}/ has a known name for masks, but no folder has one for images. Say "
            f"in a dataset.yaml where they are: `images: {usual}`, `masks: {masks}` and `classes`"
        )
    usual = names["images"][0].relative_to(path).as_posix() if names["images"] else "FOLDER"
    return (
        f"it holds images in {where}, but no folder with a known name for masks. Training needs masks; if there are "
        f"any, say where in a dataset.yaml: `images: {usual}`, `masks: FOLDER` and `classes`"
    )


def _one_folder(images: Sequence[Path]) -> str:
    """Describe a single folder of images, and possibly masks."""
    masklike = [image for image in images if re.search(r"(?i)(mask|label|seg|gt|annot)", image.stem)]
    found = _patterns(images)
    if found is None and not 0 < len(masklike) < len(images):
        return (
            "it holds images in one folder, but no folder with a known name for masks. Training needs masks; if there "
            "are any, say where in a dataset.yaml: `images: FOLDER`, `masks: FOLDER` and `classes`"
        )
    mask, of_images, of_masks = found or (masklike[0], "*.jpg", "*_mask.png")
    return (
        f"it seems to hold images and masks in one folder ({mask.name}); say in a dataset.yaml which are which: "
        f'`images: "{of_images}"` and `masks: "{of_masks}"`, where * is the same for both, and `classes`'
    )


def _patterns(images: Sequence[Path]) -> tuple[Path, str, str] | None:
    """Find masks by names that extend those of images, such as ``a.jpg`` with ``a_mask.png`` or ``a.png``.

    Returns an example of a mask, and the patterns of images and masks; None if most images have no such mask.
    """
    of_stem = {image.stem: image for image in sorted(images, key=lambda image: image.suffix.lower() in _JPEG)}
    endings: Counter[tuple[str, str]] = Counter()
    first: dict[tuple[str, str], Path] = {}
    for image in images:
        stem = image.stem
        ends = [place for place in range(len(stem), 0, -1) if place == len(stem) or not stem[place].isalnum()]
        base = next((of_stem[stem[:end]] for end in ends if of_stem.get(stem[:end], image) != image), None)
        if base is not None:
            ending = base.suffix, stem[len(base.stem) :] + image.suffix
            endings[ending] += 1
            first.setdefault(ending, image)
    if not endings:
        return None
    (usual, count), *_ = endings.most_common(1)
    bases = len(images) - endings.total()
    return (first[usual], f"*{usual[0]}", f"*{usual[1]}") if 2 * count > bases else None


def _volumes(files: list[Path]) -> str | None:
    nifti = [file for file in files if file.name.lower().endswith((".nii", ".nii.gz"))]
    if nifti:
        return (
            f"it holds NIfTI volumes, such as {nifti[0].name}; save their slices as images, and the slices of the "
            f"segmentations as masks of the same names. Then {_ONE_EACH}"
        )
    odd = [file for file in files if file.suffix.lower() in ("", ".ima") or not file.suffix[1:].isalpha()]
    slices = [file for file in files if file.suffix.lower() in (".dcm", ".dicom")]
    slices = slices or [file for file in odd[:READ] if _head(file, 132)[128:] == b"DICM"]
    if slices:
        return (
            f"it holds DICOM slices, such as {slices[0].name}; save them as images (16-bit PNG or TIFF), and their "
            f"segmentations as masks of the same names. Then {_ONE_EACH}"
        )
    return None


def _annotations(files: list[Path]) -> str | None:
    """Return which annotation tool wrote the files and what to do; None if no tool is recognized."""
    of_kind: dict[str, list[Path]] = {}
    for file in files:
        of_kind.setdefault(file.suffix.lower(), []).append(file)
    for file in of_kind.get(".json", [])[:READ]:
        if (kind := _json_kind(file)) in _OPENED:
            return f"{file.name} is {kind}, which is opened as it is: give the folder that holds it"
        if kind is not None:
            return f"{file.name} is {kind}; {_DRAW}"
    if brush := next((file for file in files if _BRUSH.fullmatch(file.name)), None):
        return (
            f"{brush.name} is a mask of Label Studio's, whose name does not say which image it is of; export "
            'the project as "JSON" and put that file beside the images'
        )
    for file in of_kind.get(".xml", [])[:READ]:
        head = _head(file, HEAD)
        if b"<annotation" in head and b"<bndbox>" in head:
            return f"{file.name} is a PASCAL VOC detection file, which has boxes; a class for every pixel is needed"
    for file in of_kind.get(".txt", [])[:READ]:
        if re.fullmatch(rb"\d+( +-?[\d.]+(e-\d+)?){4,}\s*", _head(file, HEAD).partition(b"\n")[0]):
            return (
                f"{file.name} is a YOLO label file, but no data.yaml says what its classes are; write one beside the "
                "folders, such as `names: [road, sky]`, `train: images/train` and `val: images/val`, each on a line"
            )
    return None


def _json_kind(file: Path) -> str | None:
    head = _head(file, HEAD)
    whole: object = None
    if len(head) < HEAD:
        try:
            whole = json.loads(head)
        except (ValueError, RecursionError):
            return None
    keys = {key.encode() for key in whole} if isinstance(whole, dict) else set(re.findall(rb'"(\w+)"\s*:', head))
    if {b"shapes", b"imagePath"} <= keys:
        return "a LabelMe file"
    if keys & {b"annotations", b"categories"} and keys & {b"images", b"categories", b"info", b"licenses"}:
        return "a COCO file"
    inner = set(re.findall(rb'"(\w+)"\s*:', head))
    if isinstance(whole, list) or head.lstrip().startswith(b"["):
        return "a Label Studio export" if {b"annotations", b"data"} <= inner or b"original_width" in inner else None
    return "a Cityscapes polygon file" if {b"imgHeight", b"objects"} <= keys else None


def _files(folder: Path, depth: int) -> Iterator[Path]:
    """Yield the files in a folder and, down to ``depth``, below it; hidden ones are left out."""
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError:
        return
    yield from (entry for entry in entries if entry.is_file())
    if depth:
        for entry in entries:
            if entry.is_dir():
                yield from _files(entry, depth - 1)


def _head(file: Path, size: int) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(size)
    except OSError:
        return b""


def _names(path: Path, limit: int = 10) -> str:
    """Return a short list of what is at ``path``."""
    if path.is_file():
        return f"a file {path.suffix or 'without a suffix'}"
    names = sorted(entry.name + "/" * entry.is_dir() for entry in path.iterdir() if letters(entry.name))
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
