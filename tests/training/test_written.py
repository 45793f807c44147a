"""Every setting can be given in an option, in YAML and in Python, in each of the forms in which people write it."""

from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from fullyconv.data.augmentation.settings import Augmentation
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
    "data.resolutions.scale": {"[0.5, 2]": (0.5, 2), "[5e-1, 1]": (0.5, 1), "none": None, "null": None},
    "data.range": {
        "auto": "auto",
        "type": "type",
        "[0, 4095]": (0, 4095),
        "[[0, 1], [-1e3, 3.5]]": [(0, 1), (-1000, 3.5)],
        "{percentiles: [0.5, 99]}": Percentiles(percentiles=(0.5, 99)),
    },
    "data.augment": {
        "street": Augmentation(preset="street"),
        "none": Augmentation(preset="none"),
        "no": Augmentation(preset="none"),
        "{preset: aerial, rotate: 15}": Augmentation(preset="aerial", rotate=15),
        "{gamma: 2e-1}": Augmentation(gamma=0.2),
        "{}": Augmentation(),
    },
    "data.augment.preset": {
        "default": "default",
        "street": "street",
        "Aerial": "aerial",
        "microscopy": "microscopy",
        "medical": "medical",
        "none": "none",
        "off": "none",
        "null": "none",
    },
    "data.augment.scale": {"[0.5, 2]": (0.5, 2), "[1, 1]": (1, 1)},
    "data.augment.flip": {"0.5": 0.5, "0": 0, "off": 0, "1": 1},
    "data.augment.vertical_flip": {"0.5": 0.5, "no": 0},
    "data.augment.quarter_turns": {"0.75": 0.75, "off": 0},
    "data.augment.rotate": {"15": 15, "1.5e1": 15, "off": 0, "180": 180},
    "data.augment.shear": {"10": 10, "off": 0},
    "data.augment.elastic": {"8": 8, "off": 0},
    "data.augment.elastic_spacing": {"100": 100, "1e2": 100},
    "data.augment.flip_pairs": {
        "[[left_hand, right_hand], [no, '2']]": [("left_hand", "right_hand"), ("no", "2")],
        "[left_hand, right_hand]": [("left_hand", "right_hand")],
        "[]": [],
        "none": [],
    },
    "data.augment.color": {"0.3": 0.3, ".3": 0.3, "no": 0},
    "data.augment.gray": {"0.1": 0.1, "off": 0},
    "data.augment.gamma": {"0.3": 0.3, "1": 1, "off": 0},
    "data.augment.blur": {"1.5": 1.5, "off": 0},
    "data.augment.noise": {"8": 8, "off": 0},
    "data.augment.jpeg": {"40": 40, "none": None, "off": None, "null": None},
    "data.augment.cutout": {"0.3": 0.3, "off": 0},
    "data.augment.copy_paste": {"0.5": 0.5, "off": 0},
    "data.balance": {"0.5": 0.5, "0": 0, "off": 0, "1": 1},
    "optimizer.name": {"adamw": "adamw", "AdamW": "adamw", "sgd": "sgd"},
    "optimizer.lr": {"0.001": 0.001, "1e-3": 0.001, "1E-10": 1e-10, "1": 1},
    "optimizer.weight_decay": {"5e-4": 5e-4, "0": 0, "off": 0},
    "optimizer.bias_rate": {"2": 2, "0.5": 0.5},
    "optimizer.backbone_rate": {"0.1": 0.1, "1e-1": 0.1, "1": 1},
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
    "training.patience": {"5": 5, "1e1": 10, "none": None, "off": None, "null": None},
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
    "data.augment": [(False, Augmentation(preset="none")), (Augmentation(rotate=5), Augmentation(rotate=5))],
}
"""Forms of values that are Python's own."""


