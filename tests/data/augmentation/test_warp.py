"""Rotation, shear and elastic deformation, composed with scale and crop into one resampling."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torchvision import tv_tensors

from fullyconv.data import IGNORE
from fullyconv.data.augmentation.settings import Augmentation
from fullyconv.data.augmentation.transform import TrainTransform
from fullyconv.data.augmentation.warp import draw_displacements, draw_matrix, resample, source_offsets, warped_crop


def coordinates(height, width):
    """An image whose channels are the row and the column of each pixel's centre, and a mask of each pixel's number."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([rows + 0.5, columns + 0.5]).float(), ((rows * width + columns) % 250).to(torch.uint8)


def turn(degrees, shear=0.0):
    angle = math.radians(degrees)
    cosine, sine = math.cos(angle), math.sin(angle)
    return torch.tensor([[cosine, -sine], [sine, cosine]]) @ torch.tensor([[1.0, shear], [0.0, 1.0]])


@pytest.mark.parametrize("degrees", [0, 12, -40, 133])
@pytest.mark.parametrize("factor", [1.0, 1.7])
@pytest.mark.parametrize("shear", [0.0, 0.3])
def test_image_and_mask_are_those_of_scipy(degrees, factor, shear):
    """scipy.ndimage.affine_transform counts from the first pixel's centre, here from its corner."""
    torch.manual_seed(0)
    image, mask = torch.rand(2, 60, 70) * 255, torch.randint(0, 9, (60, 70), dtype=torch.uint8)
    size, matrix, centre = (40, 50), turn(degrees, shear) / factor, torch.tensor([31.3, 33.8])
    places = source_offsets(size, matrix, None) + centre[:, None, None]
    new_image, new_mask = resample(image, mask, places, factor)

    offset = centre.numpy() - 0.5 - matrix.numpy() @ ((np.array(size) - 1) / 2)
    affine = {"matrix": matrix.numpy(), "offset": offset, "output_shape": size}
    outside = ndimage.affine_transform(np.ones((60, 70)), **affine, order=0, mode="grid-constant") == 0
    labels = ndimage.affine_transform(mask.numpy(), **affine, order=0, mode="nearest")
    labels[outside] = IGNORE
    assert (labels != new_mask.numpy()).mean() < 0.005  # of places between two pixels, to the last bit
    for channel, plane in enumerate(image.numpy()):
        expected = ndimage.affine_transform(plane, **affine, order=1, mode="nearest")
        inside = (new_mask != IGNORE).numpy()
        assert np.abs(new_image[channel].numpy() - expected)[inside].max() < 0.02
        filled = new_image[channel][torch.from_numpy(~inside)]
        assert (filled == filled[0]).all() if len(filled) else True


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_rotation_by_right_angles_moves_whole_pixels(quarters):
    image, mask = coordinates(21, 21)
    places = source_offsets((21, 21), turn(90 * quarters), None) + 10.5
    new_image, new_mask = resample(image, mask, places, 1)
    assert torch.equal(new_mask, mask.rot90(-quarters)) or torch.equal(new_mask, mask.rot90(quarters))
    way = -1 if torch.equal(new_mask, mask.rot90(-quarters)) else 1
    torch.testing.assert_close(new_image, image.rot90(way * quarters, (1, 2)), atol=1e-4, rtol=0)


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    crop=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    factor=st.floats(0.4, 2.5),
    rotate=st.floats(0, 180),
    shear=st.floats(0, 40),
    elastic=st.floats(0, 4),
    seed=st.integers(0, 1000),
)
def test_each_pixel_shows_where_it_was_taken(size, crop, factor, rotate, shear, elastic, seed):
    """The image says from which place each pixel comes, and the mask from which pixel: the one around that place."""
    torch.manual_seed(seed)
    image, _ = coordinates(*size)
    mask = image.floor().to(torch.uint8)  # two labelings: each pixel's row and column
    options = Augmentation(rotate=rotate, shear=shear, elastic=elastic, elastic_spacing=16)
    new_image, new_mask = warped_crop(image, mask, crop, factor, options)
    assert new_image.shape == new_mask.shape == (2, *crop)
    inside = new_mask[0] != IGNORE
    assert torch.equal(inside, new_mask[1] != IGNORE)
    assert inside.any()
    if factor >= 1:  # antialiasing averages unevenly at the border
        away = (new_image - (new_mask + 0.5))[:, inside].abs()
        assert away.max() <= 0.5 + 1e-3
    mean = new_image[:, ~inside]
    assert (mean == mean[:, :1]).all()


def test_shrinking_is_antialiased_and_stays_in_place():
    """A fine checkerboard becomes grey; a ramp keeps its values."""
    options = Augmentation(rotate=20)
    board = ((torch.arange(200)[:, None] + torch.arange(200)) % 2 * 255).to(torch.uint8)[None]
    ramp, mask = coordinates(200, 200)
    for seed in range(10):
        torch.manual_seed(seed)
        grey, labels = warped_crop(board, mask, (30, 30), 0.25, options)
        assert (grey[0][labels != IGNORE].float() - 127.5).abs().max() < 25
        torch.manual_seed(seed)
        rows, labels = warped_crop(ramp, ramp[0].to(torch.uint8), (30, 30), 0.25, options)
        inner = (labels[4:-4, 4:-4] > 8) & (labels[4:-4, 4:-4] < 191)
        assert (rows[0] - labels - 0.5)[4:-4, 4:-4][inner].abs().max() <= 0.6


