"""The Semantic Boundaries Dataset (Hariharan et al., ICCV 2011), alone and with PASCAL VOC 2011.

The paper trains on SBD's train images and validates on those of VOC 2011's val that are not among them (seg11valid).
"""

from pathlib import Path

from fullyconv.classes import VOC_CLASSES
from fullyconv.data.catalog import Data
from fullyconv.data.layouts import voc
from fullyconv.data.pairs import Pair
from fullyconv.data.published.archive import find, find_one, read_list

_PLACES = ("benchmark_RELEASE/dataset", "dataset", "sbd", "SBD", "*/benchmark_RELEASE/dataset")
_ENTRIES = ("img", "cls", "train.txt", "val.txt")
_VOC = voc.places("VOC2011")


def is_sbd(root: Path) -> bool:
    """Whether SBD is at ``root`` or below it."""
    return bool(find(root, _PLACES, _ENTRIES))


def is_sbd_with_voc(root: Path) -> bool:
    """Whether both SBD and VOC 2011 are below ``root``."""
    return is_sbd(root) and bool(find(root, _VOC, voc.ENTRIES))


def open_sbd(root: Path) -> Data:
    """Open SBD's own train (8,498 images) and val (2,857). Raises DataError if a list is missing."""
    root = find_one(root, _PLACES, _ENTRIES)
    return _data(root, "sbd", {split: _pairs(root, _names(root, split)) for split in ("train", "val")})


def open_sbd_with_voc(root: Path) -> Data:
    """Open SBD's train (8,498 images) as train, and as val seg11valid: VOC 2011's val without those images (736).

    Raises DataError if a list is missing, or either data set is there more than once.
    """
    sbd, voc11 = _both(root)
    train = _names(sbd, "train")
    return _data(root, "sbd+voc", {"train": _pairs(sbd, train), "val": _seg11valid(voc11, train)})


def open_union(root: Path) -> Data:
    """Open SBD's train, with the images that only VOC 2011's train has, as train; val is seg11valid.

    Raises DataError if a list is missing, or either data set is there more than once.
    """
    sbd, voc11 = _both(root)
    train = _names(sbd, "train")
    added = _without(_voc_names(voc11, "train"), train)
    pairs = _pairs(sbd, train) + _voc_pairs(voc11, added)
    return _data(root, "sbd+voc-union", {"train": pairs, "val": _seg11valid(voc11, train)})


def _both(root: Path) -> tuple[Path, Path]:
    return find_one(root, _PLACES, _ENTRIES), find_one(root, _VOC, voc.ENTRIES)


def _data(root: Path, layout: str, splits: dict[str, list[Pair]]) -> Data:
    code = voc.mask_code(key="GTcls.Segmentation")
    return Data(root, layout, list(VOC_CLASSES), voc.PALETTE, code, splits, published=True)


def _seg11valid(voc11: Path, train: list[str]) -> list[Pair]:
    return _voc_pairs(voc11, _without(_voc_names(voc11, "val"), train))


def _without(names: list[str], others: list[str]) -> list[str]:
    known = set(others)
    return [name for name in names if name not in known]


def _names(sbd: Path, split: str) -> list[str]:
    return read_list(sbd / f"{split}.txt")


def _voc_names(voc11: Path, split: str) -> list[str]:
    return read_list(voc11 / "ImageSets/Segmentation" / f"{split}.txt")


def _pairs(sbd: Path, names: list[str]) -> list[Pair]:
    return [Pair(sbd / "img" / f"{name}.jpg", sbd / "cls" / f"{name}.mat") for name in names]


def _voc_pairs(voc11: Path, names: list[str]) -> list[Pair]:
    return [Pair(voc11 / "JPEGImages" / f"{name}.jpg", voc11 / "SegmentationClass" / f"{name}.png") for name in names]
