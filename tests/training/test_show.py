"""The picture of augmented samples."""

import numpy as np
import pytest
from PIL import Image

from fullyconv.errors import ConfigError, DataError
from fullyconv.results.figures import INK
from fullyconv.training.augmented.show import augmented_picture, show_augmented


@pytest.fixture
def config(tiny):
    return lambda **changes: tiny(data__resolutions=[{"crop": [32, 48]}], model__in_channels=3, **changes)


def share(picture, colour):
    return (np.asarray(picture.convert("RGB")) == colour).all(axis=2).mean()


def test_what_is_not_changed_is_shown_twice_as_it_is(data, config):
    options = config(data__augment="none")
    options.data.resolutions[0].crop = None
    picture = np.asarray(augmented_picture(data, options, count=1, versions=1)).astype(int)
    column, (height, width) = 246, (171, 240)  # of the 40×56 pixels, enlarged, beside a gap of 6
    first = picture[58 : 58 + height, 6 : 6 + width]
    assert np.abs(first - picture[58 : 58 + height, 6 + column : 6 + column + width]).max() == 0
    assert first.std() > 20


@pytest.mark.parametrize(("count", "versions"), [(1, 3), (2, 5), (20, 1)])
def test_there_is_a_row_of_images_and_one_of_masks_for_each_sample(data, config, count, versions):
    shown = min(count, 12)
    picture = augmented_picture(data, config(), count, versions)
    assert picture.width == (versions + 1) * 246 + 6
    assert picture.height > shown * 2 * 160


def test_void_is_striped_and_named(data, config):
    """Images of half the size are surrounded by void."""
    with_void = augmented_picture(data, config(data__augment={"scale": [0.5, 0.5]}))
    without = augmented_picture(data, config(data__augment="none"))
    assert share(with_void, INK) > 2 * share(without, INK)


def test_pictures_repeat_and_depend_on_the_seed(data, config):
    one, again, other = (
        np.asarray(augmented_picture(data, config(training__seed=seed))).tobytes() for seed in (3, 3, 4)
    )
    assert one == again
    assert one != other


def test_it_draws_by_settings_and_recipes(pictures, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("data: {augment: {preset: aerial, rotate: 15}, resolutions: [{crop: [32, 32]}]}\n")
    for name, options in {
        "a.png": {"recipe": recipe},
        "b.jpg": {"settings": ["data.augment=street", "data.augment.cutout=0.3"]},
        "c": {"settings": ["data.augment.copy_paste=1", "data.balance=0.5"]},
    }.items():
        out = tmp_path / "new" / name
        show_augmented(pictures, out, **options)
        assert Image.open(out).format == ("JPEG" if name.endswith("jpg") else "PNG")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("data.augment.flip_pairs=[red, gren]", "'gren' is no class of the data. Did you mean green"),
        ("data.augment=strt", "data.augment.preset: .*'street'"),
        ("data.augment.rotate=200", "data.augment.rotate: .*less than or equal to 180"),
    ],
)
def test_settings_that_do_not_fit_are_refused(pictures, tmp_path, setting, message):
    with pytest.raises(ConfigError, match=message):
        show_augmented(pictures, tmp_path / "a.png", settings=[setting])
    assert not (tmp_path / "a.png").exists()


def test_what_is_no_picture_is_refused(pictures, tmp_path):
    with pytest.raises(ConfigError, match=r"a\.svg: pictures can be written as \.png, .*, not as \.svg"):
        show_augmented(pictures, tmp_path / "a.svg")
    with pytest.raises(DataError, match="no data set found"):
        show_augmented(tmp_path, tmp_path / "a.png")
