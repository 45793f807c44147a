"""Pixels of rare classes are pasted from other images, with their labels."""

import pytest
import torch
from torchvision import tv_tensors

from fullyconv.data import IGNORE
from fullyconv.data.augmentation.copy_paste import Donors
from fullyconv.data.augmentation.flips import exchange_table
from fullyconv.data.augmentation.settings import Augmentation
from fullyconv.data.augmentation.transform import TrainTransform

RARITY = [torch.tensor([1.0, 2.0, 5.0, 0.0])]


def scene(brightness, label, size=(40, 50), labelings=0):
    """An image of one brightness, of class 0, with a square of another class, which is 50 brighter."""
    mask = torch.zeros(size, dtype=torch.uint8)
    mask[10:16, 20:26] = label
    image = (brightness + 50 * (mask > 0)).expand(3, -1, -1).to(torch.uint8)
    return image, torch.stack([torch.zeros_like(mask), mask]) if labelings else mask


def donors(*scenes, rarity=RARITY):
    holds = [
        [
            (plane == label).any()
            for plane, own in zip(mask.reshape(-1, *mask.shape[-2:]), rarity, strict=True)
            for label in range(len(own))
        ]
        for _, mask in scenes
    ]
    samples = [(*scene, index) for index, scene in enumerate(scenes)]
    return Donors(samples, torch.tensor(holds), rarity)


def changed(image, mask, source, crop=None, seed=0, **options):
    torch.manual_seed(seed)
    given = Augmentation(preset="none", copy_paste=1, **options)
    exchanged = exchange_table(given.flip_pairs, ["a", "b", "c", "d"], [4])
    transform = TrainTransform(crop, given, donors=source, exchanged=exchanged)
    new, labels = transform(tv_tensors.Image(image), tv_tensors.Mask(mask))
    return new, labels


@pytest.mark.parametrize("crop", [None, (30, 30)])
@pytest.mark.parametrize("options", [{}, {"rotate": 40}, {"flip": 0.5, "quarter_turns": 0.75}])
def test_pixels_of_the_class_replace_those_of_the_image_and_no_others(crop, options):
    image, mask = torch.full((3, 60, 60), 20, dtype=torch.uint8), torch.full((60, 60), 3, dtype=torch.uint8)
    source = donors(scene(100, 2), rarity=[torch.tensor([0.0, 0.0, 1.0, 0.0])])
    for seed in range(20):
        new, labels = changed(image, mask, source, crop, seed, **options)
        pasted = labels == 2
        assert pasted.any()
        assert set(labels.unique().tolist()) <= {2, 3, IGNORE}
        assert set(new[:, labels == 3].unique().tolist()) == {20}
        pixels = new[:, pasted]
        if options.get("rotate"):  # the square's border is interpolated
            assert pixels.float().mean() > 125
        else:
            assert (pixels == 150).all()


def test_classes_are_drawn_by_rarity_and_images_from_those_that_hold_them():
    first, second, third = scene(10, 1), scene(20, 2), scene(30, 2)
    source = donors(first, second, third)
    torch.manual_seed(0)
    drawn = [source.draw() for _ in range(800)]
    shares = [sum(donor.label == label for donor in drawn) / 800 for label in range(4)]
    assert shares == pytest.approx([1 / 8, 2 / 8, 5 / 8, 0], abs=0.05)
    assert all(int(donor.image.min()) == 10 for donor in drawn if donor.label == 1)
    of_second = [int(donor.image.min()) for donor in drawn if donor.label == 2]
    assert of_second.count(20) / len(of_second) == pytest.approx(0.5, abs=0.08)
    assert {int(donor.image.min()) for donor in drawn if donor.label == 0} == {10, 20, 30}


def test_pasted_pixels_are_mirrored_with_their_classes():
    """A pasted left hand that is mirrored is a right hand."""
    image, mask = scene(20, 0)
    source = donors(scene(100, 1), rarity=[torch.tensor([0.0, 1.0, 0.0, 0.0])])
    _, labels = changed(image, mask, source, flip=1, flip_pairs=[["b", "c"]])
    assert set(labels.unique().tolist()) == {0, 2}


def test_all_labelings_of_a_pasted_pixel_come_from_its_image():
    rarity = [torch.tensor([0.0, 0.0]), torch.tensor([0.0, 1.0, 0.0])]
    source = donors(scene(100, 1, labelings=2), rarity=rarity)
    image, mask = torch.full((3, 40, 50), 20, dtype=torch.uint8), torch.ones(2, 40, 50, dtype=torch.uint8)
    mask[1] = 2
    new, labels = changed(image, mask, source)
    pasted = labels[1] == 1
    assert pasted.sum() > 0
    assert (labels[0][pasted] == 0).all()
    assert (labels[0][~pasted] == 1).all()
    assert (new[:, pasted] == 150).all()


def test_images_are_pasted_as_often_as_asked_and_not_where_there_is_nothing_to_paste():
    image, mask = scene(20, 0)
    source = donors(scene(100, 2), rarity=[torch.tensor([0.0, 0.0, 1.0])])
    torch.manual_seed(0)
    transform = TrainTransform(None, Augmentation(preset="none", copy_paste=0.3), donors=source)
    found = [bool((transform(tv_tensors.Image(image), tv_tensors.Mask(mask))[1] == 2).any()) for _ in range(300)]
    assert sum(found) / 300 == pytest.approx(0.3, abs=0.08)
    nothing = donors(scene(100, 2), rarity=[torch.zeros(3)])
    new, labels = changed(image, mask, nothing)
    assert torch.equal(new, image)
    assert torch.equal(labels, mask)
    gone = Donors([(image, mask, 0)], torch.tensor([[False, False, True]]), [torch.tensor([0.0, 0.0, 1.0])])
    assert torch.equal(changed(image, mask, gone)[1], mask)  # a class whose pixels hold no data has none to paste
