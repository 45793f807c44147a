"""Settings of the optimizer and of its rate over the run."""

from typing import Annotated, Literal

from pydantic import Field

from fullyconv.written import Count, Fraction01, Positive, Section


class Optimizer(Section):
    name: Literal["adamw", "sgd"] = "adamw"
    lr: Positive = 1e-3
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.01
    """Not applied to biases and norms."""
    bias_rate: Positive = 1.0
    """The biases' learning rate over that of all else; the paper's release has 2."""
    backbone_rate: Positive = 1.0
    """The backbone's learning rate over that of the new layers, biases included; where it is frozen, without effect."""
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
