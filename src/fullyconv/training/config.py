"""A training run's configuration: typed, defaulted, and strict about names. Loads no torch."""

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from fullyconv.channels import MAX_CHANNELS
from fullyconv.data.checks.kinds import kinds_named
from fullyconv.data.splits.names import read_fold
from fullyconv.errors import ConfigError
from fullyconv.objective import Objective
from fullyconv.training.written import TextLoader, as_expected
from fullyconv.validation import words
from fullyconv.yaml_data import parse_yaml, read_yaml

Fraction01 = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Side = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    @field_validator("*", mode="before")
    @classmethod
    def _as_written(cls, value: object, info: ValidationInfo) -> object:
        """Numbers, choices and none are read however they are written."""
        return as_expected(value, cls.model_fields[info.field_name or ""].annotation)


class Model(Section):
    """The network, by the options of ``fullyconv.create``."""

    name: str = "fcn8s-resnet18"
    width: Count | None = None
    """Channels of the fused maps; none: the class count, as in the paper."""
    upsample: Literal["bilinear", "nearest", "bicubic", "transposed"] = "bilinear"
    padding: Literal["paper", "same"] | None = None
    """Of the paper's networks: none is theirs, 100 pixels around the image."""
    in_channels: Annotated[int, Field(ge=1, le=MAX_CHANNELS)] | None = None
    """None: three for grey and colour images, else as many as the images have bands."""
    mean: list[Annotated[float, Field(allow_inf_nan=False)]] | None = None
    """Of each input channel, in 0..255, in the order of the input; none: the backbone's own."""
    dropout: Fraction01 | None = None
    """None: the backbone's own (0.5 in the paper's networks)."""
    pretrained: bool = True
    """Start from the backbone's ImageNet weights."""
    init: Path | list[Path] | None = None
    """Start from these weights instead: a run folder, or a .safetensors or .pth file, of ours, a classifier or another
    network with this backbone; late fusion from two run folders, colour and HHA."""


class Resolution(Section):
    """How images are scaled and cropped until a fraction of the run is over."""

    until: Fraction01 = 1.0
    crop: tuple[Side, Side] | None = (320, 320)
    """Height and width in pixels of what the network is trained on; none: whole images, not scaled."""
    scale: tuple[Positive, Positive] = (0.5, 2.0)
    """The images are scaled by a factor drawn from this range, then cropped."""

    @model_validator(mode="after")
    def _rising(self) -> "Resolution":
        if self.scale[0] > self.scale[1]:
            raise ValueError(f"scale is a lowest and a highest factor, found {list(self.scale)}")
        return self


class Percentiles(Section):
    """The values below which so many percent of the train split's pixels lie, band by band, become 0 and 255."""

    percentiles: tuple[Percent, Percent]

    @model_validator(mode="after")
    def _rising(self) -> "Percentiles":
        if self.percentiles[0] >= self.percentiles[1]:
            raise ValueError(f"percentiles are a lower and a higher one, found {list(self.percentiles)}")
        return self


Number = Annotated[float, Field(allow_inf_nan=False)]
Pair = tuple[Number, Number]


class Data(Section):
    path: Path | None = None
    layout: str | None = None
    """What the files are, where detection is not wanted; see ``open_data``."""
    fold: str | None = None
    """Validate on one of the folds in splits.csv and train on the others, as 0/5; none: on its split val."""
    batch_size: Count = 8
    """Images in one pass through the network, over all processes."""
    allow: list[str] = []
    """Kinds of problems that do not stop the run, by the names that ``fullyconv data check`` prints."""
    workers: Annotated[int, Field(ge=0)] = 2
    resolutions: list[Resolution] = [Resolution()]
    range: Literal["auto", "type"] | Percentiles | Pair | list[Pair] = "auto"
    """Which values of the images become 0 and 255: two numbers for all bands, or for each; percentiles of the train
    split; the type's smallest and largest. Auto: bytes stay as they are, all else has percentiles 0.5 and 99.5."""
    flip: Fraction01 = 0.5
    color: Fraction01 = 0.3
    balance: Fraction01 = 0.0
    """The probability that a crop is placed on a pixel of a rare class, drawn from the image's by 1/frequency."""

    @field_validator("fold")
    @classmethod
    def _one_of_the_folds(cls, fold: str | None) -> str | None:
        try:
            return None if fold is None else "/".join(map(str, read_fold(fold)))
        except ConfigError as error:
            raise ValueError(str(error)) from None

    @field_validator("allow")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        try:
            kinds_named(names)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return names

    @model_validator(mode="after")
    def _range_rises(self) -> "Data":
        pairs = self.range if isinstance(self.range, list) else [self.range]
        if any(isinstance(pair, tuple) and pair[0] >= pair[1] for pair in pairs):
            raise ValueError(f"range has a lower and a higher value, found {self.range}")
        return self

    @model_validator(mode="after")
    def _balances_crops(self) -> "Data":
        if self.balance and any(resolution.crop is None for resolution in self.resolutions):
            raise ValueError(f"balance is {self.balance}, and whole images are not cropped: give 0, or each a crop")
        return self

    @model_validator(mode="after")
    def _in_order(self) -> "Data":
        ends = [resolution.until for resolution in self.resolutions]
        if not ends or ends != sorted(ends) or ends[-1] != 1:
            raise ValueError(f"the 'until' of resolutions must rise and end at 1, found {ends}")
        return self


