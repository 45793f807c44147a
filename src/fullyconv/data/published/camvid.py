"""CamVid (Brostow et al., 2009): 701 frames of four drives, with 11 classes (as for SegNet) or 31 (as published)."""

import re
from collections.abc import Mapping
from pathlib import Path

from fullyconv.classes import IGNORE
from fullyconv.data.catalog import Data
from fullyconv.data.images.files import list_images
from fullyconv.data.images.pictures import open_picture
from fullyconv.data.layouts.files import subfolders
from fullyconv.data.mask_codes import MaskCode
from fullyconv.data.pairs import Pair
from fullyconv.data.published.archive import in_order
from fullyconv.data.splits.names import NAMES
from fullyconv.errors import DataError
from fullyconv.palettes import Colour

FRAME = re.compile(r"0001TP_\d{6}|0006R0_f\d{5}|0016E5_\d{5}|Seq05VD_f\d{5}")
"""The names of the frames, each of one of the four drives."""
_LISTED = re.compile(r"\S*/CamVid/train/\S+\s+\S*/CamVid/trainannot/\S+")
"""A line of SegNet's list of the images for training."""
_LABEL = "_L"
"""What the name of a published mask has behind that of its frame."""
_FOLDERS = (
    ("701_StillsRaw_full", "LabeledApproved_full"),
    ("images/701_StillsRaw_full", "labels"),
    ("images", "labels"),
)
"""Where the two published archives are unpacked to, that of frames and that of masks: all splits in one folder."""
_SPLIT_FOLDERS = {split: (split, f"{split}_labels") for split in NAMES}
"""The folders of a common copy, with the published masks divided as for SegNet."""
CLASSES_OF_SEGNET: dict[str, Colour] = {
    "Sky": (128, 128, 128),
    "Building": (128, 0, 0),
    "Pole": (192, 192, 128),
    "Road": (128, 64, 128),
    "Pavement": (60, 40, 222),
    "Tree": (128, 128, 0),
    "SignSymbol": (192, 128, 128),
    "Fence": (64, 64, 128),
    "Car": (64, 0, 128),
    "Pedestrian": (64, 64, 0),
    "Bicyclist": (0, 128, 192),
}
"""The classes in the order of their values; 11 is void."""
CLASSES: dict[str, Colour] = {
    "Animal": (64, 128, 64),
    "Archway": (192, 0, 128),
    "Bicyclist": (0, 128, 192),
    "Bridge": (0, 128, 64),
    "Building": (128, 0, 0),
    "Car": (64, 0, 128),
    "CartLuggagePram": (64, 0, 192),
    "Child": (192, 128, 64),
    "Column_Pole": (192, 192, 128),
    "Fence": (64, 64, 128),
    "LaneMkgsDriv": (128, 0, 192),
    "LaneMkgsNonDriv": (192, 0, 64),
    "Misc_Text": (128, 128, 64),
    "MotorcycleScooter": (192, 0, 192),
    "OtherMoving": (128, 64, 64),
    "ParkingBlock": (64, 192, 128),
    "Pedestrian": (64, 64, 0),
    "Road": (128, 64, 128),
    "RoadShoulder": (128, 128, 192),
    "Sidewalk": (0, 0, 192),
    "SignSymbol": (192, 128, 128),
    "Sky": (128, 128, 128),
    "SUVPickupTruck": (64, 128, 192),
    "TrafficCone": (0, 0, 64),
    "TrafficLight": (0, 64, 64),
    "Train": (192, 64, 128),
    "Tree": (128, 128, 0),
    "Truck_Bus": (192, 128, 192),
    "Tunnel": (64, 0, 64),
    "VegetationMisc": (192, 192, 0),
    "Wall": (64, 192, 0),
}
"""The classes of label_colors.txt; its 32nd, Void, is black."""
VOID: Colour = (0, 0, 0)


def is_segnet(root: Path) -> bool:
    """Whether CamVid in SegNet's folders is at ``root`` or in a folder in it.

    Others have folders of these names, too: the frames must have CamVid's names, or SegNet's lists be there, and the
    first mask be of the values 0 to 11.
    """
    return any(_is_segnet(folder) for folder in _places(root))


