"""NYUDv2 (Silberman et al., ECCV 2012) with the 40 classes of Gupta et al. (CVPR 2013), as the FCN release has it."""

import os
from pathlib import Path
from typing import NamedTuple

from fullyconv.channels import Inputs
from fullyconv.classes import IGNORE
from fullyconv.data.catalog import Data
from fullyconv.data.mask_codes import MaskCode
from fullyconv.data.pairs import Pair
from fullyconv.data.published.archive import find, find_one, read_list
from fullyconv.palettes import default_palette

CLASSES = [
    "wall",
    "floor",
    "cabinet",
    "bed",
    "chair",
    "sofa",
    "table",
    "door",
    "window",
    "bookshelf",
    "picture",
    "counter",
    "blinds",
    "desk",
    "shelves",
    "curtain",
    "dresser",
    "pillow",
    "mirror",
    "floor mat",
    "clothes",
    "ceiling",
    "books",
    "refridgerator",  # as the data set spells it
    "television",
    "paper",
    "towel",
    "shower curtain",
    "box",
    "whiteboard",
    "person",
    "night stand",
    "toilet",
    "sink",
    "lamp",
    "bathtub",
    "bag",
    "otherstructure",
    "otherfurniture",
    "otherprop",
]


class Source(NamedTuple):
    """The folders that an image's channels come from; those of ``more`` follow those of ``image``."""

    inputs: Inputs
    channels: int
    image: str
    more: str | None = None


SOURCES = {
    "nyud": Source("image", 3, "images"),
    "nyud-hha": Source("hha", 3, "hha"),
    "nyud-rgbd": Source("rgb+depth", 4, "images", "depth"),
    "nyud-color-hha": Source("rgb+hha", 6, "images", "hha"),
}
_PLACES = ("nyud",)
_ENTRIES = ("data", "segmentation", "test.txt")


def is_nyud(root: Path, layout: str) -> bool:
    """Whether NYUDv2 is at ``root`` or below it, with the folders of this layout."""
    return bool(find(root, _PLACES, [*_ENTRIES, *(f"data/{folder}" for folder in folders(layout))]))


def open_nyud(root: Path, layout: str) -> Data:
    """Open NYUDv2 in one of the layouts of ``SOURCES``.

    Train is the paper's, trainval.txt (795 images), and test has 654. Without trainval.txt, train.txt and val.txt are
    splits instead. Raises DataError if a list is missing.
    """
    root = find_one(root, _PLACES, _ENTRIES)
    lists = {"train": "trainval"} if os.path.lexists(root / "trainval.txt") else {"train": "train", "val": "val"}
    splits = {
        split: [_pair(root, number, layout) for number in read_list(root / f"{name}.txt")]
        for split, name in {**lists, "test": "test"}.items()
    }
    values = {0: IGNORE} | {label + 1: label for label in range(len(CLASSES))}
    code = MaskCode(len(CLASSES), values=values, key="segmentation")
    palette = default_palette(len(CLASSES))
    source = SOURCES[layout]
    return Data(
        root,
        layout,
        list(CLASSES),
        palette,
        code,
        splits,
        inputs=source.inputs,
        channels=source.channels,
        published=True,
    )


def folders(layout: str) -> list[str]:
    """Return the folders below ``data`` that a layout takes its channels from."""
    source = SOURCES[layout]
    return [source.image, *([source.more] if source.more else [])]


def _pair(root: Path, number: str, layout: str) -> Pair:
    image, *more = (root / "data" / folder / f"img_{number}.png" for folder in folders(layout))
    return Pair(image, root / "segmentation" / f"img_{number}.mat", tuple(more))
