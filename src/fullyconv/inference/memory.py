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


def auto_tile(net: FCN, size: tuple[int, int], memory: int | None = None) -> int | None:
    """The largest tile, in pixels a side, whose pass takes at most ``memory`` bytes; None: the whole image fits.

    ``memory`` None: what the machine, or the GPU that the network is on, has left. Raises ConfigError where not even
    the smallest tile fits.
    """
    memory = available_memory(net.device) if memory is None else memory
    per_pixel, base = needs(net)

    def takes(tiles: Plan) -> float:
        return base + per_pixel * max(math.prod(side.stop - side.start for side in tile.crop) for tile in tiles)

    if base + per_pixel * size[0] * size[1] <= memory:
        return None
    tile = math.ceil(max(size) / STEP) * STEP
    while takes(tiles := plan(net, size, tile)) > memory:
        if tile == STEP:
            raise ConfigError(
                f"a tile of {STEP} pixels needs {takes(tiles) / 2**20:.0f} MiB, {memory / 2**20:.0f} MiB are left"
            )
        tile = max(STEP, int(tile * 0.8) // STEP * STEP)
    return tile


def auto_strip(net: FCN, size: tuple[int, int], memory: int | None = None) -> int | None:
    """The most columns whose bands, of ``BAND`` rows, take at most ``memory`` bytes: the image's width, or a multiple
    of ``STEP``; None: not even that many do. ``memory`` as for ``auto_tile``.

    A layer keeps no rows but those that the scores still to come see: what a pass over a band and the rows that a cell
    sees would take is more than enough. Raises GeometryError where cells see the whole image.
    """
    memory = available_memory(net.device) if memory is None else memory
    per_pixel, base = needs(net)
    down, _ = sight(net, size)
    rows = min(size[0], BAND + float(down.before + down.after))
    most = (memory - base) / (per_pixel * rows)

    def columns(strip: int) -> int:
        return max(span.crop.stop - span.crop.start for span in plan(net, size, (size[0], strip)).columns)

    if columns(size[1]) <= most:
        return size[1]
    strip = math.ceil(size[1] / STEP) * STEP - STEP
    while strip > 0 and columns(strip) > most:
        strip = int(strip * 0.8) // STEP * STEP
    return strip or None


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
