"""Choose how large a tile, or how wide a band, fits into memory."""

import math
from collections.abc import Sequence
from weakref import finalize

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from fullyconv.errors import ConfigError
from fullyconv.inference.bands import BAND
from fullyconv.inference.tiles import Plan, plan, sight
from fullyconv.model.fcn import FCN
from fullyconv.resources import available_memory
from fullyconv.sharing import Remembered, in_evaluation_mode

RESERVE = 2.0
"""What a pass takes at most, over its tensors: libraries' own copies, and memory that comes back late."""
STEP = 64
"""Tiles are a multiple of it."""


def auto_tile(nets: FCN | Sequence[FCN], size: tuple[int, int], memory: int | None = None) -> int | None:
    """The largest tile, in pixels a side, whose pass takes at most ``memory`` bytes; None: the whole image fits.

    Several networks label a tile one after the other, and the scores of all are kept. ``memory`` None: what the
    machine, or the GPU that the networks are on, has left. Raises ConfigError where not even the smallest tile fits.
    """
    nets = [nets] if isinstance(nets, FCN) else nets
    memory = available_memory(nets[0].device) if memory is None else memory
    kept = sum(_of_scores(net) for net in nets[1:])

    def takes(pixels: Sequence[int]) -> float:
        return max(
            base + (per_pixel + kept) * own for (per_pixel, base), own in zip(map(needs, nets), pixels, strict=True)
        )

    if takes([size[0] * size[1]] * len(nets)) <= memory:
        return None
    tile = math.ceil(max(size) / STEP) * STEP
    while (least := takes([_largest_crop(plan(net, size, tile)) for net in nets])) > memory:
        if tile == STEP:
            raise ConfigError(
                f"a tile of {STEP} pixels needs {least / 2**20:.0f} MiB, {memory / 2**20:.0f} MiB are left"
            )
        tile = max(STEP, int(tile * 0.8) // STEP * STEP)
    return tile


def _largest_crop(tiles: Plan) -> int:
    return max(math.prod(side.stop - side.start for side in tile.crop) for tile in tiles)


def _of_scores(net: FCN) -> float:
    """Bytes of a network's scores, for each pixel of the image."""
    return 4 * net.num_classes / net.backbone.strides[0] ** 2


def auto_strip(nets: FCN | Sequence[FCN], size: tuple[int, int], memory: int | None = None) -> int | None:
    """The most columns whose bands, of ``BAND`` rows, take at most ``memory`` bytes: the image's width, or a multiple
    of ``STEP``; None: not even that many do. ``memory`` as for ``auto_tile``.

    A layer keeps no rows but those that the scores still to come see: what a pass over a band and the rows that a cell
    sees would take is more than enough. Several networks go through the bands side by side. Raises GeometryError where
    cells see the whole image.
    """
    nets = [nets] if isinstance(nets, FCN) else nets
    memory = available_memory(nets[0].device) if memory is None else memory
    rows = [min(size[0], BAND + float(down.before + down.after)) for down, _ in (sight(net, size) for net in nets)]

    def takes(strip: int) -> float:
        widths = [_widest_crop(plan(net, size, (size[0], strip))) for net in nets]
        return sum(
            base + per_pixel * height * width
            for (per_pixel, base), height, width in zip(map(needs, nets), rows, widths, strict=True)
        )

    if takes(size[1]) <= memory:
        return size[1]
    strip = math.ceil(size[1] / STEP) * STEP - STEP
    while strip > 0 and takes(strip) > memory:
        strip = int(strip * 0.8) // STEP * STEP
    return strip or None


def _widest_crop(strips: Plan) -> int:
    return max(span.crop.stop - span.crop.start for span in strips.columns)


_needs: Remembered[tuple[float, float]] = Remembered()


def needs(net: FCN) -> tuple[float, float]:
    """Bytes for each pixel that a pass is computed from, and bytes that any pass takes."""
    return _needs.get(net, (net.mean.dtype, net.device), lambda: _counted(net))


def _counted(net: FCN) -> tuple[float, float]:
    sides = (net.backbone.minimum + 8 * net.backbone.strides[-1], net.backbone.minimum + 16 * net.backbone.strides[-1])
    few, many = (_Held().peak_of(in_evaluation_mode(net), side) for side in sides)
    per_pixel = (many - few) / (sides[1] ** 2 - sides[0] ** 2)
    return RESERVE * per_pixel, RESERVE * max(0.0, few - per_pixel * sides[0] ** 2)


class _Held(TorchDispatchMode):
    """The most bytes that a pass holds at a time, counted on tensors without numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.known: set[int] = set()

    def peak_of(self, net: FCN, side: int) -> int:
        with torch.inference_mode(False), torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True), self:
            net.scores(torch.empty(1, net.in_channels, side, side, dtype=torch.uint8, device=net.device))
        return self.peak

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: Sequence[type],
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_iter(result):
            if isinstance(tensor, Tensor):
                self.hold(tensor.untyped_storage())
        return result

    def hold(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self.known:
            return
        self.known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)

        def release() -> None:
            self.known.discard(key)
            self.now -= size

        finalize(storage, release)
