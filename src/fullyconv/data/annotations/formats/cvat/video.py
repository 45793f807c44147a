"""The frames of the videos in CVAT's files: which images they are, and where each object is in each of them."""

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from fullyconv.data.annotations.formats.cvat.xml import Content, Picture, Track
from fullyconv.data.annotations.image_index import ImageIndex, parts_of
from fullyconv.errors import DataError

FRAME = re.compile(r"frame_(\d{1,12})", re.IGNORECASE)
"""What CVAT calls the image of a video's frame."""
HELD = 1_000_000
"""Most frames, summed over the tracks of a video, in which a file may leave out where an object is."""
Found = tuple[Path, Picture, str]
"""Where an image lies, what is on it, and the video that it is of, or nothing."""


def frames_of(path: Path, content: Content, index: ImageIndex, notes: list[str]) -> Iterator[Found]:
    """Yield the frames of a file's videos: the images that are called frames, and those that its tracks name."""
    videos: defaultdict[tuple[str, str], list[Track]] = defaultdict(list)
    for track in content.tracks:
        videos[track.task, track.subset].append(track)
    for (task, subset), tracks in videos.items():
        about = content.task(task)
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
        held = 0
        for track in tracks:
            if (held := held + _place(track, pictures)) > HELD:
                raise DataError(
                    f"{path}: in more than {HELD:,} places it does not say where an object of a video is in a frame; "
                    "CVAT's own files say it for each frame of an object, so export it again"
                )
        if held:
            notes.append(
                f"{path.name}: in {held} places the file does not say where an object of a video is in a frame; it is "
                "drawn where it was in the frame before"
            )
        for frame, picture in pictures.items():
            missing = path.parent.joinpath("images", *parts_of(subset), f"{picture.name}.png")
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


def _number(about: Mapping[str, str], name: str) -> int:
    text = about.get(name, "")
    return int(text) if text.isdecimal() and len(text) < 12 else 0
