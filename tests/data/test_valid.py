"""A folder of masks of the areas that count, beside any data set: what lies outside has no class."""

import pytest

from fullyconv.classes import IGNORE
from fullyconv.data import open_data
from fullyconv.data.checks.checked import checked
from fullyconv.data.layouts.pairing import with_valid
from fullyconv.data.pairs import read_pair
from fullyconv.errors import DataError

LEFT, MASK = [[255, 0], [255, 0]], [[0, 1], [1, 0]]


@pytest.fixture
def folders(save, tmp_path):
    """Two splits with the same file names, and their valid areas, right column invalid."""
    for split, names in (("train", "abc"), ("test", "ab")):
        for name in names:
            save(f"data/images/{split}/{name}.png", [[[9, 9, 9]] * 2] * 2)
            save(f"data/masks/{split}/{name}.png", MASK)
            save(f"areas/{split}/{name}.png", LEFT)
    return tmp_path


def labels(data, split):
    return [read_pair(pair, data.codes)[1].tolist() for pair in data.split(split)]


def test_the_images_of_one_split_have_areas_of_their_names(folders):
    data = with_valid(open_data(folders / "data"), "test", folders / "areas/test")
    assert labels(data, "test") == [[[0, IGNORE], [1, IGNORE]]] * 2
    assert labels(data, "train") == [MASK] * 3


def test_names_may_have_an_ending_of_their_own_and_other_splits_masks_may_lie_beside(save, tmp_path):
    """As DRIVE has it."""
    for name in ("21_training", "22_training", "01_test", "02_test"):
        split = name.partition("_")[2].replace("training", "train")
        save(f"data/images/{split}/{name}.tif", [[[9, 9, 9]] * 2] * 2)
        save(f"data/masks/{split}/{name}.png", MASK)
        save(f"mask/{name}_mask.gif", LEFT)
    data = with_valid(open_data(tmp_path / "data"), "test", tmp_path / "mask")
    assert labels(data, "test") == [[[0, IGNORE], [1, IGNORE]]] * 2


def test_what_is_checked_has_the_areas_too(folders, save):
    allowed = ["duplicates", "one-colour"]
    data = checked(folders / "data", split="test", allow=allowed, valid=folders / "areas/test")
    assert labels(data, "test") == [[[0, IGNORE], [1, IGNORE]]] * 2
    save("areas/test/a.png", [[255]])
    with pytest.raises(DataError, match=r"areas/test/a\.png.*1x1"):
        checked(folders / "data", split="test", allow=allowed, valid=folders / "areas/test")


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("nowhere", r"nowhere: .*--valid takes a folder with a mask for each image"),
        ("empty", r"empty: holds no image file; --valid takes a folder with a mask"),
        ("some", r"b\.png: has no mask of its valid area in .*some, like 1 of 2 images of test"),
        ("others", r"no valid area was found for this or any other image by its name; the most similar names are x"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused(folders, save, folder, message):
    (folders / "empty").mkdir()
    save("some/a.png", LEFT)
    save("others/x.png", LEFT)
    save("others/y.png", LEFT)
    with pytest.raises(DataError, match=message):
        with_valid(open_data(folders / "data"), "test", folders / folder)
