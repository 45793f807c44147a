"""Which classes a folder of masks without a description has."""

import numpy as np
import pytest
from PIL import Image

from fullyconv.data import open_data
from fullyconv.data.masks import IGNORE, read_mask
from fullyconv.errors import DataError
from fullyconv.palettes import default_palette

RED, GREEN, BLACK, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 0), (255, 255, 255)


@pytest.fixture
def infer(save, tmp_path):
    """Open a data set with the given masks (and an image each); also a reader of its masks by number."""

    def open_with(*masks, suffix=".png", dtype=np.uint8):
        paths = []
        for index, mask in enumerate(masks):
            save(f"images/{index}.png", np.zeros((1, 1, 3)))
            paths.append(save(f"masks/{index}{suffix}", mask, dtype))
        data = open_data(tmp_path)
        return data, lambda index: read_mask(paths[index], data.mask_code).tolist()

    return open_with


def palette_image(indices, *colours):
    image = Image.fromarray(np.asarray(indices, np.uint8), "P")
    image.putpalette([channel for colour in colours for channel in colour])
    return image


@pytest.mark.parametrize(
    "masks",
    [
        ([[0, 0]], [[0, 255]]),
        ([[0, 255]], Image.fromarray(np.array([[False, True]]))),
        ([[BLACK, BLACK]], [[BLACK, WHITE]]),
        ([[255, 255]], [[0, 255]]),
    ],
)
def test_masks_of_0_and_255_and_1_bit_have_two_classes(infer, masks):
    data, read = infer(*masks)
    assert data.classes == ["background", "foreground"]
    assert data.palette == default_palette(2)
    assert data.ignore_index is None
    assert read(1) == [[0, 1]]


def test_masks_may_be_gif(infer):
    data, read = infer([[0, 3, 3]], [[1, 2, 0]], suffix=".gif")  # Pillow writes the first as 0, 1, 1 and a palette
    assert data.classes == ["class 0", "class 1", "class 2", "class 3"]
    assert [read(0), read(1)] == [[[0, 3, 3]], [[1, 2, 0]]]


def test_masks_may_lie_at_any_depth(save, tmp_path):
    save("images/train/aachen/0.png", np.zeros((1, 1, 3)))
    save("masks/train/aachen/0.png", [[3]])
    assert open_data(tmp_path).classes[-1] == "class 3"


def test_index_masks_have_classes_up_to_the_highest(infer):
    data, read = infer([[0, 3]], [[1, 0]])
    assert data.classes == ["class 0", "class 1", "class 2", "class 3"]
    assert data.palette == default_palette(4)
    assert data.ignore_index is None
    assert read(0) == [[0, 3]]


def test_255_beside_small_values_is_void(infer):
    data, read = infer([[0, 1]], [[1, 255]])
    assert (data.classes, data.ignore_index) == (["class 0", "class 1"], 255)
    assert read(1) == [[1, IGNORE]]


def test_sixteen_bit_index_masks(infer):
    data, read = infer([[0, 2]], [[1, 255]], dtype=np.uint16)
    assert (len(data.classes), data.ignore_index) == (3, 255)
    assert read(1) == [[1, IGNORE]]


def test_palettes_give_the_colours(infer):
    data, read = infer(palette_image([[0, 1]], BLACK, RED, GREEN), palette_image([[2, 1]], BLACK, RED, GREEN))
    assert data.palette == [BLACK, RED, GREEN]
    assert read(1) == [[2, 1]]


def test_a_palette_of_mere_greys_is_not_taken_for_colours(infer):
    greys = [(value, value, value) for value in range(256)]
    assert infer(palette_image([[0, 1]], *greys))[0].palette == default_palette(2)


def test_palettes_that_contradict_each_other_are_read_by_colour(infer):
    """Some programs give each file a palette of its own: the numbers mean nothing, the colours do."""
    data, read = infer(palette_image([[0, 1]], BLACK, RED), palette_image([[0, 1]], RED, BLACK), [[0, 0]])
    assert data.palette == [BLACK, RED]
    assert [read(0), read(1), read(2)] == [[[0, 1]], [[1, 0]], [[0, 0]]]


def test_colours_are_classes_in_ascending_order(infer):
    data, read = infer([[RED, BLACK]], [[GREEN, RED]])
    assert data.palette == [BLACK, GREEN, RED]
    assert data.classes == ["class 0", "class 1", "class 2"]
    assert [read(0), read(1)] == [[[2, 0]], [[1, 2]]]


def test_smoothed_and_broken_masks_do_not_make_classes(infer, tmp_path):
    smooth = [[(value, 0, 0) for value in range(200)]]
    data, _ = infer([[RED, BLACK]], smooth)
    assert data.palette == [BLACK, RED]
    (tmp_path / "masks/1.png").write_bytes(b"broken")
    assert open_data(tmp_path).palette == [BLACK, RED]


def test_jpeg_masks_do_not_make_classes(infer, save):
    save("masks/jpeg.jpg", np.random.default_rng(0).integers(0, 50, (8, 8)))
    assert infer([[0, 1]])[0].classes == ["class 0", "class 1"]


def test_when_no_mask_can_be_trusted_that_is_said(infer):
    with pytest.raises(DataError) as error:
        infer(np.zeros((8, 8)), np.zeros((8, 8)), suffix=".jpg")
    assert "the classes cannot be inferred from any of the 2 masks" in str(error.value)
    assert "masks/1.jpg: it is compressed with loss (as JPEG is), which changes mask values" in str(error.value)
    assert "write a dataset.yaml" in str(error.value)


def test_smoothed_masks_are_refused(infer):
    with pytest.raises(DataError, match="more than 64 colours"):
        infer([[(value, 0, 0) for value in range(200)]])
    with pytest.raises(DataError, match="more than 64 values"):
        infer([list(range(200))])
    with pytest.raises(DataError, match="masks have 100 colours; expected at most 64"):
        infer([[(value, 0, 1) for value in range(50)]], [[(value, 0, 2) for value in range(50)]])


@pytest.mark.parametrize("values", [[0, 128, 255], [0, 300], [0, 65535]])
def test_grey_levels_are_not_taken_for_class_numbers(infer, values):
    with pytest.raises(DataError, match=r"classes are written as greys .*`values: \{0: background, \d+: class_1"):
        infer([values], dtype=np.uint16)


def test_a_data_set_without_masks_cannot_tell_its_classes(save, tmp_path):
    save("images/a.png", np.zeros((1, 1, 3)))
    (tmp_path / "masks").mkdir()
    with pytest.raises(DataError, match="no masks were found"):
        open_data(tmp_path)
