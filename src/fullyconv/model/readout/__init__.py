"""Everything after the finest scores, in three forms: logits, labels, loss."""

from fullyconv.model.readout.blocks import (
    Border,
    Interpolation,
    cells_around,
    label_dtype,
    labels,
    logits,
    loss,
    mass,
)

__all__ = ["Border", "Interpolation", "cells_around", "label_dtype", "labels", "logits", "loss", "mass"]
