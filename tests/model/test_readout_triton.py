"""The GPU's kernels against the readout in torch, on the GPU or, where there is none, in Triton's interpreter."""

from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import Version

from fullyconv.geometry import Lattice
from fullyconv.model import readout
from fullyconv.model.readout import blocks, interpolation

triton = pytest.importorskip("triton")
from fullyconv.model.readout import triton as readout_triton  # noqa: E402

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu" and Version(triton.__version__) < Version("3.9") and Version(np.__version__) >= Version("2.4"):
    pytest.skip("Triton's older interpreters do not loop under NumPy 2.4", allow_module_level=True)

HALF_PIXEL_8 = Lattice((Fraction(8),) * 2, (Fraction(7, 2),) * 2)
CORNER_16 = Lattice((Fraction(16),) * 2, (Fraction(0),) * 2)
PAPER_32 = Lattice((Fraction(32),) * 2, (Fraction(-7, 2), Fraction(31, 2)))
STRETCHED = Lattice.stretched((63, 63), (501, 501))

CASES: dict[str, tuple[Any, ...]] = {
    "half-pixel, stride 8": (HALF_PIXEL_8, (2, 4), (16, 31), "bilinear", "repeat"),
    "corner, stride 16": (CORNER_16, (3, 2), (33, 19), "bilinear", "repeat"),
    "crop, stride 32, nothing beyond": (PAPER_32, (2, 2), (37, 70), "bilinear", "zero"),
    "501/63, far beyond the border": (STRETCHED, (2, 3), (29, 23), "bilinear", "zero"),
    "one cell": (HALF_PIXEL_8, (1, 1), (9, 5), "bilinear", "repeat"),
    "nearest": (HALF_PIXEL_8, (2, 3), (13, 24), "nearest", "repeat"),
    "bicubic": (HALF_PIXEL_8, (2, 5), (11, 40), "bicubic", "repeat"),
}


def scores_like(cells, classes=3, images=2, dtype=torch.float32):
    random = torch.Generator().manual_seed(0)
    return torch.randn(images, classes, *cells, generator=random).to(DEVICE, dtype)


def masks(images, size, classes, ignored=0.3):
    random = torch.Generator().manual_seed(1)
    labels = torch.randint(0, classes, (images, *size), generator=random, dtype=torch.uint8)
    labels[torch.rand(labels.shape, generator=random) < ignored] = 255
    return labels.to(DEVICE)


def value_and_gradient(form, scores, *arguments, **options):
    scores = scores.detach().requires_grad_()
    value = form(scores, *arguments, **options)
    value.backward()
    return value.detach(), scores.grad


def assert_same_loss(scores, labels, *arguments, tolerance=1e-5, **options):
    value, gradient = value_and_gradient(readout_triton.loss, scores, labels, *arguments, **options)
    expected, slope = value_and_gradient(readout.loss, scores.double(), labels, *arguments, **options)
    torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=1e-6)
    assert gradient.dtype == scores.dtype
    assert (gradient.double() - slope).norm() <= tolerance * slope.norm()


def assert_strongest(labels, scores, *arguments):
    """Every label's logit is the highest, but for rounding."""
    logits = readout.logits(scores.double(), *arguments)
    chosen = logits.gather(1, labels.long()[:, None])[:, 0]
    assert (logits.amax(1) - chosen).max() <= 1e-5


@pytest.mark.parametrize("case", CASES)
def test_labels_are_those_of_highest_logit(case):
    lattice, cells, *arguments = CASES[case]
    scores = scores_like(cells)
    labels = readout_triton.labels(scores, lattice, *arguments)
    assert labels.dtype == torch.uint8
    assert_strongest(labels, scores, lattice, *arguments)


