"""What a network is given of the images that it trains on."""

import numpy as np
import pytest
import rasterio
import tifffile
import yaml
from PIL import Image

from fullyconv.data import open_data
from fullyconv.errors import ConfigError, DataError
from fullyconv.training.config import load_config
from fullyconv.training.inputs import input_settings, with_input_settings


@pytest.fixture
def folder(tmp_path):
    """Write images, (H, W) or (bands, H, W), into the train split of a data set of two classes."""

    def write(images):
        for kind in ("images", "masks"):
            (tmp_path / kind / "train").mkdir(parents=True, exist_ok=True)
        for number, image in enumerate(images):
            path, planes = tmp_path / f"images/train/{number}.tif", "separate" if image.ndim == 3 else None
            tifffile.imwrite(path, image, planarconfig=planes, photometric="minisblack")
            mask = np.arange(image.shape[-2] * image.shape[-1]).reshape(image.shape[-2:]) % 2
            Image.fromarray(mask.astype(np.uint8)).save(tmp_path / f"masks/train/{number}.png")
        return open_data(tmp_path)

    return write


def settings(**values):
    return load_config(None, {"model.pretrained": False, "model.name": "fcn32s-smallvgg", **values})


def ramp(low, high, dtype, bands=0):
    values = np.linspace(low, high, 64 * 64).reshape(64, 64)
    return (np.stack([values * (band + 1) for band in range(bands)]) if bands else values).astype(dtype)


def test_bytes_stay_as_they_are(folder):
    given = input_settings(folder([ramp(0, 255, np.uint8)]), settings())
    assert (given.channels, given.value_range) == (3, None)


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.int32, np.float32, np.float64])
def test_other_types_have_percentiles_of_the_train_split(folder, dtype):
    images = [ramp(100, 1100, dtype), ramp(100, 1100, dtype)]
    given = input_settings(folder(images), settings())
    assert given.channels == 3
    for low, high in given.value_range:
        assert low == pytest.approx(105, abs=2)
        assert high == pytest.approx(1095, abs=2)


def test_percentiles_are_those_of_all_pixels_of_images_that_differ(folder):
    """Against NumPy's, of all pixels at once."""
    random = np.random.default_rng(0)
    images = [random.gamma(2, 300 * (1 + i), (64, 64)).clip(0, 60_000).astype(np.uint16) for i in range(3)]
    images.append(random.integers(0, 50, (64, 64), np.uint16))
    given = input_settings(folder(images), settings(**{"data.range": {"percentiles": [2, 98]}}))
    low, high = np.percentile(np.concatenate([image.ravel() for image in images]), [2, 98])
    assert given.value_range[0] == pytest.approx((low, high), rel=0.06, abs=3)


def test_nodata_of_one_band_is_left_out_of_its_range_mean_and_deviation(folder):
    """As of Sentinel-2 tiles that lack a band: their pixels hold data, as rasterio's mask has it."""
    images = [ramp(100, 1100, np.int16, bands=3) for _ in range(3)]
    images[0][1], images[1][1, :, :32] = -9999, -9999
    data = folder(images)
    for pair in data.split("train"):
        with rasterio.open(pair.image, "r+") as tile:
            tile.nodata = -9999
    given = input_settings(data, settings())
    measured = np.concatenate([images[1][1, :, 32:].ravel(), images[2][1].ravel()])
    low, high = given.value_range[1]
    assert (low, high) == pytest.approx(np.percentile(measured, [0.5, 99.5]), abs=6)
    assert given.mean[1] == pytest.approx((measured.mean() - low) / (high - low) * 255, rel=0.01)
    assert given.std[1] == pytest.approx(measured.std() / (high - low) * 255, rel=0.01)


def test_each_band_has_its_own_range_mean_and_deviation(folder):
    given = input_settings(folder([ramp(100, 1100, np.uint16, bands=5)]), settings())
    assert given.channels == 5
    for band, (low, high) in enumerate(given.value_range, 1):
        assert (low, high) == pytest.approx((105 * band, 1095 * band), abs=2 * band)
    assert given.mean == pytest.approx([127.5] * 5, abs=1)
    assert given.std == pytest.approx([255 / 12**0.5 / 0.99] * 5, abs=1)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("type", [(0, 65535)] * 3),
        ([0, 4095], [(0, 4095)] * 3),
        ([[0, 1], [2, 3], [4, 5]], [(0, 1), (2, 3), (4, 5)]),
    ],
)
def test_a_range_can_be_set(folder, setting, expected):
    data = folder([ramp(100, 1100, np.uint16, bands=3)])
    assert input_settings(data, settings(**{"data.range": setting})).value_range == expected


def test_a_range_for_other_channels_is_refused(folder):
    data = folder([ramp(100, 1100, np.uint16, bands=5)])
    with pytest.raises(ConfigError, match=r"data.range has 2 pairs, but the network takes 5 channels"):
        input_settings(data, settings(**{"data.range": [[0, 1], [2, 3]]}))


def test_channels_that_the_images_do_not_have_are_refused(folder):
    data = folder([ramp(0, 60, np.uint8, bands=4)])
    assert input_settings(data, settings()).channels == 4
    with pytest.raises(DataError, match="has 4 bands of type uint8; the network takes 3 channels"):
        input_settings(data, settings(**{"model.in_channels": 3}))


@pytest.mark.parametrize("other", [ramp(0, 9, np.uint16), ramp(0, 9, np.uint8, bands=4)])
def test_images_of_unlike_types_or_bands_are_refused(folder, other):
    data = folder([ramp(0, 9, np.uint8), other])
    with pytest.raises(DataError, match=r"1\.tif: has .*0\.tif has 1 band of type uint8"):
        input_settings(data, settings())


def test_pixels_without_data_count_for_nothing(folder):
    image = ramp(100, 1100, np.float32)
    image[:32] = np.nan
    given = input_settings(folder([image]), settings())
    assert given.value_range[0] == pytest.approx((602.5, 1097.5), abs=2)


def test_images_without_any_data_are_refused(folder):
    with pytest.raises(DataError, match="no image of the split 'train' holds data"):
        input_settings(folder([np.full((8, 8), np.nan, np.float32)]), settings())


def test_what_was_found_is_said_and_written_down(folder):
    said = []
    config = with_input_settings(folder([ramp(100, 1100, np.uint16)]), settings(), said.append)
    assert len(said) == 1
    assert said[0].startswith("Values: 104 to 1095 become 0 to 255")
    again = load_config(None, yaml.safe_load(yaml.safe_dump(config.model_dump(mode="json"))))
    assert again.model.in_channels == 3
    assert again.data.range == config.data.range
