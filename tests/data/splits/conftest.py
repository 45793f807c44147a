"""Small data sets whose images lie in folders and show the classes that are asked for."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SIZE = (24, 32)
Make = Callable[[Mapping[str, Sequence[int]]], Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Draw a data set: for each image's name, the classes in its mask, besides 0; all images differ."""

    def draw(images: Mapping[str, Sequence[int]]) -> Path:
        root = tmp_path / "data"
        for number, (name, classes) in enumerate(images.items()):
            mask = np.zeros(SIZE, np.uint8)
            for place, label in enumerate(classes):
                mask[4 * place : 4 * place + 4] = label
            pixels = np.random.default_rng(number).integers(0, 256, (*SIZE, 3), np.uint8)
            for kind, array in (("images", pixels), ("masks", mask)):
                path = root / kind / f"{name}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(path)
        return root

    return draw
