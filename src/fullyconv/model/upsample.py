"""Upsampling from one lattice of cells to another: nearest, bilinear, bicubic, or learnt (transposed convolution).

A cell of a coarse map looks at one point of the image, a cell of a finer map at another; both are known exactly from
the network's geometry. Fine cell j lies at coarse coordinate p(j) = j / factor + shift, and takes
Σ_i h(p(j) − i) · coarse(i), where h is the interpolating kernel (a box, a tent, a cubic). Because the factor is a
whole number the weights repeat with it, so that the sum is a transposed convolution (paper, section 3.3). A learnt
kernel's size is a multiple of its stride: each output sees equally many inputs, and there is no checkerboard.
Beyond the border the nearest cell is repeated.
"""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Method = Literal["nearest", "bilinear", "bicubic", "transposed"]


def _box(x: Tensor) -> Tensor:
    return ((x >= -0.5) & (x < 0.5)).to(x.dtype)


def _tent(x: Tensor) -> Tensor:
    return (1 - x.abs()).clamp(min=0)


def _cubic(x: Tensor, a: float = -0.75) -> Tensor:
    """Keys' cubic convolution kernel with the a = −3/4 of torch and OpenCV."""
    x = x.abs()
    inner = (a + 2) * x**3 - (a + 3) * x**2 + 1
    outer = a * (x**3 - 5 * x**2 + 8 * x - 4)
    return torch.where(x < 1, inner, torch.where(x < 2, outer, 0.0))


KERNELS: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {
    "nearest": (_box, 1),
    "bilinear": (_tent, 1),
    "bicubic": (_cubic, 2),
    "transposed": (_tent, 1),
}
"""Per method its kernel h and how far h reaches to either side, in coarse cells. A learnt kernel starts as bilinear."""


class _Axis:
    """One axis of an upsampling: the transposed convolution's kernel, and where its output has to be cropped."""

    def __init__(self, method: Method, factor: int, shift: Fraction):
        h, self.reach = KERNELS[method]
        self.factor, self.shift = factor, shift
        self.first_tap = math.floor(-factor * (self.reach + shift)) + 1
        taps = range(self.first_tap, self.first_tap + 2 * self.reach * factor)
        positions = [float(Fraction(tap, factor) + shift) for tap in taps]
        self.kernel = h(torch.tensor(positions, dtype=torch.float64, device="cpu")).float()
        if method != "transposed":  # an outer tap that is zero and stays so would only widen the receptive field
            used = self.kernel.nonzero().flatten()
            self.kernel = self.kernel[used[0] : used[-1] + 1]
            self.first_tap += int(used[0])

    def borders(self, cells: int, size: int) -> tuple[int, int, int]:
        """Cells to repeat before and after, and the first output to keep, to go from ``cells`` to ``size``."""
        before = max(0, self.reach - math.floor(self.shift))
        over, under = self.shift.numerator, self.shift.denominator
        # The last output's coordinate, rounded up; in whole numbers, which torch.compile can follow for any size.
        last = -(-((size - 1) * under + over * self.factor) // (self.factor * under))
        after = max(0, last + self.reach - (cells - 1))
        return before, after, before * self.factor - self.first_tap


class Upsample(nn.Module):
    """Upsample (N, C, h, w) by a whole factor onto a finer lattice.

    ``shift``: where the fine map's first cell lies, in coarse cells, per axis (−1/4 for factor 2 on half-pixel
    lattices as VGG's; 0 where first cells coincide, as in ResNets). ``transposed`` learns one kernel over all
    channels, starting as bilinear interpolation of each.
    """

    weight: Tensor

    def __init__(self, channels: int, factor: tuple[int, int], shift: tuple[Fraction, Fraction], method: Method):
        super().__init__()
        self.rows, self.columns = (_Axis(method, f, s) for f, s in zip(factor, shift, strict=True))
        self.groups = _hold_kernel(self, channels, method)

    def plane(self) -> Tensor:
        """Return the kernel of one channel, (rows, columns), as it is before any training."""
        return self.rows.kernel[:, None] * self.columns.kernel

    def forward(self, coarse: Tensor, size: tuple[int, int]) -> Tensor:
        """(N, C, h, w) → (N, C, *size)."""
        top, bottom, first_row = self.rows.borders(coarse.shape[-2], size[0])
        left, right, first_column = self.columns.borders(coarse.shape[-1], size[1])
        coarse = F.pad(coarse, (left, right, top, bottom), mode="replicate")
        stride = (self.rows.factor, self.columns.factor)
        fine = F.conv_transpose2d(coarse, self.weight, stride=stride, groups=self.groups)
        return fine[..., first_row : first_row + size[0], first_column : first_column + size[1]]


class Deconvolution(nn.Module):
    """Upsample (N, C, h, w) by a whole factor to all that a transposed convolution gives, as the paper's release does.

    ``kernel`` is its size: (N, C, (h − 1) · factor + kernel, …), where nothing lies beyond the border.
    """

    weight: Tensor

    def __init__(self, channels: int, factor: int, method: Method):
        super().__init__()
        self.axis = _Axis(method, factor, Fraction(1 - factor, 2 * factor))  # centred between its two middle taps
        self.factor, self.kernel = factor, len(self.axis.kernel)
        self.groups = _hold_kernel(self, channels, method)

    def plane(self) -> Tensor:
        """Return the kernel of one channel, (rows, columns), as it is before any training."""
        return self.axis.kernel[:, None] * self.axis.kernel

    def forward(self, coarse: Tensor) -> Tensor:
        return F.conv_transpose2d(coarse, self.weight, stride=self.factor, groups=self.groups)


def _hold_kernel(module: Upsample | Deconvolution, channels: int, method: Method) -> int:
    """Give ``module`` its weight, learnt over all channels or fixed for each; the convolution's groups."""
    plane = module.plane().to(torch.get_default_device())
    if method == "transposed":
        module.weight = nn.Parameter(torch.eye(channels)[:, :, None, None] * plane)
        return 1
    module.register_buffer("weight", plane.expand(channels, 1, *plane.shape).clone(), persistent=False)
    return channels


def fill_fixed_kernels(network: nn.Module) -> None:
    """Give the fixed kernels of a network that was laid out without memory their numbers, which are in no file."""
    for module in network.modules():
        if isinstance(module, Upsample | Deconvolution) and not isinstance(module.weight, nn.Parameter):
            module.weight = torch.empty_like(module.weight, device="cpu").copy_(module.plane())
