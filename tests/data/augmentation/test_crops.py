"""Scale, crop, mirroring and colours keep images and masks together and leave masks uninterpolated."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision import tv_tensors

from fullyconv.data import IGNORE
from fullyconv.data.augmentation.appearance import _white_balanced
from fullyconv.data.augmentation.settings import Augmentation
from fullyconv.data.augmentation.transform import TrainTransform


def train_transform(crop, scale, flip, color, inputs="image", balance=0, rarity=()):
    return TrainTransform(crop, Augmentation(scale=scale, flip=flip, color=color), inputs, balance, rarity)


def sample(height, width, channels=3):
    """An image in blocks of 8 pixels, each of one brightness, and a mask that holds the same numbers."""
    blocks = torch.randint(0, 200, (-(-height // 8), -(-width // 8)), dtype=torch.uint8)
    mask = blocks.repeat_interleave(8, 0).repeat_interleave(8, 1)[:height, :width].contiguous()
    return tv_tensors.Image(mask.expand(channels, -1, -1).clone()), tv_tensors.Mask(mask)


def coordinates(height, width):
    """An image whose channels are each pixel's row and column, and a mask of its row."""
    rows = torch.arange(height, dtype=torch.uint8)[:, None].expand(height, width)
    columns = torch.arange(width, dtype=torch.uint8).expand(height, width)
    return tv_tensors.Image(torch.stack([rows, columns, columns])), tv_tensors.Mask(rows.contiguous())


@settings(max_examples=50, deadline=None)
@given(
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    crop=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    scale=st.tuples(st.floats(0.1, 4), st.floats(0.1, 4)).map(sorted),
    channels=st.sampled_from([1, 3, 4]),
    seed=st.integers(0, 1000),
)
def test_every_output_has_the_crops_size_and_only_the_masks_own_values(size, crop, scale, channels, seed):
    torch.manual_seed(seed)
    image, mask = sample(size[0], size[1], channels)
    new_image, new_mask = train_transform(crop, tuple(scale), flip=0.5, color=0.3)(image, mask)
    assert new_image.shape == (channels, *crop)
    assert new_mask.shape == crop
    assert new_image.dtype == new_mask.dtype == torch.uint8
    assert set(new_mask.unique().tolist()) <= {*mask.unique().tolist(), IGNORE}


def test_an_image_may_shrink_to_one_pixel():
    torch.manual_seed(0)
    image, mask = sample(2, 2)
    new_image, _ = train_transform((3, 3), (0.5, 0.5), flip=0, color=0)(image, mask)
    assert (new_image == image[:, :1, :1]).all()


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    crop=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    factor=st.floats(1, 3),
    rare=st.tuples(st.integers(0, 59), st.integers(0, 59)),
    seed=st.integers(0, 1000),
)
def test_a_balanced_crop_holds_a_pixel_of_the_rare_class(size, crop, factor, rare, seed):
    """Class 1, of one pixel, is drawn where class 0 has no rarity; scaled up, no pixel is lost."""
    mask = torch.zeros(size, dtype=torch.uint8)
    mask[rare[0] % size[0], rare[1] % size[1]] = 1
    image = tv_tensors.Image(mask.expand(3, -1, -1) * 200)
    rarity = [torch.tensor([0.0, 1.0, 5.0])]
    torch.manual_seed(seed)
    transform = train_transform(crop, (factor, factor), flip=0.5, color=0, balance=1, rarity=rarity)
    _, new = transform(image, tv_tensors.Mask(mask))
    assert new.shape == crop
    assert (new == 1).any()


def test_classes_are_drawn_by_rarity_from_those_in_the_image_and_their_pixels_evenly():
    mask = torch.full((8, 8), IGNORE, dtype=torch.uint8)
    mask[:4], mask[4, :2], mask[5, 7] = 0, 1, 2
    rarity = torch.tensor([1.0, 2.0, 5.0, 100.0])
    image = tv_tensors.Image(mask.expand(3, -1, -1).clone())
    transform = train_transform((1, 1), (1, 1), flip=0, color=0, balance=1, rarity=[rarity])
    torch.manual_seed(0)
    drawn = [int(transform(image, tv_tensors.Mask(mask))[1]) for _ in range(800)]
    shares = [drawn.count(label) / 800 for label in range(3)]
    assert sum(shares) == 1
    assert shares == pytest.approx([1 / 8, 2 / 8, 5 / 8], abs=0.05)
    places = tv_tensors.Image(torch.arange(64, dtype=torch.uint8).view(1, 8, 8))
    found = [int(transform(places, tv_tensors.Mask(mask))[0]) for _ in range(800)]
    assert 60 < found.count(32) < 140  # each of the two pixels of class 1 is drawn one time in eight
    assert 60 < found.count(33) < 140
    assert set(found) == {*range(32), 32, 33, 47}


