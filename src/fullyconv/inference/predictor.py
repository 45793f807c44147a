"""The labelling engine: label an image of any form and size with a network, within the memory that is left.

The command line and Python go through ``Predictor``. Memory and the network decide how an image is labelled:

* whole, in one pass, where memory holds that;
* else in bands of rows, which compute no row twice, if the image is in memory and the network can run so;
* else in exact tiles, after any of which a run over a file can be stopped and resumed.

All three give the labels of one pass. On request, tiles that are not exact: for networks that see the whole image.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from fullyconv.channels import Inputs, in_words
from fullyconv.classes import IGNORE, MAX_CLASSES
from fullyconv.errors import ConfigError, DataError, GeometryError
from fullyconv.inference.ensemble import Ensemble, as_one, runs_of
from fullyconv.inference.inputs import ImageLike, Input, to_input
from fullyconv.model.border import for_inference
from fullyconv.model.fcn import FCN
from fullyconv.model.segmenter import Segmenter
from fullyconv.resources import available_memory
from fullyconv.results.figures import displayable
from fullyconv.results.segmentation import Segmentation

# Bands, tiles and the counting of memory are imported where they are used: small images need none of them.

TileOption = int | Literal["auto", "approximate"]
"""How to label: by what memory holds, in exact tiles of so many pixels a side, or in tiles that are not exact."""
SMALL, PLENTY = 2**22, 2**13
"""Images of up to so many pixels are labelled whole where so many bytes are left for each: no network takes more."""
APPROXIMATE, MARGIN = 1024, 256
"""Side and margin of tiles that are not exact, in pixels."""


ARRAYS: dict[Inputs, str] = {
    "rgb+depth": "an array (H, W, 4) of floats: red, green and blue in 0..255 and the natural logarithm of millimetres",
    "rgb+hha": "an array (H, W, 6) in 0..255: red, green, blue, and the three channels of HHA",
}
"""How images are given that are no single picture."""


class Method(NamedTuple):
    """How an image is labelled. ``side``: the columns of a strip of bands, or the pixels of a tile's side."""

    kind: Literal["whole", "bands", "tiles", "approximate"]
    side: int = 0


class Window(NamedTuple):
    """A part of an image, what must be read for it, and what gives its labels (h, w), uint8, from that."""

    rows: slice
    columns: slice
    crop: tuple[slice, slice]
    label: Callable[[Tensor], np.ndarray]

    @property
    def place(self) -> tuple[slice, slice]:
        """Its rows and columns, to index an array with."""
        return self.rows, self.columns


