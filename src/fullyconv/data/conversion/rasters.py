"""Write data sets whose masks are files: our own, PASCAL VOC's and nnU-Net's."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from fullyconv.classes import IGNORE
from fullyconv.data.conversion.labelled import Labelled, Target, copy_image
from fullyconv.data.images.files import write_image
from fullyconv.data.images.read import open_source
from fullyconv.data.images.source import describe_bands
from fullyconv.errors import DataError
from fullyconv.files import write_whole
from fullyconv.palettes import VOC_VOID, table


def write_mask(path: Path, labels: np.ndarray, target: Target) -> None:
    """Write labels (H, W) as a palette PNG in the classes' colours."""
    mask = Image.fromarray(labels)
    mask.putpalette(table(target.palette).tobytes())
    write_image(path, mask)


def write_folders(target: Target, images: Iterable[Labelled]) -> None:
    """Write folders ``images`` and ``masks`` with one for each split, and a ``dataset.yaml``."""
    splits: dict[str, dict[str, str]] = {}
    for image in images:
        copy_image(image.image, target.folder / "images" / image.split / image.file_name)
        write_mask(target.folder / "masks" / image.split / f"{image.name}.png", image.labels, target)
        splits[image.split] = {"images": f"images/{image.split}", "masks": f"masks/{image.split}"}
    descriptor = {
        "classes": target.classes,
        "ignore_index": IGNORE,
        "palette": [list(colour) for colour in target.palette],
        "splits": splits,
    }
    text = yaml.safe_dump(descriptor, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
    write_whole(target.folder / "dataset.yaml", text)


def write_voc(target: Target, images: Iterable[Labelled]) -> None:
    """Write PASCAL VOC's folders, with a list for each split and CVAT's ``labelmap.txt`` of the classes."""
    if bad := next((name for name in target.classes if ":" in name or name.startswith("#")), None):
        raise DataError(f"{target.folder}: labelmap.txt cannot hold the class {bad!r}; rename it without ':' and '#'")
    lists: dict[str, list[str]] = {}
    for image in images:
        copy_image(image.image, target.folder / "JPEGImages" / image.file_name)
        write_mask(target.folder / "SegmentationClass" / f"{image.name}.png", image.labels, target)
        lists.setdefault(image.split, []).append(image.name)
    for split, names in lists.items():
        write_whole(target.folder / "ImageSets" / "Segmentation" / f"{split}.txt", "\n".join(names) + "\n")
    lines = ["# label:color_rgb:parts:actions"]
    lines += [f"{name}:{r},{g},{b}::" for name, (r, g, b) in zip(target.classes, target.palette, strict=True)]
    lines.append("ignored:{},{},{}::".format(*VOC_VOID))
    write_whole(target.folder / "labelmap.txt", "\n".join(lines) + "\n")


def _bytes(image: Labelled) -> np.ndarray:
    """Return the pixels of an image, uint8 (1 or 3, H, W), turned as its labels are. Raises DataError for others."""
    with open_source(image.image) as source:
        pixels = source.whole().values
    if pixels.shape[1:] != image.labels.shape:
        with open_source(image.image, upright=False) as source:
            pixels = source.whole().values
    if pixels.dtype != np.uint8 or len(pixels) not in (1, 3):
        found = describe_bands(len(pixels), False, str(pixels.dtype))
        raise DataError(f"{image.image}: has {found}; nnU-Net's PNG files are written of 1 or 3 bands of bytes")
    return pixels


def write_nnunet(target: Target, images: Iterable[Labelled]) -> None:
    """Write nnU-Net's raw layout (version 2) of natural images; the test split goes to ``imagesTs`` and ``labelsTs``.

    Pixels without a class have nnU-Net's label ``ignore``, the highest. Raises DataError for images that PNG files of
    one kind cannot hold: of other types than bytes, or of other bands than grey or colour, or than the first image.
    """
    trained, channels = 0, 0
    for image in images:
        ending = "Ts" if image.split == "test" else "Tr"
        trained += ending == "Tr"
        pixels = _bytes(image)
        channels = channels or len(pixels)
        if len(pixels) != channels:
            raise DataError(f"{image.image}: has {len(pixels)} bands, others have {channels}; convert one kind of them")
        picture = Image.fromarray(pixels[0] if channels == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
        write_image(target.folder / f"images{ending}" / f"{image.name}_0000.png", picture)
        labels = np.where(image.labels == IGNORE, np.uint8(len(target.classes)), image.labels)
        write_image(target.folder / f"labels{ending}" / f"{image.name}.png", Image.fromarray(labels))
    names = [*target.classes, "ignore"]
    about = {
        "channel_names": {str(index): name for index, name in enumerate("RGB" if channels == 3 else ["grey"])},
        "labels": {name: index for index, name in enumerate(names)},
        "numTraining": trained,
        "file_ending": ".png",
    }
    write_whole(target.folder / "dataset.json", json.dumps(about, indent=2, ensure_ascii=False) + "\n")
