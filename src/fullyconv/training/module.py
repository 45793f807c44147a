"""The network under training: loss, optimizer, averaged weights, validation. Lightning does the rest."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import lightning
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from fullyconv.errors import ConfigError, DataError
from fullyconv.evaluation.metrics import ConfusionMatrix, joint_labels, metrics_of_heads
from fullyconv.hardware import fuses_adamw
from fullyconv.model.fcn import FCN
from fullyconv.training.config import Config

RATE = "rate"
"""The key of a parameter group's learning rate, as a multiple of the configured one."""
AVERAGES = {"adamw": {"step", "exp_avg", "exp_avg_sq"}, "sgd": {"momentum_buffer"}}
"""What each optimizer keeps of a weight."""
REMEDY = (
    "Lower optimizer.lr, or look at these images. The last checkpoint, if there was one yet, is kept: --resume goes on "
    "from there with the same settings; for others, start anew with --init RUN."
)


class Module(lightning.LightningModule):
    """Trains ``net`` on batches (images (N, C, h, w), masks (N, h, w) or (N, heads, h, w), indices (N,)).

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

    def on_train_batch_start(self, batch: object, batch_idx: int) -> None:
        """Dropout, too, depends on the seed and the batch's number alone."""
        accumulated = self.trainer.accumulate_grad_batches
        number = self.global_step * accumulated + batch_idx % accumulated
        torch.manual_seed(self.config.training.seed + 1_000_003 * (number + 1) + self.global_rank)
        if self.config.training.freeze == "backbone":
            for module in self.net.backbone.modules():
                module.train(not isinstance(module, _NormBase))  # dropout goes on, statistics do not

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> Tensor:
        images, masks, indices = batch
        weight = self.class_weights
        smoothing = self.config.training.label_smoothing
        total = summed_loss(self.net, images, masks, weight, smoothing)
        mass = self.net.mass(masks, weight=weight).to(total.dtype)
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

    def on_train_batch_end(self, outputs: object, batch: object, batch_idx: int) -> None:
        accumulated = self.config.optimizer.accumulate
        if self.average is not None and (batch_idx + 1) % accumulated == 0:
            self.average.update_parameters(self.net)

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None:
        images, masks, _ = batch
        heads = self.net.heads
        self.confusion.update(joint_labels(self.result.predict(images), heads), joint_labels(masks, heads))

    def on_validation_epoch_end(self) -> None:
        """The metrics without a suffix are the first head's, and choose the network that is kept."""
        first = metrics_of_heads(self.confusion.compute().cpu(), self.net.classes, self.net.heads)
        self.confusion.reset()
        others = list(first.get("heads", {}).items())[1:]
        for suffix, result in [("", first), *((f"_{head}", result) for head, result in others)]:
            self.log(f"val_mean_iou{suffix}", result["mean_iou"] or 0.0, rank_zero_only=True)
            self.log(f"val_pixel_accuracy{suffix}", result["pixel_accuracy"] or 0.0, rank_zero_only=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Weight decay holds for the kernels of convolutions and linear layers alone, ``bias_rate`` for their biases.

        Caffe's momentum has the rate within, V ← m V + lr g, W ← W − V; torch's V ← m V + g, W ← W − lr V. While
        the rate is fixed, as in the paper's recipes, the two are the same.
        """
        options = self.config.optimizer
        trained = [p for p in self.net.parameters() if p.requires_grad]
        biases = {id(m.bias) for m in self.net.modules() if isinstance(m, _ConvNd | nn.Linear) and m.bias is not None}
        groups = [
            {"params": [p for p in trained if p.dim() > 1], "weight_decay": options.weight_decay, RATE: 1.0},
            {"params": [p for p in trained if id(p) in biases], "weight_decay": 0.0, RATE: options.bias_rate},
            {"params": [p for p in trained if p.dim() <= 1 and id(p) not in biases], "weight_decay": 0.0, RATE: 1.0},
        ]
        optimizer: torch.optim.Optimizer
        if options.name == "sgd":
            optimizer = torch.optim.SGD(groups, lr=options.lr, momentum=options.momentum)
        else:  # fused=None: torch decides
            optimizer = torch.optim.AdamW(groups, lr=options.lr, fused=fuses_adamw(self.device) or None)
        optimizer.register_load_state_dict_pre_hook(_with_own_options)
        return optimizer

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradients' norm, whatever the precision.

        In half precision Lightning itself refuses to clip before a fused optimizer's step, because such an optimizer
        may undo a gradient scaler's scaling within the step. There is no scaler on a CPU, where ours is fused; on a
        GPU, where fp16 has one, ours is not fused, and the gradients that arrive here are unscaled.
        """
        if gradient_clip_val:
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, gradient_clip_val)


def _with_own_options(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint gives an optimizer its averages alone; the options are those that are configured, on this device."""
    return state | {"param_groups": optimizer.state_dict()["param_groups"]}


def summed_loss(
    net: FCN, images: Tensor, masks: Tensor, weight: Tensor | None = None, label_smoothing: float = 0.0
) -> Tensor:
    """Return the cross-entropy summed over the pixels. Raises ConfigError where batch norm has a single value."""
    try:
        return net.loss(images, masks, weight=weight, label_smoothing=label_smoothing, reduction="sum")
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):  # torch's batch norm has no error of its own
            raise
        raise ConfigError(
            f"Batch norm needs more than one value of each channel, and {len(images)} image of "
            f"{images.shape[2]}×{images.shape[3]} pixels (height × width) is a single cell of {net.name}. "
            "Raise data.batch_size (for each process), or the crop in data.resolutions."
        ) from error


Tensors = tuple[Tensor, ...] | list[Tensor]
Averaging = Callable[[Tensors, Tensors, Tensor | int], None]
"""Moves averaged tensors towards current ones, at the update of this number."""


def _ema(decay: float) -> Averaging:
    """Exponential averaging whose memory is short at the start: decay min(decay, (1 + n) / (10 + n)) at update n."""

    def update(averaged: Tensors, current: Tensors, count: Tensor | int) -> None:
        n = int(count)
        get_ema_multi_avg_fn(min(decay, (1 + n) / (10 + n)))(averaged, current, count)

    return update
