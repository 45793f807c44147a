"""Read CVAT's XML files, version 1.1, as a stream, without building a tree of the document."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from xml.sax import SAXException
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import AttributesImpl

from fullyconv.data.annotations.json_files import check_size
from fullyconv.data.annotations.stamps import Size
from fullyconv.errors import DataError, first_line
from fullyconv.extras import require
from fullyconv.palettes import Colour

DRAWN = frozenset(("box", "polygon", "mask", "ellipse"))
"""The shapes that cover an area."""
SHAPES = DRAWN | {"polyline", "points", "cuboid", "skeleton"}
_FIELDS = (
    *("points", "xtl", "ytl", "xbr", "ybr", "rotation", "cx", "cy", "rx", "ry"),
    *("rle", "left", "top", "width", "height"),
)
_TEXTS = frozenset(("name", "color", "type", "parent", "id", "mode", "start_frame", "stop_frame", "frame_filter"))
_TEXTS |= {"width", "height"}
GROWTH = 8
"""At most so many times the size of a file is what its shapes take in memory: boxes take 6 times it, polygons 1.5."""


class Element(NamedTuple):
    """A shape as it is written: its kind, such as ``polygon``, and the attributes that say where it lies."""

    kind: str
    label: str
    z_order: int
    fields: dict[str, str]


@dataclass
class Picture:
    """An image of a file. ``task`` is the number of its task, in exports of projects."""

    name: str
    subset: str
    task: str
    size: Size
    elements: list[Element] = field(default_factory=list)


@dataclass
class Track:
    """An object of a video: where it is in each frame that is listed, or None where it is outside."""

    label: str
    subset: str
    task: str
    frames: dict[int, Element | None] = field(default_factory=dict)


@dataclass
class Content:
    """What a file holds: labels and their colours, tasks by their numbers, images, and tracks of videos."""

    labels: dict[str, Colour | None] = field(default_factory=dict)
    tasks: dict[str, dict[str, str]] = field(default_factory=dict)
    pictures: list[Picture] = field(default_factory=list)
    tracks: list[Track] = field(default_factory=list)

    def task(self, number: str) -> dict[str, str]:
        """Return what is said of a task; of the only one if the file does not number them."""
        return self.tasks.get(number) or next(iter(self.tasks.values()), {})


def read_xml(path: Path) -> Content:
    """Read a CVAT file. Raises DataError if it is damaged, not CVAT's, or has a document type or entities."""
    check_size(path, GROWTH)
    sax = require("defusedxml.sax", "annotations", "reads XML files without harm")
    handler, parser = _Handler(path), sax.make_parser()
    parser.forbid_dtd = True
    parser.setContentHandler(handler)
    try:
        with path.open("rb") as opened:
            parser.parse(opened)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {first_line(error)}") from error
    except require("defusedxml", "annotations").DefusedXmlException as error:
        raise DataError(
            f"{path}: declares a document type or entities, which CVAT's files do not have and which can do harm; "
            "remove the declaration"
        ) from error
    except (SAXException, ValueError, LookupError) as error:
        raise DataError(f"{path}: is no XML, or is cut: {first_line(error)}") from error
    return handler.content


class _Handler(ContentHandler):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.content = Content()
        self._path = path
        self._open: list[str] = []
        self._text: list[str] = []
        self._label: dict[str, str] = {}
        self._task: dict[str, str] = {}

    def startElement(self, name: str, attributes: AttributesImpl) -> None:  # noqa: N802
        parent = self._open[-1] if self._open else ""
        self._open.append(name)
        own = dict(attributes.items())
        if name in SHAPES:
            self._add_shape(parent, name, own)
            return
        self._text = []
        if not parent and name != "annotations":
            raise self._wrong(f"begins with <{name[:40]}>; CVAT's files begin with <annotations>")
        match parent, name:
            case "labels", "label":
                self._label = {}
            case "meta" | "tasks", "task" | "job":
                self._task = {}
            case "annotations", "image":
                if not (file := own.get("name", "")):
                    raise self._wrong("an image has no name")
                size = self._whole(own, "height"), self._whole(own, "width")
                self.content.pictures.append(Picture(file, own.get("subset", ""), own.get("task_id", ""), size))
            case "annotations", "track":
                track = Track(own.get("label", ""), own.get("subset", ""), own.get("task_id", ""))
                self.content.tracks.append(track)

    def characters(self, text: str) -> None:
        if self._open[-1] in _TEXTS:
            self._text.append(text)

    def endElement(self, name: str) -> None:  # noqa: N802
        self._open.pop()
        if name in SHAPES:
            return
        text = "".join(self._text)
        self._text = []
        match self._open[-1] if self._open else "", name:
            case "label", "name" | "color" | "type" | "parent":
                self._label[name] = text
            case "labels", "label":
                # points of a skeleton, and labels of whole images, are of no area
                if not self._label.get("parent") and self._label.get("type") not in ("skeleton", "tag"):
                    self.content.labels.setdefault(self._label.get("name", ""), _colour(self._label.get("color", "")))
            case "task" | "job" | "original_size", _ if name in _TEXTS:
                self._task[name] = text.strip()
            case "meta" | "tasks", "task" | "job":
                self.content.tasks[self._task.get("id", "")] = self._task

    def _add_shape(self, parent: str, kind: str, own: Mapping[str, str]) -> None:
        """Add a shape to the image or track that is open; those within a skeleton are left out."""
        if parent not in ("image", "track"):
            return
        fields = {name: own[name] for name in _FIELDS if name in own} if kind in DRAWN else {}
        z_order = self._whole(own, "z_order", "0")
        if parent == "image":
            self.content.pictures[-1].elements.append(Element(kind, own.get("label", ""), z_order, fields))
        else:
            track = self.content.tracks[-1]
            gone = own.get("outside") == "1"
            element = None if gone else Element(kind, track.label, z_order, fields)
            track.frames[self._whole(own, "frame")] = element

    def _whole(self, attributes: Mapping[str, str], name: str, default: str = "") -> int:
        text = attributes.get(name, default)
        try:
            return int(text)
        except ValueError:
            raise self._wrong(f"{name} is {text[:40]!r}; a whole number is expected") from None

    def _wrong(self, problem: str) -> DataError:
        locator = self._locator  # type: ignore[attr-defined]
        return DataError(f"{self._path}, line {locator.getLineNumber()}: {problem}")


def _colour(text: str) -> Colour | None:
    """Return the colour of ``#rrggbb``; None for other texts."""
    try:
        red, green, blue = bytes.fromhex(text.removeprefix("#"))
    except ValueError:
        return None
    return red, green, blue
