"""Layers of timm that pad by the image's size, as TensorFlow does, replaced by layers whose padding is constant.

TensorFlow pads as much as the last window needs. An FCN extends images to whole cells, so that the sides of every map
are multiples of the stride of the layer that reads it, and that is the same at each size. Without arithmetic on sizes a
network can be traced and exported.
"""

import torch.nn.functional as F
from timm.layers import AvgPool2dSame, Conv2dSame
from timm.layers.pool2d_same import MaxPool2dSame
from torch import Tensor, nn


def pad_constantly(body: nn.Module) -> None:
    """Replace timm's convolutions and poolings with TensorFlow's padding in ``body``; weights keep their names."""
    for parent in list(body.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, Conv2dSame):
                setattr(parent, name, _Convolution(layer))
            elif isinstance(layer, MaxPool2dSame | AvgPool2dSame):
                setattr(parent, name, _Pooling(layer))


class _Convolution(nn.Conv2d):
    def __init__(self, layer: Conv2dSame):
        sides = (layer.kernel_size, layer.stride)
        super().__init__(
            layer.in_channels,
            layer.out_channels,
            *sides,
            dilation=layer.dilation,
            groups=layer.groups,
            bias=layer.bias is not None,
            device="meta",
        )
        self.weight, self.bias = layer.weight, layer.bias
        self.pad = _padding(*sides, layer.dilation)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, self.pad))


class _Pooling(nn.Module):
    def __init__(self, layer: MaxPool2dSame | AvgPool2dSame):
        super().__init__()
        self.largest = isinstance(layer, MaxPool2dSame)
        sides = (layer.kernel_size, layer.stride)
        if self.largest:
            self.pool: nn.Module = nn.MaxPool2d(*sides, dilation=layer.dilation, ceil_mode=layer.ceil_mode)
            self.pad = _padding(*sides, layer.dilation)
        else:
            self.pool = nn.AvgPool2d(*sides, ceil_mode=layer.ceil_mode, count_include_pad=layer.count_include_pad)
            self.pad = _padding(*sides, (1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(F.pad(x, self.pad, value=float("-inf") if self.largest else 0.0) if any(self.pad) else x)


def _padding(kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the padding left, right, above and below a map whose sides are multiples of the stride."""
    rows, columns = (
        max(spacing * (size - 1) + 1 - step, 0) for size, step, spacing in zip(kernel, stride, dilation, strict=True)
    )
    return columns // 2, columns - columns // 2, rows // 2, rows - rows // 2
