"""Cityscapes (Cordts et al., CVPR 2016): street scenes with fine annotations, 19 classes of evaluation."""

from pathlib import Path

from fullyconv.classes import IGNORE
from fullyconv.data.catalog import Data
from fullyconv.data.layouts.files import images_at, subfolders
from fullyconv.data.mask_codes import MaskCode
from fullyconv.data.pairs import Pair
from fullyconv.data.published.archive import find, find_one, in_order
from fullyconv.data.splits.names import canonical
from fullyconv.errors import DataError
from fullyconv.palettes import Colour

_PLACES = ("*",)
_ENTRIES = ("leftImg8bit", "gtFine")
LABELS: dict[int, tuple[str, Colour]] = {
    7: ("road", (128, 64, 128)),
    8: ("sidewalk", (244, 35, 232)),
    11: ("building", (70, 70, 70)),
    12: ("wall", (102, 102, 156)),
    13: ("fence", (190, 153, 153)),
    17: ("pole", (153, 153, 153)),
    19: ("traffic light", (250, 170, 30)),
    20: ("traffic sign", (220, 220, 0)),
    21: ("vegetation", (107, 142, 35)),
    22: ("terrain", (152, 251, 152)),
    23: ("sky", (70, 130, 180)),
    24: ("person", (220, 20, 60)),
    25: ("rider", (255, 0, 0)),
    26: ("car", (0, 0, 142)),
    27: ("truck", (0, 0, 70)),
    28: ("bus", (0, 60, 100)),
    31: ("train", (0, 80, 100)),
    32: ("motorcycle", (0, 0, 230)),
    33: ("bicycle", (119, 11, 32)),
}
"""The classes of evaluation by their values in labelIds files, in the order of the train ids, with their colours."""
_CITIES = frozenset(
    [
        "aachen",
        "bochum",
        "bremen",
        "cologne",
        "darmstadt",
        "dusseldorf",
        "erfurt",
        "hamburg",
        "hanover",
        "jena",
        "krefeld",
        "monchengladbach",
        "strasbourg",
        "stuttgart",
        "tubingen",
        "ulm",
        "weimar",
        "zurich",
        "frankfurt",
        "lindau",
        "munster",
        "berlin",
        "bielefeld",
        "bonn",
        "leverkusen",
        "mainz",
        "munich",
    ]
)
"""The cities of the published archive."""


def is_cityscapes(root: Path) -> bool:
    """Whether leftImg8bit and gtFine are at ``root`` or in a folder in it."""
    return bool(find(root, _PLACES, _ENTRIES))


def open_cityscapes(root: Path) -> Data:
    """Open leftImg8bit/SPLIT/CITY with the labelIds in gtFine; ids other than those of the 19 classes are void.

    The published test split is left out: its annotations are blank. Raises DataError if no labelIds are found.
    """
    root = find_one(root, _PLACES, _ENTRIES)
    splits: dict[str, list[Pair]] = {}
    notes: list[str] = []
    unmatched: list[Path] = []
    cities: set[str] = set()
    for folder in subfolders(root / "leftImg8bit"):
        images = images_at(folder, "*/*_leftImg8bit.*")
        masks = {key: path for path, key in images_at(root / "gtFine" / folder.name, "*/*_gtFine_labelIds.*").items()}
        inside = {path.parent.name for path in images}
        cities |= inside
        if folder.name == "test" and (not masks or inside <= _CITIES):
            notes.append(f"test is left out: the annotations of its {len(images)} images are not published")
            continue
        splits[canonical(folder.name)] = [Pair(path, masks.get(key)) for path, key in images.items()]
        known = set(images.values())
        unmatched += [path for key, path in masks.items() if key not in known]
    if not any(pair.mask for pairs in splits.values() for pair in pairs):
        raise DataError(f"{root / 'gtFine'}: holds no SPLIT/CITY/*_gtFine_labelIds.png for the images in leftImg8bit")
    values = dict.fromkeys((*range(-1, 34), IGNORE), IGNORE)
    values |= {value: label for label, value in enumerate(LABELS)}
    classes, palette = (list(column) for column in zip(*LABELS.values(), strict=True))
    code = MaskCode(len(LABELS), values=values)
    published = cities <= _CITIES
    return Data(
        root, "cityscapes", classes, palette, code, in_order(splits), unmatched, published=published, notes=notes
    )
