"""The release's networks in plain torch, line by line from its prototxts: forward passes, and nothing of fullyconv's.

Weights are blobs by Caffe layer name (weights, then biases). Images are (N, C, H, W), blue, green, red, mean
subtracted, as Caffe takes them; scores are (N, classes, H, W).
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Blobs = Mapping[str, Sequence[Tensor]]

VGG16 = {1: 2, 2: 2, 3: 3, 4: 3, 5: 3}


def convolve(blobs: Blobs, name: str, x: Tensor, *, stride: int = 1, pad: int = 0, group: int = 1) -> Tensor:
    weight, bias = blobs[name]
    return F.conv2d(x, weight, bias, stride, pad, groups=group)


def relu(blobs: Blobs, name: str, x: Tensor, **options: int) -> Tensor:
    return F.relu(convolve(blobs, name, x, **options))


def deconvolve(blobs: Blobs, name: str, x: Tensor, stride: int) -> Tensor:
    (weight,) = blobs[name]
    return F.conv_transpose2d(
        x, weight, stride=stride, groups=x.shape[1] // weight.shape[1] if weight.shape[1] == 1 else 1
    )


def crop(x: Tensor, like: Tensor, offset: int) -> Tensor:
    return x[:, :, offset : offset + like.shape[2], offset : offset + like.shape[3]]


def normalize(x: Tensor) -> Tensor:
    """Caffe's LRN across channels: local_size 5, alpha 0.0001, beta 0.75."""
    squares = F.pad(x**2, (0, 0, 0, 0, 2, 2))
    around = sum(squares[:, i : i + x.shape[1]] for i in range(5))
    return x / (1 + 0.0001 / 5 * around) ** 0.75


def vgg16_trunk(
    blobs: Blobs, x: Tensor, suffix: str = "", first: str = "conv1_1", *, same: bool = False
) -> tuple[Tensor, dict[int, Tensor]]:
    """fc7 (relu7), and the pools by number."""
    pools = {}
    for block, depth in VGG16.items():
        for number in range(1, depth + 1):
            outermost = block == number == 1
            name = first if outermost else f"conv{block}_{number}"
            x = relu(blobs, name + suffix, x, pad=100 if outermost and not same else 1)
        x = pools[block] = F.max_pool2d(x, 2, 2, ceil_mode=True)
    x = relu(blobs, "fc6" + suffix, x, pad=3 if same else 0)
    return relu(blobs, "fc7" + suffix, x), pools


def fcn_vgg16(blobs: Blobs, image: Tensor, stride: int, suffix: str = "", first: str = "conv1_1") -> Tensor:
    """FCN-32s, 16s, 8s; at once if the blobs have its scales. ``suffix``: of a head's layers."""
    fc7, pools = vgg16_trunk(blobs, image, first=first)
    score = convolve(blobs, "score_fr" + suffix, fc7)
    if stride == 32:
        return crop(deconvolve(blobs, "upscore" + suffix, score, 32), image, 19)
    up = deconvolve(blobs, "upscore2" + suffix, score, 2)
    score = up + crop(_skip(blobs, 4, pools, suffix), up, 5)
    if stride == 16:
        return crop(deconvolve(blobs, "upscore16" + suffix, score, 16), image, 27)
    up = deconvolve(blobs, "upscore_pool4" + suffix, score, 2)
    score = up + crop(_skip(blobs, 3, pools, suffix), up, 9)
    return crop(deconvolve(blobs, "upscore8" + suffix, score, 8), image, 31)


def _skip(blobs: Blobs, pool: int, pools: dict[int, Tensor], suffix: str) -> Tensor:
    tap = pools[pool]
    if f"scale_pool{pool}" in blobs:
        tap = tap * blobs[f"scale_pool{pool}"][0].view(1, -1, 1, 1)
    return convolve(blobs, f"score_pool{pool}{suffix}", tap)


def fcn_vgg16_same(blobs: Blobs, image: Tensor, stride: int) -> Tensor:
    """Without the border of 100: the image is extended to whole cells, and VGG's cells are half-pixel centred."""
    fc7, pools = vgg16_trunk(blobs, extended(image), same=True)
    score = convolve(blobs, "score_fr", fc7)
    for pool in (4, 3):
        if 2**pool >= stride:
            score = F.interpolate(score, scale_factor=2, mode="bilinear") + _skip(blobs, pool, pools, "")
    return crop(F.interpolate(score, scale_factor=stride, mode="bilinear"), image, 0)


