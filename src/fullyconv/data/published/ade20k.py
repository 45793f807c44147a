"""ADE20K's SceneParse150 (Zhou et al., CVPR 2017): scenes with 150 classes, as ADEChallengeData2016."""

import re
from collections.abc import Sequence
from pathlib import Path

from fullyconv.classes import IGNORE, MAX_CLASSES, printable
from fullyconv.data.catalog import Data
from fullyconv.data.images.files import list_images
from fullyconv.data.layouts.files import images_under, subfolders
from fullyconv.data.mask_codes import MaskCode
from fullyconv.data.pairs import Pair
from fullyconv.data.published.archive import find, in_order, read_list
from fullyconv.data.splits.names import canonical
from fullyconv.errors import DataError
from fullyconv.palettes import Colour, default_palette

NAMES = "objectInfo150.txt"
"""The list of classes: a number, counts and synonyms a line, with tabs between them."""
_PLACES = ("*",)
_ENTRIES = ("images", "annotations")
_IMAGE = re.compile(r"ADE_(train|val|test)_\d{8}")
CLASSES = """
wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, cabinet, sidewalk, person, earth, door, table,
mountain, plant, curtain, chair, car, water, painting, sofa, shelf, house, sea, mirror, rug, field, armchair, seat,
fence, desk, rock, wardrobe, lamp, bathtub, railing, cushion, base, box, column, signboard, chest of drawers, counter,
sand, sink, skyscraper, fireplace, refrigerator, grandstand, path, stairs, runway, case, pool table, pillow,
screen door, stairway, river, bridge, bookcase, blind, coffee table, toilet, flower, book, hill, bench, countertop,
stove, palm, kitchen island, computer, swivel chair, boat, bar, arcade machine, hovel, bus, towel, light, truck, tower,
chandelier, awning, streetlight, booth, television, airplane, dirt track, apparel, pole, land, bannister, escalator,
ottoman, bottle, buffet, poster, stage, van, ship, fountain, conveyer belt, canopy, washer, plaything, swimming pool,
stool, barrel, basket, waterfall, tent, bag, minibike, cradle, oven, ball, food, step, tank, trade name, microwave, pot,
animal, bicycle, lake, dishwasher, screen, blanket, sculpture, hood, sconce, vase, traffic light, tray, ashcan, fan,
pier, crt screen, plate, monitor, bulletin board, shower, radiator, glass, clock, flag
"""
"""The first name of each class in the authors' list (CSAILVision/sceneparsing, objectInfo150.txt)."""
COLOURS = """
787878 b47878 06e6e6 503232 04c803 787850 8c8c8c cc05ff e6e6e6 04fa07 e005ff ebff07 96053d 787846 08ff33 ff0652 8fff8c
ccff04 ff3307 cc4603 0066c8 3de6fa ff0633 0b66ff ff0747 ff09e0 0907e6 dcdcdc ff095c 7009ff 08ffd6 07ffe0 ffb806 0aff47
ff290a 07ffff e0ff08 6608ff ff3d06 ffc207 ff7a08 00ff14 ff0829 ff0599 0633ff eb0cff a09614 00a3ff 8c8c8c fa0a0f 14ff00
1fff00 ff1f00 ffe000 99ff00 0000ff ff4700 00ebff 00adff 1f00ff 0bc8c8 ff5200 00fff5 003dff 00ff70 00ff85 ff0000 ffa300
ff6600 c2ff00 008fff 33ff00 0052ff 00ff29 00ffad 0a00ff adff00 00ff99 ff5c00 ff00ff ff00f5 ff0066 ffad00 ff0014 ffb8b8
001fff 00ff3d 0047ff ff00cc 00ffc2 00ff52 000aff 0070ff 3300ff 00c2ff 007aff 00ffa3 ff9900 00ff0a ff7000 8fff00 5200ff
a3ff00 ffeb00 08b8aa 8500ff 00ff5c b800ff ff001f 00b8ff 00d6ff ff0070 5cff00 00e0ff 70e0ff 46b8a0 a300ff 9900ff 47ff00
ff00a3 ffcc00 ff008f 00ffeb 85ff00 ff00eb f500ff ff007a fff500 0abed4 d6ff00 00ccff 1400ff ffff00 0099ff 0029ff 00ffcc
2900ff 29ff00 ad00ff 00f5ff 4700ff 7a00ff 00ffb8 005cff b8ff00 0085ff ffd600 19c2c2 66ff00 5c00ff
"""
"""The authors' colours of the classes (color150.mat)."""


