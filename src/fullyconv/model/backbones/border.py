"""The paper's VGG-16 without the work on its border: the same taps from fewer operations.

The release pads images by 100 pixels. Far enough from the image and from the outer edge, that border is the same
everywhere, and so is each channel of what the early layers make of it. Up to pool4 three zones lie apart: what the
image can influence, the constant, and what the edge's zeros can influence. So each convolution runs on the image's
zone alone: with its input's constant subtracted, zeros stand for what lies around, and the convolution of the constant
is added to the bias. At pool3 (where it is a tap) and at pool4 the rest is filled in. It depends on the image's size
modulo 16 alone, and is kept, as the constants are, until the weights change.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from fullyconv.model.backbones.paper import BORDER, VGG16

BLOCKS = 4
"""Up to pool4 the image's zone (50 pixels beyond the image) and the edge's (41 pixels) fit into the border."""
PERIOD = 2**BLOCKS
KEPT_BYTES = 2**26
"""Maps of the border that are kept, in all: those of FCN-8s for about 56 of the 256 sizes modulo 16."""
Key = tuple[int, int, torch.dtype, torch.device, FakeTensorMode | None]
"""Of kept maps: height and width modulo 16, and what kind of tensors they are."""


class Zone(NamedTuple):
    """Along one axis: the first cell that is computed, how many are, and how many there are."""

    start: int
    size: int
    whole: int


@dataclass(frozen=True)
class Constants:
    """What one state of the weights makes of the border, by the names of the convolutions ("1_1")."""

    made_of: list[tuple[Tensor, int]]  # each weight, and its version
    biases: dict[str, Tensor]
    values: dict[str, Tensor]
    maps: dict[Key, dict[int, Tensor]] = field(default_factory=dict)


class Borderless(nn.Module):
    """The taps of ``trunk``: (N, C, H, W) → as ``VGG16``, in evaluation mode. Threads may share one."""

    def __init__(self, trunk: VGG16):
        super().__init__()
        self.trunk = trunk
        self.filled = [block for block in range(1, BLOCKS + 1) if 2**block in trunk.strides or block == BLOCKS]
        self.known = [self._constants()]  # one entry, replaced as a whole; copies that share the weights share it

    @torch.no_grad()
    def forward(self, x: Tensor) -> list[Tensor]:
        trunk, constants = self.trunk, self._current()
        far = self._far(x, constants)
        zones = [Zone(0, side, side) for side in x.shape[2:]]
        taps: dict[int, Tensor] = {}
        for block in range(1, BLOCKS + 1):
            x, zones = self._block(x, zones, block, constants)
            if block in self.filled:
                taps[2**block] = _fill(x, zones, far[block], constants.values[f"{block}_{trunk.depths[block - 1]}"])
        x = taps[2**BLOCKS]
        for block in range(BLOCKS + 1, len(trunk.depths) + 1):
            x = trunk.block(x, block)
        taps[32] = trunk.classify(x)
        return [trunk.scaled(taps[stride], stride) for stride in trunk.strides]

    def _current(self) -> Constants:
        """Those of the weights as they are."""
        known = self.known[0]
        if torch.compiler.is_compiling():  # what is compiled or exported keeps its weights
            return known
        weights = [weight for _, layer in self._convolutions() for weight in layer.parameters()]
        if not all(_unchanged(new, *old) for new, old in zip(weights, known.made_of, strict=True)):
            known = self.known[0] = self._constants()
        return known

    def _convolutions(self) -> list[tuple[str, nn.Module]]:
        names = [f"{block}_{n}" for block in range(1, BLOCKS + 1) for n in range(1, self.trunk.depths[block - 1] + 1)]
        return [(name, self.trunk.get_submodule(f"conv{name}")) for name in names]

    @torch.no_grad()
    def _constants(self) -> Constants:
        convolutions = self._convolutions()
        biases, values = {}, {}
        constant = torch.zeros_like(self.trunk.conv1_1.weight[0, :, 0, 0])  # type: ignore[index, union-attr]
        with _without_autocast(constant.device):
            for name, layer in convolutions:
                biases[name] = layer.weight.sum((2, 3)) @ constant + layer.bias  # type: ignore[operator]
                values[name] = constant = biases[name].relu()
        weights = [weight for _, layer in convolutions for weight in layer.parameters()]
        return Constants([(weight.detach(), _version(weight)) for weight in weights], biases, values)

    def _block(self, x: Tensor, zones: list[Zone], block: int, constants: Constants) -> tuple[Tensor, list[Zone]]:
        """The convolutions and the pool of one block on the image's zone, less the constants around it."""
        depth = self.trunk.depths[block - 1]
        around = [_grown(zone, depth, first=block == 1) for zone in zones]
        (top, bottom), (left, right) = (margins for margins, _ in around)
        x = F.pad(x, (left, right, top, bottom))
        for name in (f"{block}_{number}" for number in range(1, depth + 1)):
            layer = self.trunk.get_submodule(f"conv{name}")
            x = F.conv2d(x, layer.weight, constants.biases[name], padding=1)  # type: ignore[arg-type]
            x = x.relu_().sub_(constants.values[name][:, None, None])
        return F.max_pool2d(x, 2, 2), [zone for _, zone in around]

    def _far(self, x: Tensor, constants: Constants) -> dict[int, Tensor]:
        """The pools that are filled in, of the smallest image of zeros whose cells end as those of ``x`` do.

        Kept up to ``KEPT_BYTES``, the oldest of them forgotten; compiled networks only look up what is kept.
        """
        height, width = ((side - 1) % PERIOD + 1 for side in x.shape[2:])
        compiling = torch.compiler.is_compiling()
        mode = x.fake_mode if not compiling and isinstance(x, FakeTensor) else None
        key = (height, width, x.dtype, x.device, mode)
        if key in constants.maps:
            return constants.maps[key]
        pools = {0: x.new_zeros(1, x.shape[1], height, width)}
        with _without_autocast(x.device):
            for block in range(1, BLOCKS + 1):
                pools[block] = self.trunk.block(pools[block - 1], block)
        made = {block: pools[block] for block in self.filled}
        if not compiling:
            constants.maps[key] = made
            for oldest in list(constants.maps)[:-1]:
                if _bytes(constants.maps) <= KEPT_BYTES:
                    break
                constants.maps.pop(oldest, None)
        return made


