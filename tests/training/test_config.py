"""Recipes: strict about names, and helpful about the right one."""

import pytest

from fullyconv.errors import ConfigError
from fullyconv.training.config import load_config, parse_settings


def test_defaults_recipe_and_options_lie_over_each_other(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("optimizer: {lr: 0.01, weight_decay: 0.1}\n")
    config = load_config(recipe, {"optimizer.lr": 0.5})
    assert (config.optimizer.lr, config.optimizer.weight_decay, config.optimizer.momentum) == (0.5, 0.1, 0.9)


def test_a_saved_configuration_loads_as_itself(tmp_path):
    import yaml

    config = load_config(None, {"model.name": "fcn16s-resnet50", "training.stages": [32, 16]})
    saved = tmp_path / "config.yaml"
    saved.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    assert load_config(saved) == config


def test_settings_are_yaml_of_text():
    settings = [
        "optimizer.lr=1e-3",
        "data.resolutions=[{crop: [64, 96]}]",
        "model.width=null",
        "model.name=fcn8s-vgg16",
    ]
    assert parse_settings(settings) == {
        "optimizer.lr": "1e-3",
        "data.resolutions": [{"crop": ["64", "96"]}],
        "model.width": None,
        "model.name": "fcn8s-vgg16",
    }


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"optimiser.lr": 0.1}, r"Unknown setting optimiser\. Did you mean optimizer\?"),
        ({"optimizer.learning_rate": 0.1}, r"Unknown setting optimizer\.learning_rate"),
        ({"optimizer.weight_decai": 0.1}, r"Did you mean optimizer\.weight_decay\?"),
        ({"lr": 0.1}, r"Unknown setting lr\. Did you mean optimizer\.lr\?"),
        ({"optimizer.lr": -1}, r"optimizer\.lr: .*greater than 0.*found -1"),
        ({"optimizer.name": "adam"}, r"optimizer\.name: .*'adamw' or 'sgd'.*found 'adam'"),
        ({"data.batch_size": "many"}, r"data\.batch_size: .*integer.*found 'many'"),
        ({"training.epochs": 0}, r"training\.epochs: .*greater than or equal to 1"),
        ({"data.resolutions": [{"crp": [9, 9]}]}, r"Did you mean data\.resolutions\.0\.crop\?"),
        ({"data.resolutions": [{"crop": 9}]}, r"data\.resolutions\.0\.crop: a list of numbers .* \(found 9\)"),
        ({"data.resolutions": []}, r"must rise and end at 1, found \[\]"),
        ({"data.resolutions": [{"until": 0.5}]}, r"must rise and end at 1, found \[0\.5\]"),
        ({"training.stages": [8, 16]}, r"from coarse to fine.*found \[8, 16\]"),
        ({"training.seed": -1}, r"training\.seed: .*found -1"),
        ({"data.batch_size": 3, "training.devices": 2}, "must divide evenly over the processes"),
        ({"data.resolutions": [{"scale": [2, 1]}]}, r"lowest and a highest factor, found \[2"),
        ({"training.stages": [32, 12]}, r"training\.stages\.1: .*found 12"),
        ({"training.steps": 9, "training.max_minutes": 1}, r"steps \(9\) and max_minutes \(1\.0\) are two lengths"),
        ({"model.mean": [1, 2], "model.in_channels": 3}, r"model\.mean has 2 values, model\.in_channels is 3"),
        ({"optimizer.bias_rate": 0}, r"optimizer\.bias_rate: .*greater than 0"),
        ({"optimizer.accumulate": 0}, r"optimizer\.accumulate: .*greater than or equal to 1"),
    ],
)
def test_what_is_wrong_is_named(overrides, message):
    with pytest.raises(ConfigError, match=message):
        load_config(None, overrides)


@pytest.mark.parametrize(
    ("text", "message"),
    [("- a\n- b\n", "expected sections"), ("a: [", "cannot be read as YAML"), ("optimizer: 3\n", "optimizer: ")],
)
def test_a_recipe_that_is_none_is_refused(tmp_path, text, message):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config(recipe)


def test_a_missing_recipe_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: no such file"):
        load_config(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("setting", ["optimizer.lr", "=3", "a=[1"])
def test_a_setting_that_is_none_is_refused(setting):
    with pytest.raises(ConfigError, match="--set"):
        parse_settings([setting])