def test_what_fits_into_the_image_has_no_void():
    options = Augmentation(rotate=30, shear=10, elastic=3, elastic_spacing=20)
    image, mask = coordinates(150, 160)
    for seed in range(30):
        torch.manual_seed(seed)
        assert (warped_crop(image, mask, (60, 60), 1, options)[1] != IGNORE).all()


def test_crops_reach_every_part_of_the_image():
    """Corners are reached by crops that are hardly turned; the middle of each side by all."""
    options = Augmentation(rotate=20)
    image, mask = coordinates(40, 40)
    seen = torch.zeros(40 * 40, dtype=torch.bool)
    torch.manual_seed(0)
    for _ in range(1200):
        places, labels = warped_crop(image, mask, (12, 12), 1, options)
        rows, columns = places[:, labels != IGNORE].floor().long()
        seen[rows * 40 + columns] = True
    assert seen.float().mean() > 0.97


def test_angles_are_drawn_evenly_from_both_sides():
    torch.manual_seed(0)
    matrices = [draw_matrix(Augmentation(rotate=30), 2.0) for _ in range(2000)]
    angles = np.degrees([math.atan2(matrix[1, 0], matrix[0, 0]) for matrix in matrices])
    assert -30 <= angles.min() < -29
    assert 29 < angles.max() <= 30
    assert np.histogram(angles, 4)[0] == pytest.approx([500] * 4, abs=80)
    assert all(torch.det(matrix) == pytest.approx(0.25) for matrix in matrices[:20])


def test_shear_slants_one_of_the_axes_and_keeps_areas():
    torch.manual_seed(0)
    matrices = torch.stack([draw_matrix(Augmentation(shear=20), 1.0) for _ in range(1000)])
    assert torch.equal(matrices.diagonal(dim1=1, dim2=2), torch.ones(1000, 2))
    slants = torch.stack([matrices[:, 0, 1], matrices[:, 1, 0]])
    assert ((slants == 0).sum(0) == 1).all()
    assert (slants[0] == 0).float().mean() == pytest.approx(0.5, abs=0.05)
    assert slants.abs().max() == pytest.approx(math.tan(math.radians(20)), rel=0.02)


def test_points_of_the_grid_are_displaced_by_the_standard_deviation_and_those_between_smoothly():
    torch.manual_seed(0)
    options = Augmentation(elastic=5, elastic_spacing=40)
    fields = torch.stack([draw_displacements(options, (81, 121)) for _ in range(300)])
    assert fields.shape == (300, 2, 81, 121)
    assert fields.std(0).amax().item() == pytest.approx(5, rel=0.15)
    assert fields.std(0).amin().item() > 2
    assert fields.mean((0, 2, 3)).abs().max() < 0.3
    assert fields.diff(dim=2).abs().max() < 1  # no tears, no folds
    assert fields.diff(dim=3).abs().max() < 1
    assert draw_displacements(Augmentation(), (81, 121)) is None


def test_the_bicubic_field_is_that_of_scipys_cubic_convolution_at_the_points():
    """At the centres of the grid's cells the interpolated field takes the points' own displacements."""
    torch.manual_seed(0)
    spacing, length = 9, 45  # an odd spacing has a pixel in the middle of each cell
    drawn = torch.randn(2, 9, 9) * 2
    torch.manual_seed(0)
    field = draw_displacements(Augmentation(elastic=2, elastic_spacing=spacing), (length, length))
    torch.testing.assert_close(field[:, 4::9, 4::9], drawn[:, 2:7, 2:7], atol=1e-5, rtol=0)


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    crop=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    factor=st.floats(0.2, 3),
    rare=st.tuples(st.integers(0, 59), st.integers(0, 59)),
    seed=st.integers(0, 1000),
)
def test_a_balanced_crop_holds_the_pixel_of_the_rare_class_however_it_is_deformed(size, crop, factor, rare, seed):
    """Also where the image is made smaller, since the crop is placed so that some pixel shows it."""
    mask = torch.zeros(size, dtype=torch.uint8)
    mask[rare[0] % size[0], rare[1] % size[1]] = 1
    image = tv_tensors.Image(mask.expand(3, -1, -1) * 200)
    options = Augmentation(scale=(factor, factor), rotate=90, shear=20, elastic=3, elastic_spacing=12)
    torch.manual_seed(seed)
    _, new = TrainTransform(crop, options, balance=1, rarity=[torch.tensor([0.0, 1.0])])(image, tv_tensors.Mask(mask))
    assert new.shape == crop
    assert (new == 1).any()


def test_whole_images_are_turned_about_their_centre_and_keep_their_size():
    image, mask = coordinates(41, 61)
    options = Augmentation(preset="none", rotate=45)
    for seed in range(5):
        torch.manual_seed(seed)
        new_image, new_mask = TrainTransform(None, options)(tv_tensors.Image(image), tv_tensors.Mask(mask))
        assert new_image.shape == image.shape
        assert new_mask.shape == mask.shape
        torch.testing.assert_close(new_image[:, 20, 30], torch.tensor([20.5, 30.5]), atol=1e-3, rtol=0)
    assert new_mask[0, 0] == IGNORE


@pytest.mark.parametrize("channels", [1, 3, 4, 5])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_images_of_any_bands_keep_their_type_and_range(channels, dtype):
    torch.manual_seed(0)
    image = (torch.rand(channels, 30, 40) * 50 + 100).to(dtype)
    new, _ = warped_crop(image, torch.zeros(30, 40, dtype=torch.uint8), (20, 20), 0.8, Augmentation(rotate=30))
    assert new.dtype == dtype
    assert new.shape == (channels, 20, 20)
    assert 100 <= new.min() <= new.max() <= 150