def open_segnet(root: Path) -> Data:
    """Open train, val and test with trainannot, valannot and testannot; the value 11 is void."""
    root = _one(root, [folder for folder in _places(root) if _is_segnet(folder)])
    there = [split for split in NAMES if (root / split).is_dir() and (root / f"{split}annot").is_dir()]
    folders = {split: (root / split, root / f"{split}annot") for split in there}
    code = MaskCode(len(CLASSES_OF_SEGNET), ignore_index=len(CLASSES_OF_SEGNET))
    return _data(root, "camvid", folders, "", CLASSES_OF_SEGNET, code)


def is_published(root: Path) -> bool:
    """Whether CamVid's frames and its masks in colours are at ``root`` or in a folder in it."""
    return any(_published(folder) for folder in _places(root))


def open_published(root: Path) -> Data:
    """Open the frames with their masks NAME_L.png; black is void.

    Frames that lie in one folder are divided as for SegNet: the second half of the drive 0001TP and Seq05VD are for
    test, the frames of 0016E5 that are 2 apart (07959 to 08159) for validation, all others for training.
    """
    root = _one(root, [folder for folder in _places(root) if _published(folder)])
    colours = {colour: label for label, colour in enumerate(CLASSES.values())} | {VOID: IGNORE}
    code = MaskCode(len(CLASSES), IGNORE, colours, by_colour=True)
    return _data(root, "camvid-32", _published(root), _LABEL, CLASSES, code)


def split_of(frame: str) -> str:
    """Return the split of a frame, by its name, as in SegNet's lists."""
    drive, number = frame.split("_")
    count = int(number.removeprefix("f"))
    if drive == "Seq05VD" or (drive == "0001TP" and count >= 8550):
        return "test"
    return "val" if drive == "0016E5" and 7959 <= count <= 8159 else "train"


def _places(root: Path) -> list[Path]:
    return [root, *subfolders(root)] if root.is_dir() else []


def _one(root: Path, found: list[Path]) -> Path:
    if len(found) != 1:
        raise DataError(f"{root}: holds CamVid more than once ({', '.join(map(str, found))}); give one of the folders")
    return found[0]


def _is_segnet(root: Path) -> bool:
    if not ((root / "train").is_dir() and (root / "trainannot").is_dir()):
        return False
    masks = list_images(root / "trainannot")
    named = _are_frames(list_images(root / "train"), "") and _are_frames(masks, "")
    return (named or _is_listed(root / "train.txt")) and bool(masks) and _has_values_of_segnet(masks[0])


def _are_frames(files: list[Path], ending: str) -> bool:
    return bool(files) and all(FRAME.fullmatch(path.stem.removesuffix(ending)) for path in files)


def _is_listed(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as opened:
        line = opened.readline(1000).decode(errors="replace")
    return _LISTED.fullmatch(line.strip()) is not None


def _has_values_of_segnet(mask: Path) -> bool:
    try:
        picture = open_picture(mask)
    except DataError:
        return False
    return picture.mode in ("L", "P") and picture.getextrema()[1] <= len(CLASSES_OF_SEGNET)  # type: ignore[operator]


def _published(root: Path) -> dict[str, tuple[Path, Path]]:
    """Return the folders of frames and of masks, by split, or of "all"; none if this is not CamVid."""
    several = {split: (root / frames, root / masks) for split, (frames, masks) in _SPLIT_FOLDERS.items()}
    several = {split: own for split, own in several.items() if own[1].is_dir()}
    options = [several] if "train" in several else []
    options += [{"all": (root / frames, root / masks)} for frames, masks in _FOLDERS if (root / masks).is_dir()]
    for folders in options:
        if all(
            _are_frames(list_images(frames), "") and _are_frames(list_images(masks), _LABEL)
            for frames, masks in folders.values()
        ):
            return folders
    return {}


def _data(
    root: Path,
    layout: str,
    folders: Mapping[str, tuple[Path, Path]],
    ending: str,
    classes: Mapping[str, Colour],
    code: MaskCode,
) -> Data:
    splits: dict[str, list[Pair]] = {}
    unmatched: list[Path] = []
    for name, (images, labels) in folders.items():
        masks = {path.stem.removesuffix(ending): path for path in list_images(labels)}
        for image in list_images(images):
            split = split_of(image.stem) if name == "all" else name
            splits.setdefault(split, []).append(Pair(image, masks.pop(image.stem, None)))
        unmatched += masks.values()
    names, palette = list(classes), list(classes.values())
    return Data(root, layout, names, palette, code, in_order(splits), unmatched, published=True)
