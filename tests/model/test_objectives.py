"""Losses beside cross-entropy equal plain ones of the full logits, in value and gradient, without the logits."""

from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from fullyconv.geometry import Lattice
from fullyconv.model import fcn, readout
from fullyconv.model.readout.objectives import largest
from fullyconv.objective import Objective

HALF_PIXEL_8 = Lattice((Fraction(8),) * 2, (Fraction(7, 2),) * 2)
BEYOND_CROSS_ENTROPY = ["focal", "ohem", "dice", "tversky", "cross_entropy+dice", "focal+tversky", "ohem+dice+focal"]


def plain(logits, labels, objective, weight=None, smoothing=0.0, ignore_index=255, pixel_weight=None):
    """The mean loss, written down as the formulas have it, on full logits and whole tensors."""
    classes = logits.shape[1]
    counted = labels != ignore_index
    if not counted.any():
        return logits.sum() * 0
    weight = torch.ones(classes, dtype=logits.dtype) if weight is None else weight.to(logits.dtype)
    log_p = logits.log_softmax(1).movedim(1, -1)[counted]  # (pixels, C)
    p, truth = log_p.exp(), F.one_hot(labels[counted].long(), classes).to(logits.dtype)
    soft = truth * (1 - smoothing) + smoothing / classes
    of_pixel = torch.ones(len(truth), dtype=logits.dtype) if pixel_weight is None else pixel_weight[counted]
    entropies = -(weight * soft * log_p).sum(1) * of_pixel
    mass = ((weight * truth).sum(1) * of_pixel).sum()
    total = torch.zeros((), dtype=logits.dtype)
    for term in objective.terms:
        if term == "cross_entropy":
            total = total + entropies.sum() / mass
        if term == "focal":
            own = (p * truth).sum(1)
            total = total + ((1 - own) ** objective.focal_gamma * entropies).sum() / mass
        if term == "ohem":
            k = max(1, round(objective.ohem_fraction * len(entropies)))
            total = total + entropies.topk(k).values.mean()
        if term in ("dice", "tversky"):
            alpha, beta = objective.tversky if term == "tversky" else (0.5, 0.5)
            tp, fp, fn = (p * truth).sum(0), (p * (1 - truth)).sum(0), ((1 - p) * truth).sum(0)
            held = truth.sum(0) > 0
            losses = 1 - tp[held] / (tp + alpha * fp + beta * fn)[held]
            total = total + (losses * weight[held]).sum() / weight[held].sum()
    return total


@given(
    name=st.sampled_from(["cross_entropy", *BEYOND_CROSS_ENTROPY]),
    size=st.tuples(st.integers(1, 90), st.integers(1, 290)),
    images=st.integers(1, 2),
    classes=st.integers(2, 5),
    ignored=st.sampled_from([0.0, 0.3, 0.99]),
    weighted=st.booleans(),
    by_pixel=st.booleans(),
    smoothing=st.sampled_from([0.0, 0.1]),
    gamma=st.sampled_from([0.0, 0.5, 2.0]),
    fraction=st.floats(0.01, 1),
    precision=st.sampled_from([torch.float32, torch.float64]),
    reduction=st.sampled_from(["mean", "sum"]),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=60, deadline=None)
def test_values_and_gradients_are_those_of_the_plain_losses(
    name, size, images, classes, ignored, weighted, by_pixel, smoothing, gamma, fraction, precision, reduction, seed
):
    random = torch.Generator().manual_seed(seed)
    scores = 3 * torch.randn(images, classes, 5, 9, generator=random, dtype=torch.float64)
    scores = scores.to(precision).requires_grad_()
    labels = torch.randint(0, classes, (images, *size), generator=random, dtype=torch.uint8)
    labels[torch.rand(labels.shape, generator=random) < ignored] = 255
    weight = torch.rand(classes, generator=random, dtype=torch.float64) + 0.1 if weighted else None
    wide = torch.promote_types(precision, torch.float32)  # the sum of weights is as precise as they are
    pixel_weight = 10 * torch.rand(labels.shape, generator=random, dtype=wide) if by_pixel else None
    objective = Objective(name, focal_gamma=gamma, ohem_fraction=fraction, tversky=(0.2, 0.8))

    value = readout.loss(
        scores,
        labels,
        HALF_PIXEL_8,
        objective=objective,
        weight=weight,
        pixel_weight=pixel_weight,
        label_smoothing=smoothing,
        reduction=reduction,
    )
    (gradient,) = torch.autograd.grad(value, scores)

    exact = scores.detach().double().requires_grad_()
    of_pixel = None if pixel_weight is None else pixel_weight.double()
    logits = readout.logits(exact, HALF_PIXEL_8, size)
    expected = plain(logits, labels, objective, weight, smoothing, pixel_weight=of_pixel)
    if reduction == "sum":
        expected = expected * readout.mass(labels, weight, of_pixel)
    (expected_gradient,) = torch.autograd.grad(expected, exact)
    assert value.dtype == precision
    tolerance = 1e-5 if precision == torch.float32 else 1e-10
    assert abs(value.item() - expected.item()) <= tolerance * abs(expected.item())
    assert (gradient - expected_gradient).norm() <= tolerance * expected_gradient.norm()


