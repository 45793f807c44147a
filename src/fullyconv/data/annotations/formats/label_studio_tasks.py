"""What Label Studio's JSON export says: its tasks, the annotation of each that is read, and its regions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, NotRequired

from pydantic import JsonValue, TypeAdapter
from typing_extensions import TypedDict

from fullyconv.data.annotations.annotated import size_if_given
from fullyconv.data.annotations.json_files import Many, read_json
from fullyconv.data.annotations.stamps import Size
from fullyconv.errors import DataError

DRAWN = ("polygon", "brush", "rectangle", "ellipse")
LINES_AND_POINTS = ("keypoint", "vector", "bitmask")
"""Regions of an image that are not read."""


class Result(TypedDict):
    """One region, or a choice or text; regions and their labels may also be two results of one ``id``."""

    id: NotRequired[str | int | None]
    type: NotRequired[str | None]
    value: NotRequired[dict[str, JsonValue] | None]
    original_width: NotRequired[int | None]
    original_height: NotRequired[int | None]
    image_rotation: NotRequired[float | None]


class Annotation(TypedDict):
    """What one person made of a task."""

    result: NotRequired[Many[Result] | None]
    was_cancelled: NotRequired[bool | None]
    skipped: NotRequired[bool | None]
    ground_truth: NotRequired[bool | None]
    created_at: NotRequired[str | float | None]


class Task(TypedDict):
    """One task; earlier versions called annotations completions."""

    id: NotRequired[int | str | None]
    data: NotRequired[dict[str, JsonValue] | None]
    annotations: NotRequired[Many[Annotation] | None]
    completions: NotRequired[Many[Annotation] | None]
    predictions: NotRequired[list[JsonValue] | None]
    file_upload: NotRequired[str | None]
    annotator: NotRequired[JsonValue]


TASKS = TypeAdapter(Many[Task])


class Region(NamedTuple):
    """A region as it is written. ``brush`` are the bytes of a brush's mask."""

    kind: str
    labels: tuple[str, ...]
    value: Mapping[str, JsonValue]
    brush: bytes | None
    size: Size | None
    rotation: float


def read_tasks(path: Path) -> list[Task]:
    """Read an export. Raises DataError if it is none, or one in which tasks are cut."""
    tasks, _ = read_json(path, TASKS)
    if any("annotator" in task and "annotations" not in task for task in tasks):
        raise DataError(f'{path}: is an export "JSON-MIN", in which tasks are cut; export as "JSON" instead')
    return tasks


def finished(task: Task) -> list[Annotation]:
    """Return the annotations of a task that were not cancelled or skipped."""
    annotations = task.get("annotations") or task.get("completions") or []
    return [own for own in annotations if not (own.get("was_cancelled") or own.get("skipped"))]


def regions_of(task: Task) -> list[Region] | None:
    """Return the regions of the annotation that is read, in their order; None if nobody annotated the task.

    That is the newest of those that are ground truth, or else of all. Results of the same id are one region.
    """
    annotations = finished(task)
    if not annotations:
        return None
    best = [own for own in annotations if own.get("ground_truth")] or annotations
    newest = max(range(len(best)), key=lambda place: (str(best[place].get("created_at") or ""), place))
    parts: dict[str, list[Result]] = {}
    for place, result in enumerate(best[newest].get("result") or []):
        kind = (result.get("type") or "").removesuffix("labels")
        if kind in ("", *DRAWN, *LINES_AND_POINTS):
            parts.setdefault(str(result.get("id") or f"number {place}"), []).append(result)
    regions = [_region(results) for results in parts.values()]
    return [region for region in regions if region.kind]


def _region(results: Sequence[Result]) -> Region:
    kind, labels, value, size, rotation = "", list[str](), dict[str, JsonValue](), None, 0.0
    for result in results:
        own, name = result.get("value") or {}, result.get("type") or ""
        kind = kind or name.removesuffix("labels")
        value |= own
        given = own.get(name)
        labels += [label for label in given if isinstance(label, str)] if isinstance(given, list) else []
        size = size or size_if_given(result.get("original_height"), result.get("original_width"))
        rotation = rotation or result.get("image_rotation") or 0.0
    packed = value.pop("rle", None)
    return Region(kind, tuple(dict.fromkeys(labels)), value, _bytes(packed), size, rotation)


def _bytes(packed: JsonValue) -> bytes | None:
    try:
        return bytes(packed) if isinstance(packed, list) else None  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
