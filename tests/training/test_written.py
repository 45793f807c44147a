"""Every setting can be given in an option, in YAML and in Python, in each of the forms in which people write it."""

from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fullyconv.errors import ConfigError
from fullyconv.training.config import Config, load_config, parse_settings
from fullyconv.training.settings.data import Percentiles, Resolution

CASES: dict[str, dict[str, Any]] = {
    "model.name": {"fcn8s-vgg16": "fcn8s-vgg16", "'fcn16s-resnet50'": "fcn16s-resnet50"},
    "model.width": {"64": 64, "null": None, "none": None, "off": None},
    "model.upsample": {"bilinear": "bilinear", "nearest": "nearest", "Bicubic": "bicubic", "transposed": "transposed"},
    "model.padding": {"paper": "paper", "same": "same", "~": None, "none": None},
    "model.in_channels": {"1": 1, "3": 3, "13": 13, "null": None, "none": None},
    "model.mean": {"[104, 116.7, 1.2e2]": [104, 116.7, 120], "null": None, "none": None},
    "model.dropout": {"0.5": 0.5, "0": 0, "1": 1, "none": None},
    "model.pretrained": {"true": True, "no": False, "yes": True, "False": False, "off": False, "on": True, "0": False},
    "model.init": {
        "runs/a": Path("runs/a"),
        "2024-01-05": Path("2024-01-05"),
        "[runs/colour, 7]": [Path("runs/colour"), Path("7")],
        "null": None,
        "none": None,
    },
    "data.path": {"photos": Path("photos"), "2024": Path("2024"), "no": Path("no"), "1e3": Path("1e3"), "null": None},
    "data.layout": {"voc": "voc", "~": None, "none": None, "12": "12"},
    "data.fold": {"0/5": "0/5", "'4/5'": "4/5", "none": None, "~": None},
    "data.batch_size": {"4": 4, "1e1": 10, "1_000": 1000},
    "data.allow": {"rotated": ["rotated"], "[rotated, sizes]": ["rotated", "sizes"], "[]": [], "none": [], "null": []},
    "data.workers": {"4": 4, "0": 0, "off": 0},
    "data.resolutions": {
        "[{crop: null}]": [Resolution(crop=None)],
        "[{until: .5, crop: [64, 96], scale: [1, 1]}, {}]": [
            Resolution(until=0.5, crop=(64, 96), scale=(1.0, 1.0)),
            Resolution(),
        ],
    },
    "data.resolutions.until": {"0.5": 0.5, "1": 1, "5e-1": 0.5},
    "data.resolutions.crop": {"[64, 96]": (64, 96), "null": None, "none": None},
    "data.resolutions.scale": {"[0.5, 2]": (0.5, 2), "[5e-1, 1]": (0.5, 1)},
    "data.range": {
        "auto": "auto",
        "type": "type",
        "[0, 4095]": (0, 4095),
        "[[0, 1], [-1e3, 3.5]]": [(0, 1), (-1000, 3.5)],
        "{percentiles: [0.5, 99]}": Percentiles(percentiles=(0.5, 99)),
    },
    "data.flip": {"0.5": 0.5, "0": 0, "off": 0, "1": 1},
    "data.color": {"0.3": 0.3, ".3": 0.3, "no": 0},
    "data.balance": {"0.5": 0.5, "0": 0, "off": 0, "1": 1},
    "optimizer.name": {"adamw": "adamw", "AdamW": "adamw", "sgd": "sgd"},
    "optimizer.lr": {"0.001": 0.001, "1e-3": 0.001, "1E-10": 1e-10, "1": 1},
    "optimizer.weight_decay": {"5e-4": 5e-4, "0": 0, "off": 0},
    "optimizer.bias_rate": {"2": 2, "0.5": 0.5},
    "optimizer.momentum": {"0.99": 0.99, "0": 0},
    "optimizer.accumulate": {"20": 20, "2.0": 2},
    "optimizer.schedule": {"poly": "poly", "cosine": "cosine", "constant": "constant"},
    "optimizer.power": {"0.9": 0.9, "1": 1},
    "optimizer.warmup": {"0.05": 0.05, "0": 0, "off": 0},
    "optimizer.clip": {"5": 5, "1e1": 10, "0": 0, "off": 0, "false": 0},
    "training.epochs": {"30": 30, "1e2": 100},
    "training.steps": {"100000": 100_000, "1e5": 100_000, "100_000": 100_000, "null": None, "none": None},
    "training.max_minutes": {"0.5": 0.5, "90": 90, "6e1": 60, "null": None},
    "training.loss": {"mean": "mean", "sum": "sum"},
    "training.objective": {
        "dice": "dice",
        "cross_entropy+dice": "cross_entropy+dice",
        "Cross-Entropy + OHEM": "cross_entropy+ohem",
        "focal+tversky": "focal+tversky",
    },
    "training.focal_gamma": {"2": 2, "0.5": 0.5, "off": 0},
    "training.ohem_fraction": {"0.25": 0.25, "1": 1, "1e-2": 0.01},
    "training.tversky": {"[0.3, 0.7]": (0.3, 0.7), "[0, 1e0]": (0, 1)},
    "training.class_weights": {
        "none": "none",
        "null": "none",
        "~": "none",
        "no": "none",
        "median_frequency": "median_frequency",
        "root_median_frequency": "root_median_frequency",
        "{car: 3, '2': 1e-1}": {"car": 3, "2": 0.1},
        "[1, 2.5, 0]": [1, 2.5, 0],
    },
    "training.boundary_weight": {"10": 10, "0.5": 0.5, "0": 0, "off": 0},
    "training.boundary_sigma": {"5": 5, "2.5": 2.5, "1e1": 10},
    "training.label_smoothing": {"0.1": 0.1, "1e-1": 0.1, "0": 0},
    "training.ema": {"0.99": 0.99, "0": 0, "off": 0},
    "training.precision": {"auto": "auto", "32": "32", "16": "16", "bf16": "bf16", "'32'": "32", '"16"': "16"},
    "training.freeze": {
        "none": "none",
        "null": "none",
        "off": "none",
        "backbone": "backbone",
        "4": 4,
        "2": 2,
        "8": 8,
        "16": 16,
        "32": 32,
    },
    "training.stages": {"[32, 16, 8, 4, 2]": [32, 16, 8, 4, 2], "null": None, "none": None},
    "training.keep": {"best": "best", "last": "last"},
    "training.validate_every": {"100": 100, "1e3": 1000, "null": None, "none": None},
    "training.seed": {"0": 0, "1e3": 1000, "007": 7},
    "training.devices": {"2": 2, "1": 1},
}
PYTHON: dict[str, list[tuple[Any, Any]]] = {
    "training.precision": [(32, "32"), (16, "16")],
    "training.class_weights": [(None, "none"), (False, "none")],
    "training.freeze": [(None, "none")],
    "training.steps": [(1e5, 100_000)],
    "optimizer.clip": [(False, 0), (1, 1)],
    "model.in_channels": [("4", 4)],
    "model.init": [("runs/a", Path("runs/a"))],
    "data.path": [("photos", Path("photos"))],
}
"""Forms of values that are Python's own."""


