"""The settings of a run that nobody gave, chosen by its data, its length and its machine."""

import math
from collections.abc import Callable, Collection
from typing import NamedTuple

from fullyconv.data.augmentation.settings import Augmentation
from fullyconv.training.chosen.facts import Facts
from fullyconv.training.config import Config
from fullyconv.training.settings.data import Resolution

PRETRAINED, UNTRAINED = "tf_efficientnet_lite0", "regnetx_002"
"""The backbones: one whose ImageNet weights come with pip, and one that learns much in little time on a CPU."""
CELL, PIXELS = 32, 288 * 384
"""Sides of crops are multiples of CELL, and a crop has about PIXELS pixels."""
SCALE = (0.6, 1.6)
"""The factors by which images are scaled, where the augmentation has no others than its defaults."""
THIN, SOME = 8.0, 0.05
"""A class of at least the share SOME whose structures are narrower than THIN pixels is scored at stride 2."""
RARE = 0.1
"""A class is rare that has less than this fraction of an even share."""
FEW = 32
"""So few images make smaller batches."""
PASSES = 15
"""A run that would see each image less often than this begins at a lower resolution."""
VALIDATION = 0.05
"""The share of a run that its validations may take."""
FORWARD = 1 / 3
"""The time that labelling an image takes, in the time that training on one of its size takes."""


class Choice(NamedTuple):
    """Settings by their dotted keys, and why they have these values, in a few words."""

    values: dict[str, object]
    why: str


class Machine(NamedTuple):
    """What of the machine matters: whether it trains on a CPU, and the seconds that a step of a configuration takes."""

    cpu: bool
    seconds: Callable[[Config], float]


def choose(
    config: Config, given: Collection[str], facts: Facts, machine: Machine, say: Callable[[str], None]
) -> Config:
    """Return the configuration with settings that fit data of these facts, but for those ``given``, by dotted keys.

    ``say`` is told what was chosen and why, a line each. A step is measured only where the run's length is a time.
    """
    say("Chosen for these data, as no recipe was given (--model and --set choose otherwise):")
    for names, choice_of in CHOICES.items():
        if any(key == name or key.startswith(f"{name}.") for key in given for name in names):
            continue  # before anything is measured
        choice = choice_of(config, facts, machine)
        config = changed(config, choice.values)
        shown = ", ".join(f"{name} {_shown(value)}" for name, value in choice.values.items())
        if shown:
            say(f"  {shown}: {choice.why}")
    return config


def changed(config: Config, values: dict[str, object]) -> Config:
    """Return a copy of the configuration with these values, by dotted keys."""
    config = config.model_copy(deep=True)
    for key, value in values.items():
        section, name = key.split(".")
        setattr(getattr(config, section), name, value)
    return config


def _network(config: Config, facts: Facts, machine: Machine) -> Choice:
    """A network of its own choice is none where weights or stages are given, which are of a certain one."""
    if config.model.init is not None or config.training.stages:
        return Choice({}, "")
    backbone = PRETRAINED if config.model.pretrained else UNTRAINED
    thin = [wide for share, wide in zip(facts.shares, facts.structures(), strict=True) if share >= SOME and wide < THIN]
    if thin:
        return Choice({"model.name": f"fcn2s-{backbone}", "model.width": 32}, f"structures {min(thin):.0f} pixels wide")
    return Choice({"model.name": f"fcn4s-{backbone}", "model.width": 64}, "much is learnt in little time")


def _batch(config: Config, facts: Facts, machine: Machine) -> Choice:
    batch = 8 if facts.images >= FEW else 4
    return Choice({"data.batch_size": batch * config.training.devices}, f"{facts.images} images")


