"""How far a run is, shown on the terminal."""

import math
import time
from collections.abc import Callable

import lightning
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from fullyconv.training.clock import Clock


class Display(lightning.Callback):
    """A progress bar with loss, mean IoU, images/s and time left; without a terminal, a line per validation."""

    def __init__(self, clock: Clock, images_a_step: int, say: Callable[[str], None]):
        self.clock, self.images_a_step, self.say = clock, images_a_step, say
        self.console = Console(stderr=True)
        self.bar: Progress | None = None
        self.mean_iou = float("nan")
        self.speed = 0.0
        self.shown = (0, 0.0)

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
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

    def on_train_batch_end(self, trainer: lightning.Trainer, *args: object) -> None:
        step, since = self.shown
        seconds = time.monotonic() - since
        if seconds < 0.5:
            return
        self.speed = (trainer.global_step - step) * self.images_a_step / seconds
        self.shown = (trainer.global_step, time.monotonic())
        self._show(trainer, "train")

    def on_validation_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self._show(trainer, "check")

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        measured = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.mean_iou = measured.get("val_mean_iou", float("nan")) if self.clock.validates else float("nan")
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

    def teardown(self, trainer: lightning.Trainer, module: lightning.LightningModule, stage: str) -> None:
        self._close()

    def on_exception(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, exception: BaseException
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