def settings(section: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every setting of the schema with its dotted name, those within the list of resolutions too."""
    for name, field in section.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from settings(inner, f"{prefix}{name}.")
            continue
        yield f"{prefix}{name}", field
        for argument in get_args(inner) if get_origin(inner) is list else ():
            if isinstance(argument, type) and issubclass(argument, BaseModel):
                yield from settings(argument, f"{prefix}{name}.")


SCHEMA = dict(settings(Config))


def value_of(config: Config, key: str) -> Any:
    section, name, *rest = key.split(".")
    value = getattr(getattr(config, section), name)
    return getattr(value[0], rest[0]) if rest else value


def test_every_setting_and_each_of_its_choices_has_a_case() -> None:
    assert CASES.keys() == SCHEMA.keys()
    for key, field in SCHEMA.items():
        values = list(CASES[key].values())
        kinds = (field.annotation, *get_args(field.annotation))
        choices = [choice for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)]
        assert all(choice in values for choice in choices), key
        assert None in values or NoneType not in kinds, key
        assert field.annotation is not bool or {True, False} <= set(values), key


WRITTEN = [(key, text, value) for key, cases in CASES.items() for text, value in cases.items()]


@pytest.mark.parametrize(("key", "text", "value"), WRITTEN, ids=[f"{key}={text}" for key, text, _ in WRITTEN])
def test_a_setting_is_read_from_an_option_and_from_yaml_as_people_write_it(
    tmp_path: Path, key: str, text: str, value: Any
) -> None:
    section, name, *rest = key.split(".")
    if rest:
        text = f"[{{{rest[0]}: {text}}}, {{}}]"
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"{section}:\n  {name}: {text}\n")
    option = parse_settings([f"{section}.{name}={text}"])
    for config in (load_config(recipe), load_config(None, option)):
        found = value_of(config, key)
        assert found == value
        assert isinstance(found, bool) == isinstance(value, bool)


VALUES = [(key, value, value) for key, _, value in WRITTEN] + [
    (k, *pair) for k, pairs in PYTHON.items() for pair in pairs
]


@pytest.mark.parametrize(("key", "given", "value"), VALUES, ids=[f"{key}={given!r}" for key, given, _ in VALUES])
def test_a_setting_is_read_from_python(key: str, given: Any, value: Any) -> None:
    section, name, *rest = key.split(".")
    if rest:
        found = getattr(Resolution(**{rest[0]: given}), rest[0])
    else:
        config = load_config(None, {key: given})
        assigned = Config()
        setattr(getattr(assigned, section), name, given)
        found = value_of(config, key)
        assert value_of(assigned, key) == found
    assert found == value


def test_a_section_without_settings_has_its_defaults(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("model:\noptimizer:\n  # lr: 0.1\ntraining: {seed: 3}\n")
    assert load_config(recipe) == load_config(None, {"training.seed": 3})
    assert load_config(recipe, {"optimizer.lr": 0.1}).optimizer.lr == 0.1


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("optimizer.lr=yes", r"optimizer\.lr: a number is expected \(found 'yes'\)"),
        ("optimizer.lr=off", r"optimizer\.lr: .*greater than 0"),
        ("optimizer.lr=", r"optimizer\.lr: .*number \(found None\)"),
        ("optimizer.lr=nan", r"optimizer\.lr: .*finite"),
        ("optimizer.weight_decay=.inf", r"optimizer\.weight_decay: .*number"),
        ("optimizer.weight_decay=inf", r"optimizer\.weight_decay: .*finite"),
        ("data.flip=nan", r"data\.flip: .*finite"),
        ("data.balance=2", r"data\.balance: .*less than or equal to 1"),
        ("training.class_weights=rare", r"training\.class_weights: none, median_.*as \{car: 3\} or as a list.*'rare'"),
        ("training.class_weights={car: -1}", r"training\.class_weights: none, .*weights of 0 or more"),
        ("training.objective=jaccard", r"training\.objective: .*expected one of cross_entropy, focal.*found 'jaccard'"),
        ("training.boundary_weight=-1", r"training\.boundary_weight: .*greater than or equal to 0"),
        ("training.boundary_sigma=0", r"training\.boundary_sigma: .*greater than 0"),
        ("training.tversky=[0.3, 0]", r"training\.tversky\.1: .*greater than 0"),
        ("training.epochs=true", r"training\.epochs: a number is expected"),
        ("training.epochs=2.5", r"training\.epochs: .*whole|training\.epochs: .*integer"),
        ("training.precision=8", r"training\.precision: .*'auto', '32', 'bf16' or '16'.*found '8'"),
        ("training.stages=[32, 12]", r"training\.stages\.1: .*found '12'"),
    ],
)
def test_what_is_no_value_of_a_setting_is_refused(setting: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(None, parse_settings([setting]))
