"""Layouts against what torch's own reshape does to a tensor that holds its own coordinates."""

import math
from itertools import pairwise

import torch
from hypothesis import given
from hypothesis import strategies as st

from fullyconv.convolutionalization import axes


def unflattened(layout: axes.Layout, shape: tuple[int, ...], tensor: torch.Tensor) -> torch.Tensor:
    """The (N, C, H, W) tensor that a tensor of this layout came from."""
    factors = [factor for axis in layout for factor in axis]
    order = sorted(range(len(factors)), key=lambda i: "NCHW".index(factors[i][0]))
    return tensor.reshape([size for _, size in factors]).permute(order).reshape(shape)


@given(
    shape=st.tuples(*[st.integers(1, 4)] * 4),
    order=st.permutations(range(4)),
    cuts=st.sets(st.integers(1, 3)),
)
def test_regrouped_axes_still_lead_back_to_the_map(
    shape: tuple[int, int, int, int], order: list[int], cuts: set[int]
) -> None:
    tensor = torch.arange(math.prod(shape)).reshape(shape)
    permuted = tensor.permute(order)
    layout = axes.layout_of("".join("NCHW"[i] for i in order), permuted.shape)
    edges = [0, *sorted(cuts), 4]
    joined = [math.prod(permuted.shape[a:b]) for a, b in pairwise(edges)]
    grouped = axes.regroup(layout, joined)
    assert grouped is not None
    assert [math.prod(size for _, size in axis) for axis in grouped] == joined
    assert torch.equal(unflattened(grouped, shape, permuted.reshape(joined)), tensor)


def test_an_axis_cannot_be_split() -> None:
    layout = axes.layout_of("NCHW", (2, 6, 5, 5))
    assert axes.regroup(layout, (2, 3, 2, 25)) is None
    assert axes.regroup(layout, (12, 25)) == ((("N", 2), ("C", 6)), (("H", 5), ("W", 5)))


def test_axes_are_named_in_order() -> None:
    assert axes.is_nchw(axes.layout_of("NCHW", (2, 6, 5, 5)))
    assert axes.is_nchw(axes.layout_of("NC", (2, 6)))
    assert not axes.is_nchw(axes.layout_of("NHWC", (2, 5, 5, 6)))
    assert axes.describe(((("N", 2),), (("C", 6), ("H", 5)), ())) == "(N 2, C 6·H 5, 1)"
