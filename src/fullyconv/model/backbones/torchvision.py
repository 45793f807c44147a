"""torchvision's whole segmentation networks, fcn_resnet50 and fcn_resnet101, up to the layer that scores.

A dilated ResNet (stride 8), then a 3×3 convolution over a quarter of the channels. They were trained with scores
stretched over the image by half-pixel interpolation, wherever the network's cells look; they are read out so, too.
"""

from collections import OrderedDict

from torch import Tensor, nn

from fullyconv.errors import WeightsError
from fullyconv.model.backbones.backbone import Backbone

NETWORKS = ("fcn_resnet50", "fcn_resnet101")
CHANNELS = 512


class Trunk(nn.Module):
    """Image (N, in_channels, H, W) → one tap of stride 8, (N, 512, h, w)."""

    def __init__(self, name: str, in_channels: int, dropout: float | None):
        from torchvision.models import segmentation

        super().__init__()
        whole = getattr(segmentation, name)(weights=None, weights_backbone=None)
        self.backbone = whole.backbone
        if in_channels != 3:
            self.backbone.conv1 = nn.Conv2d(in_channels, 64, 7, 2, padding=3, bias=False)
        convolution, norm, relu, drop, _ = whole.classifier
        if dropout is not None:
            drop.p = dropout
        self.head = nn.Sequential(OrderedDict(conv=convolution, norm=norm, relu=relu, dropout=drop))

    def forward(self, x: Tensor) -> list[Tensor]:
        return [self.head(self.backbone(x)["out"])]


def torchvision_backbone(name: str, in_channels: int, dropout: float | None, pretrained: bool) -> Backbone:
    """The trunk of the network of this name. Raises WeightsError where ImageNet weights are asked for."""
    if pretrained:
        raise WeightsError(
            f"{name} comes with all its weights, scores too: fullyconv convert torchvision --model {name} --out RUN; "
            "then use RUN, or train on from it with --init RUN."
        )
    body = Trunk(name, in_channels, dropout)
    return Backbone(name, body, [8], [CHANNELS], in_channels, alignment="half-pixel", drops=True)
