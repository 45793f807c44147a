"""What a run writes after each validation: its curves, its best network, and the checkpoint to resume from."""

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import lightning
import torch
from lightning.fabric.plugins.io import TorchCheckpointIO

from fullyconv.errors import WeightsError
from fullyconv.files import whole_file, write_whole
from fullyconv.training.clock import Clock
from fullyconv.training.module import Module
from fullyconv.weights import run_folder
from fullyconv.weights.run_files import CURVES, LAST
from fullyconv.weights.tensors import load_as_data

STEPS_A_ROW = 50
"""metrics.csv has a row after so many steps, and one after each validation."""


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
        value = row.get("val_mean_iou", -row["train_loss"])
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


class AtomicCheckpoints(TorchCheckpointIO):
    """Checkpoints that are whole or absent, also when the run is killed while one is written; read as data alone."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: object = None) -> None:
        with whole_file(path) as beside, beside.open("wb") as file:
            torch.save(checkpoint, file)

    def load_checkpoint(
        self, path: str | Path, map_location: object = None, weights_only: bool | None = True
    ) -> dict[str, Any]:
        return read_checkpoint(Path(path))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read what ``AtomicCheckpoints`` wrote. Nothing in the file is executed.

    Raises WeightsError where it is damaged, or holds anything but a run's tensors, numbers and text.
    """
    try:
        content = load_as_data(path)
    except Exception as error:  # torch's words on pickles are advice to execute them
        raise _refusal(path, "it is damaged, or holds more than tensors, numbers and text (never executed)") from error
    if not isinstance(content, dict):
        raise _refusal(path, f"it holds a {type(content).__name__}")
    state, clock = content.get("state_dict"), _at(content, "callbacks", Clock.__qualname__)
    if not isinstance(state, dict) or not isinstance(content.get("loops"), dict):
        raise _refusal(path, "it holds no run's state (state_dict, loops)")
    if not _is_count(_at(clock, "trained")) or not isinstance(_at(clock, "step"), int):
        raise _refusal(path, "it does not say how far the run was")
    return content


def refuse_other_network(path: Path, checkpoint: Mapping[str, Any], module: torch.nn.Module) -> None:
    """Raises WeightsError where ``checkpoint``, read from ``path``, is not of a network like that of ``module``."""
    expected, found = module.state_dict(), checkpoint["state_dict"]
    for name in sorted({*expected, *map(str, found)}):
        ours, theirs = expected.get(name), found.get(name)
        if not isinstance(ours, torch.Tensor):
            fits = (name in expected) == (name in found)
        else:
            fits = isinstance(theirs, torch.Tensor) and theirs.shape == ours.shape and theirs.layout == torch.strided
        if not fits:
            shape = "nothing" if ours is None else f"a tensor {tuple(getattr(ours, 'shape', ()))}"
            held = tuple(theirs.shape) if isinstance(theirs, torch.Tensor) else type(theirs).__name__
            raise _refusal(path, f"at {name[:80]!r} it holds {held}, where the configured network has {shape}")


def _refusal(path: Path, reason: str) -> WeightsError:
    run = path.parent.parent
    return WeightsError(
        f"{path} is no checkpoint that this run can go on from: {reason}. Begin anew in another folder with --out; "
        f"--init {run} starts from the best network that was kept."
    )


def _at(tree: object, *keys: str) -> object:
    for key in keys:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


def _is_count(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and value >= 0
