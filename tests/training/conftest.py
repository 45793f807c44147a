"""A data set of a dozen small pictures, and configurations that train a tiny network on it in seconds."""

import numpy as np
import pytest
import yaml
from PIL import Image

from fullyconv.data import open_data
from fullyconv.training.config import load_config

TINY = {
    "model.name": "fcn8s-test_resnet",
    "model.pretrained": False,
    "training.epochs": 4,
    "training.validate_every": 3,
    "training.precision": "32",
    "data.batch_size": 4,
    "data.workers": 0,
    "data.resolutions": [{"crop": [32, 48], "scale": [0.8, 1.2]}],
    "optimizer.lr": 0.003,
}


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Red and green rectangles on blue; 12 pictures to train on and 4 to validate, 40×56 pixels."""
    root = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 4)):
        for i in range(count):
            mask = np.zeros((40, 56), np.uint8)
            for label in (1, 2):
                top, left = random.integers(0, 24), random.integers(0, 40)
                mask[top : top + 16, left : left + 16] = label
            colors = np.array([[20, 30, 200], [200, 40, 20], [30, 180, 40]])
            image = (colors[mask] + random.normal(0, 20, (40, 56, 3))).clip(0, 255).astype(np.uint8)
            for kind, array in (("images", image), ("masks", mask)):
                folder = root / kind / split
                folder.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(folder / f"{i}.png")
    splits = {split: {"images": f"images/{split}", "masks": f"masks/{split}"} for split in ("train", "val")}
    (root / "dataset.yaml").write_text(yaml.safe_dump({"classes": ["blue", "red", "green"], "splits": splits}))
    return root


@pytest.fixture
def data(pictures):
    return open_data(pictures)


@pytest.fixture
def tiny():
    def make(**changes):
        return load_config(None, TINY | {key.replace("__", "."): value for key, value in changes.items()})

    return make
