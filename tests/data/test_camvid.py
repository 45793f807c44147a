"""CamVid in the folders in which people have it, and data in folders of these names that are not CamVid."""

import shutil

import numpy as np
import pytest
from PIL import Image

from fullyconv.data import IGNORE, check, open_data
from fullyconv.data.pairs import read_pair
from fullyconv.data.published.camvid import CLASSES, split_of

NUMBERS = np.random.default_rng(0)
SEGNET = np.arange(96, dtype=np.uint8).reshape(8, 12) % 12
COLOURS = np.array([*CLASSES.values(), (0, 0, 0)], np.uint8)
PUBLISHED = np.arange(96).reshape(8, 12) % 32
FRAMES = {"train": "0001TP_006690", "val": "0016E5_07959", "test": "Seq05VD_f00000"}


@pytest.fixture
def write(tmp_path):
    def write(name, pixels=None):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = NUMBERS.integers(0, 256, (8, 12, 3))
        Image.fromarray(np.asarray(noise if pixels is None else pixels, np.uint8)).save(path)

    return write


def segnet(write, place=".", frames=FRAMES, mask=SEGNET):
    for split, frame in frames.items():
        write(f"{place}/{split}/{frame}.png")
        write(f"{place}/{split}annot/{frame}.png", mask)


@pytest.mark.parametrize("place", [".", "CamVid"])
def test_of_segnets_folders_value_11_is_void(write, tmp_path, place):
    segnet(write, place)
    data = open_data(tmp_path)
    assert (data.layout, list(data.splits)) == ("camvid", ["train", "val", "test"])
    assert (data.classes[0], data.classes[4], data.classes[10], len(data.classes)) == (
        "Sky",
        "Pavement",
        "Bicyclist",
        11,
    )
    labels = read_pair(data.split("val")[0], data.codes)[1]
    assert np.array_equal(labels, np.where(SEGNET == 11, IGNORE, SEGNET))
    assert check(data).errors == []


def test_segnets_lists_tell_it_where_the_frames_have_other_names(write, tmp_path):
    segnet(write, frames={"train": "a", "val": "b"})
    assert open_data(tmp_path).layout == "folders"
    line = "/SegNet/CamVid/train/a.png /SegNet/CamVid/trainannot/a.png"
    (tmp_path / "train.txt").write_text(f"{line}\n")
    assert open_data(tmp_path).layout == "camvid"
    (tmp_path / "train.txt").write_text("train/a.png trainannot/a.png\n")
    assert open_data(tmp_path).layout == "folders"


def test_masks_with_further_values_are_not_taken_for_segnets(write, tmp_path):
    """As those of all 32 classes by their numbers."""
    segnet(write, mask=PUBLISHED)
    assert open_data(tmp_path).layout == "folders"


def test_a_descriptor_goes_before_it(write, tmp_path):
    segnet(write)
    names = ", ".join(f"c{number}" for number in range(12))
    splits = "".join(f"  {split}: {{images: {split}, masks: {split}annot}}\n" for split in FRAMES)
    (tmp_path / "dataset.yaml").write_text(f"classes: [{names}]\nsplits:\n{splits}")
    assert len(open_data(tmp_path).classes) == 12


@pytest.mark.parametrize(
    ("frames", "masks"),
    [("701_StillsRaw_full", "LabeledApproved_full"), ("images/701_StillsRaw_full", "labels"), ("images", "labels")],
)
def test_as_published_black_is_void_and_the_frames_names_tell_the_splits(write, tmp_path, frames, masks):
    for frame in FRAMES.values():
        write(f"{frames}/{frame}.png")
        write(f"{masks}/{frame}_L.png", COLOURS[PUBLISHED])
    (tmp_path / "label_colors.txt").write_text("64 128 64\tAnimal\n")
    data = open_data(tmp_path)
    assert (data.layout, len(data.classes)) == ("camvid-32", 31)
    assert {split: [pair.image.stem for pair in pairs] for split, pairs in data.splits.items()} == {
        split: [frame] for split, frame in FRAMES.items()
    }
    labels = read_pair(data.split("test")[0], data.codes)[1]
    assert np.array_equal(labels, np.where(PUBLISHED == 31, IGNORE, PUBLISHED))
    assert (data.classes[21], data.palette[21]) == ("Sky", (128, 128, 128))
    assert check(data).errors == []


def test_published_masks_in_folders_of_splits_keep_these(write, tmp_path):
    for split, frame in {"train": "Seq05VD_f00000", "val": "0001TP_006690"}.items():
        write(f"{split}/{frame}.png")
        write(f"{split}_labels/{frame}_L.png", COLOURS[PUBLISHED])
    data = open_data(tmp_path)
    assert (data.layout, [pairs[0].image.stem for pairs in data.splits.values()]) == (
        "camvid-32",
        ["Seq05VD_f00000", "0001TP_006690"],
    )


def test_own_data_in_these_folders_are_not_taken_for_it(write, tmp_path):
    for name in ("a", "b"):
        write(f"images/{name}.png")
        write(f"labels/{name}_L.png", COLOURS[PUBLISHED])
    assert open_data(tmp_path).layout == "folders"


def test_frames_without_masks_and_masks_without_frames_are_reported(write, tmp_path):
    segnet(write)
    write("val/0016E5_07961.png")
    write("testannot/Seq05VD_f00030.png", SEGNET)
    names = {problem.kind.name for problem in check(open_data(tmp_path)).errors}
    assert names == {"NO_MASK", "UNMATCHED_MASK"}


def test_the_splits_are_those_of_segnets_lists(camvid):
    """By the names in its folders."""
    for split, count in {"train": 367, "val": 101, "test": 233}.items():
        found = [split_of(path.stem) for path in (camvid / split).iterdir()]
        assert found == [split] * count


def test_camvid_without_its_descriptor(camvid, tmp_path):
    for split in ("train", "val", "test"):
        for folder in (split, f"{split}annot"):
            (tmp_path / folder).mkdir()
            for path in sorted((camvid / folder).iterdir())[:3]:
                shutil.copy(path, tmp_path / folder)
    data = open_data(tmp_path)
    assert (data.layout, check(data).errors) == ("camvid", [])
    assert data.classes[:4] == ["Sky", "Building", "Pole", "Road"]