def _bytes(maps: dict[Key, dict[int, Tensor]]) -> int:
    return sum(tensor.nbytes for of_blocks in list(maps.values()) for tensor in of_blocks.values())


def _fill(x: Tensor, zones: list[Zone], far: Tensor, constant: Tensor) -> Tensor:
    """The whole map: the image's zone, and around it what every image of this size has there."""
    rows, columns = zones
    whole = far.index_select(2, _stretched(far.shape[2], rows.whole, far))
    whole = whole.index_select(3, _stretched(far.shape[3], columns.whole, far))
    whole = whole.repeat(len(x), 1, 1, 1)
    place = (slice(rows.start, rows.start + rows.size), slice(columns.start, columns.start + columns.size))
    whole[(..., *place)] = (x + constant[:, None, None]).to(whole.dtype)
    return whole


def _version(weight: Tensor) -> int:
    """Grows with each time that it is written to; −1 where torch does not count."""
    return -1 if weight.is_inference() else weight._version


def _unchanged(weight: Tensor, before: Tensor, version: int) -> bool:
    place = weight.data_ptr() == before.data_ptr() and weight.dtype == before.dtype
    return place and version == _version(weight) != -1


def _grown(zone: Zone, depth: int, first: bool) -> tuple[tuple[int, int], Zone]:
    """Zeros to put before and after a block's input so that all that the image influences is computed, in whole pools;
    and the zone of the pool's output.

    Each convolution reaches one cell further. The first of all has no cells outside but the border's.
    """
    origin = BORDER - 1 if first else 0  # conv1_1 puts 99 cells before the image
    start = (origin + zone.start - depth) // 2 * 2
    stop = -(-(origin + zone.start + zone.size + depth) // 2) * 2
    whole = zone.whole + 2 * origin
    margins = (origin + zone.start - start, stop - origin - zone.start - zone.size)
    return margins, Zone(start // 2, (stop - start) // 2, -(-whole // 2))


def _stretched(cells: int, size: int, like: Tensor) -> Tensor:
    """Which of ``cells`` to take for each of ``size``, the one in the middle again and again."""
    index = torch.arange(size, device=like.device)
    middle = cells // 2
    return torch.where(index < middle, index, (index - (size - cells)).clamp(min=middle))


def _without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Switch autocast off, on devices that have it: meta, where operations are counted, has none."""
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)