@pytest.mark.parametrize("case", CASES)
def test_loss_is_the_readouts_in_value_and_gradient(case):
    lattice, cells, size, *arguments = CASES[case]
    assert_same_loss(scores_like(cells, 2, 1), masks(1, size, 2), lattice, *arguments)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_loss_with_class_weights_and_smoothing(smoothing, reduction):
    options = {"weight": torch.tensor([0.5, 2.0, 1.0]), "label_smoothing": smoothing, "reduction": reduction}
    assert_same_loss(scores_like((2, 2), images=1), masks(1, (15, 17), 3), HALF_PIXEL_8, **options)


def test_smoothing_without_weights():
    assert_same_loss(scores_like((2, 2), images=1), masks(1, (15, 17), 3), HALF_PIXEL_8, label_smoothing=0.1)


def test_the_ignored_label_may_be_a_class_and_labels_any_integers():
    labels = masks(1, (15, 17), 3, ignored=0).long()
    assert_same_loss(scores_like((2, 2), images=1), labels, HALF_PIXEL_8, ignore_index=1)


def test_half_precision_channels_last_scores_and_a_batch():
    scores = scores_like((2, 3), dtype=torch.bfloat16).to(memory_format=torch.channels_last)
    size = (16, 21)
    assert_strongest(readout_triton.labels(scores, HALF_PIXEL_8, size), scores, HALF_PIXEL_8, size)
    assert_same_loss(scores, masks(2, size, 3), HALF_PIXEL_8, tolerance=2**-8)


def test_scores_that_are_part_of_a_wider_tensor():
    scores = scores_like((2, 3), classes=5)[:, 1:4]
    assert_strongest(readout_triton.labels(scores, HALF_PIXEL_8, (16, 21)), scores, HALF_PIXEL_8, (16, 21))


def test_every_pixel_ignored_gives_zero():
    labels = torch.full((1, 8, 8), 255, dtype=torch.uint8, device=DEVICE)
    value, gradient = value_and_gradient(readout_triton.loss, scores_like((1, 2), images=1), labels, HALF_PIXEL_8)
    assert value == 0
    assert not gradient.any()


def test_a_label_that_is_no_class_gives_no_number():
    labels = torch.full((1, 8, 8), 3, dtype=torch.uint8, device=DEVICE)
    assert readout_triton.loss(scores_like((1, 2), images=1), labels, HALF_PIXEL_8).isnan()


@given(
    stride=st.fractions(1, 32, max_denominator=9),
    offset=st.fractions(-40, 40, max_denominator=6),
    cells=st.integers(1, 9),
    pixels=st.integers(1, 90),
    method=st.sampled_from(["nearest", "bilinear", "bicubic"]),
    border=st.sampled_from(["repeat", "zero"]),
)
@settings(max_examples=100, deadline=None)
def test_bands_hold_every_pixel_once_with_the_readouts_weights(stride, offset, cells, pixels, method, border):
    axis = readout_triton._axis(method, border, stride, offset, cells, pixels, 8, torch.device("cpu"))
    assert axis.starts[0] == 0
    assert axis.starts[-1] == pixels
    full = torch.zeros(pixels, cells)
    for band, (start, stop) in enumerate(pairwise(axis.starts.tolist())):
        assert start <= stop
        full[start:stop, band : band + axis.taps] = axis.weights[:, start:stop].T
    window, matrix = interpolation.matrix(method, border, stride, offset, cells, 0, pixels)
    expected = torch.zeros(pixels, cells)
    expected[:, window] = matrix.float()
    assert torch.equal(full, expected)


def test_second_derivatives_are_those_of_the_plain_form():
    scores, labels = scores_like((2, 3), images=1), masks(1, (13, 20), 3)

    def second_order(form):
        own = scores.clone().requires_grad_()
        value = form.loss(own, labels, HALF_PIXEL_8, label_smoothing=0.1, reduction="sum")
        (gradient,) = torch.autograd.grad(value, own, create_graph=True)
        return torch.autograd.grad(gradient.square().sum(), own)[0]

    torch.testing.assert_close(second_order(readout_triton), second_order(blocks), rtol=1e-4, atol=1e-5)
