"""The colours of classes."""

import cv2
import numpy as np
import pytest

from fullyconv.palettes import default_palette

# Viénot, Brettel and Mollon (1999): linear RGB as seen without green cones (not the model the palette uses).
DEUTERANOPE = np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]])


def nearest(colours):
    """The smallest CIELAB distance of two colours, in OpenCV's conversion; 2.3 is just noticeable."""
    lab = cv2.cvtColor(np.asarray(colours, np.float32)[None] / 255, cv2.COLOR_RGB2LAB)[0]
    distances = np.linalg.norm(lab[:, None] - lab, axis=2)
    return distances[np.triu_indices(len(lab), 1)].min()


@pytest.mark.parametrize(("count", "distance"), [(2, 50), (8, 15), (21, 15), (40, 10)])
def test_default_colours_differ_also_to_viewers_without_green_cones(count, distance):
    palette = np.array(default_palette(count))
    assert nearest(palette) > distance
    assert nearest(255 * np.clip((palette / 255) ** 2.2 @ DEUTERANOPE.T, 0, 1) ** (1 / 2.2)) > distance


def test_every_number_of_classes_has_distinct_colours():
    palette = default_palette(255)
    assert len(set(palette)) == 255
    assert all(0 <= channel <= 255 and isinstance(channel, int) for colour in palette for channel in colour)


def test_fewer_classes_have_the_first_of_the_same_colours():
    assert default_palette(5) == default_palette(40)[:5]
