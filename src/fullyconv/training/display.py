"""How far a run is, shown on a terminal or in a notebook."""

import math
import time
from collections.abc import Callable

import lightning

from fullyconv.live import Line, open_line
from fullyconv.training.clock import Clock


class Display(lightning.Callback):
    """A line with a bar, loss, mean IoU, images/s and time left; where none can be seen, a line per validation."""

    def __init__(self, clock: Clock, images_a_step: int, say: Callable[[str], None]):
        self.clock, self.images_a_step, self.say = clock, images_a_step, say
        self.line: Line | None = None
        self.mean_iou = float("nan")
        self.speed = 0.0
        self.shown = (0, 0.0)
        self.last = ""

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self.shown = (trainer.global_step, time.monotonic())
        if trainer.is_global_zero:
            self.line = open_line()

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
        self.mean_iou = _measured(trainer, "val_mean_iou") if self.clock.validates else float("nan")
        self.shown = (trainer.global_step, time.monotonic())
        loss = _measured(trainer, "train_loss")
        self.last = (
            f"step {trainer.global_step}  {self.clock.elapsed() / 60:.1f} min  loss {loss:.3f}  "
            f"{'' if math.isnan(self.mean_iou) else f'val mean IoU {self.mean_iou:.3f}  '}{self.speed:.1f} images/s"
        )
        if self.line is not None:
            self._show(trainer, "train")
        elif trainer.is_global_zero:
            self.say(self.last)

    def _show(self, trainer: lightning.Trainer, phase: str) -> None:
        if self.line is not None:
            measured = {"loss": _measured(trainer, "train_loss"), "mean IoU": self.mean_iou}
            known = [f"{name} {value:.3f}" for name, value in measured.items() if not math.isnan(value)]
            text = "  ".join([phase, *known, f"{self.speed:.1f} images/s"])
            self.line.show(self.clock.progress(trainer.global_step), text)

    def teardown(self, trainer: lightning.Trainer, module: lightning.LightningModule, stage: str) -> None:
        self._close()

    def on_exception(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, exception: BaseException
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self.line is not None:
            self.line.close(self.last)
            self.line = None


def _measured(trainer: lightning.Trainer, name: str) -> float:
    """Return what the module has logged under a name last; NaN if nothing yet."""
    return float(trainer.callback_metrics.get(name, math.nan))