@pytest.mark.parametrize("name", BEYOND_CROSS_ENTROPY)
def test_the_value_needs_no_gradient(name):
    scores = torch.randn(2, 3, 9, 40)
    labels = torch.randint(0, 3, (2, 72, 320))
    objective = Objective(name)
    found = readout.loss(scores, labels, HALF_PIXEL_8, objective=objective)
    with_gradient = readout.loss(scores.requires_grad_(), labels, HALF_PIXEL_8, objective=objective)
    assert not found.requires_grad
    torch.testing.assert_close(found, with_gradient.detach(), rtol=1e-6, atol=0)


class Largest(TorchDispatchMode):
    """Remembers the most elements that a tensor had which an operation made."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return result


@pytest.mark.parametrize("name", [*BEYOND_CROSS_ENTROPY, "weighted by pixel"])
def test_no_tensor_is_larger_than_cross_entropys(name):
    """Nor than the search's histogram, which is of one size whatever the images."""
    scores, labels = torch.randn(1, 4, 40, 100), torch.randint(0, 4, (1, 320, 800))
    pixel_weight = torch.rand(1, 320, 800)

    def most(**options):
        own = scores.clone().requires_grad_()
        with Largest() as made:
            torch.autograd.grad(readout.loss(own, labels, HALF_PIXEL_8, **options), own)
        return made.elements

    options = {"objective": Objective(name)} if name in BEYOND_CROSS_ENTROPY else {"pixel_weight": pixel_weight}
    assert most(**options) <= max(most(), 2**16)
    assert most(**options) < labels.numel() * 4 / 3


def test_confidence_makes_no_tensor_larger_than_itself():
    with Largest() as made:
        confidence = readout.confidence(torch.randn(1, 4, 40, 100), HALF_PIXEL_8, (320, 800))
    assert made.elements == confidence.numel() == 320 * 800


def test_cross_entropy_by_name_is_the_default():
    scores, labels = torch.randn(1, 3, 4, 4), torch.randint(0, 3, (1, 32, 32))
    named = readout.loss(scores, labels, HALF_PIXEL_8, objective=Objective("cross-entropy"))
    assert torch.equal(named, readout.loss(scores, labels, HALF_PIXEL_8))


@pytest.mark.parametrize("name", BEYOND_CROSS_ENTROPY)
@pytest.mark.parametrize("weight", [None, torch.ones(3)])
def test_a_batch_with_every_pixel_ignored_gives_zero(name, weight):
    scores = torch.randn(1, 3, 4, 4, requires_grad=True)
    labels = torch.full((1, 32, 32), 255, dtype=torch.uint8)
    value = readout.loss(scores, labels, HALF_PIXEL_8, objective=Objective(name), weight=weight)
    value.backward()
    assert value.item() == 0
    assert torch.equal(scores.grad, torch.zeros_like(scores))


@pytest.mark.parametrize("name", ["focal", "ohem", "dice"])
def test_half_precision_scores_are_read_out_in_single_and_have_a_gradient_of_their_own_type(name):
    scores = torch.randn(1, 3, 4, 4).bfloat16().requires_grad_()
    labels = torch.randint(0, 3, (1, 32, 32))
    with torch.autocast("cpu", torch.bfloat16):
        value = readout.loss(scores, labels, HALF_PIXEL_8, objective=Objective(name))
    value.backward()
    single = readout.loss(scores.detach().float(), labels, HALF_PIXEL_8, objective=Objective(name))
    torch.testing.assert_close(value.detach(), single)
    assert scores.grad.dtype == torch.bfloat16


def test_second_derivatives_are_refused():
    scores, labels = torch.randn(1, 3, 4, 4, requires_grad=True), torch.randint(0, 3, (1, 32, 32))
    value = readout.loss(scores, labels, HALF_PIXEL_8, objective=Objective("dice"))
    with pytest.raises(RuntimeError, match="only once; cross_entropy has second derivatives"):
        torch.autograd.grad(value, scores, create_graph=True)


def test_dice_of_certain_labels_counts_pixels():
    """Predicted 0 0 1 1, true 0 1 1 1: class 0 has 2·1 / (2 + 1), class 1 has 2·2 / (2 + 3)."""
    scores = torch.tensor([[[[50.0, 50, -50, -50]], [[-50.0, -50, 50, 50]]]])
    labels = torch.tensor([[[0, 1, 1, 1]]])
    cells = Lattice((Fraction(1),) * 2, (Fraction(0),) * 2)
    dice = readout.loss(scores, labels, cells, objective=Objective("dice"))
    assert dice.item() == pytest.approx(1 - (2 / 3 + 4 / 5) / 2)
    tversky = readout.loss(scores, labels, cells, objective=Objective("tversky", tversky=(0.3, 0.7)))
    assert tversky.item() == pytest.approx(1 - (1 / 1.3 + 2 / 2.7) / 2)


