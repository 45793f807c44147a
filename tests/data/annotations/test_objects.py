"""One mask file for each object, in folders for each image."""

import numpy as np
import pytest
from PIL import Image

from fullyconv.classes import IGNORE
from fullyconv.data import check, open_data
from fullyconv.data.checks.kinds import Kind


@pytest.fixture
def mask(tmp_path):
    """Write a mask that covers a rectangle of rows and columns."""

    def write(name, rows, columns, size=(16, 20)):
        pixels = np.zeros(size, np.uint8)
        pixels[rows[0] : rows[1], columns[0] : columns[1]] = 255
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        return path

    return write


def test_the_class_in_the_names_of_masks_is_taken(photo, mask, labels_of, tmp_path):
    for name in "ab":
        photo(f"{name}/images/{name}.png")
        mask(f"{name}/masks/{name}_cell_01.png", (0, 10), (0, 10))
        mask(f"{name}/masks/{name}_cell_02.png", (8, 16), (10, 20))
        mask(f"{name}/masks/{name}_nucleus_mask1.png", (4, 6), (4, 6))
    data = open_data(tmp_path)
    assert data.classes == ["background", "cell", "nucleus"]
    expected = np.zeros((16, 20), np.uint8)
    expected[:10, :10] = expected[8:, 10:] = 1
    expected[4:6, 4:6] = 2  # the smaller area is on top
    assert all(np.array_equal(labels, expected) for labels in labels_of(data).values())
    assert IGNORE not in expected


def test_names_that_are_digests_are_no_classes(photo, mask, tmp_path):
    """As those of the Data Science Bowl of 2018."""
    numbers = np.random.default_rng(0)
    for _ in range(3):
        name = numbers.bytes(32).hex()
        photo(f"{name}/images/{name}.png")
        for place in range(3):
            mask(f"{name}/masks/{numbers.bytes(32).hex()}.png", (place, place + 2), (0, 5))
    assert open_data(tmp_path).classes == ["background", "foreground"]


def test_masks_of_another_size_and_broken_ones_are_reported(photo, mask, tmp_path):
    for name in "abc":
        photo(f"{name}/images/{name}.png")
        mask(f"{name}/masks/1.png", (0, 4), (0, 4))
        mask(f"{name}/masks/2.png", (8, 12), (0, 4), (16, 20) if name != "b" else (20, 16))
    (tmp_path / "c/masks/2.png").write_bytes(b"broken")
    found = [str(problem.found) for problem in check(open_data(tmp_path)).errors if problem.kind is Kind.UNREADABLE]
    assert len(found) == 2
    assert "2.png: is 16x20 (width x height) for an image of 20x16" in found[0] + found[1]


def test_masks_are_drawn_again_when_one_is_added(photo, mask, labels_of, tmp_path):
    for name in "ab":
        photo(f"{name}/images/{name}.png")
        for number in (1, 2):
            mask(f"{name}/masks/{number}.png", (0, 4), (5 * number, 5 * number + 3))
    assert labels_of(open_data(tmp_path))["a.png"].sum() == 24
    mask("a/masks/3.png", (8, 10), (0, 4))
    assert labels_of(open_data(tmp_path))["a.png"].sum() == 32
    (tmp_path / "a/masks/3.png").unlink()
    assert labels_of(open_data(tmp_path))["a.png"].sum() == 24


def test_patients_with_an_image_and_a_mask_each_are_folders(photo, mask, tmp_path):
    for name in "abcde":
        photo(f"{name}/images/1.png")
        mask(f"{name}/masks/1.png", (0, 4), (0, 4))
    assert open_data(tmp_path).layout == "folders"
