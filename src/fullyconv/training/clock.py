"""How far a run is: by steps or by minutes. The clock ends the run, sets the learning rates and keeps the minutes."""

from collections.abc import Mapping
from time import monotonic
from typing import Any

import lightning
import torch

from fullyconv.training.config import Config
from fullyconv.training.module import RATE
from fullyconv.training.settings.optimizer import Optimizer

TOLERANCE = 0.1
"""A step that would take the run over its minutes by more than this fraction is not begun."""
NEVER = 2**62


class Clock(lightning.Callback):
    """How far the run is, from 0 to 1: by steps, or by the minutes trained, validations included.

    Ends the run at its length, in the middle of a stretch between validations if need be; Lightning validates once
    more then. A validation that the minutes left cannot hold, judged by the one before, is left out: the time goes to
    training, and to the validation at the end. So a run is over its minutes by at most that validation and TOLERANCE.
    """

    def __init__(self, config: Config, steps: int):
        self.optimizer, self.steps = config.optimizer, steps
        self.seconds = 60 * config.training.max_minutes if config.training.max_minutes else None
        self.step = 0
        self.before = 0.0
        """Seconds trained before this process went on."""
        self.started: float | None = None
        self.step_seconds = 0.0
        """What the last step took."""
        self.step_began = 0.0
        self.validation_seconds = 0.0
        """What the last validation took; 0 before the first."""
        self.validation_began = 0.0
        self.validates = True
        """Whether the stretch that now ends is followed by a validation."""

    def progress(self, step: int) -> float:
        """Return the fraction of the run that is over when ``step`` begins."""
        if self.seconds is None:
            return step / self.steps
        return min(1.0, self.elapsed() / self.seconds)

    def elapsed(self) -> float:
        """Return the seconds trained, those before a resume included."""
        return self.before + (monotonic() - self.started if self.started is not None else 0.0)

    def is_over(self) -> bool:
        """Return whether the run has reached its length, or another step would take it too far over its minutes."""
        if self.seconds is None:
            return self.step >= self.steps
        elapsed = self.elapsed()
        return elapsed >= self.seconds or elapsed + self.step_seconds > (1 + TOLERANCE) * self.seconds

    def has_time_to_validate(self) -> bool:
        """Return whether a validation like the last one fits in the minutes left."""
        return self.seconds is None or self.elapsed() + self.validation_seconds <= self.seconds

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self.started = monotonic()

    def on_train_epoch_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self.step_began = monotonic()

    def on_train_batch_start(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, batch: object, batch_idx: int
    ) -> None:
        progress = trainer.strategy.broadcast(self.progress(trainer.global_step))
        rate = self.optimizer.lr * rate_factor(self.optimizer, progress)
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = rate * group[RATE]

    def on_train_batch_end(self, trainer: lightning.Trainer, *args: object) -> None:
        if trainer.global_step == self.step:  # gradients were accumulated, no step made
            return
        self.step = trainer.global_step
        self.step_seconds = monotonic() - self.step_began
        self.step_began = monotonic()
        over, has_time = trainer.strategy.broadcast((self.is_over(), self.has_time_to_validate()))
        self.validates = over or has_time
        trainer.check_val_every_n_epoch = 1 if self.validates else NEVER
        if over:
            trainer.should_stop = True

    def on_validation_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self.validation_began = monotonic()

    def on_validation_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self.validation_seconds = monotonic() - self.validation_began

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """A validation that took longer than expected may have been the last one."""
        if self.validates and trainer.strategy.broadcast(self.is_over()):
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {
            "trained": self.elapsed(),
            "step": self.step,
            "step_seconds": self.step_seconds,
            "validation_seconds": self.validation_seconds,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.before, self.step = state_dict["trained"], state_dict["step"]
        self.step_seconds = state_dict.get("step_seconds", 0.0)  # runs of earlier versions lack these two
        self.validation_seconds = state_dict.get("validation_seconds", 0.0)


def seconds_trained(checkpoint: Mapping[str, Any]) -> float:
    """Return how long the run that wrote ``checkpoint`` had trained, its validations included."""
    return checkpoint["callbacks"][Clock.__qualname__]["trained"]


def rate_factor(options: Optimizer, progress: float) -> float:
    """Return the learning rate at ``progress`` (0 to 1), as a fraction of its peak."""
    warm = min(1.0, (progress + 1e-3) / options.warmup) if options.warmup else 1.0
    if options.schedule == "poly":
        return warm * (1 - progress) ** options.power
    if options.schedule == "cosine":
        return warm * 0.5 * (1 + float(torch.cos(torch.tensor(torch.pi * progress))))
    return warm
