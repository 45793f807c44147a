"""Small image files for the tests of data sets."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

SHARED = Path(__file__).parents[2].parent / "shared"


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Write an array (or a Pillow image) to a file under ``tmp_path``, making its folders."""

    def write(name: str, pixels: Any, dtype: Any = np.uint8, **options: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.asarray(pixels, dtype))
        image.save(path, **options)
        return path

    return write


@pytest.fixture(scope="session")
def camvid() -> Path:
    """The CamVid folder; skips where it is absent."""
    return _shared("camvid")


@pytest.fixture(scope="session")
def isbi() -> Path:
    """The ISBI 2012 folder; skips where it is absent."""
    return _shared("isbi2012")


def _shared(name: str) -> Path:
    if not (SHARED / name).is_dir():
        pytest.skip(f"{name} is not here (../shared/{name})")
    return SHARED / name
