"""What happens around the steps: the schedule, checkpoints and metrics, the progress display."""

import csv
import io
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import lightning
import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from fullyconv.files import whole_file, write_whole
from fullyconv.training.config import Config, Optimizer
from fullyconv.training.module import RATE, Module
from fullyconv.weights import run_folder
from fullyconv.weights.run_files import CURVES, LAST

STEPS_A_ROW = 50
"""metrics.csv has a row after so many steps, and one after each validation."""


class Clock(lightning.Callback):
    """How far the run is, from 0 to 1: by steps, or by the minutes trained; it ends the run, and sets the rates."""

    def __init__(self, config: Config, steps: int):
        self.optimizer, self.steps = config.optimizer, steps
        self.seconds = 60 * config.training.max_minutes if config.training.max_minutes else None
        self.step = 0
        self.trained = 0.0
        self.started: float | None = None

    def progress(self, step: int) -> float:
        """The fraction of the run that is over when ``step`` begins."""
        if self.seconds is None:
            return step / self.steps
        return min(1.0, self.elapsed() / self.seconds)

    def is_over(self, checkpoint: Path) -> bool:
        """Whether the run that wrote this checkpoint had reached its end."""
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)["callbacks"][self.state_key]
        self.load_state_dict(state)
        return self.progress(self.step) >= 1

    def elapsed(self) -> float:
        """Seconds trained, those before a resume included."""
        return self.trained + (time.monotonic() - self.started if self.started is not None else 0.0)

    def on_train_start(self, trainer: lightning.Trainer, module: Any) -> None:
        self.started = time.monotonic()

    def on_train_batch_start(self, trainer: lightning.Trainer, module: Any, batch: Any, batch_idx: int) -> None:
        progress = trainer.strategy.broadcast(self.progress(trainer.global_step))
        rate = self.optimizer.lr * rate_factor(self.optimizer, progress)
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = rate * group[RATE]

    def on_train_batch_end(self, trainer: lightning.Trainer, *args: Any) -> None:
        if trainer.global_step == self.step:  # gradients were accumulated, no step made
            return
        self.step = trainer.global_step
        if self.seconds is not None and trainer.strategy.broadcast(self.progress(self.step)) >= 1:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {"trained": self.elapsed(), "step": self.step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.trained, self.step = state_dict["trained"], state_dict["step"]


def rate_factor(options: Optimizer, progress: float) -> float:
    """The learning rate at ``progress`` (0..1), as a fraction of its peak."""
    warm = min(1.0, (progress + 1e-3) / options.warmup) if options.warmup else 1.0
    if options.schedule == "poly":
        return warm * (1 - progress) ** options.power
    if options.schedule == "cosine":
        return warm * 0.5 * (1 + float(torch.cos(torch.tensor(torch.pi * progress))))
    return warm


class Keeper(lightning.Callback):
    """After each validation: metrics.csv, the network to keep, and the checkpoint to resume from, in this order.

    A run killed between two of them repeats the steps since the last checkpoint and writes the same again.
    """

    def __init__(self, run: Path, clock: Clock, keep: Literal["best", "last"]):
        self.run, self.clock, self.keep = run, clock, keep
        self.best: float | None = None
        self.rows: list[dict[str, float]] = []
        self.losses: list[float] = []

    def on_train_batch_end(self, trainer: lightning.Trainer, *args: Any) -> None:
        self.losses.append(float(trainer.callback_metrics["train_loss"]))
        if trainer.global_step % STEPS_A_ROW == 0 and len(self.losses) >= trainer.accumulate_grad_batches:
            self._add_row(trainer)

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: Module) -> None:
        if self.losses:
            self._add_row(trainer)
        row = self.rows[-1]
        row |= {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val_")}
        value = row.get("val_mean_iou", -row["train_loss"])
        improved = self.keep == "last" or self.best is None or value > self.best
        if improved:
            self.best = value
        module.refuse_weights_that_are_not_finite()
        if trainer.is_global_zero:
            write_whole(self.run / CURVES, _as_csv(self.rows))
            if improved:
                run_folder.save(module.result, self.run)
        trainer.save_checkpoint(self.run / LAST)

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


class WholeCheckpoints(TorchCheckpointIO):
    """Checkpoints that are whole or absent, also when the run is killed while one is written."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        with whole_file(path) as beside, beside.open("wb") as file:
            torch.save(checkpoint, file)


class Display(lightning.Callback):
    """A progress bar with loss, mean IoU, images/s and time left; without a terminal, a line per validation."""

    def __init__(self, clock: Clock, images_a_step: int, say: Callable[[str], None]):
        self.clock, self.images_a_step, self.say = clock, images_a_step, say
        self.console = Console(stderr=True)
        self.bar: Progress | None = None
        self.mean_iou = float("nan")
        self.speed = 0.0
        self.shown = (0, 0.0)

    def on_train_start(self, trainer: lightning.Trainer, module: Any) -> None:
        self.shown = (trainer.global_step, time.monotonic())
        if not (trainer.is_global_zero and self.console.is_terminal):
            return
        columns = (
            "{task.fields[phase]}  loss {task.fields[loss]:.3f}  mean IoU {task.fields[iou]:.3f}  "
            "{task.fields[speed]:.1f} images/s"
        )
        self.bar = Progress(
            BarColumn(), TextColumn(columns), TimeRemainingColumn(), console=self.console, transient=True
        )
        self.task = self.bar.add_task("train", total=1.0, phase="train", loss=0.0, iou=self.mean_iou, speed=0.0)
        self.bar.start()

    def on_train_batch_end(self, trainer: lightning.Trainer, *args: Any) -> None:
        step, since = self.shown
        seconds = time.monotonic() - since
        if seconds < 0.5:
            return
        self.speed = (trainer.global_step - step) * self.images_a_step / seconds
        self.shown = (trainer.global_step, time.monotonic())
        self._show(trainer, "train")

    def on_validation_start(self, trainer: lightning.Trainer, module: Any) -> None:
        self._show(trainer, "check")

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: Any) -> None:
        measured = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.mean_iou = measured.get("val_mean_iou", float("nan"))
        self.shown = (trainer.global_step, time.monotonic())
        if self.bar is not None:
            self._show(trainer, "train")
        elif trainer.is_global_zero:
            self.say(
                f"step {trainer.global_step}  {self.clock.elapsed() / 60:.1f} min  loss {measured['train_loss']:.3f}  "
                f"{'' if math.isnan(self.mean_iou) else f'val mean IoU {self.mean_iou:.3f}  '}{self.speed:.1f} images/s"
            )

    def _show(self, trainer: lightning.Trainer, phase: str) -> None:
        if self.bar is not None:
            loss = float(trainer.callback_metrics.get("train_loss", torch.tensor(0.0)))
            done = self.clock.progress(trainer.global_step)
            self.bar.update(self.task, completed=done, phase=phase, loss=loss, iou=self.mean_iou, speed=self.speed)

    def teardown(self, trainer: lightning.Trainer, module: Any, stage: str) -> None:
        self._close()

    def on_exception(self, trainer: lightning.Trainer, module: Any, exception: BaseException) -> None:
        self._close()

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