class Predictor:
    """Labels images of any form and size with a network: ``Predictor(net)("street.jpg").labels``.

    Of several networks, ``Predictor([net, other])``, the probabilities are averaged (see ``Ensemble``).
    With several ``scales``, or with ``flip``, the class probabilities of the resized (bilinear, antialiased)
    and the mirrored images are averaged at the image's own size. Otherwise the labels come from
    ``net.predict``, which never holds a score for each class at each pixel. The paper's VGG-16 networks do without the
    work on their border; they may be trained further in between (see ``without_border``).

    The network is moved to ``device`` (None: it stays where it is); its mode (training or not) is left alone. ``head``
    names the labeling that is wanted of a network with several heads (None: its first). Raises ConfigError for scales
    that are not positive numbers, and for a head that is not there.
    """

    def __init__(
        self,
        net: Segmenter | Sequence[Segmenter],
        device: str | torch.device | None = None,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        head: str | None = None,
    ) -> None:
        if not scales or not all(math.isfinite(scale) and scale > 0 for scale in scales):
            raise ConfigError(
                f"scales are {list(scales)}; one or more numbers above 0 are expected, such as 0.75,1,1.25"
            )
        if isinstance(net, Sequence):
            net = as_one(net)
        most = max(net.heads.values()) if net.heads else len(net.classes)
        if most > MAX_CLASSES:
            raise ConfigError(f"the network has {most} classes; labels are bytes, {MAX_CLASSES} classes at most")
        self.net = net.to(device) if device is not None else net
        self.lean = for_inference(self.net)
        self.scales = tuple(scales)
        self.flip = flip
        self.head, self.of_head = _choose(net, head)
        self.classes = list(net.classes)[self.of_head]
        self.palette = list(net.palette)[self.of_head]

    @property
    def averages(self) -> bool:
        """Whether the probabilities of several passes are averaged."""
        return self.flip or self.scales != (1.0,)

    def __call__(self, image: ImageLike, probabilities: bool = False, tile: TileOption = "auto") -> Segmentation:
        """Label one image; see ``to_input`` for the forms it may have, and ``segment`` for the rest."""
        return self.segment(*self.read(image), probabilities, tile)

    def read(self, image: ImageLike) -> Input:
        """As ``to_input`` for the network. Raises DataError for a picture where the network takes more than that."""
        if isinstance(image, str | Path | Image.Image):
            self.refuse_picture("the image" if isinstance(image, Image.Image) else image)
        return to_input(image, self.net.in_channels, self.net.value_range)

    def refuse_picture(self, picture: str | Path) -> None:
        """Raise DataError where the network takes colour and something else, which no picture has."""
        if (array := ARRAYS.get(self.net.inputs)) is not None:
            raise DataError(
                f"{picture}: the network takes {in_words(self.net.inputs)}, of which a picture has only the first; "
                f"give {array}"
            )

    @torch.inference_mode()
    def segment(
        self,
        image: Tensor,
        valid: np.ndarray | None = None,
        probabilities: bool = False,
        tile: TileOption = "auto",
    ) -> Segmentation:
        """Label one image (C, H, W), as ``read`` gives it, within the memory that is left.

        Pixels that ``valid`` (H, W) says hold no data are labelled IGNORE (255). ``tile`` other than "auto" asks for
        tiles: see ``TileOption``. Raises ConfigError where probabilities are asked for and the image is not labelled
        whole, and as ``method`` and ``windows`` do.
        """
        size = (image.shape[1], image.shape[2])
        method = self.method(size, tile, probabilities=probabilities)
        scores = None
        if method.kind == "whole":
            labels, scores = self.label_whole(image, probabilities)
        elif probabilities:
            raise ConfigError("probabilities (--scores) are given of images that are labelled whole, not in tiles")
        else:
            labels = self._label_in_parts(image, method)
        if valid is not None:
            labels = np.where(valid, labels, np.uint8(IGNORE))
        return Segmentation(labels, displayable(image), self.classes, self.palette, scores)

    def method(
        self, size: tuple[int, int], tile: TileOption = "auto", probabilities: bool = False, by_window: bool = False
    ) -> Method:
        """Decide how an image of ``size`` is labelled; ``by_window``: of an image that is read window by window.

        The memory that exported files take is not known: they are run on whole images, unless ``tile`` says otherwise.
        Raises GeometryError where memory asks for parts and the network sees the whole image, and ConfigError where
        memory holds not even a small tile, or the probabilities do not fit.
        """
        if tile == "approximate":
            return Method("approximate")
        if tile != "auto":
            return Method("tiles", tile)
        runs, pixels = runs_of(self.net), size[0] * size[1]
        if not runs:
            return Method("whole")
        if pixels <= SMALL and pixels * PLENTY <= available_memory(self.net.device):
            return Method("whole")
        from fullyconv.inference.memory import auto_strip, auto_tile

        if probabilities or self.averages:
            self._refuse_too_large(runs, size)
            return Method("whole")
        side = auto_tile(runs, size)
        if side is None:
            return Method("whole")
        strip = None if by_window else auto_strip(runs, size)
        return Method("tiles", side) if strip is None else Method("bands", strip)

    def _refuse_too_large(self, runs: Sequence[FCN], size: tuple[int, int]) -> None:
        """Raises ConfigError where probabilities of the whole image are needed and can surely not be held."""
        from fullyconv.inference.memory import RESERVE, needs

        pixels, (per_pixel, base), classes = size[0] * size[1], max(map(needs, runs)), len(self.net.classes)
        largest = max(self.scales) ** 2
        held = 8 if len(runs) == 1 else 4  # bytes for each class: logits and probabilities, or the latter alone
        least = (base + per_pixel * pixels * largest) / RESERVE + held * classes * pixels * max(1, largest)
        left = available_memory(self.net.device)
        if least > left:
            raise ConfigError(
                f"an image of {size[0]}×{size[1]} pixels needs {least / 2**30:.1f} GiB for the probabilities that heat "
                f"maps (--scores), scales and flips are made of; {left / 2**30:.1f} GiB are left. Label it without "
                'these, or scale and flip in tiles: --tile approximate (tile="approximate")'
            )

    def windows(self, size: tuple[int, int], method: Method) -> Sequence[Window]:
        """The windows that an image of ``size`` is labelled in, row by row.

        Raises GeometryError where tiles cannot be exact, ConfigError where the predictor has no use for them.
        """
        if method.kind == "whole":
            everything = (slice(0, size[0]), slice(0, size[1]))
            return [Window(*everything, everything, lambda crop: self.label_whole(crop)[0])]
        if method.kind == "approximate":
            return list(self._seen_with_margin(size))
        net, runs = self.net, runs_of(self.net)
        if not runs:
            raise ConfigError(
                f"--tile {method.side}: an exported network has fixed steps; give the run that it was exported from"
            )
        if self.averages:
            raise ConfigError(
                f"--tile {method.side} cannot be had with --scales or --flip: give --tile approximate, or neither"
            )
        from fullyconv.inference import ensemble_parts, tiles

        planned: Iterable[tuple[tiles.Tile | ensemble_parts.Tile, Callable[[Tensor], Tensor]]]
        if isinstance(net, Ensemble):
            joined = ensemble_parts.plan(net, size, method.side)
            planned = ((tile, partial(ensemble_parts.tile_labels, net, tile)) for tile in joined)
        else:
            run = runs[0]
            planned = ((tile, partial(tiles.tile_labels, run, tile)) for tile in tiles.plan(run, size, method.side))

        @torch.inference_mode()
        def label(labels_of: Callable[[Tensor], Tensor], crop: Tensor) -> np.ndarray:
            return self._of_head(labels_of(crop[None].to(net.device))[0])

        return [Window(tile.rows, tile.columns, tile.crop, partial(label, labels_of)) for tile, labels_of in planned]

    def _seen_with_margin(self, size: tuple[int, int]) -> Iterator[Window]:
        """Tiles of which each is labelled with what lies around it, as far as ``MARGIN``."""

        def label(inside: tuple[slice, slice], crop: Tensor) -> np.ndarray:
            return self.label_whole(crop)[0][inside]

        for rows, above in _spans(size[0]):
            for columns, beside in _spans(size[1]):
                inside = (_within(above, rows), _within(beside, columns))
                yield Window(rows, columns, (above, beside), partial(label, inside))

    def _label_in_parts(self, image: Tensor, method: Method) -> np.ndarray:
        """Labels (H, W) of an image in memory; tiles that are not exact are blended."""
        net, size = self.net, (image.shape[1], image.shape[2])
        if method.kind == "approximate" and runs_of(net) and not self.averages:
            from fullyconv.inference.blended import predict_approximate

            return self._of_head(predict_approximate(net, image[None], APPROXIMATE + MARGIN, MARGIN)[0])
        if method.kind == "bands":
            from fullyconv.inference import bands, ensemble_parts
            from fullyconv.inference.memory import auto_tile

            runs = runs_of(net)
            try:
                if isinstance(net, Ensemble):
                    return self._of_head(ensemble_parts.predict_bands(net, image[None], strip=method.side)[0])
                return self._of_head(bands.predict_bands(runs[0], image[None], strip=method.side)[0])
            except GeometryError:  # a network cannot run band by band, which is found before the first label
                method = Method("tiles", auto_tile(runs, size) or max(size))
        labels = np.empty(size, np.uint8)
        for window in self.windows(size, method):
            labels[window.place] = window.label(image[:, *window.crop])
        return labels

    @torch.inference_mode()
    def label_whole(self, image: Tensor, probabilities: bool = False) -> tuple[np.ndarray, np.ndarray | None]:
        """Labels (H, W), uint8, of one image (C, H, W) in one pass, and its probabilities (classes, H, W) or None."""
        batch = image[None].to(self.net.device)
        if not (probabilities or self.averages):
            return self._of_head(self.lean.predict(batch)[0]), None
        scores = self._probabilities(batch)[self.of_head]
        return scores.argmax(0).to(torch.uint8).cpu().numpy(), scores.cpu().numpy() if probabilities else None

    def _of_head(self, labels: Tensor) -> np.ndarray:
        """(H, W) uint8 of the chosen head, from (H, W), or (heads, H, W) where there are several."""
        return (labels if self.head is None else labels[self.head]).to(torch.uint8).cpu().numpy()

    def _probabilities(self, batch: Tensor) -> Tensor:
        """(C, H, W) float32 of a batch (1, c, H, W), averaged over scales and mirror images."""
        size = batch.shape[-2:]
        total = torch.zeros((), device=batch.device)
        for scale in self.scales:
            scaled = _resize(batch, [max(1, round(length * scale)) for length in size])
            seen = self.lean.probabilities(scaled).float()
            if self.flip:
                seen = (seen + self.lean.probabilities(scaled.flip(-1)).float().flip(-1)) / 2
            total = total + _resize(seen, list(size))[0]
        return total / len(self.scales)


