"""The ``data.yaml`` of a data set for Ultralytics' YOLO: its classes, and where the images of each split are."""

from collections.abc import Iterator, Sequence
from pathlib import Path, PureWindowsPath
from typing import Annotated

from pydantic import AliasChoices, BaseModel, BeforeValidator, Field, ValidationError

from fullyconv.data.annotations.image_index import ImageIndex, parts_of
from fullyconv.data.images.files import is_image_name
from fullyconv.data.layouts.files import image_files
from fullyconv.data.published.archive import read_list
from fullyconv.errors import DataError
from fullyconv.files import exists
from fullyconv.validation import words
from fullyconv.yaml_data import read_yaml

USUAL = ("data", "dataset")
"""The names of the file to take where a folder holds several."""


def _listed(given: object) -> object:
    return [] if given is None else given if isinstance(given, list) else [given]


def _numbered(given: object) -> object:
    named = dict(enumerate(given)) if isinstance(given, list) else given or {}
    return {key: str(name) for key, name in named.items()} if isinstance(named, dict) else named


Places = Annotated[list[str], BeforeValidator(_listed)]
"""Folders of images, or text files with their paths; one or several."""
Names = Annotated[dict[int, str], BeforeValidator(_numbered)]
"""The names of classes by their number, also given as a list."""


class YoloFile(BaseModel):
    """What a ``data.yaml`` says; other keys are Ultralytics' own."""

    path: str | None = None
    train: Places = []
    val: Places = Field([], validation_alias=AliasChoices("val", "validation"))
    test: Places = []
    names: Names = {}
    nc: int | None = None
    kpt_shape: list[int] | None = None


def one_of(paths: Sequence[Path]) -> Path:
    """Return the only file, or of several the one with a usual name. Raises DataError if none has."""
    if len(paths) == 1:
        return paths[0]
    named = [path for usual in USUAL for path in paths if path.stem.lower() == usual]
    if not named:
        listed = ", ".join(path.name for path in paths[:5])
        raise DataError(f"{paths[0].parent}: holds several descriptions of YOLO data sets ({listed}); give one of them")
    return named[0]


def read_description(file: Path) -> YoloFile:
    """Read a ``data.yaml``. Raises DataError that names the wrong key and what was expected."""
    try:
        read = read_yaml(file)
        content = YoloFile.model_validate(read)
        if content.kpt_shape:
            raise ValueError("describes key points (`kpt_shape`); outlines are expected")
        content.names = content.names or {index: f"class_{index}" for index in range(min(content.nc or 0, 1 << 10))}
        if content.nc is not None and content.nc != len(content.names):
            raise ValueError(f"`nc` is {content.nc}, but `names` has {len(content.names)} entries")
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, problem["loc"]))[:200]
        raise DataError(f"{file}: {f'`{place}`: ' if place else ''}{words(problem)}") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: {error}") from error
    return content


def find_images(file: Path, content: YoloFile, root: Path) -> tuple[dict[str | None, list[Path]], list[str]]:
    """Return the images of each split, and notes.

    Where there are none but those of train, their split is None: they are to be divided. Raises DataError if the images
    of train are not found.
    """
    index: ImageIndex | None = None
    splits: dict[str | None, list[Path]] = {}
    notes = []
    for split, entries in (("train", content.train), ("val", content.val), ("test", content.test)):
        found: dict[Path, None] = {}
        for entry in entries:
            place = next(_places(root, entry), None)
            if place is None or place.is_dir():
                found |= dict.fromkeys(image_files(place)) if place else {}
            elif is_image_name(place):
                found[place] = None
            else:
                index = index or ImageIndex(root)
                found |= dict.fromkeys(index.find(line, place, split) for line in read_list(place))
        if found:
            splits[split] = list(found)
        elif split == "train":
            raise DataError(f"{file}: `train` is {entries!r}, where no images are found below {root}")
        elif entries:
            notes.append(f"{file.name}: `{split}` is {', '.join(entries)[:200]}, where no images are; it is left out")
    if list(splits) == ["train"]:
        splits = {None: splits["train"]}
    return splits, notes


def _places(root: Path, entry: str) -> Iterator[Path]:
    """Yield the files and folders below ``root`` that a path may mean.

    Roboflow writes ../train/images for what is beside the file. Of a path on another machine, the ending is taken: at
    least two names, unless the first is that of a file or follows the name of ``root``.
    """
    parts, is_absolute = parts_of(entry), bool(PureWindowsPath(entry).anchor)
    for first in range(len(parts) if is_absolute and parts else 1):
        place = root.joinpath(*parts[first:])
        if not exists(place):
            continue
        told = first == 0 or len(parts) - first > 1 or parts[first - 1] == root.name or place.is_file()
        if told:
            yield place
