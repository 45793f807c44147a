"""VGG-16's ImageNet weights as torchvision publishes them, in the paper's trunk: its fully connected layers dense."""

import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from torchvision.models import VGG16_Weights, WeightsEnum

from fullyconv.errors import WeightsError
from fullyconv.model.backbones.backbone import IMAGENET_MEAN, IMAGENET_STD
from fullyconv.model.backbones.paper import VGG16

MEAN, STD = IMAGENET_MEAN, IMAGENET_STD
"""Of the images that torchvision trained on, red, green, blue in fractions of 255."""
CLASSIFIER = "classifier.6."
"""The layer that scores ImageNet's classes; the trunk ends before it."""


def load(trunk: VGG16) -> None:
    """Fetch the weights into ``trunk``. Raises WeightsError where they cannot be fetched."""
    tensors, first = vgg16_trunk(fetch_vgg16()), "conv1_1.weight"
    tensors[first] = for_channels(tensors[first], trunk.get_parameter(first).shape[1])
    trunk.load_state_dict(tensors, strict=False)  # at once's scales are not among them


def for_channels(colors: Tensor, channels: int) -> Tensor:
    """A first convolution's weights (out, 3, h, w) for images of so many channels (out, channels, h, w).

    The response to grey is kept by one or two; further ones than three start as the mean over the colours (early
    fusion: PAMI paper, section 5, NYUDv2).
    """
    mean = colors.mean(1, keepdim=True)
    if channels < 3:
        return mean.repeat(1, channels, 1, 1) * 3 / channels
    return torch.cat([colors, mean.repeat(1, channels - 3, 1, 1)], 1)


def fetch_vgg16() -> dict[str, Tensor]:
    """torchvision's state dict. Raises WeightsError."""
    return fetch(VGG16_Weights.IMAGENET1K_V1, "fcn8s-vgg16")


def fetch(weights: WeightsEnum, name: str) -> dict[str, Tensor]:
    """The state dict of one of torchvision's ``weights``, for the network ``name``; downloaded once, its hash checked.

    Raises WeightsError where it cannot be had, with the address and what to do.
    """
    try:
        return weights.get_state_dict(
            progress=sys.stderr.isatty(), check_hash=True, map_location="cpu", weights_only=True
        )
    except Exception as error:  # of the network, the hash and, in a damaged file, of almost any kind
        cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
        raise WeightsError(
            f"{weights.url} cannot be fetched, or the copy at {cached} is damaged ({error}). Remove that copy, if "
            f"there is one, and try again; or fetch the file elsewhere and name it: fullyconv convert FILE --model "
            f"{name} --out RUN, then train --init RUN. train --no-pretrained needs no weights."
        ) from error


def vgg16_trunk(tensors: Mapping[str, Tensor], source: str = "torchvision's vgg16") -> dict[str, Tensor]:
    """torchvision's vgg16 → the state dict of the paper's trunk, for images normalized by ``MEAN`` and ``STD``.

    The layer that scores is left out. Raises WeightsError naming the first tensor that differs, and both shapes.
    """
    with torch.device("meta"):
        trunk = VGG16().state_dict()
    found = [(name, tensor) for name, tensor in tensors.items() if not name.startswith(CLASSIFIER)]
    fitted = {}
    for position, (own_name, own) in enumerate(trunk.items()):
        expected, shape = _published(own_name), _flat(own) if own_name.startswith("fc") else tuple(own.shape)
        name, tensor = found[position] if position < len(found) else ("nothing", torch.empty(0))
        if (name, tuple(tensor.shape)) != (expected, shape):
            raise WeightsError(
                f"{source}: found {name[:80]} of shape {tuple(tensor.shape)} where torchvision's vgg16 has {expected} "
                f"of shape {shape}. Of torchvision's VGGs only vgg16 is the paper's network."
            )
        fitted[own_name] = tensor.reshape(own.shape).float()
    if len(found) > len(trunk):
        name, tensor = found[len(trunk)]
        raise WeightsError(f"{source}: {name[:80]}, of shape {tuple(tensor.shape)}, is no part of torchvision's vgg16.")
    return fitted


def _published(own_name: str) -> str:
    """The name that torchvision gives to a tensor of the trunk: it counts ReLUs and pools among the layers, too."""
    layer, kind = own_name.split(".")
    if layer.startswith("fc"):
        return f"classifier.{3 * (int(layer[2:]) - 6)}.{kind}"
    block, number = map(int, layer.removeprefix("conv").split("_"))
    before = sum(VGG16.depths[: block - 1]) + number - 1
    return f"features.{2 * before + block - 1}.{kind}"


def _flat(tensor: Tensor) -> tuple[int, ...]:
    """The shape of a fully connected layer, given that of its convolution."""
    return (tensor.shape[0], tensor[0].numel()) if tensor.dim() == 4 else tuple(tensor.shape)
