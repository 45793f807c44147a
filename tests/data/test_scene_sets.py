"""Data sets of scenes in the folders in which they are published, against the authors' own rules."""

import numpy as np
import pytest
from PIL import Image

from fullyconv.data import IGNORE, check, open_data
from fullyconv.data.pairs import read_pair
from fullyconv.errors import DataError

NUMBERS = np.random.default_rng(0)


@pytest.fixture
def write(tmp_path):
    def write(name, pixels, palette=None):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(np.asarray(pixels, np.uint8))
        if palette:
            image.putpalette(palette)
        image.save(path)
        return path

    return write


def noise(height=8, width=12):
    return NUMBERS.integers(0, 256, (height, width, 3))


def ade20k(write, place="ADEChallengeData2016"):
    """Two images for training and one for validation whose masks hold all 151 values."""
    mask = np.arange(8 * 24).reshape(8, 24) % 151
    for folder, name in (
        ("training", "train_00000001"),
        ("training", "train_00000002"),
        ("validation", "val_00000001"),
    ):
        write(f"{place}/images/{folder}/ADE_{name}.jpg", noise(8, 24))
        write(f"{place}/annotations/{folder}/ADE_{name}.png", mask)
    return mask


@pytest.mark.parametrize("place", [".", "ADEChallengeData2016"])
def test_ade20k_has_150_classes_and_0_is_void(write, tmp_path, place):
    """As the authors' evaluation has it: they subtract 1, and do not count what was 0 (sceneparsing, utils_eval.py)."""
    mask = ade20k(write, place)
    write(f"{place}/images/testing/ADE_test_00000001.jpg", noise())
    data = open_data(tmp_path)
    assert (data.layout, {name: len(pairs) for name, pairs in data.splits.items()}) == (
        "ade20k",
        {"train": 2, "val": 1},
    )
    assert "test is left out" in data.notes[0]
    assert (data.classes[0], data.classes[12], data.classes[149]) == ("wall", "person", "flag")
    assert (len(set(data.classes)), data.palette[:2]) == (150, [(120, 120, 120), (180, 120, 120)])
    labels = read_pair(data.split("val")[0], data.codes)[1]
    assert np.array_equal(labels, (mask - 1).astype(np.uint8))  # 0 wraps to 255
    assert IGNORE in labels
    assert check(data).errors == []


def test_ade20ks_list_names_the_classes_by_their_first_synonyms(write, tmp_path):
    ade20k(write, ".")
    listed = ["Idx\tRatio\tTrain\tVal\tStuff\tName"]
    listed += [f"{number}\t0.1\t5\t6\t1\tthing {number} , other" for number in range(1, 151)]
    (tmp_path / "objectInfo150.txt").write_text("\n".join(listed))
    assert open_data(tmp_path).classes == [f"thing {number}" for number in range(1, 151)]
    (tmp_path / "objectInfo150.txt").write_text("\n".join(listed[2:]))
    with pytest.raises(DataError, match="does not number the classes from 1"):
        open_data(tmp_path)


def test_ade20ks_masks_in_one_folder_are_told_by_their_names(write, tmp_path):
    for split in ("train", "val"):
        write(f"images/ADE_{split}_00000001.jpg", noise())
        write(f"annotations/ADE_{split}_00000001.png", np.full((8, 12), 150))
    data = open_data(tmp_path)
    assert (data.layout, list(data.splits)) == ("ade20k", ["train", "val"])
    assert (read_pair(data.split("val")[0], data.codes)[1] == 149).all()


def test_own_data_in_ade20ks_folders_are_not_taken_for_it(write, tmp_path):
    for name in ("training/a", "validation/b"):
        write(f"images/{name}.jpg", noise())
        write(f"annotations/{name}.png", np.arange(96).reshape(8, 12) % 2)
    assert open_data(tmp_path).layout == "folders"


def test_the_whole_of_ade20k_is_refused_with_what_to_use(write, tmp_path):
    write("images/ADE/training/urban/street/ADE_train_00000001.jpg", noise())
    write("images/ADE/training/urban/street/ADE_train_00000001_seg.png", noise())
    with pytest.raises(DataError, match=r"the whole of ADE20K .* Use its SceneParse150"):
        open_data(tmp_path)
