"""Settings that nobody gave are chosen by the data, the length of the run and the machine."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fullyconv.data import open_data
from fullyconv.training.chosen.facts import Facts, borders_of, facts_of, widths
from fullyconv.training.chosen.settings import Machine, choose, crop_of
from fullyconv.training.config import load_config
from fullyconv.training.settings.data import Resolution

STREET = Facts(
    images=367, validated=101, height=360, width=480, shares=[0.5, 0.49, 0.01], structures=lambda: [90, 60, 5]
)
CELLS = Facts(images=20, validated=5, height=512, width=512, shares=[0.22, 0.78], structures=lambda: [6, 22])


def never(_):
    raise AssertionError("a step is measured only where the length is a time")


A_CPU = Machine(True, never)


def chosen(found, machine=A_CPU, **given):
    keys = {key.replace("__", "."): value for key, value in given.items()}
    said = []
    config = choose(load_config(None, keys), keys, found, machine, said.append)
    return config, said


def ring(width: float) -> np.ndarray:
    rows, cols = np.mgrid[:300, :300] - 149.5
    return (abs(np.hypot(rows, cols) - 100) < width / 2).astype(np.uint8)


@pytest.mark.parametrize("width", [4, 8, 20])
def test_the_width_of_a_ring_is_measured(width):
    measured = widths(borders_of(ring(width), [2]))[1]
    assert measured == pytest.approx(width, rel=0.05)


def test_void_makes_no_border_and_a_class_without_border_is_infinitely_wide():
    labels = np.array([[0, 0, 255, 1], [0, 0, 255, 1]], np.uint8)
    np.testing.assert_array_equal(borders_of(labels, [2]), [[4, 2], [0, 0]])
    np.testing.assert_array_equal(widths(borders_of(labels, [2])), [np.inf, np.inf])


def test_sides_of_pixels_that_touch_another_class_are_counted():
    labels = np.array([[0, 1, 1], [0, 0, 1]], np.uint8)
    np.testing.assert_array_equal(borders_of(labels, [2]), [[3, 3], [3, 3]])


def test_labelings_are_counted_each_for_itself():
    labels = np.array([[[0, 1]], [[0, 0]]], np.uint8)
    np.testing.assert_array_equal(borders_of(labels, [2, 3]), [[1, 1, 2, 0, 0], [1, 1, 0, 0, 0]])


def test_facts_are_those_of_the_train_split(tmp_path):
    for split, sizes in {"train": [(40, 60), (40, 60), (80, 90)], "val": [(10, 10)]}.items():
        for number, (height, width) in enumerate(sizes):
            for kind in ("images", "masks"):
                (tmp_path / kind / split).mkdir(parents=True, exist_ok=True)
            labels = np.zeros((height, width), np.uint8)
            labels[:, :4] = 1
            Image.fromarray(labels + np.uint8(7 * number)).convert("RGB").save(
                tmp_path / "images" / split / f"{number}.png"
            )
            Image.fromarray(labels).save(tmp_path / "masks" / split / f"{number}.png")
    found = facts_of(open_data(tmp_path))
    assert (found.images, found.validated, found.height, found.width) == (3, 1, 40, 60)
    one = 4 * (40 + 40 + 80)
    np.testing.assert_allclose(found.shares, [1 - one / 12000, one / 12000])
    assert found.structures()[1] == pytest.approx(2 * 4 * 4 / np.pi)  # a border on one side only


def test_thin_structures_are_scored_at_stride_2():
    config, said = chosen(CELLS)
    assert (config.model.name, config.model.width) == ("fcn2s-tf_efficientnet_lite0", 32)
    assert "  model.name fcn2s-tf_efficientnet_lite0, model.width 32: structures 6 pixels wide" in said


def test_a_thin_class_of_few_pixels_does_not_decide():
    assert chosen(STREET)[0].model.name == "fcn4s-tf_efficientnet_lite0"


def test_without_pretrained_weights_the_network_is_one_that_learns_quickly():
    config, _ = chosen(STREET, model__pretrained=False)
    assert (config.model.name, config.optimizer.lr) == ("fcn4s-regnetx_002", 0.003)


def test_what_was_given_stays():
    config, said = chosen(
        STREET,
        model__name="fcn8s-resnet18",
        optimizer__lr=0.1,
        data__resolutions=[{"crop": None}],
        training__class_weights="none",
    )
    assert (config.model.name, config.model.width) == ("fcn8s-resnet18", None)
    assert (config.optimizer.lr, config.training.class_weights) == (0.1, "none")
    assert config.data.resolutions == [Resolution(crop=None)]
    assert not any("lr" in line or "model" in line for line in said[1:])


@pytest.mark.parametrize("given", [{"model__init": "runs/a"}, {"training__stages": [32, 16]}])
def test_the_network_is_that_of_the_weights_or_stages_that_were_given(given):
    assert chosen(STREET, **given)[0].model.name == "fcn8s-resnet18"


@pytest.mark.parametrize(("images", "batch"), [(31, 4), (32, 8)])
def test_few_images_make_small_batches(images, batch):
    assert chosen(replace(STREET, images=images))[0].data.batch_size == batch


@pytest.mark.parametrize(
    ("height", "width", "crop"),
    [
        (360, 480, (288, 384)),
        (512, 512, (320, 320)),
        (100, 100, (96, 96)),
        (1000, 20, (992, 32)),
        (100, 5000, (96, 1120)),
        (3000, 4000, (288, 384)),
        (1, 1, (32, 32)),
    ],
)
def test_crops_have_the_images_shape_and_fit_into_them(height, width, crop):
    assert crop_of(height, width) == crop


@pytest.mark.parametrize(("seconds", "resolutions"), [(0.8, [(288, 384)]), (1.0, [(160, 224), (288, 384)])])
def test_where_time_is_short_a_run_begins_at_a_lower_resolution(seconds, resolutions):
    """10 minutes of 8 images in 0.8 s show each of 367 images 16 times; in 1 s, 13 times."""
    config, _ = chosen(STREET, Machine(True, lambda _: seconds), training__max_minutes=10)
    assert [r.crop for r in config.data.resolutions] == resolutions


@pytest.mark.parametrize(("augment", "scale"), [("none", (1, 1)), ("aerial", (0.75, 1.5)), ("street", (0.6, 1.6))])
def test_images_are_scaled_as_the_augmentation_says_where_it_says_so(augment, scale):
    config, _ = chosen(STREET, Machine(True, lambda _: 1.0), data__augment=augment, training__max_minutes=10)
    low, full = config.data.resolutions
    assert full.scale == scale
    assert low.scale == pytest.approx((0.6 * scale[0], 0.6 * scale[1]))


@pytest.mark.parametrize(
    ("cpu", "given", "frozen"),
    [
        (True, {"training__max_minutes": 10}, 4),
        (False, {"training__max_minutes": 10}, "none"),
        (True, {}, "none"),
        (True, {"training__max_minutes": 10, "model__pretrained": False}, "none"),
        (True, {"training__max_minutes": 10, "model__name": "fcn8s-resnet18"}, "none"),
    ],
)
def test_first_layers_stay_where_a_cpu_has_little_time_and_they_are_pretrained(cpu, given, frozen):
    assert chosen(STREET, Machine(cpu, lambda _: 0.1), **given)[0].training.freeze == frozen


def test_steps_are_not_measured_where_there_is_a_gpu_or_several_processes():
    chosen(STREET, Machine(False, never), training__max_minutes=10)
    chosen(STREET, Machine(True, never), training__max_minutes=10, training__devices=2)


@pytest.mark.parametrize(("rarest", "weights"), [(0.034, "none"), (0.033, "root_median_frequency")])
def test_rare_classes_are_weighted(rarest, weights):
    """Of three classes, the rarest has less than a tenth of a third."""
    found = replace(STREET, shares=[0.5, 0.5 - rarest, rarest])
    assert chosen(found)[0].training.class_weights == weights


def test_validations_take_a_twentieth_of_the_run():
    config, _ = chosen(STREET)
    images = config.training.validate_every * config.data.batch_size * 288 * 384 / (360 * 480)
    assert 0.03 < 101 / 3 / images <= 0.05


def test_no_validations_are_planned_without_a_split_val():
    assert chosen(replace(STREET, validated=0))[0].training.validate_every is None


def test_each_choice_is_one_line_with_its_reason():
    _, said = chosen(STREET, Machine(True, lambda _: 1.0), training__max_minutes=10)
    assert said[1:] == [
        "  model.name fcn4s-tf_efficientnet_lite0, model.width 64: much is learnt in little time",
        "  data.batch_size 8: 367 images",
        "  training.freeze 4: pretrained edges and textures fit as they are, and a step takes less time",
        "  data.resolutions 160×224 scaled by 0.36 to 0.96 then 288×384 scaled by 0.6 to 1.6: images of 360×480; "
        "a step takes 1.00 s, and 10 minutes show each 13 times",
        "  optimizer.lr 0.002, training.ema 0.99: ImageNet weights",
        "  training.class_weights root_median_frequency: the rarest class has 1.00% of pixels",
        "  training.validate_every 150: 101 images validate",
    ]


def test_nothing_is_measured_for_settings_that_were_given():
    found = replace(STREET, structures=lambda: never(None))
    given = {"model__name": "fcn8s-resnet18", "data__resolutions": [{"crop": [64, 64]}], "training__max_minutes": 10}
    assert chosen(found, A_CPU, **given)[0].data.resolutions == [Resolution(crop=(64, 64))]
