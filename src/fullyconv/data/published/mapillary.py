"""Mapillary Vistas (Neuhold et al., ICCV 2017): street scenes with 65 classes (v1.2) or 123 (v2.0) of evaluation."""

from pathlib import Path
from typing import Annotated, NotRequired

from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from fullyconv.classes import IGNORE, MAX_CLASSES, printable
from fullyconv.data.annotations.json_files import read_json
from fullyconv.data.catalog import Data
from fullyconv.data.layouts.files import images_under, subfolders
from fullyconv.data.mask_codes import MaskCode
from fullyconv.data.pairs import Pair
from fullyconv.data.published.archive import find, in_order
from fullyconv.data.splits.names import canonical
from fullyconv.errors import DataError

CONFIGS = {
    "mapillary-v2.0": ("config_v2.0.json", "v2.0/labels"),
    "mapillary-v1.2": ("config_v1.2.json", "v1.2/labels"),
    "mapillary": ("config.json", "labels"),
}
"""The layouts, each with the file of its classes and the folder of masks in a split; the last is the first release."""
_PLACES = ("*",)
Channel = Annotated[int, Field(ge=0, le=255)]


class Label(TypedDict):
    """A class; masks that are not of evaluation have no class here."""

    name: str
    readable: str
    color: tuple[Channel, Channel, Channel]
    evaluate: NotRequired[bool]


class Config(TypedDict):
    """A file of classes, in the order of their values in masks."""

    labels: list[Label]


CONFIG = TypeAdapter(Config)


def is_mapillary(root: Path, layout: str) -> bool:
    """Whether a version of Mapillary Vistas is at ``root`` or in a folder in it."""
    return bool(_folders(root, layout))


def open_mapillary(root: Path, layout: str) -> Data:
    """Open SPLIT/images and the masks of a version; values whose label says ``evaluate: false`` are void.

    Names and colours are those in the version's file of classes. Test images without masks are left out. Raises
    DataError if that file cannot be read or there are several data sets.
    """
    folders = _folders(root, layout)
    if len(folders) != 1:
        raise DataError(f"{root}: one data set is expected in it, found {' and '.join(map(str, folders))}; give one")
    root = folders[0]
    config, place = CONFIGS[layout]
    labels = read_json(root / config, CONFIG)[0]["labels"]
    evaluated = [own for own in labels if own.get("evaluate", True)]
    if not 2 <= len(evaluated) <= MAX_CLASSES:
        raise DataError(
            f"{root / config}: has {len(evaluated)} labels of evaluation; expected 2 to {MAX_CLASSES} classes"
        )
    numbers = iter(range(len(evaluated)))
    values = {value: next(numbers) if own.get("evaluate", True) else IGNORE for value, own in enumerate(labels)}
    splits: dict[str, list[Pair]] = {}
    unmatched: list[Path] = []
    notes: list[str] = []
    for folder in subfolders(root):
        images, masks = images_under(folder / "images"), images_under(folder / place)
        of_key, known = {key: mask for mask, key in masks.items()}, set(images.values())
        unmatched += [mask for mask, key in masks.items() if key not in known]
        split = canonical(folder.name)
        if split == "test" and images and not masks:
            notes.append(f"test is left out: the annotations of its {len(images)} images are not published")
        elif images:
            splits[split] = [Pair(image, of_key.get(key)) for image, key in images.items()]
    return Data(
        root,
        layout,
        _names(root / config, evaluated),
        [own["color"] for own in evaluated],
        MaskCode(len(evaluated), values=values),
        in_order(splits),
        unmatched,
        published=True,
        notes=notes,
    )


def _folders(root: Path, layout: str) -> list[Path]:
    config, place = CONFIGS[layout]
    return [
        folder
        for folder in find(root, _PLACES, (config,))
        if _has_labels(folder / config) and any(_is_split(inside, place) for inside in subfolders(folder))
    ]


def _is_split(folder: Path, place: str) -> bool:
    return (folder / "images").is_dir() and (folder / place).is_dir()


def _has_labels(config: Path) -> bool:
    """Whether a JSON file begins as Mapillary's do: many data sets have a config.json."""
    try:
        with config.open("rb") as file:
            return b'"readable"' in file.read(4096)
    except OSError:
        return False


def _names(config: Path, labels: list[Label]) -> list[str]:
    """Return the readable names of the classes, or the others if two are the same."""
    names = [own["readable"] for own in labels]
    if len(set(names)) < len(names):
        names = [own["name"] for own in labels]
    try:
        return [printable(name) for name in names]
    except ValueError as error:
        raise DataError(f"{config}: {error}") from error
