"""Coordinates, fields and crops of layer lists: against the paper's numbers and torch's operators."""

from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fullyconv.errors import GeometryError
from fullyconv.geometry import (
    Axis,
    Step,
    adaptive_pooling,
    convolution,
    crop,
    interpolation,
    nearest,
    padding,
    pooling,
    slicing,
    transposed_convolution,
    union,
)


def through(axis: Axis, *steps: Step) -> Axis:
    for step in steps:
        axis = axis.through(step)
    return axis


def vgg16(image: Axis) -> tuple[Axis, Axis, Axis]:
    """pool3, pool4 and score_fr of the paper's VGG-16, whose first layer pads by 100."""
    conv, pool = convolution(3, padding=1), pooling(2, ceil_mode=True)
    pool2 = through(image, convolution(3, padding=100), conv, pool, conv, conv, pool)
    pool3 = through(pool2, conv, conv, conv, pool)
    pool4 = through(pool3, conv, conv, conv, pool)
    return (
        pool3,
        pool4,
        through(pool4, conv, conv, conv, pool, convolution(7), convolution(1), convolution(1)),
    )


def fused(coarse: Axis, skip: Axis) -> tuple[Axis, int]:
    """``coarse`` upsampled by two and added to ``skip``, which is cropped; and the crop."""
    coarse = coarse.through(transposed_convolution(4, 2))
    offset = crop(skip, onto=coarse)
    return union([coarse, skip.through(slicing(offset, coarse.size))]), offset


@pytest.mark.parametrize("size", [224, 500, 501])
def test_crops_of_the_paper(size: int) -> None:
    image = Axis.image(size)
    pool3, pool4, score = vgg16(image)
    assert crop(score.through(transposed_convolution(64, 32)), onto=image) == 19
    fuse4, offset4 = fused(score, pool4)
    assert (offset4, crop(fuse4.through(transposed_convolution(32, 16)), onto=image)) == (5, 27)
    fuse3, offset3 = fused(fuse4, pool3)
    assert (offset3, crop(fuse3.through(transposed_convolution(16, 8)), onto=image)) == (9, 31)


def test_the_cropped_upsampling_covers_the_image() -> None:
    for size in range(1, 100):
        upscore = vgg16(Axis.image(size))[2].through(transposed_convolution(64, 32))
        assert upscore.size >= 19 + size


def test_receptive_field_of_fcn_vgg16() -> None:
    score = vgg16(Axis.image(500))[2]
    assert (score.field, score.stride) == (404, 32)


def test_receptive_field_of_fcn_alexnet() -> None:
    conv3 = convolution(3, padding=1)
    pool5 = through(
        Axis.image(500),
        convolution(11, 4, padding=100),
        pooling(3, 2, ceil_mode=True),
        convolution(5, padding=2),
        pooling(3, 2, ceil_mode=True),
        *[conv3] * 3,
        pooling(3, 2, ceil_mode=True),
    )
    score = through(pool5, convolution(6), convolution(1), convolution(1))
    assert (score.field, score.stride) == (355, 32)
    assert crop(score.through(transposed_convolution(63, 32)), onto=Axis.image(500)) == 18  # the release's


def test_receptive_field_of_fcn_googlenet() -> None:
    def inception(axis: Axis) -> Axis:
        windows = [convolution(1), convolution(3, padding=1), convolution(5, padding=2), pooling(3, 1, padding=1)]
        return union([axis.through(window) for window in windows])

    pool = pooling(3, 2, ceil_mode=True)
    axis = through(Axis.image(500), convolution(7, 2, padding=3), pool, convolution(1), convolution(3, padding=1))
    for blocks in (2, 5, 2):
        axis = axis.through(pool)
        for _ in range(blocks):
            axis = inception(axis)
    assert (axis.field, axis.stride) == (715, 32)
    assert axis.through(pooling(7, 1)).field == 907


def test_worked_example_of_the_paper() -> None:
    steps = [convolution(5), pooling(2), convolution(5), convolution(1), convolution(1)]
    assert [through(Axis.image(size), *steps).size for size in (14, 16, 28)] == [1, 2, 8]
    scores = through(Axis.image(16), *steps)
    assert scores.seen == ((0, 13), (2, 15))
    assert (scores.stride, scores.offset, scores.field) == (2, Fraction(13, 2), 14)


def test_cells_of_stacked_pools_and_of_strided_convolutions() -> None:
    """VGG's cells lie at half-pixel centres, ResNet's on pixels; interpolation keeps to the one or the other."""
    vgg = through(Axis.image(224), *[pooling(2)] * 5)
    resnet = through(Axis.image(224), *[convolution(3, 2, padding=1)] * 5)
    assert (vgg.stride, vgg.offset) == (32, Fraction(31, 2))
    assert (resnet.stride, resnet.offset) == (32, 0)
    assert vgg.through(interpolation(7, 224)).offset == 0
    assert resnet.through(interpolation(7, 224)).offset == Fraction(-31, 2)
    assert resnet.through(interpolation(7, 193, align_corners=True)).stride == 1


