"""Trunks: networks that turn an image into feature maps, the taps that an FCN scores."""

from fullyconv.errors import ConfigError
from fullyconv.model.backbones import release, smallvgg, torchvision
from fullyconv.model.backbones.backbone import Alignment, Backbone, Padding

__all__ = ["Alignment", "Backbone", "Padding", "backbone"]


def backbone(
    name: str,
    finest: int,
    in_channels: int = 3,
    pretrained: bool = False,
    padding: Padding | None = None,
    dropout: float | None = None,
) -> Backbone:
    """The trunk of this name, tapped from stride ``finest`` on.

    ``padding`` and ``dropout`` are the paper's trunks' (None: the paper's own). Raises ConfigError, WeightsError and
    GeometryError.
    """
    if name in release.NAMES:
        return release.paper_backbone(name, finest, in_channels, padding or "paper", dropout, pretrained)
    if padding is not None:
        raise ConfigError(
            f"padding {padding!r} is for the paper's networks ({', '.join(release.NAMES)}), not for {name}."
        )
    if name in torchvision.NETWORKS:
        return torchvision.torchvision_backbone(name, in_channels, dropout, pretrained)
    if name == smallvgg.NAME:
        return smallvgg.smallvgg_backbone(finest, in_channels, pretrained)
    from fullyconv.model.backbones.timm import timm_backbone  # loads timm, which the others do without

    return timm_backbone(name, finest, in_channels, pretrained)
