"""Settings of the data: what is read, and how it is scaled, cropped and augmented."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from fullyconv.data.augmentation.settings import Augmentation, as_settings
from fullyconv.data.checks.kinds import kinds_named
from fullyconv.data.splits.names import read_fold
from fullyconv.errors import ConfigError
from fullyconv.written import Count, Fraction01, Pair, Percent, Positive, Section, Side


class Resolution(Section):
    """How images are scaled and cropped until a fraction of the run is over."""

    until: Fraction01 = 1.0
    crop: tuple[Side, Side] | None = (320, 320)
    """Height and width in pixels of what the network is trained on; none: whole images, not scaled."""
    scale: tuple[Positive, Positive] | None = None
    """The images are scaled by a factor drawn from this range, then cropped; none: that of data.augment."""

    @model_validator(mode="after")
    def _rising(self) -> "Resolution":
        if self.scale is not None and self.scale[0] > self.scale[1]:
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


class Data(Section):
    path: Path | None = None
    layout: str | None = None
    """What the files are, where detection is not wanted; see ``open_data``."""
    fold: str | None = None
    """Validate on one of the folds in splits.csv and train on the others, as 0/5; none: on its split val."""
    batch_size: Count = 8
    """Images in one pass through the network, over all processes."""
    allow: list[str] = Field(default=[])
    """Kinds of problems that do not stop the run, by the names that ``fullyconv data check`` prints."""
    workers: Annotated[int, Field(ge=0)] = 2
    resolutions: list[Resolution] = Field(default=[Resolution()])
    range: Literal["auto", "type"] | Percentiles | Pair | list[Pair] = "auto"
    """Which values of the images become 0 and 255: two numbers for all bands, or for each; percentiles of the train
    split; the type's smallest and largest. Auto: bytes stay as they are, all else has percentiles 0.5 and 99.5."""
    augment: Augmentation = Augmentation()
    """How samples are changed at random: the name of a preset, or settings over it, as {preset: aerial, rotate: 15}."""
    balance: Fraction01 = 0.0
    """The probability that a crop is placed on a pixel of a rare class, drawn from the image's by 1/frequency."""

    @model_validator(mode="before")
    @classmethod
    def _short_names(cls, given: object) -> object:
        """Take ``flip`` and ``color``, as older configurations have them, for those of ``augment``."""
        if not isinstance(given, Mapping):
            return given
        short = {name: given[name] for name in ("flip", "color") if name in given}
        augment = as_settings(given.get("augment", {}))
        if not short or not isinstance(augment, Mapping):
            return given
        for name in short.keys() & augment.keys():
            raise ValueError(f"{name} and augment.{name} are the same setting: give one of them")
        return {key: value for key, value in given.items() if key not in short} | {"augment": {**augment, **short}}

    @field_validator("augment", mode="before")
    @classmethod
    def _preset_or_settings(cls, given: object) -> object:
        if not isinstance(given, str | bool | Mapping | Augmentation):
            raise ValueError("the name of a preset is expected, as street or none, or settings, as {rotate: 15}")
        return given

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