def _crops(config: Config, facts: Facts, machine: Machine) -> Choice:
    scale = config.data.augment.scale
    low, high = SCALE if scale == Augmentation().scale else scale
    full = Resolution(crop=crop_of(facts.height, facts.width), scale=(low, high))
    values: dict[str, object] = {"data.resolutions": [full]}
    why = f"images of {facts.height}×{facts.width}"
    minutes = config.training.max_minutes
    if minutes and machine.cpu and config.training.devices == 1:
        step = machine.seconds(changed(config, values))
        passes = minutes * 60 / step * config.data.batch_size / facts.images
        why += f"; a step takes {step:.2f} s, and {minutes:g} minutes show each {passes:.0f} times"
        if passes < PASSES:
            smaller = (0.6 * low, 0.6 * high)
            coarse = Resolution(until=0.4, crop=crop_of(facts.height, facts.width, 0.36), scale=smaller)
            values["data.resolutions"] = [coarse, full]
    return Choice(values, why)


def crop_of(height: float, width: float, fraction: float = 1.0) -> tuple[int, int]:
    """Return the height and width of crops of images, scaled to a ``fraction`` of their area if that is less than 1.

    They have the images' shape, but at most 1:2, and about as many pixels as ``PIXELS`` scaled in the same way.
    """
    height, width, pixels = height * math.sqrt(fraction), width * math.sqrt(fraction), PIXELS * fraction
    shape = min(max(width / height, 0.5), 2.0)
    high = min(height, math.sqrt(pixels / shape))
    wide = min(width, pixels / high)
    high = min(height, pixels / wide)
    return max(1, round(high / CELL)) * CELL, max(1, round(wide / CELL)) * CELL


def _rate(config: Config, facts: Facts, machine: Machine) -> Choice:
    if config.optimizer.name != "adamw":
        return Choice({}, "")
    pretrained = config.model.pretrained or config.model.init is not None
    rate, why = (0.002, "ImageNet weights") if pretrained else (0.003, "random weights")
    return Choice({"optimizer.lr": rate, "training.ema": 0.99}, why)


def _weights(config: Config, facts: Facts, machine: Machine) -> Choice:
    least = min(facts.shares, default=1.0)
    if least * len(facts.shares) < RARE:
        return Choice(
            {"training.class_weights": "root_median_frequency"}, f"the rarest class has {least:.2%} of pixels"
        )
    return Choice({}, "")


def _frozen(config: Config, facts: Facts, machine: Machine) -> Choice:
    """The first layers stay as they are where time is short, as they take half of it on a CPU."""
    fitting = config.model.name.startswith("fcn4s-") and config.model.pretrained and config.model.init is None
    if machine.cpu and config.training.max_minutes and fitting:
        return Choice(
            {"training.freeze": 4}, "pretrained edges and textures fit as they are, and a step takes less time"
        )
    return Choice({}, "")


def _validations(config: Config, facts: Facts, machine: Machine) -> Choice:
    """Validations so far apart that they take a twentieth of the run."""
    if not facts.validated:
        return Choice({}, "")
    crop = config.data.resolutions[-1].crop
    trained = config.data.batch_size * (crop[0] * crop[1] if crop else facts.height * facts.width)
    labelled = facts.validated * facts.height * facts.width * FORWARD
    steps = max(100, math.ceil(labelled / trained / VALIDATION / 50) * 50)
    return Choice({"training.validate_every": steps}, f"{facts.validated} images validate")


CHOICES: dict[tuple[str, ...], Callable[[Config, Facts, Machine], Choice]] = {
    ("model.name", "model.width"): _network,
    ("data.batch_size",): _batch,
    ("training.freeze",): _frozen,
    ("data.resolutions",): _crops,
    ("optimizer.lr", "training.ema"): _rate,
    ("training.class_weights",): _weights,
    ("training.validate_every",): _validations,
}
"""What chooses each of the settings, in order: a later choice sees the earlier ones."""


def _shown(value: object) -> str:
    if isinstance(value, list):
        return " then ".join(map(_shown, value))
    if isinstance(value, Resolution):
        size = "×".join(map(str, value.crop)) if value.crop else "whole"
        return size + (f" scaled by {value.scale[0]:g} to {value.scale[1]:g}" if value.scale else "")
    return str(value)
