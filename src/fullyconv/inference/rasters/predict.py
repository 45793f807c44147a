"""Large images labelled part by part, from file to file."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fullyconv import __version__
from fullyconv.data.masks import IGNORE
from fullyconv.data.parallel import Progress
from fullyconv.errors import ConfigError
from fullyconv.inference.parts import Part, TileOption, Tiling, parts, tiling
from fullyconv.inference.predictor import Predictor
from fullyconv.inference.rasters.output import BLOCK, LabelFile
from fullyconv.inference.rasters.raster import Raster
from fullyconv.inference.rasters.source import open_raster
from fullyconv.model.fcn import FCN
from fullyconv.results.segmentation import Segmentation


def predict_raster(
    predictor: Predictor,
    image: Path,
    target: Path,
    tile: TileOption,
    level: int = 0,
    whole: Callable[[Tensor], Segmentation] | None = None,
    progress: Progress | None = None,
) -> None:
    """Label a TIFF file into another: compressed in tiles, with the palette and the image's georeference.

    Pixels without data are labelled 255, which the file declares as nodata. Memory is that of one tile. The file
    appears when it is whole; until then its blocks are kept in ``NAME.partial``, and a run that was ended is gone on
    with by the next, if that does the same. ``tile`` is rounded down to whole blocks of the file.

    ``whole`` labels an image that must not be tiled, since it is shown, too. Raises DataError for what cannot be read
    or does not fit the network, ConfigError where ``whole`` is given and there are tiles, and as ``parts`` does.
    """
    net, own = predictor.net, predictor.of_head
    predictor.refuse_where_depth_is_missing(image)
    with open_raster(image, net.in_channels, level) as raster:
        block, tiled = _blocks(tiling(predictor, raster.size, tile))
        planned = parts(predictor, raster.size, tiled)
        if whole is not None:
            if tiled is not None:
                raise ConfigError(f"{image}: --overlay and --scores take images that are labelled whole, not in tiles")
            planned = [planned[0]._replace(label=lambda pixels: whole(pixels).labels)]
        job = _job(predictor, image, level, exact=tiled != "approximate")
        with LabelFile(target, raster.size, block, job) as labels:
            todo = [part for part in planned if not labels.has(*part.window)]
            for done, (part, found) in enumerate(_labelled(raster, todo), len(planned) - len(todo) + 1):
                labels.write(*part.window, found)
                if progress is not None:
                    progress(done, len(planned))
            labels.finish(list(net.classes)[own], list(net.palette)[own], raster.tags)


def _blocks(tiling: Tiling) -> tuple[int, Tiling]:
    """The side of the file's blocks, and tiles of whole blocks. TIFF's are multiples of 16."""
    if not isinstance(tiling, int):
        return BLOCK, tiling
    block = min(BLOCK, max(16, tiling // 16 * 16))
    return block, max(block, tiling // block * block)


def _labelled(raster: Raster, todo: Iterable[Part]) -> Iterator[tuple[Part, np.ndarray]]:
    """Each part's labels. While one is computed, the next is read."""
    with ThreadPoolExecutor(1) as pool:
        waiting = None
        for part in todo:
            following = (part, pool.submit(_read, raster, part))
            if waiting is not None:
                yield waiting[0], _label(waiting[0], *waiting[1].result())
            waiting = following
        if waiting is not None:
            yield waiting[0], _label(waiting[0], *waiting[1].result())


def _read(raster: Raster, part: Part) -> tuple[Tensor | None, np.ndarray | None]:
    """A part's pixels (None where it holds no data), and which of its window hold data (None: all)."""
    valid = raster.valid(*part.window)
    if valid is not None and not valid.any():
        return None, valid
    return raster.read(*part.crop), valid


def _label(part: Part, pixels: Tensor | None, valid: np.ndarray | None) -> np.ndarray:
    if pixels is None:
        return np.full((part.rows.stop - part.rows.start, part.columns.stop - part.columns.start), IGNORE, np.uint8)
    labels = part.label(pixels)
    return labels if valid is None else np.where(valid, labels, np.uint8(IGNORE))


def _job(predictor: Predictor, image: Path, level: int, exact: bool) -> dict[str, Any]:
    """What tells whether a run that was ended is gone on with: the image, the network, and how it is used.

    Exact tiles give the same labels whatever their size, which with "auto" depends on the memory that is left.
    """
    facts = image.stat()
    return {
        "image": [str(image.resolve()), facts.st_size, facts.st_mtime_ns],
        "level": level,
        "network": _fingerprint(predictor.net),
        "use": [predictor.head, list(predictor.scales), predictor.flip, exact],
        "version": __version__,
    }


def _hash_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fingerprint(net: Any) -> str:
    """A hash of a network's architecture and weights, or of an exported file and of the weights beside it."""
    if not isinstance(net, FCN):
        path = getattr(net, "path", None)
        if path is None:
            return type(net).__name__
        beside = [path, path.with_suffix(".bin"), path.with_name(f"{path.name}.data")]
        return " ".join(_hash_of_file(file) for file in beside if file.is_file())
    digest = hashlib.sha256(repr(net.spec).encode())
    for name, value in net.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
