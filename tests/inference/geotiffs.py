"""Files that are read by window, and what a network makes of them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fullyconv.model.fcn import build

rasterio = pytest.importorskip("rasterio")
tifffile = pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")

PLACE = {"crs": "EPSG:32633", "transform": rasterio.Affine(0.5, 0, 500_000, 0, -0.5, 4_100_000)}
CLASSES = ["sea & <ice>", 'the "dry"', "Straße"]


def noise(*shape: int, dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def geotiff(path: Path, pixels: np.ndarray, **options) -> Path:
    """(bands, h, w) as a file in tiles of 64 pixels, at a place on earth."""
    profile = {"tiled": True, "blockxsize": 64, "blockysize": 64, **PLACE, **options}
    bands, height, width = pixels.shape
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=bands, dtype=pixels.dtype, **profile
    ) as file:
        file.write(pixels)
    return path


def labels_of(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read(1)


def network():
    """Of three classes, whose scores say something."""
    torch.manual_seed(0)
    net = build("fcn8s-smallvgg", CLASSES).eval()
    for score in net.score.values():
        torch.nn.init.normal_(score.get_parameter("weight"))
    return net


def whole(net, pixels: np.ndarray) -> np.ndarray:
    """(3, h, w) in one pass."""
    return net.predict(torch.from_numpy(np.ascontiguousarray(pixels))[None])[0].numpy()
