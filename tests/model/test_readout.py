"""Labels are the argmax of the logits and the loss is torch's cross-entropy of them, without the logits."""

from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from fullyconv.geometry import Lattice
from fullyconv.model import readout

VGG_8 = Lattice((Fraction(8),) * 2, (Fraction(7, 2),) * 2)
RESNET_8 = Lattice((Fraction(8),) * 2, (Fraction(0),) * 2)
METHODS = ["nearest", "bilinear", "bicubic"]

lattices = st.builds(
    Lattice,
    st.tuples(st.sampled_from([*map(Fraction, (1, 2, 4, 8)), Fraction(16, 3)]), st.just(Fraction(8))),
    st.tuples(st.fractions(-3, 5, max_denominator=6), st.fractions(-3, 5, max_denominator=6)),
)


@pytest.mark.parametrize("method", METHODS)
def test_logits_on_the_half_pixel_lattice_are_torchs_interpolate(method):
    scores = torch.randn(2, 5, 9, 40, dtype=torch.float64)
    expected = F.interpolate(scores, scale_factor=8, mode={"nearest": "nearest-exact"}.get(method, method))
    torch.testing.assert_close(readout.logits(scores, VGG_8, (72, 320), method), expected)


@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
def test_logits_on_the_corner_lattice_are_torchs_align_corners(method):
    scores = torch.randn(2, 5, 9, 40, dtype=torch.float64)
    expected = F.interpolate(scores, size=(65, 313), mode=method, align_corners=True)
    torch.testing.assert_close(readout.logits(scores, RESNET_8, (65, 313), method), expected)


@given(lattice=lattices, height=st.integers(1, 90), width=st.integers(1, 300))
@settings(max_examples=60, deadline=None)
def test_bilinear_reads_a_ramp_at_each_pixels_coordinate(lattice, height, width):
    cells = torch.arange(30, dtype=torch.float64)
    scores = torch.stack([cells[:, None].expand(30, 30), cells.expand(30, 30)])[None]
    result = readout.logits(scores, lattice, (height, width))[0]

    def coordinates(axis, length):
        exact = [(pixel - lattice.offset[axis]) / lattice.stride[axis] for pixel in range(length)]
        return torch.tensor([float(min(max(x, 0), 29)) for x in exact], dtype=torch.float64)

    torch.testing.assert_close(result[0], coordinates(0, height)[:, None].expand(height, width))
    torch.testing.assert_close(result[1], coordinates(1, width).expand(height, width))