def settings(section: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every setting of the schema with its dotted name, those within ``augment`` and the list of resolutions too."""
    for name, field in section.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            if prefix:  # unlike the sections themselves, which have no short form
                yield f"{prefix}{name}", field
            yield from settings(inner, f"{prefix}{name}.")
            continue
        yield f"{prefix}{name}", field
        for argument in get_args(inner) if get_origin(inner) is list else ():
            if isinstance(argument, type) and issubclass(argument, BaseModel):
                yield from settings(argument, f"{prefix}{name}.")


SCHEMA = dict(settings(Config))
INNER = {"data.augment": Augmentation, "data.resolutions": Resolution}


def value_of(config: Config, key: str) -> Any:
    section, name, *rest = key.split(".")
    value = getattr(getattr(config, section), name)
    return getattr(value[0] if isinstance(value, list) else value, rest[0]) if rest else value


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
    options = [f"{key}={text}"]
    if rest:
        text = f"{{{rest[0]}: {text}}}"
        if name == "resolutions":
            text, options = f"[{text}, {{}}]", []
        options.append(f"{section}.{name}={text}")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"{section}:\n  {name}: {text}\n")
    for config in (load_config(recipe), *(load_config(None, parse_settings([option])) for option in options)):
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
        found = getattr(INNER[f"{section}.{name}"](**{rest[0]: given}), rest[0])
    else:
        config = load_config(None, {key: given})
        assigned = Config()
        setattr(getattr(assigned, section), name, given)
        found = value_of(config, key)
        assert value_of(assigned, key) == found
    assert found == value


def test_augmentation_is_a_preset_and_single_settings_over_it(tmp_path: Path) -> None:
    aerial = Augmentation(preset="aerial", rotate=15, flip=0)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("data: {augment: aerial, flip: 0}\n")
    for settings in (["data.augment.rotate=15"], ["data.augment.rotate=15", "data.augment=aerial"]):
        assert load_config(recipe, parse_settings(settings)).data.augment == aerial
    assert load_config(recipe, {"data.augment": "none"}).data.augment == Augmentation(preset="none")
    config = Config()
    config.data.augment = "street"  # type: ignore[assignment]
    config.data.augment.rotate = 5
    assert config.data.augment == Augmentation(preset="street", rotate=5)
    with pytest.raises(ValidationError, match="frozen"):  # which would leave the settings as they are
        config.data.augment.preset = "none"


def test_flip_and_color_of_older_configurations_are_those_of_the_augmentation() -> None:
    old = {"data": {"flip": 0.25, "color": 0.1, "resolutions": [{"scale": [0.5, 2]}]}}
    config = Config.model_validate(old)
    assert config.data.augment == Augmentation(flip=0.25, color=0.1)
    assert Config.model_validate(config.model_dump(mode="json")) == config
    with pytest.raises(ConfigError, match=r"data: flip and augment\.flip are the same setting"):
        load_config(None, {"data.flip": 0, "data.augment.flip": 1})


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
        ("data.flip=nan", r"data\.augment\.flip: .*finite"),
        ("data.augment=stret", r"data\.augment\.preset: .*'street', 'aerial'.*found 'stret'"),
        ("data.augment=", r"data\.augment: the name of a preset .* or settings, .*found None"),
        ("data.augment=[3]", r"data\.augment: the name of a preset .* or settings, .*found \['3'\]"),
        ("data.augment.rotat=3", r"Unknown setting data\.augment\.rotat\. Did you mean data\.augment\.rotate\?"),
        ("data.rotate=3", r"Unknown setting data\.rotate\. Did you mean data\.augment\.rotate\?"),
        ("data.augment.flip_pairs=left", r"data\.augment\.flip_pairs: pairs of class names .*found 'left'"),
        ("data.augment.flip_pairs=[[a, b], [b, c]]", r"flip_pairs: b stands in them twice"),
        ("data.augment.elastic=30", r"elastic is 30 and elastic_spacing 80: .*at most a quarter"),
        ("data.augment.scale=[2, 1]", r"scale is a lowest and a highest factor, found \[2\.0, 1\.0\]"),
        ("data.augment.jpeg=0", r"data\.augment\.jpeg: .*greater than or equal to 1"),
        ("data.balance=2", r"data\.balance: .*less than or equal to 1"),
        ("optimizer.backbone_rate=0", r"optimizer\.backbone_rate: .*greater than 0"),
        ("training.patience=0", r"training\.patience: .*greater than or equal to 1"),
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
