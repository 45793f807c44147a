"""Images on disk that annotations name."""

import json

import numpy as np
import pytest
from PIL import Image

from fullyconv.data.pairs import read_pair


@pytest.fixture
def photo(tmp_path):
    """Write an image of noise at a path within the data set; no two are equal."""
    numbers = np.random.default_rng(0)

    def write(name, width=20, height=16):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(numbers.integers(0, 256, (height, width, 3), np.uint8)).save(path)
        return path

    return write


@pytest.fixture
def write_json(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
        return path

    return write


@pytest.fixture
def labels_of():
    """Return the labels of a data set's images by their names."""

    def read(data):
        pairs = [pair for pairs in data.splits.values() for pair in pairs]
        return {pair.image.name: read_pair(pair, data.codes)[1] for pair in pairs}

    return read
