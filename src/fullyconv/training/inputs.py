"""Determine the channels, value range and normalization of a network from the images that it trains on."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fullyconv.channels import COUNTS
from fullyconv.data.catalog import Data
from fullyconv.data.images.read import fits, wrong_bands
from fullyconv.data.images.source import describe_bands
from fullyconv.data.images.values import BYTE, Range
from fullyconv.data.statistics import AUTO, ImageStatistics, image_statistics
from fullyconv.errors import ConfigError, DataError
from fullyconv.model.backbones import release, torchvision
from fullyconv.training.config import Config
from fullyconv.training.settings.data import Percentiles


class InputSettings(NamedTuple):
    """The settings of a network that depend on the images.

    ``value_range`` is None if bytes stay unchanged. ``mean`` and ``std`` have one number per channel, in 0..255; None
    means those of the backbone.
    """

    channels: int
    value_range: list[Range] | None
    mean: list[float] | None
    std: list[float] | None


def with_input_settings(data: Data, config: Config, say: Callable[[str], None]) -> Config:
    """Return a copy of the configuration with the channels and the value range that fit the images.

    ``say`` gets one line about a value range that was found. Raises the errors of ``input_settings``.
    """
    given = input_settings(data, config)
    if given.value_range and not isinstance(config.data.range, list):
        pairs = list(dict.fromkeys(given.value_range))  # once if all bands have the same range
        shown = ", ".join(f"{low:g} to {high:g}" for low, high in pairs[:4])
        more = f" and {len(pairs) - 4} more bands" if len(pairs) > 4 else ""
        say(f"Values: {shown}{more} become 0 to 255 (data.range, found from the train split).")
    config = config.model_copy(deep=True)
    config.model.in_channels = given.channels
    config.data.range = list(given.value_range or [BYTE] * given.channels)
    return config


def input_settings(data: Data, config: Config) -> InputSettings:
    """Return the input settings of a network for the images of the train split.

    Raises DataError if images cannot be read, differ in bands or type, or do not fit ``model.in_channels``, and
    ConfigError if ``data.range`` does not fit them.
    """
    options = config.model
    known = data.channels or COUNTS.get(data.inputs)
    if known is not None:
        data.require_channels(options.in_channels or known)
        return InputSettings(options.in_channels or known, None, options.mean, None)
    found = image_statistics(data, "train")
    channels = options.in_channels or found.channels
    if not fits(found, channels):
        has = describe_bands(found.bands, found.alpha, found.dtype)
        raise DataError(wrong_bands(f"{data.root}", has, channels))
    value_range = _range(found, config, channels)
    return InputSettings(channels, value_range, *_normalization(found, config, channels, value_range))


def _range(found: ImageStatistics, config: Config, channels: int) -> list[Range] | None:
    setting, dtype = config.data.range, found.dtype
    if setting == "auto" and dtype == np.uint8:
        return None
    if setting == "auto":
        setting = Percentiles(percentiles=AUTO)
    if setting == "type":
        pairs = [(0.0, 1.0)] if dtype.kind == "f" else [(float(np.iinfo(dtype).min), float(np.iinfo(dtype).max))]
    elif isinstance(setting, Percentiles):
        pairs = found.percentiles(*setting.percentiles)
    else:
        pairs = [setting] if isinstance(setting, tuple) else list(setting)
    if len(pairs) == 1:
        pairs *= channels
    elif found.colour and channels == 1:
        pairs = [(min(low for low, _ in pairs), max(high for _, high in pairs))]
    elif len(pairs) == channels - 1 and found.alpha:
        pairs.append((0.0, float(np.iinfo(dtype).max) if dtype.kind in "ui" else 1.0))
    if len(pairs) != channels:
        raise ConfigError(
            f"data.range has {len(pairs)} pairs, but the network takes {channels} channels; give two numbers, or a "
            "pair for each channel"
        )
    return None if dtype == np.uint8 and set(pairs) == {BYTE} else pairs


def _normalization(
    found: ImageStatistics, config: Config, channels: int, value_range: list[Range] | None
) -> tuple[list[float] | None, list[float] | None]:
    """Return the mean and deviation of the images in 0..255; None if pretrained weights prescribe their own.

    Weights of ``model.init`` count as pretrained.
    """
    options = config.model
    if options.mean is not None:
        return options.mean, None
    published = options.name.partition("-")[2] in release.NAMES or options.name in torchvision.NETWORKS
    if published or options.init is not None or (options.pretrained and channels == 3) or found.bands != channels:
        return None, None
    mean, std = [], []
    for band, deviation, (low, high) in zip(found.mean, found.deviation, value_range or [BYTE] * channels, strict=True):
        mean.append((band - low) * 255 / (high - low))
        std.append(max(deviation * 255 / (high - low), 1.0))
    return mean, std
