"""PASCAL-Context (Mottaghi et al., CVPR 2014): VOC 2010's images labelled in full, with 59 classes and background."""

import os
from pathlib import Path

from fullyconv.data.catalog import Data
from fullyconv.data.layouts.voc import places
from fullyconv.data.mask_codes import MaskCode
from fullyconv.data.pairs import Pair
from fullyconv.data.published.archive import find, find_one, read_list
from fullyconv.errors import DataError
from fullyconv.palettes import voc_palette

_PLACES = ("*",)
_ENTRIES = ("trainval", "labels.txt", "59_labels.txt")
_VOC = places("VOC2010")
_VOC_ENTRIES = ("JPEGImages",)
_RAW_NAMES = {"diningtable": "table", "bedcloth": "bedclothes", "clothes": "cloth"}


def is_context(root: Path) -> bool:
    """Whether both the annotations and VOC 2010's images are at ``root`` or below it."""
    return bool(find(root, _PLACES, _ENTRIES)) and bool(find(root, _VOC, _VOC_ENTRIES))


def open_context(root: Path) -> Data:
    """Open the 59-class task, in which all other raw labels are background, 0, and there is no void.

    The splits are train.txt and val.txt beside the annotations, or else VOC 2010's lists of all images,
    ImageSets/Main/train.txt and val.txt (4,998 and 5,105 images). Raises DataError if a list is missing or the two
    label lists contradict each other.
    """
    annotations, voc10 = find_one(root, _PLACES, _ENTRIES), find_one(root, _VOC, _VOC_ENTRIES)
    beside = os.path.lexists(annotations / "train.txt")
    lists = annotations if beside else voc10 / "ImageSets/Main"
    splits = {
        split: [
            Pair(voc10 / "JPEGImages" / f"{name}.jpg", annotations / "trainval" / f"{name}.mat")
            for name in read_list(lists / f"{split}.txt")
        ]
        for split in ("train", "val")
    }
    classes, values = read_classes(annotations)
    code = MaskCode(len(classes), values=values, key="LabelMap")
    return Data(root, "pascal-context", classes, voc_palette(len(classes)), code, splits, published=True)


def read_classes(annotations: Path) -> tuple[list[str], dict[int, int]]:
    """Read the task's class names, background first, and the label of each raw value, from the two label lists.

    59_labels.txt and labels.txt spell three classes differently: the task's diningtable, bedcloth and clothes are the
    raw table, bedclothes and cloth.
    """
    raw = {name: value for value, name in _labels(annotations / "labels.txt").items()}
    task = {label: name for label, name in _labels(annotations / "59_labels.txt").items() if label > 0}
    if sorted(task) != list(range(1, len(task) + 1)):
        raise DataError(f"{annotations / '59_labels.txt'}: its classes are not numbered 1, 2, 3, ... without gaps")
    values = dict.fromkeys([0, *raw.values()], 0)
    for label, name in task.items():
        raw_name = _RAW_NAMES.get(name, name)
        if raw_name not in raw:
            raise DataError(f"{annotations / 'labels.txt'}: has no {raw_name!r}, class {label} of 59_labels.txt")
        values[raw[raw_name]] = label
    return ["background", *(task[label] for label in sorted(task))], values


def _labels(path: Path) -> dict[int, str]:
    """Return value and name of each line ``value: name``, without the names' spaces, in which the lists differ."""
    labels = {}
    for line in read_list(path):
        value, colon, name = line.partition(":")
        if not colon or not value.strip().isdecimal() or len(value) > 10:
            raise DataError(f"{path}: holds the line {line!r}; lines such as `12: dog` are expected")
        labels[int(value)] = name.replace(" ", "")
    return labels
