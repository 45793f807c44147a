"""The Lightning module that trains a network: loss, optimizer, averaged weights and validation."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import lightning
import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from fullyconv.errors import ConfigError, DataError
from fullyconv.evaluation.metrics import ConfusionMatrix, joint_labels, metrics_of_heads
from fullyconv.hardware import fuses_adamw
from fullyconv.model.fcn import FCN
from fullyconv.model.readout import boundary_weights
from fullyconv.training.config import Config
from fullyconv.training.freezing import freeze_layers
from fullyconv.training.settings.optimizer import Optimizer
from fullyconv.training.settings.training import objective_of

RATE = "rate"
"""The key of a parameter group's learning rate, as a multiple of the configured one."""
AVERAGES = {"adamw": {"step", "exp_avg", "exp_avg_sq"}, "sgd": {"momentum_buffer"}}
"""The state that each optimizer keeps for a weight."""
REMEDY = (
    "Lower optimizer.lr, or look at these images. The last checkpoint, if any, is kept: --resume continues from it "
    "with the same settings; for other settings, start a new run with --init RUN."
)


class Module(lightning.LightningModule):
    """Train ``net`` on batches of images (N, C, h, w), masks (N, h, w) or (N, heads, h, w), and image indices (N,).

    ``class_weights`` is (classes,) or None. ``names`` are those of the training images, for error messages.
    """

    def __init__(self, net: FCN, config: Config, class_weights: Tensor | None, names: Sequence[str]):
        super().__init__()
        self.net, self.config, self.names = net, config, names
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.average = None
        self.frozen_norms = freeze_layers(net, config.training.freeze)
        if config.training.ema:
            self.average = AveragedModel(net, multi_avg_fn=_ema(config.training.ema), use_buffers=True)
            self.average.requires_grad_(False)
        self.confusion = ConfusionMatrix(net.num_classes)

    @property
    def result(self) -> FCN:
        """The network to validate and save: the averaged one, if weights are averaged."""
        return cast(FCN, self.average.module) if self.average is not None else self.net

    def on_train_batch_start(self, batch: object, batch_idx: int) -> None:
        """Seed dropout from the seed and the number of the batch only, and keep the statistics of frozen batch norm."""
        accumulated = self.trainer.accumulate_grad_batches
        number = self.global_step * accumulated + batch_idx % accumulated
        torch.manual_seed(self.config.training.seed + 1_000_003 * (number + 1) + self.global_rank)
        for norm in self.frozen_norms:
            norm.eval()

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> Tensor:
        images, masks, indices = batch
        weight = self.class_weights
        pixel_weight = weights_of_pixels(masks, self.config)
        total = summed_loss(self.net, images, masks, self.config, weight, pixel_weight)
        mass = self.net.mass(masks, weight, pixel_weight).to(total.dtype)
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
            found = "not finite for images of another process"
        else:
            names = ", ".join(self.names[index] for index in indices.tolist())
            found = f"{total.item()} at step {self.global_step + 1} for {names}"
        raise DataError(f"The loss became {found}. Expected a finite number. {REMEDY}")

    def refuse_weights_that_are_not_finite(self) -> None:
        """Raise DataError if weights are not finite, so that they never replace the last good checkpoint."""
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
        """Log the metrics; those of the first head have no suffix, and select the network to keep."""
        first = metrics_of_heads(self.confusion.compute().cpu(), self.net.classes, self.net.heads)
        self.confusion.reset()
        others = list(first.get("heads", {}).items())[1:]
        for suffix, result in [("", first), *((f"_{head}", result) for head, result in others)]:
            self.log(f"val_mean_iou{suffix}", result["mean_iou"] or 0.0, rank_zero_only=True)
            self.log(f"val_pixel_accuracy{suffix}", result["pixel_accuracy"] or 0.0, rank_zero_only=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer.

        Caffe's momentum includes the learning rate, V ← m V + lr g, W ← W − V; torch's does not, V ← m V + g,
        W ← W − lr V. With a constant learning rate, as in the paper's recipes, both are equal.
        """
        options = self.config.optimizer
        groups = parameter_groups(self.net, options)
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
        """Clip the norm of the gradients in any precision.

        In half precision, Lightning refuses to clip with a fused optimizer, which may unscale gradients only within its
        step. Ours is fused only on a CPU, where there is no gradient scaler; on a GPU it is not fused, and the
        gradients are already unscaled here.
        """
        if gradient_clip_val:
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, gradient_clip_val)


def parameter_groups(net: FCN, options: Optimizer) -> list[dict[str, Any]]:
    """Return the trained parameters of ``net`` in groups of one weight decay and one rate.

    Kernels have weight decay; biases of convolutions and linear layers have ``bias_rate``; all of the backbone have
    ``backbone_rate``, too. The first group has the configured rate itself.
    """
    trained = [p for p in net.parameters() if p.requires_grad]
    biases = {id(m.bias) for m in net.modules() if isinstance(m, _ConvNd | nn.Linear) and m.bias is not None}
    kinds = (
        ([p for p in trained if p.dim() > 1], options.weight_decay, 1.0),
        ([p for p in trained if id(p) in biases], 0.0, options.bias_rate),
        ([p for p in trained if p.dim() <= 1 and id(p) not in biases], 0.0, 1.0),
    )
    backbone = {id(p) for p in net.backbone.parameters()} if options.backbone_rate != 1 else set()
    parts = [(False, 1.0), (True, options.backbone_rate)] if backbone else [(False, 1.0)]
    return [
        {"params": [p for p in kind if (id(p) in backbone) == within], "weight_decay": decay, RATE: rate * factor}
        for within, factor in parts
        for kind, decay, rate in kinds
    ]


def _with_own_options(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """Keep the configured options of an optimizer; take only the averages from a checkpoint."""
    return state | {"param_groups": optimizer.state_dict()["param_groups"]}


def weights_of_pixels(masks: Tensor, config: Config) -> Tensor | None:
    """Return the weight of each label of a batch, in the shape of ``masks``; None where all count alike."""
    weight = config.training.boundary_weight
    return boundary_weights(masks, weight, config.training.boundary_sigma) if weight else None


def summed_loss(
    net: FCN,
    images: Tensor,
    masks: Tensor,
    config: Config,
    weight: Tensor | None = None,
    pixel_weight: Tensor | None = None,
) -> Tensor:
    """Return the configured loss times the batch's ``mass``: cross-entropy summed over all pixels. A scalar.

    Raises ConfigError if the batch is so small that batch norm sees a single value per channel.
    """
    try:
        return net.loss(
            images,
            masks,
            objective=objective_of(config.training),
            weight=weight,
            pixel_weight=pixel_weight,
            label_smoothing=config.training.label_smoothing,
            reduction="sum",
        )
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):  # torch raises a plain ValueError for batch norm
            raise
        raise ConfigError(
            f"Batch norm needs more than one value per channel, but {len(images)} image of "
            f"{images.shape[2]}×{images.shape[3]} pixels (height × width) gives {net.name} a single cell. "
            "Increase data.batch_size (per process), or the crop in data.resolutions."
        ) from error


Tensors = tuple[Tensor, ...] | list[Tensor]
Averaging = Callable[[Tensors, Tensors, Tensor | int], None]
"""A function of averaged tensors, current tensors and the number of the update, which updates the averaged ones."""


def _ema(decay: float) -> Averaging:
    """Return an exponential average with warm-up: its decay is min(decay, (1 + n) / (10 + n)) at update n."""

    def update(averaged: Tensors, current: Tensors, count: Tensor | int) -> None:
        n = int(count)
        get_ema_multi_avg_fn(min(decay, (1 + n) / (10 + n)))(averaged, current, count)

    return update
