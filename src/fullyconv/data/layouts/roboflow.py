"""Roboflow's export of masks ("Semantic Segmentation Masks"): images and masks side by side in folders of splits."""

from dataclasses import replace
from pathlib import Path

from fullyconv.classes import printable
from fullyconv.data.catalog import Data
from fullyconv.data.images.files import list_images
from fullyconv.data.layouts.files import subfolders
from fullyconv.data.layouts.pairing import Names, pair
from fullyconv.data.mask_codes import HIGHEST, MaskCode
from fullyconv.data.published.archive import in_order, read_list
from fullyconv.data.splits.divide import divide
from fullyconv.data.splits.names import canonical, original_of
from fullyconv.errors import DataError
from fullyconv.palettes import default_palette

CLASSES = "_classes.csv"
"""The file, in the folder of each split, of the lines ``Pixel Value, Class``."""
_HEADER = "pixelvalue,class"
_ENDING = "_mask"


def is_roboflow(root: Path) -> bool:
    """Whether ``root`` is an export of masks, or one of its splits. An export of whole images' classes is none."""
    return bool(_splits(root))


def open_roboflow(root: Path) -> Data:
    """Open an export of masks: each ``NAME.jpg`` with ``NAME_mask.png``, whose values ``_classes.csv`` names.

    If there is only one split, it is divided, and copies that Roboflow made of one image stay together. Raises
    DataError if a file of classes is wrong, or differs from another's.
    """
    folders = _splits(root)
    values: dict[int, str] = {}
    for folder in folders:
        for value, name in _read_classes(folder / CLASSES).items():
            if values.setdefault(value, name) != name:
                raise DataError(
                    f"{folder / CLASSES}: value {value} is {name!r}, but {values[value]!r} in another split; export "
                    "all splits again, from one version"
                )
    classes = list(dict.fromkeys(values[value] for value in sorted(values)))
    if len(classes) < 2:
        raise DataError(f"{folders[0] / CLASSES}: names {len(classes)} classes; at least 2 are expected")
    code = MaskCode(len(classes), values={value: classes.index(name) for value, name in values.items()})
    names = {canonical(folder.name): _names(folder) for folder in folders}
    if len(names) < len(folders):
        raise DataError(f"{root}: has two folders of one split ({', '.join(folder.name for folder in folders)})")
    paired = pair(names)
    divided = len(folders) == 1
    splits = {
        name: [replace(pair, group=original_of(pair.image.stem)) for pair in pairs]
        for name, pairs in paired.splits.items()
    }
    if divided:
        (pairs,) = splits.values()
        splits = divide(pairs, lambda image: original_of(image.stem) or image.stem)
    return Data(
        root,
        "roboflow-masks",
        classes,
        default_palette(len(classes)),
        code,
        in_order(splits),
        paired.unmatched,
        divided=divided,
        notes=paired.notes,
    )


def _splits(root: Path) -> list[Path]:
    """Return the folders of splits: those in ``root``, or ``root`` itself."""
    if not root.is_dir():
        return []
    return [folder for folder in (*subfolders(root), root) if _names_values(folder / CLASSES)]


def _names_values(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        with path.open("rb") as opened:
            head = opened.read(100).decode(errors="replace")
    except OSError:
        return False
    return "".join(head.removeprefix("\ufeff").lower().split()).startswith(_HEADER)


def _read_classes(path: Path) -> dict[int, str]:
    """Return the name of each value. Raises DataError for a line that is no whole number, a comma and a name."""
    values: dict[int, str] = {}
    for line in read_list(path)[1:]:
        number, _, name = (part.strip() for part in line.partition(","))
        if not (number.isascii() and number.isdecimal() and len(number) <= 5 and int(number) <= HIGHEST and name):
            raise DataError(f"{path}: has the line {line[:80]!r}; expected a line such as `1, road`")
        if values.setdefault(int(number), name) != name:
            raise DataError(f"{path}: names the value {number} twice; remove one of the two lines")
        try:
            printable(name)
        except ValueError as error:
            raise DataError(f"{path}: {error}") from error
    return values


def _names(folder: Path) -> Names:
    """Return the images and masks in a folder; both have the name of the image as their key."""
    files = list_images(folder)
    masks = {path: path.stem.removesuffix(_ENDING) for path in files if path.match(f"*{_ENDING}.png")}
    return Names({path: path.stem for path in files if path not in masks}, masks)