def test_a_class_that_no_label_has_counts_only_as_what_others_lack():
    scores = torch.zeros(1, 3, 1, 2)
    cells = Lattice((Fraction(1),) * 2, (Fraction(0),) * 2)
    dice = readout.loss(scores, torch.tensor([[[0, 1]]]), cells, objective=Objective("dice"))
    assert dice.item() == pytest.approx(1 - 2 / 3 / (2 / 3 + 1))  # of both classes: p is 1/3 at each of two pixels


@given(
    numbers=st.lists(st.sampled_from([0.0, -0.0, 1e-38, 1.0, 1 + 2**-23, 2.5]) | st.floats(0, 2.0**99, width=32)),
    cut=st.integers(0, 9),
    share=st.floats(0, 1),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
@settings(max_examples=100, deadline=None)
def test_the_largest_numbers_are_found_exactly(numbers, cut, share, dtype):
    values = torch.tensor([*numbers, 1.0], dtype=dtype)
    count = max(1, round(share * len(values)))
    found = largest(lambda: iter([values[:cut], values[cut:]]), count, values)
    assert found.least == values.sort(descending=True).values[count - 1]
    assert found.shares(values).sum().item() == pytest.approx(count)


@pytest.mark.parametrize("name", ["dice", "tversky+focal"])
def test_a_label_that_is_no_class_never_passes_for_one(name):
    labels = torch.full((1, 8, 8), 3)
    try:
        value = readout.loss(torch.randn(1, 3, 1, 1), labels, HALF_PIXEL_8, objective=Objective(name))
    except (IndexError, RuntimeError):
        return
    assert value.isnan()


def test_a_network_has_every_loss_by_name():
    net = fcn.create("fcn8s-test_resnet", 5).eval()
    images, labels = torch.randint(0, 256, (2, 3, 45, 37)), torch.randint(0, 5, (2, 45, 37))
    labels[:, :4] = 255
    logits = net(images).detach().double()
    for name in BEYOND_CROSS_ENTROPY:
        found = net.loss(images, labels, objective=name).item()
        assert found == pytest.approx(plain(logits, labels, Objective(name)).item(), rel=1e-5)


def test_heads_count_by_their_pixels():
    net = fcn.create("fcn8s-test_resnet", 5, heads={"what": 3, "where": 2}).eval()
    images = torch.randint(0, 256, (1, 3, 40, 40))
    labels = torch.stack([torch.randint(0, 3, (1, 40, 40)), torch.randint(0, 2, (1, 40, 40))], 1)
    labels[:, 1, :30] = 255
    logits = net(images).detach().double()
    parts = [plain(logits[:, own], labels[:, i], Objective("dice")) for i, own in enumerate([slice(3), slice(3, 5)])]
    expected = (parts[0] * 1600 + parts[1] * 400) / 2000
    assert net.loss(images, labels, objective="dice").item() == pytest.approx(expected.item(), rel=1e-5)


def test_heads_pixels_have_weights_of_their_own():
    net = fcn.create("fcn8s-test_resnet", 5, heads={"what": 3, "where": 2}).eval()
    images = torch.randint(0, 256, (1, 3, 40, 40))
    labels = torch.stack([torch.randint(0, 3, (1, 40, 40)), torch.randint(0, 2, (1, 40, 40))], 1)
    pixel_weight, weight = torch.rand(labels.shape, dtype=torch.float64), torch.rand(5, dtype=torch.float64)
    logits = net(images).detach().double()
    total = mass = torch.zeros((), dtype=torch.float64)
    for i, own in enumerate([slice(3), slice(3, 5)]):
        weights = weight[own][labels[:, i]] * pixel_weight[:, i]
        total = total + (F.cross_entropy(logits[:, own], labels[:, i], reduction="none") * weights).sum()
        mass = mass + weights.sum()
    found = net.loss(images, labels, weight=weight, pixel_weight=pixel_weight)
    assert found.item() == pytest.approx((total / mass).item(), rel=1e-5)
    assert net.mass(labels, weight, pixel_weight).item() == pytest.approx(mass.item())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "jaccard"}, "objective is 'jaccard'; expected one of cross_entropy, focal, ohem, dice, tversky"),
        ({"name": "dice+dice"}, "a sum of different ones"),
        ({"name": ""}, "objective is ''"),
        ({"focal_gamma": -1}, "focal_gamma is -1"),
        ({"focal_gamma": float("nan")}, "focal_gamma is nan"),
        ({"ohem_fraction": 0}, "ohem_fraction is 0"),
        ({"tversky": (0.5, 0)}, r"tversky is \[0.5, 0\]"),
    ],
)
def test_what_is_no_objective_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Objective(**options)
