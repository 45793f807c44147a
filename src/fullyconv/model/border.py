"""The paper's VGG-16 networks without the work on their border: the same scores from fewer operations.

The release pads images by 100 pixels. Far enough from the image and from the outer edge, that border is the same
everywhere, and so is each channel of what the early layers make of it. Up to pool4 three zones lie apart: what the
image can influence, the constant, and what the edge's zeros can influence. So each convolution runs on the image's
zone alone: with its input's constant subtracted, zeros stand for what lies around, and the convolution of the constant
is added to the bias. At pool3 (where it is a tap) and at pool4 the rest is filled in. It depends on the image's size
modulo 16 alone, and is kept, as the constants are, until the weights change.
"""

import copy
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fullyconv.errors import ConfigError
from fullyconv.model.backbones.paper import BORDER, VGG16
from fullyconv.model.fcn import FCN

BLOCKS = 4
"""Up to pool4 the image's zone (50 pixels beyond the image) and the edge's (41 pixels) fit into the border."""
PERIOD = 2**BLOCKS


def has_border(net: Any) -> bool:
    """Whether ``without_border`` takes this network."""
    return isinstance(net, FCN) and isinstance(net.backbone.body, VGG16) and net.backbone.alignment == "crop"


def without_border(net: FCN) -> FCN:
    """A network with the same weights, for evaluation, that skips the work on the border.

    The two share their layers, which are put in evaluation mode, and of which either may be trained further or moved.
    What is written through a parameter's ``data`` goes unnoticed.
    Raises ConfigError for networks other than the paper's VGG-16 with ``padding="paper"``.
    """
    if not has_border(net):
        raise ConfigError(f"{net.name} has no border to leave out: that is for the paper's VGG-16 networks.")
    lean = copy.copy(net)
    lean._modules = {**net._modules, "backbone": copy.copy(net.backbone)}
    lean.backbone._modules = {"body": Borderless(net.backbone.body)}  # type: ignore[arg-type]
    return lean.eval()


def leanest(net: Any) -> Any:
    """``without_border(net)`` where the network has a border, else the network itself."""
    return without_border(net) if has_border(net) else net


class Zone(NamedTuple):
    """Along one axis: the first cell that is computed, how many are, and how many there are."""

    start: int
    size: int
    whole: int


class Borderless(nn.Module):
    """The taps of ``trunk``: (N, C, H, W) → as ``VGG16``, in evaluation mode."""

    def __init__(self, trunk: VGG16):
        super().__init__()
        self.trunk = trunk
        self.filled = [block for block in range(1, BLOCKS + 1) if 2**block in trunk.strides or block == BLOCKS]
        self.made_of: list[tuple[Tensor, int]] = []
        self.far: dict[tuple[int, int], dict[int, Tensor]] = {}
        self._refresh()

    @torch.no_grad()
    def _refresh(self) -> None:
        """The layers' constants, and no maps yet, unless these were made of the weights as they are."""
        convolutions = [
            (f"{block}_{number}", self.trunk.get_submodule(f"conv{block}_{number}"))
            for block in range(1, BLOCKS + 1)
            for number in range(1, self.trunk.depths[block - 1] + 1)
        ]
        weights = [weight for _, layer in convolutions for weight in layer.parameters()]
        if self.made_of and all(_unchanged(new, *old) for new, old in zip(weights, self.made_of, strict=True)):
            return
        constant = torch.zeros_like(self.trunk.conv1_1.weight[0, :, 0, 0])  # type: ignore[index, union-attr]
        for name, layer in convolutions:
            response = layer.weight.sum((2, 3)) @ constant + layer.bias  # type: ignore[operator]
            constant = response.relu()
            self.register_buffer(f"bias{name}", response, persistent=False)
            self.register_buffer(f"constant{name}", constant, persistent=False)
        self.far, self.made_of = {}, [(weight.detach(), _version(weight)) for weight in weights]

    @torch.no_grad()
    def forward(self, x: Tensor) -> list[Tensor]:
        trunk = self.trunk
        if not torch.compiler.is_compiling():  # what is compiled or exported keeps its weights
            self._refresh()
        far = self._far(x)
        zones = [Zone(0, side, side) for side in x.shape[2:]]
        taps: dict[int, Tensor] = {}
        for block in range(1, BLOCKS + 1):
            x, zones = self._block(x, zones, block)
            if block in self.filled:
                taps[2**block] = self._fill(x, zones, far[block], block)
        x = taps[2**BLOCKS]
        for block in range(BLOCKS + 1, len(trunk.depths) + 1):
            x = trunk.block(x, block)
        taps[32] = trunk.classify(x)
        return [trunk.scaled(taps[stride], stride) for stride in trunk.strides]

    def _block(self, x: Tensor, zones: list[Zone], block: int) -> tuple[Tensor, list[Zone]]:
        """The convolutions and the pool of one block on the image's zone, less the constants around it."""
        depth = self.trunk.depths[block - 1]
        around = [_grown(zone, depth, first=block == 1) for zone in zones]
        (top, bottom), (left, right) = (margins for margins, _ in around)
        x = F.pad(x, (left, right, top, bottom))
        for number in range(1, depth + 1):
            layer = self.trunk.get_submodule(f"conv{block}_{number}")
            x = F.conv2d(x, layer.weight, getattr(self, f"bias{block}_{number}"), padding=1)  # type: ignore[arg-type]
            x = x.relu_().sub_(getattr(self, f"constant{block}_{number}")[:, None, None])
        return F.max_pool2d(x, 2, 2), [zone for _, zone in around]

    def _fill(self, x: Tensor, zones: list[Zone], far: Tensor, block: int) -> Tensor:
        """The whole map: the image's zone, and around it what every image of this size has there."""
        rows, columns = zones
        constant = getattr(self, f"constant{block}_{self.trunk.depths[block - 1]}")[:, None, None]
        whole = far.index_select(2, _stretched(far.shape[2], rows.whole, far))
        whole = whole.index_select(3, _stretched(far.shape[3], columns.whole, far))
        whole = whole.repeat(len(x), 1, 1, 1)
        place = (slice(rows.start, rows.start + rows.size), slice(columns.start, columns.start + columns.size))
        whole[(..., *place)] = x + constant
        return whole

    def _far(self, x: Tensor) -> dict[int, Tensor]:
        """The pools that are filled in, of the smallest image of zeros whose cells end as those of ``x`` do."""
        height, width = ((side - 1) % PERIOD + 1 for side in x.shape[2:])
        key = (height, width)
        if key not in self.far:
            pools = {0: x.new_zeros(1, x.shape[1], height, width)}
            for block in range(1, BLOCKS + 1):
                pools[block] = self.trunk.block(pools[block - 1], block)
            self.far[key] = {block: pools[block] for block in self.filled}
        return self.far[key]


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
