"""What is for rare classes: weights by hand, other objectives, and crops that hold a rare class."""

import csv
import re

import numpy as np
import pytest
import torch

from fullyconv.errors import ConfigError
from fullyconv.model.readout import boundary_weights
from fullyconv.training.augmented.samples import rarities
from fullyconv.training.config import load_config
from fullyconv.training.module import weights_of_pixels
from fullyconv.training.run import class_weights
from fullyconv.training.stages import train


def quiet(_):
    pass


def test_class_weights_by_hand_are_those_given_and_1(data, tiny):
    assert class_weights(data, tiny(training__class_weights={"red": 3})).tolist() == [1, 3, 1]
    assert class_weights(data, tiny(training__class_weights=[0, 2, 0.5])).tolist() == [0, 2, 0.5]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"rd": 3}, r"'rd' is no class of the data\. Did you mean red\?"),
        ({"sky": 3}, r"'sky' is no class of the data\. They are blue, red, green"),
        ([1, 2], r"has 2 weights, the data have 3 classes: .*blue, red, green; or name some, as \{green: 3\}"),
        ([0, 0, 0], "all 0"),
    ],
)
def test_class_weights_by_hand_of_other_classes_are_refused_before_training(data, tiny, tmp_path, weights, message):
    with pytest.raises(ConfigError, match=message):
        train(data, tiny(training__class_weights=weights), tmp_path / "run", say=quiet)


def test_rarity_is_one_over_the_frequency_in_its_labeling():
    found = [part.tolist() for part in rarities(np.array([60, 30, 10, 0, 5]), [3, 2])]
    assert found == [pytest.approx([100 / 60, 100 / 30, 10]), [0, 1]]


@pytest.mark.parametrize(
    ("objective", "boundary_weight"), [("cross_entropy+dice", 0), ("focal", 10), ("ohem", 0), ("tversky", 0)]
)
def test_a_run_learns_by_every_objective(data, tiny, tmp_path, objective, boundary_weight):
    options = {
        "training__objective": objective,
        "training__boundary_weight": boundary_weight,
        "training__class_weights": {"blue": 0.5},
        "training__ohem_fraction": 0.5,
    }
    train(data, tiny(training__epochs=12, optimizer__lr=0.01, **options), tmp_path / "run", say=quiet)
    rows = csv.DictReader((tmp_path / "run" / "metrics.csv").open())
    measured = [float(row["val_mean_iou"]) for row in rows if row["val_mean_iou"]]
    assert max(measured) > 0.5


def test_boundaries_have_the_configured_weight(tiny):
    masks = torch.randint(0, 3, (2, 1, 9, 9)).repeat_interleave(5, -1)
    config = tiny(training__boundary_weight=4, training__boundary_sigma=2.5)
    assert torch.equal(weights_of_pixels(masks, config), boundary_weights(masks, 4, 2.5))
    assert weights_of_pixels(masks, tiny()) is None


@pytest.mark.parametrize("objective", ["dice", "dice+tversky"])
def test_a_boundary_weight_that_would_act_on_nothing_is_refused(objective):
    settings = {"training.objective": objective, "training.boundary_weight": 10}
    message = rf"training: boundary_weight is 10, .* it is {re.escape(objective)}\. .*add one, as cross_entropy\+dice"
    with pytest.raises(ConfigError, match=message):
        load_config(None, settings)
    assert load_config(None, settings | {"training.objective": f"cross_entropy+{objective}"})


def test_whole_images_cannot_be_balanced():
    with pytest.raises(ConfigError, match=r"data: balance is 0\.5, and whole images are not cropped"):
        load_config(None, {"data.balance": 0.5, "data.resolutions": [{"crop": None}]})


def test_balanced_runs_repeat_exactly_and_differ_from_others(data, tiny, tmp_path):
    made = [
        train(data, tiny(training__epochs=1, data__balance=balance), tmp_path / name, say=quiet).state_dict()
        for name, balance in (("one", 0.7), ("two", 0.7), ("none", 0))
    ]
    assert all(torch.equal(made[0][name], made[1][name]) for name in made[0])
    assert not all(torch.equal(made[0][name], made[2][name]) for name in made[0])
