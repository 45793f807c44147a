"""Random stacks of layers, and what each cell of their output sees, found by lighting single pixels."""

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor, nn

Interval = tuple[int, int]


class Stack(nn.Sequential):
    """Layers one after the other; refuses maps without cells, and maps too large to test in a moment."""

    def forward(self, x: Tensor) -> Tensor:
        for layer in self:
            x = layer(x)
            if not 0 < x.numel() <= 200_000:
                raise RuntimeError(f"{x.numel()} cells")
        return x


class Pad(nn.Module):
    def __init__(self, sides: list[int], mode: str):
        super().__init__()
        self.sides, self.mode = sides, mode

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, self.sides, mode=self.mode)


class Crop(nn.Module):
    def __init__(self, start: tuple[int, int], step: tuple[int, int]):
        super().__init__()
        self.rows, self.cols = (slice(first, None, by) for first, by in zip(start, step, strict=True))

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, self.rows, self.cols]


class Resize(nn.Module):
    def __init__(self, size: tuple[int, int], corners: bool):
        super().__init__()
        self.size, self.corners = size, corners

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, size=self.size, mode="bilinear", align_corners=self.corners)


class Enlarge(nn.Module):
    def __init__(self, factor: tuple[int, int]):
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=self.factor, mode="nearest")


class Branches(nn.Module):
    def __init__(self, left: nn.Module, right: nn.Module, cat: bool):
        super().__init__()
        self.left, self.right, self.cat = left, right, cat

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.left(x), self.right(x)
        return torch.cat([left, right], 1).mean(1, keepdim=True) if self.cat else left + right


@st.composite
def layers(draw: st.DrawFn, kinds: list[str], padded: bool, one_axis: bool) -> nn.Module:
    """One layer on one channel; with ``one_axis`` it leaves columns alone."""

    def pair(low: int, high: int, still: int) -> tuple[int, int]:
        return draw(st.integers(low, high)), still if one_axis else draw(st.integers(low, high))

    kind = draw(st.sampled_from(kinds))
    kernel, stride, dilation = pair(1, 4, 1), pair(1, 3, 1), pair(1, 2, 1)
    padding = pair(0, 3, 0) if padded else (0, 0)
    half = (min(padding[0], kernel[0] // 2), min(padding[1], kernel[1] // 2))
    if kind == "convolution":
        return nn.Conv2d(1, 1, kernel, stride, padding, dilation, bias=False)
    if kind == "max":
        return nn.MaxPool2d(kernel, stride, half, dilation, ceil_mode=draw(st.booleans()))
    if kind == "average":
        return nn.AvgPool2d(kernel, stride, half, ceil_mode=padded and draw(st.booleans()))
    if kind == "transposed":
        extra = (draw(st.integers(0, max(stride[0], dilation[0]) - 1)), 0)
        return nn.ConvTranspose2d(1, 1, kernel, stride, padding, extra, bias=False, dilation=dilation)
    if kind == "resize":
        return Resize(pair(1, 25, 1), draw(st.booleans()))
    if kind == "nearest":
        return Enlarge(pair(1, 3, 1))
    if kind == "pad":
        (top, left), (bottom, right) = pair(-1, 3, 0), pair(-1, 3, 0)
        mode = draw(st.sampled_from(["constant", "reflect", "replicate"]))
        sides = [left, right, top, bottom]
        return Pad(sides if mode == "constant" else [max(0, side) for side in sides], mode)
    if kind == "crop":
        return Crop(pair(0, 3, 0), stride)
    across = (1, 1) if one_axis else draw(st.sampled_from([(1, 1), (3, 3)]))
    wide = nn.Conv2d(1, 1, (3, across[0]), (stride[0], 1), (2, across[0] // 2), (2, 1), bias=False)
    narrow = nn.MaxPool2d((3, across[1]), (stride[0], 1), (1, across[1] // 2))
    return Branches(wide, narrow, draw(st.booleans()))


def stacks(kinds: str, padded: bool = True, one_axis: bool = False, most: int = 5) -> st.SearchStrategy[nn.Module]:
    """Up to ``most`` layers of these kinds, in double precision, with positive weights."""

    def positive(parts: list[nn.Module]) -> nn.Module:
        network = Stack(*parts).double()
        for parameter in network.parameters():
            nn.init.uniform_(parameter, 0.5, 1.5)
        return network

    return st.lists(layers(kinds.split(), padded, one_axis), min_size=1, max_size=5).map(positive)


def responses(network: nn.Module, height: int, width: int) -> Tensor:
    """Whether each output cell sees each pixel: (height, width, h, w), by lighting one pixel at a time.

    On a dark image a network of positive weights, averages and maxima is dark, and a cell lights up when, and only
    when, it sees the pixel that is lit. Raises RuntimeError where torch cannot run the network at this size.
    """
    images = torch.eye(height * width, dtype=torch.double).view(height * width, 1, height, width)
    lit = network(images)[:, 0] > 1e-9
    return lit.view(height, width, *lit.shape[1:])


def seen(lit: Tensor, row: int, col: int) -> tuple[Interval, Interval] | None:
    """The pixels that one cell sees by `responses`: ((top, bottom), (left, right))."""
    rows, cols = lit[:, :, row, col].nonzero(as_tuple=True)
    if not len(rows):
        return None
    return (int(rows.min()), int(rows.max())), (int(cols.min()), int(cols.max()))
