"""Settings of the training itself: its length, what is minimized, and which network is kept."""

from typing import Annotated, Literal

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, field_validator, model_validator

from fullyconv.objective import Objective
from fullyconv.written import Count, Positive, Section, Weight


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
    boundary_weight: Weight = 0.0
    """How much more than 1 a pixel at the boundary between two classes counts; 10 in U-Net, 0: not more."""
    boundary_sigma: Positive = 5.0
    """Pixels over which that falls, as a Gaussian."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.0
    ema: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.0
    """Decay a step of the averaged weights that are validated and kept; 0: none."""
    precision: Literal["auto", "32", "bf16", "16"] = "auto"
    freeze: Literal["none", "backbone", 2, 4, 8, 16, 32] = "none"
    """The layers that are not trained: the backbone's, or those that its tap of a stride depends on."""
    stages: list[Literal[32, 16, 8, 4, 2]] | None = None
    """Train these strides one after the other, weights handed on, as the paper did: [32, 16, 8]."""
    keep: Literal["best", "last"] = "best"
    """The network in the run folder: of the best validation, or of the last, as in the paper's release."""
    validate_every: Count | None = None
    """Steps; none: an epoch, but from 100 to 1000 steps."""
    patience: Count | None = None
    """End the run after so many validations without a better mean IoU; none: never."""
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
    def _weights_act(self) -> "Training":
        if self.boundary_weight and not {"cross_entropy", "focal", "ohem"} & {*self.objective.split("+")}:
            raise ValueError(
                f"boundary_weight is {self.boundary_weight:g}, and acts on cross_entropy, focal and ohem, of which "
                f"objective has none: it is {self.objective}. Give 0, or add one, as cross_entropy+{self.objective}"
            )
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
