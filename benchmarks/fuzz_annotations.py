"""Damaged and hostile annotation files: each is opened and checked as ``fullyconv data check`` does it.

What is wrong with a file is an error in words, or a problem in the report, whose lines are made, too.
"""

import base64
import io
import json
import re
import zlib
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import yaml
from fuzz_annotation_seeds import OUTSIDE
from fuzz_damage import ODD, Random, damaged, hostile_yaml, odd_json, odd_value, pick
from fuzz_seeds import Kind, Seeds
from PIL import Image

from fullyconv.data import check, open_data

MOST_VALUES = 100_000
DEEP = 400
"""Lists within each other, as many as Python's own writer of JSON allows."""


def open_and_check(path: Path) -> None:
    """As ``data check`` does it, of the data set in FORMAT/VARIANT that holds the file."""
    root = next(folder for folder in path.parents if folder.parent.parent.name == "annotations")
    data = open_data(root)
    report = check(data, allow=("shapes",))
    "\n".join([*data.legend(), report.format_frequencies(), *report.remarks, *report.problem_lines()])
    json.dumps(report.as_json())


def names(seeds: Seeds) -> list[str]:
    """What hostile annotations call images, masks and folders."""
    outside = seeds.canary.parent / OUTSIDE
    up = "../" * 4
    return [
        *("/etc/passwd", f"{up}../{OUTSIDE}/a.png", f"../{up}../{OUTSIDE}/a.png", str(outside), str(outside / "a.png")),
        *(f"../{up}../{OUTSIDE}", str(outside / "a.txt"), f"file://{outside}/a.png", f"/data/local-files/?d={outside}"),
        *("\\\\server\\share\\a.png", "C:\\Windows\\a.png", "CON", "nul.png", "a\x00.png", "\x00", "..", ".", "/", "~"),
        *(
            "a/" * 600 + "a.png",
            "x" * 5000,
            "é" * 200 + ".png",
            "a\n.png",
            "\u202egnp.a",
            "",
            " ",
            "images",
            "*",
            "**/*",
        ),
        *("http://127.0.0.1:9/a.png", "https://[::1", "s3://", "%00", "%2e%2e/%2e%2e/a.png", "/dev/zero"),
    ]


@cache
def bombs() -> list[object]:
    """What takes far more memory or time than it has characters, and numbers that are none."""
    large = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(large, format="PNG")
    wide = io.BytesIO()
    Image.new("L", (65_000, 5_000)).save(wide, format="PNG")
    nested: list = []
    for _ in range(DEEP):
        nested = [nested]
    zigzag = [float(value) for _ in range(300) for value in (0, 0, 1e6, 1e6, -1e6, 1e6)]
    return [
        *(float("nan"), float("inf"), -float("inf"), 1e308, -1e308, 5e-324, 2**63, -(2**63), 10**400, 2**31, -1),
        *(nested, zigzag, [zigzag], [zigzag] * 20, [0.0] * 2000, [[0, 0]] * 2000, [2**62] * 50, [0] * 5000),
        *(base64.b64encode(large.getvalue()).decode(), base64.b64encode(wide.getvalue()).decode(), "A" * 4000),
        *("o" * 3000, "P" * 3000 + "0", "_" * 12 + "0", "\uffff" * 10, "=" * 9, base64.b64encode(b"%PDF-1.4").decode()),
        *({"size": [20, 24], "counts": [0, 480]}, {"size": [20_000, 20_000], "counts": [0, 400_000_000]}),
        *({"size": [20, 24], "counts": "o" * 50}, {"size": [2**40, 2**40], "counts": []}, 20_000, 22_000, 4_000),
    ]


def of_json(name: str, content: bytes, seeds: Seeds, random: Random) -> bytes:
    """Bytes, keys and values; at every second time only values, so that what is opened is drawn."""
    choice = random.random()
    if choice < 0.2:
        return damaged(content, [content], random)
    if choice < 0.25:
        return odd_json(content, random)
    odd = [*ODD, *names(seeds), *bombs()]
    tree = json.loads(content)
    for _ in range(random.integers(1, 4)):
        tree = _with_one_changed(tree, odd, random) if random.random() < 0.8 else odd_value(tree, random, odd)
        if _is_large(tree):
            return odd_json(content, random)
    try:
        text = json.dumps(tree)
    except (ValueError, RecursionError):  # one value in two places of the tree
        return b"[" * 1000
    if random.random() < 0.05:  # a key twice
        keys = [found.span() for found in re.finditer(r'"\w+": ', text)]
        start, end = pick(random, keys or [(0, 0)])
        text = f"{text[:end]}{json.dumps(pick(random, odd[:20]))}, {text[start:]}"
    return text.encode(pick(random, ["utf-8"] * 20 + ["utf-8-sig", "utf-16"]), errors="replace")


