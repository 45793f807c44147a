"""Small networks of each family, with scores that say something, in double precision: equal means equal."""

from typing import Any

import pytest
import torch
from torch import nn

import fullyconv as fc
from fullyconv.model.backbones import paper

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "paper": ("fcn8s-vgg16", {}),
    "paper, same padding": ("fcn8s-vgg16", {"padding": "same", "upsample": "bicubic"}),
    "AlexNet": ("fcn32s-alexnet", {}),
    "ResNet, heads": ("fcn8s-resnet10t", {"heads": {"matter": 2, "form": 2}}),
    "MobileNetV2": ("fcn8s-mobilenetv2_035", {"upsample": "transposed"}),
    "ConvNeXt, features": ("fcn4s-test_convnext", {"width": 8}),
    "TensorFlow's padding": ("fcn16s-tf_mobilenetv3_small_minimal_100", {}),
}


def small(name, **options):
    """With four classes; paper networks are thin."""
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paper.VGG16, "widths", (4, 4, 6, 8, 8))
        patch.setattr(paper.VGG16, "hidden", 12)
        patch.setattr(paper.AlexNet, "widths", (6, 8, 8, 8, 8))
        patch.setattr(paper.AlexNet, "hidden", 12)
        net = fc.create(name, 4, **options)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    for parameter in net.score.parameters():
        nn.init.normal_(parameter)
    return net.double().eval()


def noise(net, height, width, batch=1, seed=0):
    torch.manual_seed(seed)
    return torch.rand(batch, net.in_channels, height, width, dtype=torch.float64) * 255


WIDTHS_AND_REMAINDERS = ((20, 5), (33, 31))
"""Widths of images, and the remainders of their heights by 32, the coarsest stride: a network is followed anew for each
such pair, which takes longer than labelling an image of that kind."""