class Optimizer(Section):
    name: Literal["adamw", "sgd"] = "adamw"
    lr: Positive = 1e-3
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.01
    """Not applied to biases and norms."""
    bias_rate: Positive = 1.0
    """The biases' learning rate over that of all else; the paper's release has 2."""
    momentum: Fraction01 = 0.9
    """SGD's."""
    accumulate: Count = 1
    """Batches whose gradients are averaged before a step is made."""
    schedule: Literal["poly", "cosine", "constant"] = "poly"
    power: Positive = 0.9
    """The poly schedule's."""
    warmup: Fraction01 = 0.05
    """The fraction of the run over which the rate rises from 0."""
    clip: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 5.0
    """The largest gradient norm; 0: no clipping."""


class Training(Section):
    epochs: Annotated[int, Field(ge=1)] = 50
    steps: Count | None = None
    """Instead of epochs: so many steps of the optimizer."""
    max_minutes: Positive | None = None
    """Instead of epochs: the schedule is stretched over this time."""
    loss: Literal["mean", "sum"] = "mean"
    """Over pixels (of all heads); the paper's release sums."""
    objective: str = "cross_entropy"
    """What is minimized: cross_entropy, focal, ohem, dice, tversky, or a sum, as cross_entropy+dice."""
    focal_gamma: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 2.0
    ohem_fraction: Annotated[float, Field(gt=0, le=1)] = 0.2
    """The fraction of the pixels that count, those of the largest cross-entropy."""
    tversky: tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], Positive] = (0.3, 0.7)
    """The weights of false positives and of false negatives."""
    class_weights: Literal["none", "median_frequency", "root_median_frequency"] | dict[str, Weight] | list[Weight] = (
        "none"
    )
    """By how often classes occur; or by hand, as {car: 3} (all others 1), or one weight for each class in order."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.0
    ema: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.0
    """Decay a step of the averaged weights that are validated and kept; 0: none."""
    precision: Literal["auto", "32", "bf16", "16"] = "auto"
    freeze: Literal["none", "backbone"] = "none"
    stages: list[Literal[32, 16, 8, 4, 2]] | None = None
    """Train these strides one after the other, weights handed on, as the paper did: [32, 16, 8]."""
    keep: Literal["best", "last"] = "best"
    """The network in the run folder: of the best validation, or of the last, as in the paper's release."""
    validate_every: Count | None = None
    """Steps; none: an epoch, but from 100 to 1000 steps."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    devices: Count = 1
    """Processes, one per GPU (or per CPU share)."""

    @field_validator("class_weights", mode="wrap")
    @classmethod
    def _of_one_kind(cls, value: object, read: ValidatorFunctionWrapHandler) -> str | dict[str, Weight] | list[Weight]:
        try:
            weights: str | dict[str, Weight] | list[Weight] = read(value)
        except ValidationError:
            raise ValueError(
                "none, median_frequency or root_median_frequency is expected, or weights of 0 or more, as {car: 3} or "
                "as a list, one for each class"
            ) from None
        return weights

    @field_validator("objective")
    @classmethod
    def _known_objective(cls, name: str) -> str:
        return "+".join(Objective(name).terms)

    @model_validator(mode="after")
    def _descending(self) -> "Training":
        if self.stages is not None and self.stages != sorted(set(self.stages), reverse=True):
            raise ValueError(f"stages go from coarse to fine, each once, as [32, 16, 8]; found {self.stages}")
        return self

    @model_validator(mode="after")
    def _one_length(self) -> "Training":
        if self.steps and self.max_minutes:
            raise ValueError(
                f"steps ({self.steps}) and max_minutes ({self.max_minutes}) are two lengths of one run: give one"
            )
        return self


def objective_of(training: Training) -> Objective:
    """Return what the configured run minimizes."""
    return Objective(training.objective, training.focal_gamma, training.ohem_fraction, training.tversky)


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
    for key, value in (overrides or {}).items():
        *sections, name = key.split(".")
        branch = tree
        for section in sections:
            if branch.get(section) is None:
                branch[section] = {}
            branch = branch[section]
            if not isinstance(branch, dict):
                raise ConfigError(f"{key}: {section} is not a section.{_nearest(key)}")
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


def known_keys() -> list[str]:
    return [
        f"{section}.{name}"
        for section, field in Config.model_fields.items()
        for name in field.annotation.model_fields  # type: ignore[union-attr]
    ]


def _nearest(key: str) -> str:
    keys = [*known_keys(), *Config.model_fields]
    above = key.rpartition(".")[0]
    if above.startswith("data.resolutions."):
        keys = [f"{above}.{name}" for name in Resolution.model_fields]
    near = difflib.get_close_matches(key, keys, n=1, cutoff=0.5)
    if not near:
        near = [known for known in keys if known.split(".")[-1] == key.split(".")[-1]][:1]
    return f" Did you mean {near[0]}?" if near else f" The sections are {', '.join(Config.model_fields)}."


def _explain(problem: ErrorDetails) -> str:
    key = ".".join(str(part) for part in problem["loc"]) or "The settings"
    if problem["type"] == "extra_forbidden":
        return f"Unknown setting {key}.{_nearest(key)}"
    found = "" if isinstance(problem["input"], dict) else f" (found {problem['input']!r})"
    return f"{key}: {words(problem)}{found}."
