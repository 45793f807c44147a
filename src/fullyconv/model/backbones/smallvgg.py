"""A VGG in miniature: 3×3 convolutions and 2×2 pools, small enough to be trained in minutes on a CPU."""

import torch.nn.functional as F
from torch import Tensor, nn

from fullyconv.errors import ConfigError, WeightsError
from fullyconv.model.backbones.backbone import COARSEST, Backbone

NAME = "smallvgg"
CHANNELS = {4: 24, 8: 48, 16: 96, 32: 224}


class SmallVGG(nn.Module):
    """With ``num_classes`` a classifier, (N, C, H, W) → (N, num_classes); without, the taps of ``strides``."""

    def __init__(self, num_classes: int | None = None, in_channels: int = 3, strides: tuple[int, ...] = ()):
        super().__init__()
        self.strides = strides
        self.block4 = nn.Sequential(_layer(in_channels, 24, kernel=5, stride=2), nn.MaxPool2d(2))
        self.block8 = nn.Sequential(_layer(24, 48), _layer(48, 48), nn.MaxPool2d(2))
        self.block16 = nn.Sequential(_layer(48, 96), _layer(96, 96), nn.MaxPool2d(2))
        self.block32 = nn.Sequential(
            _layer(96, 160), _layer(160, 160), nn.MaxPool2d(2), _layer(160, 224), _layer(224, 224)
        )
        self.score = None if num_classes is None else nn.Linear(224, num_classes)

    def forward(self, images: Tensor) -> Tensor | list[Tensor]:
        at4 = self.block4(images)
        at8 = self.block8(at4)
        at16 = self.block16(at8)
        at32 = self.block32(at16)
        if self.score is not None:
            return self.score(F.adaptive_avg_pool2d(at32, 1).flatten(1))
        taps = {4: at4, 8: at8, 16: at16, 32: at32}
        return [taps[stride] for stride in self.strides]


def _layer(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Module:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def smallvgg_backbone(finest: int, in_channels: int = 3, pretrained: bool = False) -> Backbone:
    """The taps from stride ``finest`` to 32. Raises ConfigError, or WeightsError where weights are asked for."""
    if pretrained:
        raise WeightsError(f"{NAME} has no published weights. Train it from scratch: --no-pretrained.")
    strides = tuple(stride for stride in CHANNELS if finest <= stride <= COARSEST)
    if finest not in strides:
        raise ConfigError(f"{NAME} has no feature map of stride {finest}: its strides are 4, 8, 16, 32.")
    body = SmallVGG(in_channels=in_channels, strides=strides)
    return Backbone(NAME, body, strides, [CHANNELS[stride] for stride in strides], in_channels)
