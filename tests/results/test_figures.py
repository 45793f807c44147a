import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fullyconv.data import IGNORE
from fullyconv.results import figures

PALETTE = [(10, 20, 30), (200, 0, 100), (0, 250, 5)]


def test_index_image_keeps_every_value_and_shows_its_colour():
    labels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    picture = figures.index_image(labels, PALETTE)
    assert picture.mode == "P"
    assert np.array_equal(np.asarray(picture), labels)
    shown = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    assert [tuple(c) for c in shown[:3]] == PALETTE
    assert tuple(shown[IGNORE]) == (224, 224, 192)


def test_colourize_gives_each_label_its_colour():
    labels = np.array([[0, 1], [2, IGNORE]], dtype=np.uint8)
    shown = figures.colourize(labels, PALETTE)
    assert shown.tolist() == [[[10, 20, 30], [200, 0, 100]], [[0, 250, 5], [224, 224, 192]]]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_borders_are_where_a_pixel_differs_from_its_lower_or_right_neighbour(height, width, seed):
    labels = np.random.default_rng(seed).integers(0, 3, (height, width))
    for row in range(height):
        for column in range(width):
            neighbours = [(row + 1, column), (row, column + 1)]
            differs = any(r < height and c < width and labels[r, c] != labels[row, column] for r, c in neighbours)
            assert figures.borders(labels)[row, column] == differs


def test_overlay_blends_inside_regions_and_is_full_on_borders():
    image = np.full((64, 64, 3), 100, dtype=np.uint8)
    labels = np.zeros((64, 64), dtype=np.uint8)
    labels[:, 32:] = 1
    shown = figures.overlay(image, labels, PALETTE, alpha=0.25)
    assert shown[0, 0].tolist() == [78, 80, 82]  # 0.75 · 100 + 0.25 · colour, rounded to even
    assert shown[0, 31].tolist() == list(PALETTE[0])
    assert shown[0, 40].tolist() == [125, 75, 100]


def test_overlay_of_a_small_image_has_no_borders():
    image = np.full((2, 2, 3), 100, dtype=np.uint8)
    shown = figures.overlay(image, np.array([[0, 1], [1, 0]], dtype=np.uint8), PALETTE, alpha=0.0)
    assert np.array_equal(shown, image)


def test_errors_marks_wrong_and_unknown_pixels():
    image = np.full((1, 3, 3), 50, dtype=np.uint8)
    shown = figures.errors(image, np.array([[0, 1, 1]]), np.array([[0, 0, IGNORE]]))
    assert len(set(shown[0, 0].tolist())) == 1  # grey
    assert tuple(shown[0, 1]) == figures.WRONG
    assert tuple(shown[0, 2]) == (224, 224, 192)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 500), (500, 3), (200, 300)])
def test_legend_leaves_the_picture_as_it_is_and_shows_every_colour_and_name(height, width):
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    names = ["sky", "a class with a rather long name", "Straße", "tree"]
    colours = [(1, 2, 3), (90, 0, 0), (0, 120, 0), (0, 0, 250)]
    sheet = np.asarray(figures.with_legend(picture, names, colours))
    left = (sheet.shape[1] - width) // 2
    assert np.array_equal(sheet[:height, left : left + width], picture)
    legend = sheet[height:]
    for colour in colours:
        assert (legend == colour).all(axis=2).sum() >= 100
    right_edge = legend[:, -2:]
    assert (right_edge == 255).all()  # no name is cut off


def test_legend_grows_with_the_picture():
    small, large = (
        figures.with_legend(np.zeros((100, side, 3), np.uint8), ["sky"], [(9, 9, 9)]).height for side in (300, 3000)
    )
    assert large - 100 > 3 * (small - 100)


def test_panels_keep_the_colours_of_index_images():
    labels = np.kron(np.eye(3, dtype=np.uint8), np.ones((7, 5), dtype=np.uint8))
    sheet = np.asarray(figures.panels([[figures.index_image(labels, PALETTE)]], ["truth"], width=100))
    found = {tuple(c) for c in sheet[30:].reshape(-1, 3)}  # below the title
    assert found == {PALETTE[0], PALETTE[1], (255, 255, 255)}


def test_panels_hold_rows_of_different_heights():
    row = [Image.new("RGB", (50, 50), "red"), Image.new("RGB", (50, 50), "red")]
    flat = [Image.new("RGB", (50, 10), "red"), Image.new("RGB", (50, 10), "red")]
    sheet = np.asarray(figures.panels([row, flat], ["a", "b"], width=100))
    assert (sheet == (255, 0, 0)).all(axis=2).sum() == 2 * 100 * 100 + 2 * 100 * 20


@pytest.mark.parametrize(("channels", "shown"), [(1, [0, 0, 0]), (2, [0, 0, 0]), (3, [0, 1, 2]), (5, [0, 1, 2])])
def test_displayable_shows_any_number_of_channels(channels, shown):
    image = torch.arange(channels * 4, dtype=torch.float32).view(channels, 2, 2) * 10
    expected = torch.stack([image[i] for i in shown], dim=-1)
    assert np.array_equal(figures.displayable(image), expected.numpy())
