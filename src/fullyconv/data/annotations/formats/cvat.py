"""Read CVAT's XML exports, "CVAT for images" and "CVAT for video".

Shapes are painted as CVAT's own mask export does it: by ``z_order``, then as they follow each other. Boxes are painted;
polylines, points, cuboids and skeletons are not. Unlike that export, shapes of one group keep their own labels, and an
ellipse is not rounded to whole pixels.
"""

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from fullyconv.classes import IGNORE
from fullyconv.data.annotations.annotated import AnnotatedImage, Annotations, digest, named_classes, refuse_twice
from fullyconv.data.annotations.faults import reading, shapes_or_faults
from fullyconv.data.annotations.formats.cvat_xml import DRAWN, Content, Element, Picture, Track, read_xml
from fullyconv.data.annotations.image_index import ImageIndex
from fullyconv.data.annotations.run_lengths import bitmap_of_rows
from fullyconv.data.annotations.shapes import Bitmap, Ellipse, Geometry, Polygon, Rectangle, Shape, turned
from fullyconv.data.annotations.stamps import Size
from fullyconv.data.splits.names import split_among, split_of_file
from fullyconv.errors import DataError
from fullyconv.palettes import Colour

FRAME = re.compile(r"frame_(\d{1,12})", re.IGNORECASE)
"""What CVAT calls the image of a video's frame."""


def read_cvat(root: Path, paths: Sequence[Path]) -> Annotations:
    """Read CVAT's files; ``root`` is the folder in which the images lie.

    Classes are the labels as the files list them, or else sorted by name, after a background. Frames of one video stay
    in one split. Raises DataError for a file that is not CVAT's, that has no labels, or that names an image twice or
    ambiguously.
    """
    files = {path: read_xml(path) for path in paths}
    colours: dict[str, Colour | None] = {}
    for content in files.values():
        for name, colour in (content.labels or dict.fromkeys(sorted(set(_used_labels(content))))).items():
            colours.setdefault(name, colour)
    classes, labels = named_classes(paths[0], list(colours), "labels")
    index, notes, images = ImageIndex(root), list[str](), list[AnnotatedImage]()
    for path, content in files.items():
        pictures = [*_pictures(path, content, index), *_frames(path, content, index, notes)]
        if empty := sum(not picture.elements for _, picture, _ in pictures):
            notes.append(
                f"{path.name}: {empty} of {len(pictures)} images have no annotation; all of their pixels are background"
            )
        images += [_image(path, *picture, labels) for picture in pictures]
    refuse_twice(
        images,
        "an export of a project does so whose tasks have images of equal names; export each task, into a folder of its "
        "own",
    )
    palette = _palette(classes, labels, colours)
    return Annotations(root, "cvat", images, classes, "coco", palette=palette, notes=notes)


def _used_labels(content: Content) -> Iterator[str]:
    yield from (element.label for picture in content.pictures for element in picture.elements)
    yield from (track.label for track in content.tracks)


def _palette(
    classes: Sequence[str], labels: Mapping[str, int], colours: Mapping[str, Colour | None]
) -> list[Colour] | None:
    """Return CVAT's colours of the classes, if each has one of its own; the background is black unless it has one."""
    known = {0: (0, 0, 0)} | {labels[name]: colour for name, colour in colours.items() if colour}
    known.pop(IGNORE, None)
    return [known[label] for label in range(len(classes))] if len(set(known.values())) == len(classes) else None


_Found = tuple[Path, Picture, str]
"""Where an image lies, what is on it, and the video that it is of, or nothing."""


def _pictures(path: Path, content: Content, index: ImageIndex) -> Iterator[_Found]:
    for picture in content.pictures:
        place = index.find(f"images/{picture.subset}/{picture.name}", path, _split(picture.subset, path))
        is_video = _task(content, picture.task).get("mode") == "interpolation"
        yield place, picture, f"{path}:{picture.task}" if is_video else ""


def _frames(path: Path, content: Content, index: ImageIndex, notes: list[str]) -> Iterator[_Found]:
    """Yield the frames of a file's videos: the images that are called frames, and those that its tracks name."""
    videos: defaultdict[tuple[str, str], list[Track]] = defaultdict(list)
    for track in content.tracks:
        videos[track.task, track.subset].append(track)
    for (task, subset), tracks in videos.items():
        about = _task(content, task)
        size = _number(about, "height"), _number(about, "width")
        on_disk = _frames_on_disk(path, subset, index, about)
        if not on_disk:
            notes.append(
                f"{path.name}: no frame of its video is there; frames are images called frame_000000 and so on, which "
                "CVAT exports with the annotations if its option to save images is on"
            )
        listed = {frame for track in tracks for frame, element in track.frames.items() if element is not None}
        pictures = {
            frame: Picture(f"frame_{frame:06}", subset, task, size) for frame in sorted(listed | on_disk.keys())
        }
        held = sum(_place(track, pictures) for track in tracks)
        if held:
            notes.append(
                f"{path.name}: in {held} places the file does not say where an object of a video is in a frame; it is "
                "drawn where it was in the frame before"
            )
        for frame, picture in pictures.items():
            missing = path.parent / "images" / subset / f"{picture.name}.png"
            yield on_disk.get(frame, missing), picture, f"{path}:{task}"


