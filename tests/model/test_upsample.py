"""Upsampling equals torch's interpolation wherever torch has the lattice, and is exact where it has not."""

from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from fullyconv.model.upsample import Method, Upsample

TORCH: dict[Method, str] = {
    "nearest": "nearest-exact",
    "bilinear": "bilinear",
    "bicubic": "bicubic",
    "transposed": "bilinear",
}
SINGLE = 1e-6  # kernels are kept in single precision


def half_pixel(factor):
    """Where the fine map's first cell lies when both maps' cells are centred in the same square."""
    return Fraction(1 - factor, 2 * factor)


@pytest.mark.parametrize("method", TORCH)
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_half_pixel_lattice_is_torchs_interpolate(method, factor):
    coarse = torch.randn(2, 3, 5, 7, dtype=torch.float64)
    upsample = Upsample(3, (factor, factor), (half_pixel(factor),) * 2, method).double()
    expected = F.interpolate(coarse, scale_factor=factor, mode=TORCH[method])
    torch.testing.assert_close(upsample(coarse, (5 * factor, 7 * factor)), expected, rtol=SINGLE, atol=SINGLE)


@pytest.mark.parametrize("method", ["bilinear", "bicubic", "transposed"])
@pytest.mark.parametrize("factor", [2, 4])
def test_corner_lattice_is_torchs_align_corners(method, factor):
    coarse = torch.randn(1, 2, 4, 6, dtype=torch.float64)
    upsample = Upsample(2, (factor, factor), (Fraction(0),) * 2, method).double()
    size = (3 * factor + 1, 5 * factor + 1)
    expected = F.interpolate(coarse, size=size, mode=TORCH[method], align_corners=True)
    torch.testing.assert_close(upsample(coarse, size), expected, rtol=SINGLE, atol=SINGLE)


@given(
    factor=st.integers(1, 5),
    shift=st.fractions(-2, 2, max_denominator=8),
    size=st.integers(1, 30),
    cells=st.integers(1, 6),
)
@settings(max_examples=150, deadline=None)
def test_bilinear_reads_a_ramp_at_each_cells_coordinate(factor, shift, size, cells):
    ramp = torch.arange(cells, dtype=torch.float64).expand(1, 1, cells, cells)
    upsample = Upsample(1, (factor, factor), (shift, shift), "bilinear").double()
    coordinate = torch.tensor([float(Fraction(j, factor) + shift) for j in range(size)]).double()
    expected = coordinate.clamp(0, cells - 1).expand(1, 1, size, size)
    torch.testing.assert_close(upsample(ramp, (size, size)), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("factor", range(1, 6))
@pytest.mark.parametrize("shift", [Fraction(0), Fraction(-1, 4), Fraction(1, 7)])
def test_a_learnt_kernel_is_divisible_by_its_stride(factor, shift):
    kernel = Upsample(2, (factor, factor), (shift, shift), "transposed").weight
    assert kernel.shape[-1] % factor == 0


def test_a_fixed_kernel_has_no_taps_that_are_never_used():
    assert Upsample(1, (2, 2), (Fraction(0),) * 2, "bilinear").weight.shape[-1] == 3
    assert Upsample(1, (2, 2), (half_pixel(2),) * 2, "bilinear").weight.shape[-1] == 4
    assert Upsample(1, (2, 2), (half_pixel(2),) * 2, "nearest").weight.shape[-1] == 2


@pytest.mark.parametrize("method", TORCH)
@pytest.mark.parametrize("shift", [Fraction(0), Fraction(-1, 4), Fraction(1, 3)])
def test_a_constant_stays_constant(method, shift):
    ones = torch.ones(1, 2, 3, 3)
    upsample = Upsample(2, (2, 2), (shift, shift), method)
    torch.testing.assert_close(upsample(ones, (6, 6)), torch.ones(1, 2, 6, 6))


def test_only_the_transposed_kernel_learns():
    learnt = {m: len(list(Upsample(2, (2, 2), (Fraction(0),) * 2, m).parameters())) for m in TORCH}
    assert learnt == {"nearest": 0, "bilinear": 0, "bicubic": 0, "transposed": 1}