def _is_large(tree: object) -> bool:
    """Whether it has so many values, each use of a shared one counted, that writing it takes longer than reading it."""
    waiting, seen = [tree], 0
    while waiting and seen < MOST_VALUES:
        own = waiting.pop()
        seen += 1
        waiting += own.values() if isinstance(own, dict) else own if isinstance(own, list) else []
    return bool(waiting)


def _with_one_changed(tree: object, odd: Sequence[object], random: Random) -> object:
    """The tree with a value of a key that is drawn first, so that rare keys are changed as often as common ones."""
    places: defaultdict[str, list[dict]] = defaultdict(list)
    waiting = [tree]
    while waiting:
        own = waiting.pop()
        if isinstance(own, dict):
            for key in own:
                places[key].append(own)
        waiting += own.values() if isinstance(own, dict) else own if isinstance(own, list) else []
    if not places:
        return pick(random, odd)
    key = pick(random, sorted(places, key=str))
    holder = pick(random, places[key])
    value = holder[key]
    match random.integers(6):
        case 0:
            del holder[key]
        case 1 if isinstance(value, list) and value:
            value[int(random.integers(len(value)))] = pick(random, odd)
        case 2 if isinstance(value, list) and value:
            value *= int(random.integers(2, 300))
        case 3 if isinstance(value, str) and value:
            at = int(random.integers(len(value)))
            holder[key] = value[:at] + str(pick(random, odd))[:3000] + value[at + 1 :]
        case 4 if isinstance(value, int | float):
            factor = pick(random, [-1, 0, 2, 1000, 10**6, 10**12, 0.37, 1e300])
            holder[key] = value * factor if abs(value) < 1e300 else factor
        case _:
            holder[key] = pick(random, odd)
    return tree


def of_cvat(name: str, content: bytes, seeds: Seeds, random: Random) -> bytes:
    """Bytes, attributes and elements; document types with entities, and other encodings."""
    choice = random.random()
    if choice < 0.2:
        return damaged(content, [content], random)
    text = content.decode()
    if choice < 0.3:
        return _with_entities(text, seeds, random)
    for _ in range(random.integers(1, 4)):
        text = _odd_xml(text, [str(own) for own in [*ODD, *names(seeds), *bombs()]], random)
    return text.encode(errors="replace")


def _odd_xml(text: str, odd: Sequence[str], random: Random) -> str:
    found: defaultdict[str, list[re.Match]] = defaultdict(list)
    for match in re.finditer(r'(\w+)="([^"]*)"|<(\w+)>([^<]+)<', text):
        found[match[1] or match[3]].append(match)
    elements = list(re.finditer(r"<(box|polygon|mask|ellipse|image|track|label|task|skeleton)\b.*?>", text))
    if not found or not elements:
        return text
    place = pick(random, found[pick(random, sorted(found))])
    start, end = place.span(2 if place[1] else 4)
    element = pick(random, elements)
    match random.integers(8):
        case 0:  # an attribute less, or twice
            return text[: place.start()] + text[place.end() :] if place[1] else text[:start] + text[end:]
        case 1:
            return f"{text[: place.start()]}{place[0]} {text[place.start() :]}"
        case 2:
            return text[: element.start()] + element[0] * int(random.integers(2, 400)) + text[element.start() :]
        case 3:
            return text[: element.start()] + text[element.end() :]
        case 4:
            deep = int(random.integers(1, 30_000))
            return (
                text[: element.start()] + "<a>" * deep + "</a>" * deep * int(random.integers(2)) + text[element.end() :]
            )
        case 5:
            number = pick(random, ["0", "-1", "NaN", "inf", "1e308", "99999999999", "9" * 5000, "0x10", "1_000", "٣"])
            return text[:start] + number + text[end:]
        case 6:
            numbers = ",".join(["1000000,-1000000;0"] * int(random.integers(1, 2000)))
            return text[:start] + numbers + text[end:]
    escaped = pick(random, odd).replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return text[:start] + escaped + text[end:]