def _place(track: Track, pictures: Mapping[int, Picture]) -> int:
    """Add a track's shapes to the frames, each until the next that is listed; return how many frames are not listed.

    A track of a single frame is a shape of this frame alone, as CVAT writes it at the end of a video.
    """
    frames, held = sorted(track.frames), 0
    there = list(pictures)
    for place, frame in enumerate(frames):
        element = track.frames[frame]
        if element is None:
            continue
        first = bisect_left(there, frame)
        last = len(there) if len(frames) > 1 else first + 1
        if place + 1 < len(frames):
            last = bisect_left(there, frames[place + 1])
        for number in there[first:last]:
            pictures[number].elements.append(element)
            held += number != frame
    return held


def _frames_on_disk(path: Path, subset: str, index: ImageIndex, about: Mapping[str, str]) -> dict[int, Path]:
    """Return the images of a video's frames by their numbers, of those frames that are of the task."""
    found = [place for place in index if FRAME.fullmatch(place.stem)]
    found = [place for place in found if place.is_relative_to(path.parent)] or found
    found = [place for place in found if place.parent.name == subset] or found
    step = re.fullmatch(r"\s*step\s*=\s*([1-9]\d{0,8})\s*", about.get("frame_filter", ""))
    start, stop = _number(about, "start_frame"), _number(about, "stop_frame") or (1 << 40)
    frames: dict[int, Path] = {}
    for place in found:
        number = int(FRAME.fullmatch(place.stem)[1])  # type: ignore[index]
        if not start <= number <= stop or (number - start) % (int(step[1]) if step else 1):
            continue
        if number in frames:
            raise DataError(
                f"{path}: the video's frame {number} is there twice, as {frames[number]} and {place}; give each "
                "video's annotation file a folder with its frames"
            )
        frames[number] = place
    return frames


def _task(content: Content, task: str) -> Mapping[str, str]:
    """Return what is said of a task; of the only one if the file does not number them."""
    return content.tasks.get(task) or next(iter(content.tasks.values()), {})


def _number(about: Mapping[str, str], name: str) -> int:
    text = about.get(name, "")
    return int(text) if text.isdecimal() and len(text) < 12 else 0


def _split(subset: str, path: Path) -> str | None:
    return split_among([subset]) or split_of_file(path)


def _image(path: Path, place: Path, picture: Picture, group: str, labels: Mapping[str, int]) -> AnnotatedImage:
    elements = sorted(picture.elements, key=lambda element: element.z_order)
    size = picture.size if min(picture.size) > 0 else None
    shapes = partial(shapes_or_faults, _shape, elements, labels)
    return AnnotatedImage(place, path, shapes, digest(repr(elements)), size, _split(picture.subset, path), group)


def _shape(element: Element, labels: Mapping[str, int], size: Size) -> Shape:
    if element.kind not in DRAWN:
        raise ValueError(f"shapes of the kind {element.kind} have no area; CVAT's masks do not show them either")
    if element.label not in labels:
        raise ValueError(f"its label {element.label[:80]!r} is not among the labels")
    with reading(f"its {element.kind}"):
        return Shape(labels[element.label], (_geometry(element.kind, element.fields, size),))


def _geometry(kind: str, fields: Mapping[str, str], size: Size) -> Geometry:
    rotation = float(fields.get("rotation", 0))
    if kind == "polygon":
        pairs = [pair.split(",") for pair in fields["points"].split(";") if pair.strip()]
        return Polygon((np.array(pairs, np.float64).reshape(len(pairs), 2),))
    if kind == "ellipse":
        x, y, radius_x, radius_y = (float(fields[name]) for name in ("cx", "cy", "rx", "ry"))
        return Ellipse(x, y, radius_x, radius_y, rotation)
    if kind == "mask":
        height, width = int(fields["height"]), int(fields["width"])
        if not (0 < height <= size[0] and 0 < width <= size[1]):
            raise ValueError(f"it is {width}x{height} pixels; the image is {size[1]}x{size[0]}")
        runs = [int(number) for number in fields["rle"].split(",")]
        return Bitmap(bitmap_of_rows(runs, height, width), int(fields["left"]), int(fields["top"]))
    left, top, right, bottom = (float(fields[name]) for name in ("xtl", "ytl", "xbr", "ybr"))
    box = turned(Rectangle(left, top, right, bottom), rotation, ((left + right) / 2, (top + bottom) / 2))
    # corners are rounded as CVAT's export rounds them
    return Polygon((box.rings[0].round(2),)) if isinstance(box, Polygon) else box
