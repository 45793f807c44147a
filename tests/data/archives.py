"""The paper's data sets in miniature, in the formats in which they are published.

Every picture is a few blocks of colour, each of one class; a class has one colour, so that a network can learn them.
All functions write below ``folder`` and take the numbers of the images in each split; a number always gives the same
picture and the same blocks.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat
from scipy.sparse import csc_matrix

from fullyconv.palettes import voc_palette

# fmt: off
CONTEXT = [
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor", "bag", "bed", "bench",
    "book", "building", "cabinet", "ceiling", "clothes", "computer", "cup", "door", "fence", "floor", "flower",
    "food", "grass", "ground", "keyboard", "light", "mountain", "mouse", "curtain", "platform", "sign", "plate",
    "road", "rock", "shelves", "sidewalk", "sky", "snow", "bedcloth", "track", "tree", "truck", "wall", "water",
    "window", "wood",
]
# fmt: on
CONTEXT_RAW = {"diningtable": "table", "bedcloth": "bedclothes", "clothes": "cloth"}
OTHERS = ["accordion", "air conditioner", "wool"]
"""Raw labels of PASCAL-Context outside of the 59 classes."""
SCENES = "spatial_envelope_256x256_static_8outdoorcategories"

Numbers = Sequence[int]
Size = tuple[int, int]
"""Height and width."""

_COLOURS = np.random.default_rng(7).integers(30, 226, (256, 3))


def scene(seed: int, classes: int, size: Size) -> tuple[np.ndarray, np.ndarray]:
    """A picture (H, W, 3) and its labels (H, W), 0 to classes - 1, in six blocks."""
    rng = np.random.default_rng(seed)
    height, width = size
    blocks = rng.integers(0, classes, (2, 3))
    labels = blocks[np.arange(height)[:, None] * 2 // height, np.arange(width) * 3 // width]
    picture = _COLOURS[labels] + rng.integers(-12, 13, (height, width, 3))
    return picture.astype(np.uint8), labels


def voc(
    folder: Path, year: int = 2012, train: Numbers = (1, 2, 3), val: Numbers = (4, 5, 6, 7), size: Size = (40, 52)
) -> None:
    """PASCAL VOC as its archive unpacks: VOCdevkit/VOCyear; 2011's is below TrainVal."""
    root = folder / ("TrainVal" if year == 2011 else "") / f"VOCdevkit/VOC{year}"
    for number in (*train, *val):
        name = f"2008_{number:06d}"
        picture, labels = scene(number, 21, size)
        labels[:2] = 255
        _save(picture, root / "JPEGImages" / f"{name}.jpg")
        mask = Image.fromarray(labels.astype(np.uint8))
        mask.putpalette([value for rgb in [*voc_palette(255), (224, 224, 192)] for value in rgb])
        _save(mask, root / "SegmentationClass" / f"{name}.png")
    _write_lists(root / "ImageSets/Segmentation", "2008_{:06d}", train=train, val=val, trainval=(*train, *val))


def sbd(folder: Path, train: Numbers = (1, 2, 5, 6), val: Numbers = (3, 7), size: Size = (40, 52)) -> None:
    """SBD as its archive unpacks. Its train shares images with the train and the val of ``voc``, as the real ones."""
    root = folder / "benchmark_RELEASE/dataset"
    for number in (*train, *val):
        name = f"2008_{number:06d}"
        picture, labels = scene(number, 21, size)
        _save(picture, root / "img" / f"{name}.jpg")
        boundaries = np.empty((20, 1), object)
        boundaries[:, 0] = [csc_matrix(size) for _ in range(20)]
        present = np.unique(labels[labels > 0])[:, None].astype(np.uint8)
        struct = {"Boundaries": boundaries, "Segmentation": labels.astype(np.uint8), "CategoriesPresent": present}
        _save_mat(root / "cls" / f"{name}.mat", GTcls=struct)
    _write_lists(root, "2008_{:06d}", train=train, val=val)


