"""A training run's configuration: typed, defaulted, and strict about names. Loads no torch."""

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError, model_validator
from pydantic_core import ErrorDetails

from fullyconv.data.augmentation.settings import as_settings
from fullyconv.errors import ConfigError
from fullyconv.training.settings.data import Data, Resolution
from fullyconv.training.settings.model import Model
from fullyconv.training.settings.optimizer import Optimizer
from fullyconv.training.settings.training import Training
from fullyconv.validation import words
from fullyconv.written import Section, TextLoader
from fullyconv.yaml_data import parse_yaml, read_yaml


class Config(Section):
    model: Model = Model()
    data: Data = Data()
    optimizer: Optimizer = Optimizer()
    training: Training = Training()

    @model_validator(mode="after")
    def _shared_evenly(self) -> "Config":
        if self.data.batch_size % self.training.devices:
            raise ValueError(
                f"data.batch_size is {self.data.batch_size}, training.devices {self.training.devices}: "
                "the batch must divide evenly over the processes"
            )
        return self

    @model_validator(mode="after")
    def _a_mean_for_each_channel(self) -> "Config":
        if self.model.mean is not None and len(self.model.mean) != (self.model.in_channels or len(self.model.mean)):
            raise ValueError(
                f"model.mean has {len(self.model.mean)} values, model.in_channels is {self.model.in_channels}: "
                "one mean for each channel"
            )
        return self


def load_config(recipe: Path | None = None, overrides: dict[str, Any] | None = None) -> Config:
    """A recipe (YAML), with overrides by dotted key (``optimizer.lr``) over it. Raises ConfigError."""
    tree = _read_recipe(recipe) if recipe is not None else {}
    by_depth = sorted((overrides or {}).items(), key=lambda item: item[0].count("."))  # a preset before its settings
    for key, value in by_depth:
        *sections, name = key.split(".")
        branch = tree
        for section in sections:
            if branch.get(section) is None:
                branch[section] = {}
            inner = as_settings(branch[section]) if section == "augment" else branch[section]
            if not isinstance(inner, dict):
                raise ConfigError(f"{key}: {section} is not a section.{_nearest(key)}")
            branch[section] = branch = {**inner}
        branch[name] = value
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        where = f"{recipe}: " if recipe else ""
        raise ConfigError(*(where + _explain(problem) for problem in error.errors())) from None


def _read_recipe(path: Path) -> dict[str, Any]:
    """A YAML mapping. Raises ConfigError where the file is missing or is not one."""
    try:
        tree = read_yaml(path, TextLoader)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file.") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as YAML: {error}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: expected sections ({', '.join(Config.model_fields)}), found {type(tree).__name__}.")
    return tree


def parse_settings(settings: list[str]) -> dict[str, Any]:
    """``["optimizer.lr=1e-3"]`` → ``{"optimizer.lr": "1e-3"}``; values are YAML, of text. Raises ConfigError."""
    parsed = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set {setting}: expected KEY=VALUE, as in --set optimizer.lr=0.001.")
        try:
            parsed[key.strip()] = parse_yaml(value, TextLoader)
        except ValueError as error:
            raise ConfigError(f"--set {setting[:200]}: the value is not YAML: {error}") from None
    return parsed


def known_keys(section: type[BaseModel] | None = None, prefix: str = "") -> Iterator[str]:
    """The dotted names of all sections and their settings."""
    for name, field in (section or Config).model_fields.items():
        yield prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from known_keys(field.annotation, f"{prefix}{name}.")


def _nearest(key: str) -> str:
    keys = [*known_keys()]
    above = key.rpartition(".")[0]
    if above.startswith("data.resolutions."):
        keys = [f"{above}.{name}" for name in Resolution.model_fields]
    near = [known for known in keys if known.split(".")[-1] == key.split(".")[-1]]
    near = near or difflib.get_close_matches(key, keys, n=1, cutoff=0.5)
    return f" Did you mean {near[0]}?" if near else f" The sections are {', '.join(Config.model_fields)}."


def _explain(problem: ErrorDetails) -> str:
    key = ".".join(str(part) for part in problem["loc"]) or "The settings"
    if problem["type"] == "extra_forbidden":
        return f"Unknown setting {key}.{_nearest(key)}"
    found = "" if isinstance(problem["input"], dict) else f" (found {problem['input']!r})"
    return f"{key}: {words(problem)}{found}."
