"""Label large images window by window, from file to file."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fullyconv import __version__
from fullyconv.classes import IGNORE
from fullyconv.data.images.brightness import Brightness
from fullyconv.data.images.read import check_bands, open_source, read_window, takes_alpha
from fullyconv.data.images.source import Source, decoding
from fullyconv.data.images.values import check_type
from fullyconv.data.parallel import Progress
from fullyconv.errors import ConfigError
from fullyconv.inference.ensemble import Ensemble
from fullyconv.inference.predictor import Method, Predictor, TileOption, Window
from fullyconv.inference.rasters.output import BLOCK, LabelFile
from fullyconv.model.fcn import FCN
from fullyconv.model.segmenter import Segmenter
from fullyconv.results.segmentation import Segmentation
from fullyconv.sharing import Remembered


def predict_raster(
    predictor: Predictor,
    image: Path,
    target: Path,
    tile: TileOption,
    level: int = 0,
    whole: Callable[[Tensor], Segmentation] | None = None,
    progress: Progress | None = None,
    seen: Brightness | None = None,
) -> bool:
    """Label a TIFF file into another: compressed in tiles, with the palette and the image's georeference.

    Pixels without data are labelled 255, which the file declares as nodata. Memory is that of one tile. The file
    appears when it is whole; until then its blocks are kept in ``NAME.partial``, and a run that was ended is resumed by
    the next, if that does the same. ``tile`` is rounded down to whole blocks of the file.

    ``whole`` labels an image that must not be tiled, since it is shown, too. ``seen`` counts the pixels that are read.
    Return whether the image holds data, or may hold some in what an earlier run labelled. Raises DataError for what
    cannot be read or does not fit the network, ConfigError where ``whole`` is given and there are tiles, and as
    ``Predictor.windows``.
    """
    predictor.refuse_picture(image)
    with ExitStack() as stack:
        with decoding(f"{image}: cannot be read"):
            source = stack.enter_context(open_source(image, level))
        check_bands(source, predictor.net.in_channels)
        check_type(source.dtype, predictor.net.value_range, str(image))
        block, method = _blocks(predictor.method(source.size, tile, by_window=True))
        planned = predictor.windows(source.size, method)
        if whole is not None:
            if method.kind != "whole":
                raise ConfigError(f"{image}: --overlay and --scores take images that are labelled whole, not in tiles")
            planned = [planned[0]._replace(label=lambda pixels: whole(pixels).labels)]
        job = _job(predictor, image, level, exact=method.kind != "approximate")
        labels = stack.enter_context(LabelFile(target, source.size, block, job))
        todo = [window for window in planned if not labels.has(*window.place)]
        filled = len(todo) < len(planned)
        labelled = _labelled(predictor.net, source, todo, seen)
        for done, (window, found) in enumerate(labelled, len(planned) - len(todo) + 1):
            labels.write(*window.place, found)
            filled = filled or bool((found != IGNORE).any())
            if progress is not None:
                progress(done, len(planned))
        labels.finish(predictor.classes, predictor.palette, source.georeference())
    return filled


def _blocks(method: Method) -> tuple[int, Method]:
    """The side of the file's blocks, and tiles of whole blocks. TIFF's are multiples of 16."""
    if method.kind != "tiles":
        return BLOCK, method
    block = min(BLOCK, max(16, method.side // 16 * 16))
    return block, Method("tiles", max(block, method.side // block * block))


def _labelled(
    net: Segmenter, source: Source, todo: Iterable[Window], seen: Brightness | None
) -> Iterator[tuple[Window, np.ndarray]]:
    """Each window's labels. While one is computed, the next is read."""
    with ThreadPoolExecutor(1) as pool:
        waiting = None
        for window in todo:
            following = (window, pool.submit(_read, net, source, window, seen))
            if waiting is not None:
                yield waiting[0], _label(waiting[0], *waiting[1].result())
            waiting = following
        if waiting is not None:
            yield waiting[0], _label(waiting[0], *waiting[1].result())


def _read(
    net: Segmenter, source: Source, window: Window, seen: Brightness | None
) -> tuple[Tensor | None, np.ndarray | None]:
    """A window's pixels (None where it holds no data), and which of its labels are of pixels with data (None: all)."""
    if source.has_gaps and not takes_alpha(source, net.in_channels):
        with decoding(f"{source.path}: the pixels with data cannot be found"):
            valid = source.mask(*window.place)
        if valid is not None and not valid.any():
            return None, valid
    found = read_window(source, *window.crop, net.in_channels, net.value_range)
    valid = found.valid
    if seen is not None:
        seen.add(found.values, valid)
    if valid is not None:
        places = zip(window.place, window.crop, strict=True)
        inside = (slice(own.start - read.start, own.stop - read.start) for own, read in places)
        valid = valid[tuple(inside)]
    return torch.from_numpy(np.ascontiguousarray(found.values)), valid


def _label(window: Window, pixels: Tensor | None, valid: np.ndarray | None) -> np.ndarray:
    if pixels is None:
        shape = (window.rows.stop - window.rows.start, window.columns.stop - window.columns.start)
        return np.full(shape, IGNORE, np.uint8)
    labels = window.label(pixels)
    return labels if valid is None else np.where(valid, labels, np.uint8(IGNORE))


def _job(predictor: Predictor, image: Path, level: int, exact: bool) -> dict[str, object]:
    """What decides whether a run that was ended can be resumed: the image, the network, and how it is used.

    Exact tiles give the same labels whatever their size, which with "auto" depends on the memory that is left.
    """
    return {
        "image": [str(image.resolve()), *_facts(image)],
        "level": level,
        "network": _fingerprint(predictor.net),
        "use": [predictor.head, list(predictor.scales), predictor.flip, exact],
        "version": __version__,
    }


_weights: Remembered[tuple[str, list[Tensor]]] = Remembered(most=1)
"""The hash of each network, and the tensors that it was computed of: held, so that no others come to lie there."""


def _fingerprint(net: Segmenter) -> str:
    """A hash of a network's architecture and weights, or of an exported file and of the weights beside it; or several.

    Computed anew only where a tensor was replaced or written to, or a file changed.
    """
    if isinstance(net, Ensemble):
        return " ".join(map(_fingerprint, net.networks))
    if isinstance(net, FCN):
        tensors = list(net.state_dict().values())
        if any(tensor.is_inference() for tensor in tensors):  # torch does not count what is written to them
            return _hash_of_network(net)
        key = tuple((tensor.data_ptr(), tensor._version) for tensor in tensors)
        return _weights.get(net, key, lambda: (_hash_of_network(net), tensors))[0]
    path = getattr(net, "path", None)
    if not isinstance(path, Path):
        return f"{type(net).__name__} {net.name}"
    files = [path, path.with_suffix(".bin"), path.with_name(f"{path.name}.data")]
    return " ".join(_hash_of_file(file, *_facts(file)) for file in files if file.is_file())


def _hash_of_network(net: FCN) -> str:
    digest = hashlib.sha256(repr(net.spec).encode())
    for name, value in net.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _facts(file: Path) -> tuple[int, int]:
    """A file's size and the time of its last change."""
    facts = file.stat()
    return facts.st_size, facts.st_mtime_ns


@lru_cache(maxsize=8)
def _hash_of_file(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
