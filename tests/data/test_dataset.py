"""Images and masks as tensors."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from fullyconv.data import IGNORE, check, open_data
from fullyconv.data.dataset import Examples, SegmentationDataset
from fullyconv.errors import DataError
from fullyconv.training.augmented.samples import training_set
from fullyconv.training.batches import Draw
from fullyconv.training.config import load_config

PICTURES = np.random.default_rng(0).integers(0, 256, (6, 4, 5, 3), np.uint8)
MASK = np.array([[0, 1, 2, 255, 0]] * 4)


@pytest.fixture
def folder(save, tmp_path):
    for index, picture in enumerate(PICTURES):
        save(f"images/train/{index}.png", picture)
        save(f"masks/train/{index}.png", MASK)
    return tmp_path


def failure(loader):
    """What a loader says when it breaks. Without its traceback the error lets go of the workers at once."""
    try:
        list(loader)
    except DataError as error:
        return str(error.with_traceback(None))
    return "nothing broke"


def test_items_are_bytes_in_torch_layout(folder):
    dataset = SegmentationDataset(open_data(folder), "train")
    image, mask, index = dataset[4]
    assert len(dataset) == 6
    assert index == 4
    assert image.dtype == mask.dtype == torch.uint8
    assert image.is_contiguous()
    assert np.array_equal(image, PICTURES[4].transpose(2, 0, 1))
    assert mask.tolist() == np.where(MASK == 255, IGNORE, MASK).tolist()


def test_a_data_set_is_a_sequence_of_examples_that_ends(folder):
    examples: Examples = SegmentationDataset(open_data(folder), "train")
    assert [index for _, _, index in iter(examples)] == list(range(6))


@pytest.mark.parametrize("channels", [1, 3])
def test_images_have_the_channels_asked_for(folder, channels):
    image, _, _ = SegmentationDataset(open_data(folder), "train", channels=channels)[0]
    assert image.shape == (channels, 4, 5)


def test_images_of_other_bands_are_refused(folder):
    with pytest.raises(DataError, match="has 3 bands of type uint8; the network takes 4 channels"):
        SegmentationDataset(open_data(folder), "train", channels=4)[0]


def test_a_process_that_is_spawned_loads_the_same(folder):
    """As on macOS and Windows, where all that a loader needs is pickled; a fork would share it."""
    augment = {"preset": "microscopy", "rotate": 20, "elastic_spacing": 40, "noise": 9, "jpeg": 50, "copy_paste": 0.5}
    settings = {"data.augment": augment, "data.balance": 0.5, "data.resolutions": [{"crop": [3, 3]}]}
    data = open_data(folder)
    dataset = training_set(data, SegmentationDataset(data, "train"), load_config(None, settings))
    draws = [[Draw(index, seed=index, transform=0)] for index in range(2)]
    here, there = (
        list(DataLoader(dataset, batch_sampler=draws, num_workers=workers, multiprocessing_context=context))
        for workers, context in ((0, None), (1, "spawn"))
    )
    assert len(here) == len(there) == 2
    for expected, found in zip(here, there, strict=True):
        assert all(torch.equal(one, other) for one, other in zip(expected, found, strict=True))


def test_any_torchvision_transform_changes_image_and_mask_together(folder):
    transform = v2.RandomHorizontalFlip(p=1)
    image, mask, _ = SegmentationDataset(open_data(folder), "train", transform)[2]
    assert np.array_equal(image, PICTURES[2, :, ::-1].transpose(2, 0, 1))
    assert np.array_equal(mask, MASK[:, ::-1])
    assert type(image) is type(mask) is torch.Tensor


def test_an_unknown_split_is_refused(folder):
    with pytest.raises(DataError, match="its splits are train"):
        SegmentationDataset(open_data(folder), "val")


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda root: (root / "images/train/3.png").write_bytes(b"x"), "images/train/3.png: cannot be read"),
        (lambda root: (root / "masks/train/3.png").unlink(), "masks/train/3.png: there is no such file"),
    ],
)
def test_a_file_that_breaks_is_named_and_nothing_else_is_said(folder, workers, break_it, message):
    dataset = SegmentationDataset(open_data(folder), "train")
    break_it(folder)
    words = failure(DataLoader(dataset, batch_size=2, num_workers=workers))
    assert words.startswith(f"{folder}/{message}")
    assert "Traceback" not in words
    assert "\n" not in words


@pytest.mark.parametrize("workers", [0, 2])
def test_sizes_that_differ_are_said(folder, save, workers):
    save("masks/train/5.png", MASK[:2])
    dataset = SegmentationDataset(open_data(folder), "train")
    words = failure(DataLoader(dataset, num_workers=workers))
    assert words.startswith(f"{folder}/masks/train/5.png: is 5x2 (width x height), its image ")


def test_a_missing_mask_is_said(folder, save):
    save("images/train/9.png", PICTURES[0])
    with pytest.raises(DataError, match=r"9\.png: has no mask"):
        SegmentationDataset(open_data(folder), "train")[6]


def test_values_outside_the_classes_are_said(folder, save):
    data = open_data(folder)
    save("masks/train/1.png", MASK + 5)
    with pytest.raises(DataError, match=r"1\.png: holds values 5 \(8 pixels\), 4 \(4 pixels\)"):
        SegmentationDataset(data, "train")[1]


def test_a_dataset_can_be_sent_to_another_process(folder):
    dataset = pickle.loads(pickle.dumps(SegmentationDataset(open_data(folder), "train")))
    assert np.array_equal(dataset[0][1], MASK)


def test_isbi_is_read_as_rgb_and_two_classes(isbi):
    image, mask, _ = SegmentationDataset(open_data(isbi), "test")[0]
    assert image.shape == (3, 512, 512)
    assert torch.equal(image[0], image[2])
    assert mask.unique().tolist() == [0, 1]


@pytest.mark.parametrize("drawn", ["upright", "as stored"])
def test_a_mask_tells_whether_it_was_drawn_on_the_turned_image(tmp_path, drawn):
    """An image of 4×6 pixels that EXIF says to turn by a quarter: its mask is of 6×4, or of 4×6."""
    stored = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    upright = np.rot90(stored, -1)
    image = Image.fromarray(stored)
    image.getexif()[0x0112] = 6
    for kind in ("images", "masks"):
        (tmp_path / kind / "train").mkdir(parents=True)
    image.save(tmp_path / "images/train/a.png", exif=image.getexif())
    wanted = upright if drawn == "upright" else stored
    Image.fromarray((wanted[..., 0] > 99).astype(np.uint8)).save(tmp_path / "masks/train/a.png")
    data = open_data(tmp_path)
    found, labels, _ = SegmentationDataset(data, "train")[0]
    assert np.array_equal(found, wanted.transpose(2, 0, 1))
    assert np.array_equal(labels, wanted[..., 0] > 99)
    assert [error.kind.word for error in check(data).errors] == ([] if drawn == "upright" else ["rotated"])
