"""The settings of augmentation: presets by name, and single settings over them. Loads no torch."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from fullyconv.written import NOTHING, Fraction01, Positive, Section, as_expected

Preset = Literal["default", "street", "aerial", "microscopy", "medical", "none"]
PRESETS: dict[str, dict[str, object]] = {
    "default": {},
    "street": {"gamma": 0.2, "blur": 1.0},
    "aerial": {
        "scale": (0.75, 1.5),
        "vertical_flip": 0.5,
        "quarter_turns": 0.75,
        "gamma": 0.2,
        "blur": 1.0,
    },
    "microscopy": {
        "scale": (0.75, 1.5),
        "vertical_flip": 0.5,
        "quarter_turns": 0.75,
        "elastic": 8.0,
        "color": 0.2,
        "gamma": 0.3,
        "blur": 1.0,
    },
    "medical": {
        "scale": (0.75, 1.5),
        "flip": 0.0,
        "rotate": 15.0,
        "elastic": 6.0,
        "color": 0.0,
        "gamma": 0.3,
        "noise": 8.0,
    },
    "none": {"scale": (1.0, 1.0), "flip": 0.0, "color": 0.0},
}
"""What differs from the defaults."""


class Augmentation(Section):
    """How training samples are changed at random: a preset, and single settings over it.

    Each setting has its effect at most: rotation by ``rotate`` = 15 draws an angle from -15 to 15 degrees, evenly.
    Settings that are not given have the preset's value, so that the model always says what is done.
    """

    preset: Annotated[Preset, Field(frozen=True)] = "default"
    scale: tuple[Positive, Positive] = (0.5, 2.0)
    """Images are scaled by a factor from this range, drawn evenly on a logarithmic axis; whole images are not."""
    flip: Fraction01 = 0.5
    """The probability of mirroring left and right."""
    vertical_flip: Fraction01 = 0.0
    """The probability of mirroring top and bottom."""
    quarter_turns: Fraction01 = 0.0
    """The probability of a turn by 90, 180 or 270 degrees; 0.75 makes all four directions alike."""
    rotate: Annotated[float, Field(ge=0, le=180, allow_inf_nan=False)] = 0.0
    """The largest angle, in degrees, to either side."""
    shear: Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)] = 0.0
    """The largest angle, in degrees, by which horizontal or vertical lines are slanted, to either side."""
    elastic: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """The standard deviation, in pixels of the crop, by which points of a coarse grid are displaced."""
    elastic_spacing: Annotated[int, Field(ge=4)] = 80
    """The distance of those points, in pixels of the crop."""
    flip_pairs: list[tuple[str, str]] = Field(default=[])
    """Pairs of classes that are exchanged where an image is mirrored, as [[left_hand, right_hand]]."""
    color: Fraction01 = 0.3
    """The strength of the colour jitter: brightness, contrast, saturation and white balance."""
    gray: Fraction01 = 0.0
    """The probability that colours become grey."""
    gamma: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = 0.0
    """Brightness is raised to a power from 1 / (1 + gamma) to 1 + gamma."""
    blur: Annotated[float, Field(ge=0, le=20, allow_inf_nan=False)] = 0.0
    """The largest standard deviation of a Gaussian blur, in pixels of the crop; every second image is blurred."""
    noise: Annotated[float, Field(ge=0, le=255, allow_inf_nan=False)] = 0.0
    """The largest standard deviation of Gaussian noise, in values of 0..255; every second image has noise."""
    jpeg: Annotated[int, Field(ge=1, le=100)] | None = None
    """The lowest quality of JPEG compression; every second image is compressed. None: no image."""
    cutout: Fraction01 = 0.0
    """The longest sides of a rectangle that is covered, as fractions of the crop's; its pixels become void."""
    copy_paste: Fraction01 = 0.0
    """The probability that pixels of a rare class are pasted from another image, the class drawn by 1/frequency."""

    @field_validator("flip_pairs", mode="before")
    @classmethod
    def _pairs(cls, given: object) -> object:
        """One pair may be written without the outer brackets, and none as none."""
        if given is None or (isinstance(given, str) and given.lower() in NOTHING):
            return []
        if isinstance(given, list | tuple) and len(given) == 2 and all(isinstance(name, str) for name in given):
            return [given]
        pairs = given if isinstance(given, list | tuple) else [given]
        if not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs):
            raise ValueError("pairs of class names are expected, as [[left_hand, right_hand]]")
        return given

    @model_validator(mode="after")
    def _each_class_once(self) -> "Augmentation":
        names = [name for pair in self.flip_pairs for name in pair]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"flip_pairs: {twice[0]} stands in them twice; a class is exchanged with one other")
        return self

    @model_validator(mode="after")
    def _does_not_fold(self) -> "Augmentation":
        if self.elastic > self.elastic_spacing / 4:
            raise ValueError(
                f"elastic is {self.elastic:g} and elastic_spacing {self.elastic_spacing}: images would fold over "
                "themselves; give elastic at most a quarter of elastic_spacing"
            )
        return self

    @model_validator(mode="after")
    def _scale_rises(self) -> "Augmentation":
        if self.scale[0] > self.scale[1]:
            raise ValueError(f"scale is a lowest and a highest factor, found {list(self.scale)}")
        return self

    @model_validator(mode="before")
    @classmethod
    def _over_the_preset(cls, given: object) -> object:
        """Give settings that are not given the preset's values."""
        given = as_settings(given)
        if not isinstance(given, Mapping):
            return given
        preset = as_expected(given.get("preset", "default"), Preset)
        return {**(PRESETS.get(preset) or {}), **given} if isinstance(preset, str) else given

    def __str__(self) -> str:
        """Return in one line what is done, as "street: scale 0.5 to 2, flip 0.5"."""
        done = [f"scale {self.scale[0]:g} to {self.scale[1]:g}"] if self.scale != (1, 1) else []
        for name, value in self:
            if isinstance(value, float | int) and value and not (name == "elastic_spacing" and not self.elastic):
                done.append(f"{name} {value:g}")
        done += [f"{one} and {other} exchanged" for one, other in self.flip_pairs]
        return f"{self.preset}: {', '.join(done) or 'nothing is changed'}"


def as_settings(given: object) -> object:
    """Return a preset that is given by its name alone as settings; all else as it is."""
    return {"preset": given} if isinstance(given, str | bool) else given
