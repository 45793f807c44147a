"""Mirroring and quarter turns move whole pixels; classes of a pair change places in mirrored images."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision import tv_tensors

from fullyconv.data import IGNORE
from fullyconv.data.augmentation.flips import exchange_table
from fullyconv.data.augmentation.settings import Augmentation
from fullyconv.data.augmentation.transform import TrainTransform
from fullyconv.errors import ConfigError

CLASSES = ["background", "left_hand", "right_hand", "left_foot", "right_foot"]
HANDS = exchange_table([("left_hand", "right_hand")], CLASSES, [5])


def numbered(height, width):
    """An image and a mask that hold each pixel's number."""
    numbers = torch.arange(height * width, dtype=torch.uint8).view(height, width)
    return tv_tensors.Image(numbers[None].clone()), tv_tensors.Mask(numbers.clone())


def changed(options, image, mask, crop=None, **more):
    return TrainTransform(crop, Augmentation(preset="none", **options), **more)(image, mask)


def symmetries(numbers):
    """The eight ways to lay a square."""
    return {tuple(way.rot90(k).flatten().tolist()) for way in (numbers, numbers.flip(1)) for k in range(4)}


@pytest.mark.parametrize("crop", [None, (6, 6)])
def test_flips_and_quarter_turns_reach_all_eight_symmetries_alike(crop):
    image, mask = numbered(6, 6)
    torch.manual_seed(0)
    found = []
    for _ in range(800):
        new_image, new_mask = changed({"flip": 0.5, "quarter_turns": 0.75}, image, mask, crop)
        assert torch.equal(new_image[0], new_mask)
        found.append(tuple(new_mask.flatten().tolist()))
    assert set(found) == symmetries(mask)
    assert all(found.count(way) == pytest.approx(100, abs=35) for way in set(found))


def test_vertical_flips_exchange_top_and_bottom():
    image, mask = numbered(3, 5)
    new_image, new_mask = changed({"vertical_flip": 1}, image, mask)
    assert torch.equal(new_image, image.flip(1))
    assert torch.equal(new_mask, mask.flip(0))
    new_image, _ = changed({"vertical_flip": 1, "flip": 1}, image, mask)
    assert torch.equal(new_image, image.flip(1, 2))


def test_turned_crops_have_the_crops_shape_and_whole_images_their_own():
    """A crop is taken lying and then turned; a whole image is turned by 180 degrees where it is not square."""
    image, mask = numbered(12, 20)
    torch.manual_seed(0)
    for _ in range(40):
        new, _ = changed({"quarter_turns": 1}, image, mask, (4, 9))
        assert new.shape == (1, 4, 9)
        down, across = new[0].int().diff(dim=0), new[0].int().diff(dim=1)
        assert (int(down[0, 0]), int(across[0, 0])) in ((1, -20), (-1, 20), (-20, -1))
        new, _ = changed({"quarter_turns": 1}, image, mask)
        assert torch.equal(new[0], image[0].rot90(2))


def test_four_quarter_turns_are_none():
    image, mask = numbered(7, 7)
    quarter = next(
        seed for seed in range(50) if (torch.manual_seed(seed), torch.rand(1), int(torch.randint(1, 4, ())))[-1] == 1
    )
    new = (image, mask)
    for _ in range(4):
        torch.manual_seed(quarter)
        new = changed({"quarter_turns": 1}, *new)
        assert not torch.equal(new[0], image) or _ == 3
    assert torch.equal(new[0], image)
    assert torch.equal(new[1], mask)


@pytest.mark.parametrize(
    ("options", "mirrored"),
    [
        ({"flip": 1}, True),
        ({"vertical_flip": 1}, True),
        ({"flip": 1, "vertical_flip": 1}, False),  # which is half a turn
        ({"quarter_turns": 1}, False),
        ({"flip": 1, "quarter_turns": 1}, True),
        ({"flip": 1, "rotate": 30}, True),
        ({"rotate": 30}, False),
    ],
)
def test_a_mirrored_left_hand_is_a_right_hand(options, mirrored):
    image = tv_tensors.Image(torch.zeros(3, 8, 8, dtype=torch.uint8))
    mask = tv_tensors.Mask(torch.full((8, 8), 1, dtype=torch.uint8))
    torch.manual_seed(0)
    _, new = changed(options, image, mask, exchanged=HANDS)
    assert set(new.unique().tolist()) - {IGNORE} == {2 if mirrored else 1}


@settings(max_examples=40, deadline=None)
@given(size=st.tuples(st.integers(1, 9), st.integers(1, 9)), seed=st.integers(0, 99))
def test_mirrored_twice_is_as_it_was(size, seed):
    torch.manual_seed(seed)
    image = tv_tensors.Image(torch.randint(0, 256, (3, *size)).to(torch.uint8))
    labels = torch.tensor([0, 1, 2, 3, 4, IGNORE], dtype=torch.uint8)
    mask = tv_tensors.Mask(labels[torch.randint(0, 6, size)])
    table = exchange_table([("left_hand", "right_hand"), ("right_foot", "left_foot")], CLASSES, [5])
    once = changed({"flip": 1}, image, mask, exchanged=table)
    expected = torch.tensor([0, 2, 1, 4, 3, IGNORE], dtype=torch.uint8)
    assert torch.equal(once[1], expected[torch.searchsorted(labels, mask.flip(1))])
    twice = changed({"flip": 1}, *once, exchanged=table)
    assert torch.equal(twice[0], image)
    assert torch.equal(twice[1], mask)


def test_the_originals_are_not_touched():
    image, mask = numbered(4, 4)
    kept = (image.clone(), mask.clone())
    table = exchange_table([("left_hand", "right_hand")], CLASSES, [5])
    for options in ({"flip": 1}, {"cutout": 1}, {"noise": 50}, {"quarter_turns": 1}, {"gray": 1}):
        changed(options, image, mask, exchanged=table)
        assert torch.equal(image, kept[0])
        assert torch.equal(mask, kept[1])


def test_pairs_are_exchanged_in_their_own_labeling():
    classes = ["sky", "left", "right", "flat", "left side", "right side"]
    table = exchange_table([("left side", "right side")], classes, [3, 3])
    masks = tv_tensors.Mask(torch.tensor([[[0, 1, 2, IGNORE]], [[0, 1, 2, IGNORE]]], dtype=torch.uint8))
    image = tv_tensors.Image(torch.zeros(3, 1, 4, dtype=torch.uint8))
    _, new = changed({"flip": 1}, image, masks, exchanged=table)
    assert new.tolist() == [[[IGNORE, 2, 1, 0]], [[IGNORE, 1, 2, 0]]]
    with pytest.raises(ConfigError, match=r"left and left side are classes of two labelings"):
        exchange_table([("left", "left side")], classes, [3, 3])


def test_pairs_of_other_classes_are_refused():
    with pytest.raises(
        ConfigError, match=r"data\.augment\.flip_pairs: 'left_hnd' is no class .* Did you mean left_hand"
    ):
        exchange_table([("left_hnd", "right_hand")], CLASSES, [5])
    with pytest.raises(ConfigError, match=r"'nose' is no class of the data\. They are background, left_hand"):
        exchange_table([("left_hand", "nose")], CLASSES, [5])
    assert exchange_table([], CLASSES, [5]) is None