def test_balance_draws_from_all_labelings_and_not_where_there_is_nothing_to_draw():
    masks = torch.zeros(2, 6, 6, dtype=torch.uint8)
    masks[1, 2, 3] = 1
    image = tv_tensors.Image(masks[:1].expand(3, -1, -1).clone())
    rarity = [torch.zeros(4), torch.tensor([0.0, 1.0])]
    transform = train_transform((1, 1), (1, 1), flip=0, color=0, balance=1, rarity=rarity)
    assert transform(image, tv_tensors.Mask(masks))[1].flatten().tolist() == [0, 1]
    void = torch.full((6, 6), IGNORE, dtype=torch.uint8)
    transform = train_transform((2, 2), (1, 1), flip=0, color=0, balance=1, rarity=[torch.ones(3)])
    assert (transform(image, tv_tensors.Mask(void))[1] == IGNORE).all()


@pytest.mark.parametrize("scale", [0.3, 0.5, 0.77, 1.0, 1.4, 2.0, 3.0])
def test_image_and_mask_stay_aligned(scale):
    """The image says in which source row each pixel lies; the mask's row is the same, to within half a pixel.

    On a ramp, bilinear interpolation gives each output pixel's own place, whichever the scale, so that this
    bounds the shift between image and mask: by half a source pixel (nearest) and half a level (rounding).
    """
    torch.manual_seed(0)
    image, mask = coordinates(200, 220)
    transform = train_transform((40, 50), (scale, scale), flip=0.5, color=0)
    for _ in range(10):
        new_image, new_mask = transform(image, mask)
        inner = slice(2, -2)  # antialiasing has less to average at the border
        shift = (new_image[0].int() - new_mask.int())[inner]
        assert shift.abs().max() <= 1
        assert abs(shift.float().mean()) <= 0.5 + 1e-6


@pytest.mark.parametrize("scale", [0.25, 0.5, 1.0, 2.0])
def test_images_are_scaled_by_the_factor(scale):
    torch.manual_seed(0)
    new_image, _ = train_transform((40, 40), (scale, scale), flip=0, color=0)(*coordinates(200, 200))
    slope = (new_image[1, 20, 35].float() - new_image[1, 20, 5].float()) / 30
    assert slope.item() == pytest.approx(1 / scale, abs=0.05)


def test_factors_are_spread_evenly_on_a_logarithmic_axis():
    """Half of the images are enlarged when the range is 1/2 to 2; the slope of a ramp tells the factor."""
    torch.manual_seed(0)
    transform = train_transform((30, 30), (0.5, 2), flip=0, color=0)
    image, mask = coordinates(240, 240)
    slopes = [
        (new[1, 15, 25].float() - new[1, 15, 5].float()).item() / 20
        for new in (transform(image, mask)[0] for _ in range(400))
    ]
    assert min(slopes) < 0.6
    assert max(slopes) > 1.8
    assert np.mean(np.array(slopes) < 1) == pytest.approx(0.5, abs=0.1)


def test_crops_reach_every_part_of_the_image():
    torch.manual_seed(0)
    transform = train_transform((10, 10), (1, 1), flip=0, color=0)
    image, mask = coordinates(13, 12)
    corners = {tuple(transform(image, mask)[0][:2, 0, 0].tolist()) for _ in range(400)}
    assert corners == {(row, column) for row in range(4) for column in range(3)}


def test_small_images_are_surrounded_by_their_mean_and_void():
    torch.manual_seed(0)
    image = tv_tensors.Image(torch.tensor([10, 20, 30], dtype=torch.uint8)[:, None, None].expand(3, 6, 4).clone())
    mask = tv_tensors.Mask(torch.ones(6, 4, dtype=torch.uint8))
    places = set()
    for _ in range(200):
        new_image, new_mask = train_transform((8, 8), (1, 1), flip=0, color=0)(image, mask)
        assert (new_mask == 1).sum() == 24
        assert (new_mask == IGNORE).sum() == 40
        assert new_image.flatten(1).T.unique(dim=0).tolist() == [[10, 20, 30]]
        places.add(tuple((new_mask == 1).nonzero()[0].tolist()))
    assert places == {(row, column) for row in range(3) for column in range(5)}


def test_shrinking_is_antialiased():
    """A fine checkerboard becomes grey, not black or white."""
    board = (torch.arange(64)[:, None] + torch.arange(64)).remainder(2).mul(255).to(torch.uint8)
    image = tv_tensors.Image(board.expand(3, -1, -1).clone())
    new_image, _ = train_transform((16, 16), (0.25, 0.25), 0, 0)(image, tv_tensors.Mask(board))
    assert (new_image.float() - 127.5).abs().max() < 20