def extended(image: Tensor) -> Tensor:
    """To multiples of 32, by the last row and column."""
    return F.pad(image, (0, -image.shape[3] % 32, 0, -image.shape[2] % 32), mode="replicate")


def fcn_late_fusion(blobs: Blobs, color: Tensor, hha: Tensor) -> Tensor:
    scores = [
        convolve(blobs, f"score_fr{name}", vgg16_trunk(blobs, image, name)[0])
        for name, image in (("color", color), ("hha", hha))
    ]
    return crop(deconvolve(blobs, "upscore", 0.5 * scores[0] + 0.5 * scores[1], 32), color, 19)


def fcn_alexnet(blobs: Blobs, image: Tensor) -> Tensor:
    x = F.max_pool2d(relu(blobs, "conv1", image, stride=4, pad=100), 3, 2, ceil_mode=True)
    x = F.max_pool2d(relu(blobs, "conv2", normalize(x), pad=2, group=2), 3, 2, ceil_mode=True)
    x = relu(blobs, "conv3", normalize(x), pad=1)
    x = relu(blobs, "conv4", x, pad=1, group=2)
    x = relu(blobs, "conv5", x, pad=1, group=2)
    x = relu(blobs, "fc7", relu(blobs, "fc6", F.max_pool2d(x, 3, 2, ceil_mode=True)))
    return crop(deconvolve(blobs, "upscore", convolve(blobs, "score_fr", x), 32), image, 18)


def fcn_alexnet_same(blobs: Blobs, image: Tensor) -> Tensor:
    """Cells of stride 32 from pixel 16 on: fc6's even kernel has two cells before its middle and three after."""
    x = F.max_pool2d(relu(blobs, "conv1", extended(image), stride=4, pad=5), 3, 2, padding=1)
    x = F.max_pool2d(relu(blobs, "conv2", normalize(x), pad=2, group=2), 3, 2, padding=1)
    x = relu(blobs, "conv3", normalize(x), pad=1)
    x = relu(blobs, "conv4", x, pad=1, group=2)
    x = relu(blobs, "conv5", x, pad=1, group=2)
    x = F.pad(F.max_pool2d(x, 3, 2, padding=1), (2, 3, 2, 3))
    score = convolve(blobs, "score_fr", relu(blobs, "fc7", relu(blobs, "fc6", x)))
    return _spread(score, image, 16)


def fcn_googlenet(blobs: Blobs, image: Tensor) -> Tensor:
    score = convolve(blobs, "score_fr", _googlenet(blobs, image, 100, {"ceil_mode": True}))
    return crop(deconvolve(blobs, "upscore", score, 32), image, 98)


def fcn_googlenet_same(blobs: Blobs, image: Tensor) -> Tensor:
    """Cells of stride 32 from pixel 0 on."""
    score = convolve(blobs, "score_fr", _googlenet(blobs, extended(image), 3, {"padding": 1}))
    return _spread(score, image, 0)


def _googlenet(blobs: Blobs, image: Tensor, pad: int, halving: dict[str, int]) -> Tensor:
    x = normalize(F.max_pool2d(relu(blobs, "conv1/7x7_s2", image, stride=2, pad=pad), 3, 2, **halving))
    x = relu(blobs, "conv2/3x3", relu(blobs, "conv2/3x3_reduce", x), pad=1)
    x = F.max_pool2d(normalize(x), 3, 2, **halving)
    for stage, modules in (("3", "ab"), ("4", "abcde"), ("5", "ab")):
        if stage != "3":
            x = F.max_pool2d(x, 3, 2, **halving)
        for module in modules:
            name = f"inception_{stage}{module}/"
            branches = (
                relu(blobs, name + "1x1", x),
                relu(blobs, name + "3x3", relu(blobs, name + "3x3_reduce", x), pad=1),
                relu(blobs, name + "5x5", relu(blobs, name + "5x5_reduce", x), pad=2),
                relu(blobs, name + "pool_proj", F.max_pool2d(x, 3, 1, padding=1)),
            )
            x = torch.cat(branches, 1)
    return x


def _spread(score: Tensor, image: Tensor, first: int) -> Tensor:
    """Bilinear, from cells 32 pixels apart, the first one at pixel ``first``; beyond the border the nearest cell."""
    tent = 1 - (torch.arange(63.0) - 31).abs() / 32
    kernel = (tent[:, None] * tent).expand(score.shape[1], 1, 63, 63)
    padded = F.pad(score, (1, 1, 1, 1), mode="replicate")
    return crop(F.conv_transpose2d(padded, kernel, stride=32, groups=score.shape[1]), image, 31 + 32 - first)
