"""SIFT Flow (Liu et al., PAMI 2011; geometry by Tighe and Lazebnik, ECCV 2010): two labelings of each image."""

from pathlib import Path

from fullyconv.classes import IGNORE
from fullyconv.data.catalog import Data
from fullyconv.data.mask_codes import MaskCode
from fullyconv.data.pairs import Pair
from fullyconv.data.published.archive import find, find_one, read_list
from fullyconv.palettes import default_palette

SEMANTIC = [
    "awning",
    "balcony",
    "bird",
    "boat",
    "bridge",
    "building",
    "bus",
    "car",
    "cow",
    "crosswalk",
    "desert",
    "door",
    "fence",
    "field",
    "grass",
    "moon",
    "mountain",
    "person",
    "plant",
    "pole",
    "river",
    "road",
    "rock",
    "sand",
    "sea",
    "sidewalk",
    "sign",
    "sky",
    "staircase",
    "streetlight",
    "sun",
    "tree",
    "window",
]
GEOMETRIC = ["geometric sky", "horizontal", "vertical"]  # "sky" alone is a semantic class
CLASSES = {"semantic": SEMANTIC, "geometric": GEOMETRIC}
LABELINGS = {
    "siftflow": ("semantic", "geometric"),
    "siftflow-semantic": ("semantic",),
    "siftflow-geometric": ("geometric",),
}
_FOLDERS = {"semantic": "SemanticLabels", "geometric": "GeoLabels"}
_SCENES = "spatial_envelope_256x256_static_8outdoorcategories"
_PLACES = ("SiftFlowDataset", "sift-flow", "siftflow")
_ENTRIES = tuple(f"{folder}/{_SCENES}" for folder in ("Images", *_FOLDERS.values()))


def is_siftflow(root: Path) -> bool:
    """Whether SIFT Flow is at ``root`` or below it."""
    return bool(find(root, _PLACES, _ENTRIES))


def open_siftflow(root: Path, layout: str) -> Data:
    """Open SIFT Flow in one of the layouts of ``LABELINGS``.

    Train is the FCN release's trainval.txt (2,488 images), and test has 200. The two images without annotations are in
    neither. Raises DataError if a list is missing.
    """
    root = find_one(root, _PLACES, _ENTRIES)
    heads = {head: len(CLASSES[head]) for head in LABELINGS[layout]}

    def pair(name: str) -> Pair:
        mask, *more = (root / _FOLDERS[head] / _SCENES / f"{name}.mat" for head in heads)
        return Pair(root / "Images" / _SCENES / f"{name}.jpg", mask, more_masks=tuple(more))

    splits = {
        split: [pair(name) for name in read_list(root / f"{file}.txt")]
        for split, file in {"train": "trainval", "test": "test"}.items()
    }
    code, *more_codes = (_code(size) for size in heads.values())
    count = sum(heads.values())
    return Data(
        root,
        layout,
        [name for head in heads for name in CLASSES[head]],
        default_palette(count),
        code,
        splits,
        heads=heads if len(heads) > 1 else None,
        more_codes=tuple(more_codes),
        published=True,
        absent_excluded=True,
    )


def _code(classes: int) -> MaskCode:
    """Return the code of masks that number ``classes`` from 1, with 0 and -1 as void."""
    values = {0: IGNORE, -1: IGNORE} | {label + 1: label for label in range(classes)}
    return MaskCode(classes, values=values, key="S")