def is_ade20k(root: Path) -> bool:
    """Whether images and annotations are at ``root`` or in a folder in it, with ADE20K's names or list of classes."""
    return bool(_places(root))


def open_ade20k(root: Path) -> Data:
    """Open images/SPLIT and annotations/SPLIT; value 0 is void, and k is the class k - 1.

    Classes are those of objectInfo150.txt, by their first names; without this file, the 150 of the challenge. Images
    that are in no split's folder belong to the split in their names. Test images without masks are left out. Raises
    DataError if the list of classes cannot be read or there are several data sets.
    """
    places = _places(root)
    if len(places) > 1:
        raise DataError(f"{root}: one data set is expected in it, found {' and '.join(map(str, places))}; give one")
    root = places[0]
    images, masks = images_under(root / "images"), images_under(root / "annotations")
    of_key = {key: mask for mask, key in masks.items()}
    splits: dict[str, list[Pair]] = {}
    for image, key in images.items():
        splits.setdefault(_split(image, key), []).append(Pair(image, of_key.get(key)))
    notes = []
    if not any(pair.mask for pair in splits.get("test", ())) and (left_out := splits.pop("test", [])):
        notes.append(f"test is left out: its {len(left_out)} images have no annotations")
    classes = _read_names(root / NAMES) if (root / NAMES).exists() else " ".join(CLASSES.split()).split(", ")
    code = MaskCode(len(classes), values={0: IGNORE} | {label + 1: label for label in range(len(classes))})
    known = set(images.values())
    unmatched = [mask for mask, key in masks.items() if key not in known]
    return Data(
        root, "ade20k", classes, _palette(classes), code, in_order(splits), unmatched, published=True, notes=notes
    )


def _places(root: Path) -> list[Path]:
    return [folder for folder in find(root, _PLACES, _ENTRIES) if (folder / NAMES).exists() or _has_its_names(folder)]


def _has_its_names(folder: Path) -> bool:
    try:
        places = [folder / "images", *subfolders(folder / "images")]
        return any(_IMAGE.fullmatch(image.stem) for place in places for image in list_images(place)[:1])
    except OSError:  # a file, or a folder that may not be listed
        return False


def _split(image: Path, key: str) -> str:
    named = _IMAGE.fullmatch(image.stem)
    return canonical(key.partition("/")[0] if "/" in key else named[1] if named else "train")


def _read_names(path: Path) -> list[str]:
    lines = [line.split("\t") for line in read_list(path)]
    if lines and lines[0][0].strip().lower() == "idx":
        del lines[0]
    if [line[0].strip() for line in lines] != [str(number + 1) for number in range(len(lines))]:
        raise DataError(f"{path}: does not number the classes from 1, one a line; expected lines such as `1 ... wall`")
    if not 2 <= len(lines) <= MAX_CLASSES:
        raise DataError(f"{path}: lists {len(lines)} classes; expected 2 to {MAX_CLASSES}")
    try:
        return [printable(line[-1].split(",")[0].strip()) for line in lines]
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error


def _palette(classes: Sequence[str]) -> list[Colour]:
    colours = [tuple(bytes.fromhex(colour)) for colour in COLOURS.split()]
    if len(classes) != len(colours):
        return default_palette(len(classes))
    return [(red, green, blue) for red, green, blue in colours]
