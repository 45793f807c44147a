"""The paper's trunks as backbones: their names, their taps, and what their images are normalized by."""

import re

from fullyconv.channels import Inputs
from fullyconv.errors import ConfigError, WeightsError
from fullyconv.model.backbones.backbone import Backbone, Padding

MEAN = (122.67892, 116.66877, 104.00699)
"""Of the release's images, red, green, blue in 0..255; nothing is divided by a deviation."""
MEAN_HHA = (132.431, 94.076, 118.477)
DEPTHS: dict[Inputs, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "rgb+depth": ((7.844,), (1.0,)),
    "rgb+hha": (MEAN_HHA, (1.0, 1.0, 1.0)),
}
"""Mean and deviation of the channels that follow the colours: NYUDv2's logarithm of depth, and HHA."""
AT_ONCE, LATE_FUSION = "atonce-vgg16", "latefusion-vgg16"
STRIDES = {
    "vgg16": (8, 16, 32),
    AT_ONCE: (8, 16, 32),
    LATE_FUSION: (32,),
    "alexnet": (32,),
    "googlenet": (32,),
}
"""Of the taps that each trunk has."""
NAMES = tuple(STRIDES)


def trunk_of(network: str) -> str | None:
    """Return which of ``NAMES`` the network of this name is built on; None: another backbone."""
    stride, _, trunk = network.partition("-")
    return trunk if trunk in STRIDES and re.fullmatch(r"fcn\d+s", stride) else None


def paper_backbone(
    name: str,
    finest: int,
    in_channels: int = 3,
    padding: Padding = "paper",
    dropout: float | None = None,
    pretrained: bool = False,
) -> Backbone:
    """One of ``NAMES``, tapped from stride ``finest`` to 32.

    ``dropout``: after fc6 and fc7; None: the paper's 0.5. ``pretrained``: VGG-16 with torchvision's ImageNet weights,
    which come with a mean and a deviation of their own. Raises ConfigError, WeightsError.
    """
    from fullyconv.model.backbones import imagenet
    from fullyconv.model.backbones.paper import VGG16, AlexNet, GoogLeNet, LateFusion

    strides = [stride for stride in STRIDES[name] if stride >= finest]
    if name == LATE_FUSION and in_channels != 6:
        raise ConfigError(f"{name} takes 6 channels, colour and HHA; found in_channels {in_channels}.")
    if finest != strides[0]:
        raise ConfigError(f"{name} has no tap of stride {finest}: the paper has fcn{strides[0]}s-{name}.")
    rate = 0.5 if dropout is None else dropout
    body: VGG16 | AlexNet | GoogLeNet | LateFusion
    match name:
        case "alexnet":
            body = AlexNet(in_channels, padding, dropout=rate)
        case "googlenet":
            body = GoogLeNet(in_channels, padding, dropout=rate)
        case _ if name == LATE_FUSION:
            body = LateFusion(padding, dropout=rate)
        case _:
            body = VGG16(in_channels, padding, strides, scaled=name == AT_ONCE, dropout=rate)
    mean = tuple(value / 255 for value in MEAN + (MEAN_HHA if name == LATE_FUSION else ()))
    std = (1 / 255,) * len(mean)
    if pretrained:
        if not isinstance(body, VGG16 | LateFusion):
            raise WeightsError(
                f"No ImageNet weights of the paper's {name} can be fetched: torchvision's network of that name is "
                f"another one. Convert the file that its authors published: fullyconv convert FILE.caffemodel --model "
                f"fcn32s-{name} --out RUN, then --init RUN. Or train from scratch: --no-pretrained."
            )
        for trunk in (body.color, body.hha) if isinstance(body, LateFusion) else (body,):
            imagenet.load(trunk)
        mean, std = imagenet.MEAN + mean[3:], imagenet.STD + std[3:]
    return Backbone(
        name,
        body,
        strides,
        body.channels,
        in_channels,
        mean,
        std,
        alignment="crop" if padding == "paper" else "cells",
        drops=True,
    )
