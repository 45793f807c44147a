"""The network under training: loss, optimizer, averaged weights, validation. Lightning does the rest."""

from collections.abc import Sequence
from typing import Any, cast

import lightning
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from fullyconv import readout
from fullyconv.errors import DataError
from fullyconv.evaluation.metrics import ConfusionMatrix, metrics
from fullyconv.fcn import FCN
from fullyconv.training.config import Config

REMEDY = (
    "The last checkpoint was kept; lower optimizer.lr, or look at these images. --resume goes on from there "
    "with the same settings; for others, start anew with --init RUN."
)


class Module(lightning.LightningModule):
    """Trains ``net`` on batches (images (N, C, h, w), masks (N, h, w), indices (N,)).

    ``class_weights``: (classes,) or None. ``names``: the training images', to name those whose loss is not finite.
    """

    def __init__(self, net: FCN, config: Config, class_weights: Tensor | None, names: Sequence[str]):
        super().__init__()
        self.net, self.config, self.names = net, config, names
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.average = None
        if config.training.freeze == "backbone":
            net.backbone.requires_grad_(False)
        if config.training.ema:
            self.average = AveragedModel(net, multi_avg_fn=_ema(config.training.ema), use_buffers=True)
            self.average.requires_grad_(False)
        self.confusion = ConfusionMatrix(net.num_classes)

    @property
    def result(self) -> FCN:
        """The network that is validated and kept: the averaged one, where there is one."""
        return cast(FCN, self.average.module) if self.average is not None else self.net

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Dropout, too, depends on the seed and the step alone."""
        torch.manual_seed(self.config.training.seed + 1_000_003 * (self.global_step + 1) + self.global_rank)
        if self.config.training.freeze == "backbone":
            self.net.backbone.eval()

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> Tensor:
        images, masks, indices = batch
        weight = self.class_weights
        smoothing = self.config.training.label_smoothing
        total = self.net.loss(images, masks, weight=weight, label_smoothing=smoothing, reduction="sum")
        mass = readout.mass(masks, weight).to(total.dtype)
        total_of_all, mass_of_all = self._over_processes(total.detach(), mass)
        if not torch.isfinite(total_of_all):
            self._refuse(total, indices)
        if self.config.training.loss == "sum":
            mass_of_all = torch.ones_like(mass_of_all)
        mass_of_all = mass_of_all.clamp(min=torch.finfo(total.dtype).tiny)
        self.log("train_loss", total_of_all / mass_of_all, batch_size=1)
        return total * self.trainer.world_size / mass_of_all  # gradients are averaged over the processes

    def _over_processes(self, *values: Tensor) -> Sequence[Tensor]:
        if self.trainer.world_size == 1:
            return values
        return self.all_gather(torch.stack(values)).sum(0).unbind()

    def _refuse(self, total: Tensor, indices: Tensor) -> None:
        if torch.isfinite(total):
            found = "not finite, on images of another process"
        else:
            names = ", ".join(self.names[index] for index in indices.tolist())
            found = f"{total.item()} at step {self.global_step + 1}, on {names}"
        raise DataError(f"The loss became {found}. Expected a finite number. {REMEDY}")

    def refuse_weights_that_are_not_finite(self) -> None:
        """Before they would take the place of the last good checkpoint. Raises DataError."""
        for name, parameter in self.net.named_parameters():
            if not torch.isfinite(parameter).all():
                raise DataError(f"Weights of {name} are not finite after step {self.global_step}. {REMEDY}")

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.average is not None:
            self.average.update_parameters(self.net)

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None:
        images, masks, _ = batch
        self.confusion.update(self.result.predict(images), masks)

    def on_validation_epoch_end(self) -> None:
        result = metrics(self.confusion.compute().cpu(), self.net.classes)
        self.confusion.reset()
        for name in ("mean_iou", "pixel_accuracy"):
            self.log(f"val_{name}", result[name] or 0.0, rank_zero_only=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Weight decay holds for the kernels of convolutions and linear layers alone."""
        options = self.config.optimizer
        trained = [p for p in self.net.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in trained if p.dim() > 1], "weight_decay": options.weight_decay},
            {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0},
        ]
        if options.name == "sgd":
            return torch.optim.SGD(groups, lr=options.lr, momentum=options.momentum)
        return torch.optim.AdamW(groups, lr=options.lr, foreach=True)


def _ema(decay: float) -> Any:
    """Exponential averaging whose memory is short at the start: decay min(decay, (1 + n) / (10 + n)) at update n."""

    def update(averaged: Sequence[Tensor], current: Sequence[Tensor], count: Tensor) -> None:
        n = int(count)
        get_ema_multi_avg_fn(min(decay, (1 + n) / (10 + n)))(averaged, current, count)

    return update