def _choose(net: Segmenter, head: str | None) -> tuple[int | None, slice]:
    """Which of the network's heads is meant, and its classes; None and all of them where it has only one."""
    heads = net.heads or {}
    if head is not None and head not in heads:
        known = ", ".join(heads) or "one labeling, without a name"
        raise ConfigError(f"--head {head}: the network has {known}; name one of its heads, or none for the first")
    if not heads:
        return None, slice(None)
    names = list(heads)
    index = 0 if head is None else names.index(head)
    first = sum(heads[name] for name in names[:index])
    return index, slice(first, first + heads[names[index]])


def _spans(side: int) -> Iterator[tuple[slice, slice]]:
    """Along one axis: each tile that is not exact, and what is read for it."""
    for start in range(0, side, APPROXIMATE):
        stop = min(start + APPROXIMATE, side)
        yield slice(start, stop), slice(max(0, start - MARGIN), min(side, stop + MARGIN))


def _within(outer: slice, inner: slice) -> slice:
    return slice(inner.start - outer.start, inner.stop - outer.start)


def _resize(images: Tensor, size: list[int]) -> Tensor:
    """(N, C, H, W) at another size; lying on its side where the result is one pixel wide.

    There torch 2.15's antialiased interpolation gives wrong values on the CPU.
    """
    if list(images.shape[-2:]) == size:
        return images
    if size[1] == 1:
        return _interpolate(images.mT.contiguous(), [1, size[0]]).mT
    return _interpolate(images, size)


def _interpolate(images: Tensor, size: list[int]) -> Tensor:
    return F.interpolate(images.float(), size, mode="bilinear", align_corners=False, antialias=True)