def _with_entities(text: str, seeds: Seeds, random: Random) -> bytes:
    entities = '<!ENTITY e0 "eee">' + "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 9}">' for i in range(1, 10))
    outside = seeds.canary.parent / OUTSIDE / "a.txt"
    types = [
        f"<!DOCTYPE annotations [{entities}]>",
        f'<!DOCTYPE annotations [<!ENTITY e9 SYSTEM "file://{outside}">]>',
        f'<!DOCTYPE annotations SYSTEM "file://{outside}">',
        f'<!DOCTYPE annotations [<!ENTITY % p SYSTEM "file://{outside}"> %p;]>',
        '<!DOCTYPE annotations [<!ENTITY e9 SYSTEM "http://127.0.0.1:9/x">]>',
        f'<!DOCTYPE annotations [<!ATTLIST box label CDATA "{"x" * 100_000}">]>',
        f'<!DOCTYPE annotations [<!ENTITY e9 "{"x" * 100_000}">]>',
        "",
    ]
    head, body = text.split("\n", 1)
    body = body.replace("car", "&e9;" * int(random.integers(1, 200)), int(random.integers(1, 4)))
    if random.random() < 0.2:
        head = (
            f'<?xml version="1.0" encoding="{pick(random, ["utf-7", "utf-16", "nothing", "rot13", "idna", "hex"])}"?>'
        )
    return f"{head}\n{pick(random, types)}\n{body}".encode()


def of_text(name: str, content: bytes, seeds: Seeds, random: Random) -> bytes:
    """Bytes and words of lists of classes, of images, and of rows of outlines."""
    if random.random() < 0.25:
        return damaged(content, [content], random)
    lines = content.decode().splitlines()
    separators = re.compile(r"([ ,:]+)")
    odd = ["", "-1", "nan", "inf", "1e308", "0x1", "٣", "1_0", "256", "65536", "9" * 5000, "a\x1b[2J", *names(seeds)]
    for _ in range(random.integers(1, 5)):
        at = int(random.integers(len(lines))) if lines else 0
        match random.integers(6):
            case 0 if lines:
                del lines[at]
            case 1 if lines:
                lines[at:at] = [lines[at]] * int(random.integers(1, 3000))
            case 2 if lines:
                lines[at] += " 0.5 0.1 1e9 -1e9" * int(random.integers(1, 500))
            case 3:
                lines.insert(at, pick(random, [*odd, ",".join(odd[:6]), "\ufeff", "\u2028", "0,0,0" * 2000]))
            case _ if lines:
                words = separators.split(lines[at])
                words[int(random.integers(len(words)))] = pick(random, odd)
                lines[at] = "".join(words)
    return pick(random, ["\n", "\n", "\r\n", "\r"]).join(lines).encode(errors="surrogateescape")


def of_description(name: str, content: bytes, seeds: Seeds, random: Random) -> bytes:
    """``data.yaml`` and ``dataset.yaml``, or a file of rows or names that these lead to."""
    if not name.endswith(".yaml"):
        return of_text(name, content, seeds, random)
    choice = random.random()
    if choice < 0.1:
        return hostile_yaml(seeds.canary, random)
    if choice < 0.3:
        return damaged(content, [content], random)
    odd = [*ODD, *names(seeds), "\ud800.png", [str(place) for place in names(seeds)], {5: "a", 7: "b"}, -5, 10**9]
    tree = yaml.safe_load(content)
    for _ in range(random.integers(1, 3)):
        tree = _with_one_changed(tree, odd, random)
    try:
        return yaml.safe_dump(tree).encode()
    except (ValueError, RecursionError):
        return b"[]"


def of_panoptic(name: str, content: bytes, seeds: Seeds, random: Random) -> bytes:
    """The JSON file, or the PNG of segments: its bytes, and sizes that it only claims."""
    if name.endswith(".json"):
        return of_json(name, content, seeds, random)
    if random.random() < 0.7:
        return damaged(content, [content], random)
    size = np.array([pick(random, [1, 24, 20_000, 2**31 - 1]) for _ in range(2)], ">u4").tobytes()
    header = b"IHDR" + size + content[24:29]
    return content[:12] + header + zlib.crc32(header).to_bytes(4, "big") + content[33:]


def _kind(name: str, folder: str, damage: object, *patterns: str) -> Kind:
    place = f"annotations/{folder}"
    watched = ("writes",) if damage is of_description else ("reads", "writes")  # descriptions name any folders
    return Kind(name, [f"{place}/{pattern}" for pattern in patterns], damage, open_and_check, (place,), watched)


ANNOTATIONS = [
    _kind("COCO", "coco", of_json, "*/*.json", "*/*/*.json"),
    _kind("COCO panoptic", "panoptic", of_panoptic, "*/*.json", "*/panoptic_*/*.png"),
    _kind("labelme", "labelme", of_json, "*/*.json"),
    _kind("CVAT", "cvat", of_cvat, "*/annotations.xml"),
    _kind("Label Studio", "label-studio", of_json, "*/*.json"),
    _kind("YOLO", "yolo", of_description, "*/data.yaml", "*/labels/train/*.txt", "lists/train.txt"),
    _kind("files of classes", "classes", of_text, "*/*/_classes.csv", "*/labelmap.txt", "*/class_names.txt"),
    _kind("what a descriptor names", "described", of_description, "*/dataset.yaml", "splits/train.txt"),
]