def test_padding_sees_nothing() -> None:
    axis = Axis.image(4).through(padding(2, 1))
    assert axis.seen == (None, None, (0, 0), (1, 1), (2, 2), (3, 3), None)
    assert axis.through(convolution(2, dilation=2)).seen == ((0, 0), (1, 1), (0, 2), (1, 3), (2, 2))
    assert axis.through(convolution(3)).seen == ((0, 0), (0, 1), (0, 2), (1, 3), (2, 3))


def test_branches_that_meet() -> None:
    image = Axis.image(20)
    left, right = image.through(slicing(0, 16)), image.through(slicing(4, 16))
    both = union([left, right])
    assert (both.stride, both.offset, both.field) == (1, 2, 5)
    assert both.seen[3] == (3, 7)
    with pytest.raises(GeometryError, match=r"equal sizes and strides.*20 cells 1 pixels.*10 cells 2 pixels"):
        union([image, image.through(pooling(2))])
    with pytest.raises(GeometryError, match="equal sizes"):
        union([image, left])


def test_a_branch_that_sees_everything_takes_no_part_in_the_centre() -> None:
    image = Axis.image(12)
    pooled = through(image, adaptive_pooling(12, 1), interpolation(1, 12, align_corners=True)).seeing([image])
    both = union([image, pooled])
    assert (both.stride, both.offset, both.field, both.seen[5]) == (1, 0, None, (0, 11))


def test_crop_refuses_what_is_no_whole_number_of_cells() -> None:
    image = Axis.image(20)
    with pytest.raises(GeometryError, match="1/2 cells apart"):
        crop(image, onto=image.through(pooling(2, 1)))
    with pytest.raises(GeometryError, match="stride 1 onto one of stride 2"):
        crop(image, onto=image.through(pooling(2)))
    assert crop(image.through(padding(3, 0)), onto=image) == 3
    assert crop(image, onto=image.through(padding(3, 0))) == -3


def test_a_map_without_cells_is_refused() -> None:
    with pytest.raises(GeometryError, match="4 cells is too small"):
        Axis.image(4).through(convolution(5))


SIZES = st.integers(1, 25)
RESIZINGS: dict[str, tuple[Callable[[Tensor, int], Tensor], Callable[[int, int], Step]]] = {
    "bilinear": (lambda x, n: F.interpolate(x, size=n, mode="linear"), interpolation),
    "corners": (
        lambda x, n: F.interpolate(x, size=n, mode="linear", align_corners=True),
        lambda n, m: interpolation(n, m, align_corners=True),
    ),
    "bicubic": (
        lambda x, n: F.interpolate(x[..., None], size=(n, 1), mode="bicubic")[..., 0],
        lambda n, m: interpolation(n, m, cubic=True),
    ),
    "nearest": (lambda x, n: F.interpolate(x, size=n, mode="nearest"), nearest),
    "nearest-exact": (
        lambda x, n: F.interpolate(x, size=n, mode="nearest-exact"),
        lambda n, m: nearest(n, m, exact=True),
    ),
    "adaptive": (lambda x, n: F.adaptive_avg_pool1d(x, n), adaptive_pooling),
}


@pytest.mark.parametrize("name", RESIZINGS)
@settings(deadline=None, max_examples=40)
@given(SIZES, SIZES)
def test_resizing_reads_what_torch_reads(name: str, n: int, m: int) -> None:
    resize, step = RESIZINGS[name]
    matrix = resize(torch.eye(n, dtype=torch.double)[:, None], m)[:, 0].T  # (m, n): weight of each input cell
    axis = Axis.image(n).through(step(n, m))
    for cell, weights in enumerate(matrix):
        taps = (weights.abs() > 1e-9).nonzero().flatten().tolist()
        assert axis.seen[cell] == (taps[0], taps[-1]), (cell, taps)


@pytest.mark.parametrize(("n", "m"), [(4, 12), (6, 15), (12, 4), (15, 6), (12, 12), (5, 10)])
@pytest.mark.parametrize("name", ["nearest", "nearest-exact"])
def test_the_offset_of_nearest_is_the_mean_one(name: str, n: int, m: int) -> None:
    resize, step = RESIZINGS[name]
    ramp = resize(torch.arange(n, dtype=torch.double)[None, None], m).flatten()
    axis = Axis.image(n).through(step(n, m))
    mean = sum(axis.stride * cell + axis.offset for cell in range(m)) / m
    assert float(mean) == pytest.approx(ramp.mean().item(), abs=1e-12)


@settings(deadline=None, max_examples=60)
@given(SIZES, st.integers(1, 4), st.integers(1, 4), st.integers(0, 2), st.integers(1, 2), st.booleans())
def test_pooling_sizes_are_torchs(n: int, kernel: int, stride: int, pad: int, dilation: int, ceil_mode: bool) -> None:
    pad = min(pad, kernel // 2)
    step = pooling(kernel, stride, pad, dilation, ceil_mode)
    try:
        expected = F.max_pool1d(torch.zeros(1, n), kernel, stride, pad, dilation, ceil_mode).shape[-1]
    except RuntimeError:  # no cell is left
        expected = 0
    assert max(step.size(n), 0) == expected
