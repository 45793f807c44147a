"""What a run writes after each validation: its curves, its best network, and the checkpoint to resume from."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import lightning

from fullyconv.files import write_whole
from fullyconv.training.clock import Clock
from fullyconv.training.module import Module
from fullyconv.weights import run_folder
from fullyconv.weights.run_files import CURVES, LAST

STEPS_A_ROW = 50
"""metrics.csv has a row after so many steps, and one after each validation."""
COLUMNS = {"step", "minutes", "lr", "train_loss"}
"""What every row of it has."""
MEASURED = "val_mean_iou"
"""What a row after a validation has, too: the mean IoU of the first labeling."""
Rows = Sequence[Mapping[str, float]]
"""Those of metrics.csv."""


class SaveBest(lightning.Callback):
    """After each validation write metrics.csv, the network if it is the best, and the checkpoint, in this order.

    A run killed between two of them repeats the steps since the last checkpoint and writes the same again. Where a
    validation was left out for lack of time, the curves and the checkpoint alone are written.
    """

    def __init__(self, run: Path, clock: Clock, keep: Literal["best", "last"]):
        self.run, self.clock, self.keep = run, clock, keep
        self.best: float | None = None
        self.rows: list[dict[str, float]] = []
        self.losses: list[float] = []

    def on_train_batch_end(self, trainer: lightning.Trainer, *args: object) -> None:
        self.losses.append(float(trainer.callback_metrics["train_loss"]))
        if trainer.global_step % STEPS_A_ROW == 0 and len(self.losses) >= trainer.accumulate_grad_batches:
            self._add_row(trainer)

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: Module) -> None:
        if self.losses:
            self._add_row(trainer)
        improved = self.clock.validates and self._is_best(trainer)
        module.refuse_weights_that_are_not_finite()
        if trainer.is_global_zero:
            write_whole(self.run / CURVES, _as_csv(self.rows))
            if improved:
                run_folder.save(module.result, self.run)
        trainer.save_checkpoint(self.run / LAST)

    def _is_best(self, trainer: lightning.Trainer) -> bool:
        """Add what was measured to the last row; without a validation split the loss decides."""
        row = self.rows[-1]
        row |= {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val_")}
        value = row.get(MEASURED, -row["train_loss"])
        if self.keep == "best" and self.best is not None and value <= self.best:
            return False
        self.best = value
        return True

    def _add_row(self, trainer: lightning.Trainer) -> None:
        """The loss is the mean since the row before."""
        self.rows.append(
            {
                "step": trainer.global_step,
                "minutes": round(self.clock.elapsed() / 60, 3),
                "lr": trainer.optimizers[0].param_groups[0]["lr"],
                "train_loss": sum(self.losses) / len(self.losses),
            }
        )
        self.losses = []

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.rows = state_dict["best"], state_dict["rows"]


def _as_csv(rows: list[dict[str, float]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
