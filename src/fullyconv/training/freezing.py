"""Layers of the backbone that are not trained: all of them, or those up to the tap of a stride."""

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from fullyconv.errors import ConfigError
from fullyconv.model.fcn import FCN
from fullyconv.sharing import in_evaluation_mode


def freeze_layers(net: FCN, freeze: str | int) -> list[nn.Module]:
    """Take the gradients from layers of ``net``'s backbone, and return the batch norms among them.

    ``freeze`` is none, backbone (all its layers), or a stride: the layers that its tap of that stride depends on. The
    norms have to stay in evaluation mode: a frozen layer's statistics do not change either. Raises ConfigError for a
    stride at which the backbone has no tap.
    """
    if freeze == "none":
        return []
    backbone = net.backbone
    frozen = list(backbone.parameters()) if freeze == "backbone" else _parameters_up_to(net, int(freeze))
    for parameter in frozen:
        parameter.requires_grad_(False)
    return [
        module
        for module in backbone.modules()
        if isinstance(module, _NormBase) and not any(p.requires_grad for p in module.parameters())
    ]


def _parameters_up_to(net: FCN, stride: int) -> list[nn.Parameter]:
    """Return the parameters that the tap of ``stride`` depends on, in whatever order the layers are computed."""
    backbone = net.backbone
    if stride not in backbone.strides:
        found = ", ".join(map(str, backbone.strides))
        raise ConfigError(
            f"training.freeze is {stride}; the taps of {net.name} have the strides {found}: give one of them, backbone "
            "for all layers before the scores, or none."
        )
    parameters = [p for p in backbone.parameters() if p.requires_grad]
    image = torch.zeros(1, net.in_channels, backbone.minimum, backbone.minimum, device=net.device)
    tap = in_evaluation_mode(backbone)(image)[backbone.strides.index(stride)]
    gradients = torch.autograd.grad(tap.sum(), parameters, allow_unused=True)
    return [p for p, gradient in zip(parameters, gradients, strict=True) if gradient is not None]