def sbd_with_voc(folder: Path) -> None:
    """SBD and VOC 2011 in one folder."""
    sbd(folder)
    voc(folder, 2011)


def nyud(
    folder: Path,
    train: Numbers = (5001, 5002, 5003),
    val: Numbers = (5004,),
    test: Numbers = (5005, 5006),
    size: Size = (40, 52),
) -> None:
    """NYUDv2 in the FCN release's form: images, depth in millimetres, HHA, and 40 classes from 1."""
    for name in (*train, *val, *test):
        picture, labels = scene(name, 40, size)
        _save(picture, folder / f"data/images/img_{name}.png")
        _save(picture[..., ::-1], folder / f"data/hha/img_{name}.png")
        _save((1000 + 50 * labels).astype(np.uint16), folder / f"data/depth/img_{name}.png")
        segmentation = labels + 1
        segmentation[:2] = 0
        _save_mat(folder / f"segmentation/img_{name}.mat", segmentation=segmentation.astype(np.uint8))
    _write_lists(folder, "{}", train=train, val=val, trainval=(*train, *val), test=test)


def siftflow(folder: Path, trainval: Numbers = (1, 2, 3, 4), test: Numbers = (5, 6), size: Size = (32, 32)) -> None:
    """SIFT Flow: semantic classes from 1 (0 void), geometric from 1 (-1 void), both as MATLAB's doubles."""
    for number in (*trainval, *test):
        name = f"coast_natu{number}"
        picture, labels = scene(number, 33, size)
        _save(picture, folder / "Images" / SCENES / f"{name}.jpg")
        semantic, geometric = labels + 1.0, labels % 3 + 1.0
        semantic[:2], geometric[:3] = 0, -1
        _save_mat(folder / "SemanticLabels" / SCENES / f"{name}.mat", S=semantic)
        _save_mat(folder / "GeoLabels" / SCENES / f"{name}.mat", S=geometric)
    _write_lists(folder, "coast_natu{}", trainval=trainval, test=test)


def context(folder: Path, train: Numbers = (1, 2, 3), val: Numbers = (4, 5), size: Size = (40, 52)) -> None:
    """PASCAL-Context's annotations beside VOC 2010: raw labels by name, of which 59 are the task's classes."""
    raw = sorted([CONTEXT_RAW.get(name, name) for name in CONTEXT] + OTHERS)
    write_lines(folder / "labels.txt", [f"{value}: {name}" for value, name in enumerate(raw, 1)])
    write_lines(folder / "59_labels.txt", [f"{value}: {name}" for value, name in enumerate(CONTEXT, 1)])
    voc10 = folder / "VOCdevkit/VOC2010"
    for number in (*train, *val):
        name = f"2008_{number:06d}"
        picture, labels = scene(number, len(raw), size)
        _save(picture, voc10 / "JPEGImages" / f"{name}.jpg")
        _save_mat(folder / "trainval" / f"{name}.mat", LabelMap=(labels + 1).astype(np.uint16))
    _write_lists(voc10 / "ImageSets/Main", "2008_{:06d}", train=train, val=val, trainval=(*train, *val))


ARCHIVES: dict[str, Callable[[Path], None]] = {
    "voc": voc,
    "sbd": sbd,
    "sbd+voc": sbd_with_voc,
    "sbd+voc-union": sbd_with_voc,
    "nyud": nyud,
    "nyud-hha": nyud,
    "nyud-rgbd": nyud,
    "nyud-color-hha": nyud,
    "siftflow": siftflow,
    "siftflow-semantic": siftflow,
    "siftflow-geometric": siftflow,
    "pascal-context": context,
}
"""What writes the data for each layout."""


def write_lines(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def _write_lists(folder: Path, form: str, **splits: Numbers) -> None:
    for split, numbers in splits.items():
        write_lines(folder / f"{split}.txt", [form.format(number) for number in numbers])


def _save(picture: np.ndarray | Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(path)


def _save_mat(path: Path, **variables: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, variables, do_compression=True)
