"""Trunks: networks that turn an image into feature maps, the taps that an FCN scores."""

from fullyconv.backbones import smallvgg
from fullyconv.backbones.backbone import Backbone
from fullyconv.backbones.timm import timm_backbone

__all__ = ["Backbone", "backbone"]


def backbone(name: str, finest: int, in_channels: int = 3, pretrained: bool = False) -> Backbone:
    """The backbone of this name, tapped from stride ``finest`` on. Raises ConfigError, WeightsError, GeometryError."""
    if name == smallvgg.NAME:
        return smallvgg.smallvgg_backbone(finest, in_channels, pretrained)
    return timm_backbone(name, finest, in_channels, pretrained)