def test_flip_is_as_probable_as_asked():
    image, mask = coordinates(8, 8)
    for probability, flipped in ((0, 0), (1, 100)):
        transform = train_transform((8, 8), (1, 1), flip=probability, color=0)
        assert sum(transform(image, mask)[0][1, 0, 0].item() == 7 for _ in range(100)) == flipped


@pytest.mark.parametrize(
    ("inputs", "channels", "changed"),
    [("image", 1, 0), ("image", 3, 3), ("image", 4, 0), ("hha", 3, 0), ("rgb+depth", 4, 3), ("rgb+hha", 6, 3)],
)
def test_colour_changes_red_green_and_blue_alone(inputs, channels, changed):
    torch.manual_seed(0)
    transform = train_transform((16, 16), (1, 1), flip=0, color=0.5, inputs=inputs)
    image, mask = sample(16, 16, channels)
    if inputs == "rgb+depth":
        image = tv_tensors.wrap(image.float(), like=image)
        image[3] = 7.25
    new_image, new_mask = transform(image, mask)
    assert torch.equal(new_mask, mask)
    assert new_image.dtype == image.dtype
    assert [not torch.equal(new, old) for new, old in zip(new_image, image, strict=True)] == [
        channel < changed for channel in range(channels)
    ]


def test_colours_beside_depth_change_as_those_of_a_photograph():
    """Floats of 0..255, which torchvision would take for 0..1."""
    image, mask = sample(16, 16)
    deep = torch.cat([image.as_subclass(torch.Tensor).float(), torch.full((1, 16, 16), 7.25)])
    torch.manual_seed(0)
    expected, _ = train_transform((16, 16), (1, 1), flip=0, color=0.5)(image, mask)
    torch.manual_seed(0)
    found, _ = train_transform((16, 16), (1, 1), flip=0, color=0.5, inputs="rgb+depth")(tv_tensors.Image(deep), mask)
    assert torch.equal(found[:3], expected.float())


def test_white_balance_scales_each_channel_by_a_factor_of_its_own():
    torch.manual_seed(0)
    image = torch.tensor([100, 200, 250], dtype=torch.uint8)[:, None, None].expand(3, 4, 5).clone()
    seen = torch.stack([_white_balanced(image, 0.1).flatten(1) for _ in range(300)]).float()
    assert (seen == seen[..., :1]).all()  # nothing else changes from pixel to pixel
    for channel, (low, high) in enumerate([(90, 110), (180, 220), (225, 255)]):  # light has an upper end
        assert seen[:, channel].min() == pytest.approx(low, abs=1)
        assert seen[:, channel].max() == pytest.approx(high, abs=1)
    assert abs(np.corrcoef(seen[:, 0, 0], seen[:, 1, 0])[0, 1]) < 0.2


def test_several_labelings_take_the_same_crop():
    torch.manual_seed(0)
    image, mask = coordinates(60, 70)
    labelings = tv_tensors.Mask(torch.stack([mask, 100 + mask]))
    for _ in range(10):
        _, new = train_transform((30, 90), (0.5, 2), flip=0.5, color=0.3)(image, labelings)
        assert new.shape == (2, 30, 90)
        inside = new[0] != IGNORE
        assert torch.equal(new[1][inside], 100 + new[0][inside])
        assert (new[1][~inside] == IGNORE).all()


@pytest.mark.parametrize("channels", [4, 6])
def test_depth_keeps_its_type_and_range(channels):
    """Logarithms of millimetres, about 6 to 9, are interpolated as numbers, not rounded to bytes."""
    torch.manual_seed(0)
    depth = torch.linspace(6, 9, 50).expand(channels, 40, 50).contiguous()
    transform = train_transform((30, 30), (0.5, 2), flip=0.5, color=0.5)
    image, _ = transform(tv_tensors.Image(depth), tv_tensors.Mask(torch.zeros(40, 50, dtype=torch.uint8)))
    assert image.dtype == torch.float32
    assert image.shape == (channels, 30, 30)
    assert 6 <= image.min() < image.max() <= 9
    assert (image[0, 0].diff() != 0).float().mean() > 0.9


def test_without_a_crop_images_stay_whole():
    image, mask = coordinates(13, 17)
    for flip in (0, 1):
        new_image, new_mask = train_transform(None, (0.5, 2), flip, color=0)(image, mask)
        assert torch.equal(new_image, image.flip(2) if flip else image)
        assert torch.equal(new_mask, mask.flip(1) if flip else mask)
    new_image, _ = train_transform(None, (0.5, 2), flip=0, color=0.5)(image, mask)
    assert new_image.shape == image.shape
    assert not torch.equal(new_image, image)


def test_the_same_seed_gives_the_same_samples():
    transform = train_transform((20, 20), (0.5, 2), flip=0.5, color=0.4)
    image, mask = sample(50, 60)

    def draw(seed):
        torch.manual_seed(seed)
        return torch.stack([transform(image, mask)[0] for _ in range(5)])

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))
