"""Pixels at the boundaries between classes, and the weights that fall from there, are those of plain loops."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from fullyconv.model.readout import boundary_weights
from fullyconv.model.readout.boundaries import at_boundary

VOID = 255


def touches(labels, row, column):
    """Whether one of the four neighbours is of another class; void is no class."""
    own = labels[row][column]
    around = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
    inside = [(r, c) for r, c in around if 0 <= r < len(labels) and 0 <= c < len(labels[0])]
    return own != VOID and any(labels[r][c] not in (own, VOID) for r, c in inside)


masks = st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(
    lambda size: st.lists(
        st.lists(st.sampled_from([0, 1, 2, VOID]), min_size=size[1], max_size=size[1]),
        min_size=size[0],
        max_size=size[0],
    )
)


@given(masks, st.floats(0, 20), st.floats(0.3, 30))
@settings(max_examples=60, deadline=None)
def test_the_weight_falls_with_the_distance_to_the_nearest_boundary_pixel(rows, weight, sigma):
    places = [(r, c) for r in range(len(rows)) for c in range(len(rows[0]))]
    edge = [place for place in places if touches(rows, *place)]
    labels = torch.tensor(rows, dtype=torch.uint8)
    found = boundary_weights(labels, weight, sigma)
    assert [tuple(place) for place in at_boundary(labels).nonzero().tolist()] == edge
    for place in places:
        near = math.exp(-(min(math.dist(place, other) for other in edge) ** 2) / (2 * sigma**2)) if edge else 0
        assert found[place].item() == pytest.approx(1 + weight * near, rel=1e-5, abs=1e-5 * weight)


def test_equals_the_distance_transform_on_a_batch_of_heads():
    labels = torch.randint(0, 3, (2, 2, 12, 15)).repeat_interleave(7, -2).repeat_interleave(7, -1)
    labels[0, 0, 30:50] = VOID
    found = boundary_weights(labels, 10, 4.0)
    for weights, plane in zip(found.flatten(0, 1), labels.flatten(0, 1), strict=True):
        distance = torch.from_numpy(distance_transform_edt(~at_boundary(plane).numpy()))
        torch.testing.assert_close(weights, (1 + 10 * torch.exp(-(distance**2) / 32)).float(), rtol=1e-5, atol=2e-5)


def test_neither_void_nor_the_images_edge_makes_a_boundary():
    labels = torch.ones(6, 9, dtype=torch.uint8)
    labels[2:4, 3:6] = VOID
    assert torch.equal(boundary_weights(labels), torch.ones(6, 9))
    labels[3, 5] = 0  # touches class 1 below and to the right
    assert at_boundary(labels).nonzero().tolist() == [[3, 5], [3, 6], [4, 5]]
