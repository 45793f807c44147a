"""Label many images: find them, read ahead, label, and write the results in the folders that the images came in."""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from unicodedata import normalize

from PIL.Image import DecompressionBombError
from torch import Tensor

from fullyconv.classes import IGNORE
from fullyconv.data.images.brightness import Brightness, faint_warning
from fullyconv.data.images.files import write_image
from fullyconv.errors import ConfigError, DataError
from fullyconv.inference.gather import gather, located
from fullyconv.inference.inputs import Input
from fullyconv.inference.predictor import Predictor, TileOption
from fullyconv.results.segmentation import Segmentation

if TYPE_CHECKING:
    from fullyconv.data.parallel import Progress

TIFF = frozenset((".tif", ".tiff", ".btf", ".tf8", ".ptif", ".ptiff", ".qptiff", ".svs"))
MOST_LISTED = 100
"""Most collisions of results that are listed."""
AHEAD = 4
"""At most so many images are read before their turn, and as many wait to be written."""

RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
"""Names that Windows keeps for devices, whatever their suffix."""
EMPTY = f"holds no data; all of its labels are {IGNORE}"
A = TypeVar("A")
B = TypeVar("B")


def predict_files(
    predictor: Predictor,
    inputs: Sequence[str | Path],
    out: str | Path,
    *,
    overlay: bool = False,
    scores: bool = False,
    tile: TileOption = "auto",
    level: int = 0,
    values: str | None = None,
    progress: "Progress | None" = None,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[list[Path], list[tuple[Path, Exception]]]:
    """Label files, folders (and those in them) and patterns such as ``day*/*.jpg`` into the folder ``out``.

    The image ``a/b.jpg`` of a folder gives ``out/a/b.png`` (an index PNG); with ``overlay`` also
    ``out/a/b_overlay.jpg``, with ``scores`` also ``out/a/b_scores/CLASS.png``, a heat map for each class.
    TIFF files that are georeferenced, tiled or large are read by window and give ``out/a/b.tif``, after the others;
    with a ``tile`` other than "auto" all are. ``tile`` "auto" takes an image whole where it fits into memory, else
    in bands, or in tiles where it is read by window or the network cannot run by bands; ``level`` is that of pyramids.
    ``values`` names a benchmark whose values are written in place of the labels (see ``benchmarks.values_of``).
    ``progress`` counts images, and each tile of those read by window. ``say`` is told of images without any data, and
    which files in folders are no images.
    Files are whole or absent. Whatever goes wrong with an image does not stop the rest: returned are the images that
    are done, and those that failed, each with its error; also folders within the given ones that cannot be listed.

    Raises before anything is written: DataError where an input names no image, ConfigError where two results
    would be one file, or a result would be written over an image, where a picture is to have a ``level`` above 0, and
    where the network's classes are not those of ``values`` or an image would give a TIFF, OSError where a folder that
    is given cannot be listed.
    """
    save: Callable[[Segmentation, Path], None] = Segmentation.save
    if values is not None:
        from fullyconv.results.benchmarks import saving

        save = saving(values, predictor.classes)
    found = gather(inputs, Path(out))
    targets = targets_of(found.images, Path(out), overlay, predictor.classes if scores else (), tile)
    if left_out := found.left_out():
        say(left_out)
    pictures, large = (
        [image for image, target in targets.items() if (target.suffix == ".png") == picture]
        for picture in (True, False)
    )
    if level and pictures:
        raise ConfigError(
            f"--level {level}: {pictures[0]} is read as a picture, which has no levels; label the pyramids by "
            "themselves (small TIFF files are read as pyramids with --tile 1024)"
        )
    if values is not None and large:
        raise ConfigError(f"--values {values}: {large[0]} would give a TIFF; a benchmark's values are written as PNG")
    done: list[Path] = []
    failed: list[tuple[Path, Exception]] = [*found.unlisted]
    faint: list[Path] = []
    steps = Steps(len(targets), progress)

    def read(image: Path, _: None) -> Input:
        try:
            found, seen = predictor.read(image), Brightness()
            seen.add(found.pixels.numpy(), found.valid)
            if seen.is_faint:
                faint.append(image)
            return found
        except DataError as error:
            if isinstance(error.__cause__, DecompressionBombError):
                raise DataError(f"{error}. Save it as a tiled TIFF, which is read by window") from error
            raise

    def label(_: Path, read: Input) -> Segmentation:
        return predictor.segment(*read, scores, tile)

    def write(image: Path, segmentation: Segmentation) -> None:
        if (segmentation.labels == IGNORE).all():
            say(f"{image}: {EMPTY}")
        _write_beside(segmentation, targets[image], overlay, scores)
        save(segmentation, targets[image])

    def label_by_window(image: Path, _: None) -> None:
        from fullyconv.inference.rasters.predict import predict_raster

        def shown(pixels: Tensor) -> Segmentation:
            segmentation = predictor.segment(pixels, probabilities=scores)
            _write_beside(segmentation, targets[image], overlay, scores)
            return segmentation

        whole = shown if overlay or scores else None
        seen = Brightness()
        if not predict_raster(predictor, image, targets[image], tile, level, whole, steps.within, seen):
            say(f"{image}: {EMPTY}")
        elif seen.is_faint:
            faint.append(image)

    with ThreadPoolExecutor(AHEAD) as pool:
        pixels = _ahead(pool, read, ((image, None) for image in pictures))
        labelled = (_attempt(label, image, found) for image, found in pixels)
        written = _ahead(pool, write, labelled)
        by_window = ((image, _attempt(label_by_window, image, None)[1]) for image in large)
        for image, problem in chain(written, by_window):
            if isinstance(problem, Exception):
                failed.append((image, problem))
            else:
                done.append(image)
            steps.next()
    if faint:
        say(faint_warning(sorted(faint), len(targets), predictor.net.value_range))
    return done, failed


class Steps:
    """Progress over images, of which some are made of tiles: as they come up, these count one by one."""

    def __init__(self, images: int, progress: "Progress | None"):
        self.done, self.all, self.progress = 0, images, progress
        self.at, self.of = 0, 1

    def within(self, at: int, of: int) -> None:
        """So many tiles of an image are done."""
        self.at, self.of = at, of
        if self.progress is not None and at < of:
            self.progress(self.done + at, self.all + of - 1)

    def next(self) -> None:
        """An image is done, or has failed."""
        self.done, self.all = self.done + self.of, self.all + self.of - 1
        self.at, self.of = 0, 1
        if self.progress is not None:
            self.progress(self.done, self.all)


def targets_of(
    images: Mapping[Path, Path],
    out: Path,
    overlay: bool = False,
    scores: Sequence[str] = (),
    tile: TileOption = "auto",
) -> dict[Path, Path]:
    """Each image with the index PNG it is to give, or the TIFF where it is read by window.

    ``images``: those that were found (see ``gather``). ``scores``: the classes that heat maps are written of. Raises as
    ``predict_files`` does.
    """
    targets = {
        image: out / place.with_suffix(".tif" if _is_read_by_window(image, tile) else ".png")
        for image, place in images.items()
    }
    _refuse_collisions(targets, overlay, scores)
    return targets


def _refuse_collisions(targets: dict[Path, Path], overlay: bool, scores: Sequence[str]) -> None:
    """Raises ConfigError where results would be one file, or be written over an image; it lists all of them."""
    images = {_as_one(located(image)) for image in targets}
    sources: dict[Path, Path] = {}
    over, twice = dict[str, None](), dict[str, None]()
    for image, target in targets.items():
        for written in _written(target, overlay, scores):
            place = _as_one(located(written))
            if place in images:
                over.setdefault(f"the result of {image} would be written over an image in {written.parent}")
            elif place in sources:
                twice.setdefault(f"{sources[place]} and {image} would both be written to {written}")
            sources.setdefault(place, image)
    for place, image in sources.items():
        for folder in place.parents:
            if folder in sources or folder in images:
                needs = f"the result of {image} needs a folder {folder}, which is an image or the result of another"
                twice.setdefault(needs)
    for found, remedy in (
        (over, "choose another folder"),
        (twice, "label them into different folders, or rename one"),
    ):
        if len(found) == 1:
            raise ConfigError(f"{next(iter(found))}; {remedy}")
        if found:
            more = [f"  and {len(found) - MOST_LISTED:,} more"] if len(found) > MOST_LISTED else []
            listed = [f"  {line}" for line in list(found)[:MOST_LISTED]]
            raise ConfigError(f"{len(found):,} results have no place of their own; {remedy}:", *listed, *more)


def _written(target: Path, overlay: bool, scores: Sequence[str]) -> list[Path]:
    """All files that an image gives, those of an unfinished run too."""
    files = [target, target.with_name(f"{target.name}.partial")] if target.suffix == ".tif" else [target]
    if overlay:
        files.append(_overlay_path(target))
    return files + list(_score_paths(target, scores).values())


def _as_one(path: Path) -> Path:
    """One path for all spellings that a file system may take for one: of large and small letters, of accents."""
    return Path(normalize("NFC", str(path)).casefold())


def _is_read_by_window(image: Path, tile: TileOption) -> bool:
    if image.suffix.lower() not in TIFF or not image.is_file():
        return False
    from fullyconv.data.images.headers import read_by_window

    return tile != "auto" or read_by_window(image)


def _write_beside(segmentation: Segmentation, target: Path, overlay: bool, scores: bool) -> None:
    """What is written before the mask: where that is, the rest is."""
    if overlay:
        write_image(_overlay_path(target), segmentation.overlay(), quality=92, subsampling=0)
    if scores:
        for name, path in _score_paths(target, segmentation.classes).items():
            write_image(path, segmentation.heatmap(name))


def _overlay_path(target: Path) -> Path:
    return target.with_name(f"{target.stem}_overlay.jpg")


def _score_paths(target: Path, classes: Sequence[str]) -> dict[str, Path]:
    """Where the heat map of each class goes; classes whose names differ by large and small letters have numbers."""
    folder = target.with_name(f"{target.stem}_scores")
    names = [_file_name(name) for name in classes]
    spelt = [str(_as_one(Path(name))) for name in names]
    return {
        name: folder / (f"{file}.png" if spelt.count(one) == 1 else f"{file}%{index}.png")
        for index, (name, file, one) in enumerate(zip(classes, names, spelt, strict=True))
    }


def _file_name(name: str) -> str:
    """A class's name with what file names cannot hold as %XX, so that different names stay different."""
    held = re.sub(r'[%/\\:*?"<>|\x00-\x1f]', lambda found: f"%{ord(found[0]):02X}", name)
    return f"%{ord(held[0]):02X}{held[1:]}" if RESERVED.match(held) else held


def _ahead(
    pool: ThreadPoolExecutor, function: Callable[[Path, A], B], steps: Iterable[tuple[Path, A | Exception]]
) -> Iterator[tuple[Path, B | Exception]]:
    """Each image taken a step further by ``function`` on the pool, in order, ``AHEAD`` of them in advance."""
    waiting: deque[Future[tuple[Path, B | Exception]]] = deque()
    for image, value in steps:
        waiting.append(pool.submit(_attempt, function, image, value))
        if len(waiting) > AHEAD:
            yield waiting.popleft().result()
    for future in waiting:
        yield future.result()


def _attempt(function: Callable[[Path, A], B], image: Path, value: A | Exception) -> tuple[Path, B | Exception]:
    """An image taken a step further, or the error that ended its way: decoders' and runtimes' have many kinds."""
    if isinstance(value, Exception):
        return image, value
    try:
        return image, function(image, value)
    except Exception as error:
        return image, error