@given(lattice=lattices, method=st.sampled_from(METHODS), seed=st.integers(0, 99), classes=st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_labels_are_the_argmax_of_logits(lattice, method, seed, classes):
    scores = torch.randn(2, classes, 5, 7, generator=torch.Generator().manual_seed(seed))
    size = (67, 261)
    expected = readout.logits(scores, lattice, size, method).argmax(1)
    labels = readout.labels(scores, lattice, size, method)
    assert labels.dtype == torch.uint8
    assert torch.equal(labels.long(), expected)


@given(lattice=lattices, method=st.sampled_from(METHODS), seed=st.integers(0, 99), classes=st.integers(1, 6))
@settings(max_examples=20, deadline=None)
def test_confidence_is_the_highest_probability(lattice, method, seed, classes):
    scores = 5 * torch.randn(2, classes, 5, 7, generator=torch.Generator().manual_seed(seed))
    expected = readout.logits(scores, lattice, (67, 261), method).softmax(1).amax(1)
    found = readout.confidence(scores, lattice, (67, 261), method)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def cross_entropy(scores, labels, lattice, size, weight, smoothing, reduction):
    full = readout.logits(scores, lattice, size)
    return F.cross_entropy(
        full,
        labels.long(),
        weight=weight,
        ignore_index=255,
        label_smoothing=smoothing,
        reduction=reduction,
    )


@given(
    lattice=lattices,
    weighted=st.booleans(),
    smoothing=st.sampled_from([0.0, 0.1]),
    reduction=st.sampled_from(["mean", "sum"]),
    ignored=st.floats(0, 0.9),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_loss_is_cross_entropy_in_value_and_gradient(lattice, weighted, smoothing, reduction, ignored, seed):
    random = torch.Generator().manual_seed(seed)
    scores = torch.randn(2, 4, 5, 7, generator=random).requires_grad_()
    size = (70, 270)
    labels = torch.randint(0, 4, (2, *size), generator=random, dtype=torch.uint8)
    labels[torch.rand(labels.shape, generator=random) < ignored] = 255
    weight = torch.rand(4, generator=random) + 0.1 if weighted else None

    expected = cross_entropy(scores, labels, lattice, size, weight, smoothing, reduction)
    (expected_gradient,) = torch.autograd.grad(expected, scores)
    value = readout.loss(scores, labels, lattice, weight=weight, label_smoothing=smoothing, reduction=reduction)
    (gradient,) = torch.autograd.grad(value, scores)
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-5)
    assert (gradient - expected_gradient).norm() <= 1e-5 * expected_gradient.norm()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weight", [None, torch.ones(3)])
def test_a_batch_with_every_pixel_ignored_gives_zero(reduction, weight):
    scores = torch.randn(1, 3, 4, 4, requires_grad=True)
    labels = torch.full((1, 32, 32), 255, dtype=torch.uint8)
    value = readout.loss(scores, labels, VGG_8, weight=weight, reduction=reduction)
    value.backward()
    assert value.item() == 0
    assert torch.equal(scores.grad, torch.zeros_like(scores))


def test_half_precision_scores_are_read_out_in_single():
    scores = torch.randn(1, 3, 4, 4).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        logits = readout.logits(scores, VGG_8, (32, 32))
    torch.testing.assert_close(logits, readout.logits(scores.float(), VGG_8, (32, 32)))


def test_the_loss_of_half_precision_scores_has_their_gradient():
    scores = torch.randn(1, 3, 4, 4).bfloat16().requires_grad_()
    labels = torch.randint(0, 3, (1, 32, 32))
    readout.loss(scores, labels, VGG_8).backward()
    assert scores.grad.dtype == torch.bfloat16


def test_mass_is_what_the_mean_divides_by():
    labels = torch.tensor([[[0, 1, 1, 255]]], dtype=torch.uint8)
    assert readout.mass(labels) == 3
    assert readout.mass(labels, torch.tensor([2.0, 0.5])) == 3.0
    assert readout.mass(torch.full((1, 2, 2), 255, dtype=torch.uint8), torch.ones(2)) == 0


def test_what_was_read_out_in_inference_mode_can_be_trained_on():
    scores = torch.randn(1, 3, 5, 6, dtype=torch.float64)
    with torch.inference_mode():
        readout.labels(scores, VGG_8, (41, 43))
    readout.logits(scores.requires_grad_(), VGG_8, (41, 43)).sum().backward()
    assert scores.grad is not None


def second_order(value, scores):
    """A Hessian times a vector."""
    (gradient,) = torch.autograd.grad(value, scores, create_graph=True)
    vector = torch.linspace(-1, 1, gradient.numel(), dtype=gradient.dtype).view_as(gradient)
    return torch.autograd.grad((gradient * vector).sum(), scores)[0]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_second_derivatives_are_those_of_cross_entropy(method, smoothing):
    random = torch.Generator().manual_seed(0)
    scores = torch.randn(2, 4, 5, 7, generator=random, dtype=torch.float64).requires_grad_()
    labels = torch.randint(0, 4, (2, 70, 270), generator=random)
    labels[:, :9] = 255
    weight = torch.rand(4, generator=random, dtype=torch.float64) + 0.5
    options = {"weight": weight, "label_smoothing": smoothing}
    full = F.cross_entropy(readout.logits(scores, VGG_8, (70, 270), method), labels, ignore_index=255, **options)
    found = second_order(readout.loss(scores, labels, VGG_8, method, **options), scores)
    torch.testing.assert_close(found, second_order(full, scores), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("pixel_weight", [None, torch.arange(99.0).view(1, 9, 11)])
def test_derivatives_hold_numerically(pixel_weight):
    scores = torch.randn(1, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(0, 3, (1, 9, 11))

    def loss(scores):
        return readout.loss(scores * scores, labels, VGG_8, label_smoothing=0.1, pixel_weight=pixel_weight)

    assert torch.autograd.gradcheck(loss, scores)
    assert torch.autograd.gradgradcheck(loss, scores)


def test_fake_tensors_leave_no_trace():
    size = (23, 29)
    with FakeTensorMode():
        readout.labels(torch.randn(1, 3, 4, 4), VGG_8, size)
    scores = torch.randn(1, 3, 4, 4)
    assert torch.equal(readout.labels(scores, VGG_8, size).long(), readout.logits(scores, VGG_8, size).argmax(1))


def test_more_classes_than_bytes_hold_are_refused():
    with pytest.raises(ValueError, match="scores of 256 classes: labels are bytes, 255 classes at most"):
        readout.labels(torch.zeros(1, 256, 2, 2), VGG_8, (9, 9))
