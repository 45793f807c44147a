"""Convert torchvision's weights: vgg16 as the paper's trunk, and the whole of fcn_resnet50 and fcn_resnet101."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torchvision.models import VGG16_Weights
from torchvision.models.segmentation import FCN_ResNet50_Weights, FCN_ResNet101_Weights

from fullyconv.classes import VOC_CLASSES, numbered
from fullyconv.errors import ConfigError, WeightsError
from fullyconv.model import fcn
from fullyconv.model.backbones import Padding, imagenet
from fullyconv.model.backbones.release import trunk_of
from fullyconv.palettes import voc_palette

WHOLE = {
    "fcn_resnet50": FCN_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1,
    "fcn_resnet101": FCN_ResNet101_Weights.COCO_WITH_VOC_LABELS_V1,
}
CATEGORIES: list[str] = WHOLE["fcn_resnet50"].meta["categories"]
OTHERS = {
    "alexnet": "it has no groups and no LRN",
    "googlenet": "it has batch normalization, and 3×3 convolutions where the paper has 5×5",
}
"""Networks that have a name of the paper's but differ from it, and how."""
VGG_NAMES = ("fcn32s-vgg16", "fcn16s-vgg16", "fcn8s-vgg16", "fcn8s-atonce-vgg16")

_AUXILIARY = "aux_classifier."
_RENAMED = {
    "backbone.": "backbone.body.backbone.",
    "classifier.0.": "backbone.body.head.conv.",
    "classifier.1.": "backbone.body.head.norm.",
    "classifier.4.": "score.8.",
}


def looks_like(tensors: Mapping[str, Tensor]) -> bool:
    """Whether a state dict has the names of torchvision's VGG, AlexNet, GoogLeNet or segmentation networks."""
    return any(name in tensors for name in ("features.0.weight", "conv1.conv.weight", "backbone.conv1.weight"))


def fetch(name: str) -> dict[str, Tensor]:
    """Download torchvision's state dict for the network ``name``. Raises WeightsError."""
    _refuse_others(name)
    if name not in (*WHOLE, *VGG_NAMES):
        raise WeightsError(
            f"--model {name}: torchvision has weights for {', '.join((*VGG_NAMES, *WHOLE))}; expected one of these."
        )
    return imagenet.fetch(WHOLE.get(name, VGG16_Weights.IMAGENET1K_V1), name)


def convert(
    tensors: Mapping[str, Tensor],
    name: str,
    source: str = "torchvision",
    *,
    padding: Padding | None = None,
    classes: int | None = None,
) -> fcn.FCN:
    """Return the network ``name`` with the weights of torchvision's state dict ``tensors``, in evaluation mode.

    vgg16 gives the trunk and its images' mean and deviation; the scores, of ``classes`` (None: PASCAL VOC's 21), start
    at zero. fcn_resnet50 and fcn_resnet101 are converted whole, without the auxiliary head, which only training uses.
    Raises ConfigError for options, WeightsError naming the first layer that differs and both shapes.
    """
    if "features.0.weight" not in tensors:
        _refuse_others("googlenet" if "conv1.conv.weight" in tensors else name)
    elif tuple(tensors["features.0.weight"].shape[2:]) == (11, 11):
        _refuse_others("alexnet")
    _refuse_others(name)
    if name in WHOLE:
        return _whole(tensors, name, source, padding, classes)
    if name not in VGG_NAMES:
        raise ConfigError(f"--model {name}: torchvision's weights fit {', '.join((*VGG_NAMES, *WHOLE))}.")
    trunk = imagenet.vgg16_trunk(tensors, source)
    count = classes or len(VOC_CLASSES)
    net = _build(name, list(VOC_CLASSES) if count == len(VOC_CLASSES) else None, count, padding)
    fitted = {f"backbone.body.{layer}": tensor for layer, tensor in trunk.items()}
    fitted |= {
        own: torch.tensor(values).view(1, -1, 1, 1) * 255
        for own, values in (("mean", imagenet.MEAN), ("std", imagenet.STD))
    }
    net.load_state_dict(fitted, strict=False)  # they include neither scores nor the scales of at-once networks
    return net.eval()


def _whole(
    tensors: Mapping[str, Tensor], name: str, source: str, padding: Padding | None, classes: int | None
) -> fcn.FCN:
    scores = tensors.get("classifier.4.bias")
    if scores is None:
        raise WeightsError(f"{source}: classifier.4.bias is missing; torchvision's {name} has it, of shape (classes,).")
    count = len(scores)
    if classes not in (None, count):
        raise ConfigError(f"--classes {classes}: {source} holds scores of {count} classes; leave the option out.")
    net = _build(name, CATEGORIES if count == len(CATEGORIES) else None, count, padding)
    fitted = {}
    published = {_own(layer): layer for layer in tensors if not layer.startswith(_AUXILIARY)}
    for own_name, own in net.state_dict().items():
        if own_name in ("mean", "std"):
            continue
        layer = published.pop(own_name, None)
        if layer is None or tensors[layer].shape != own.shape:
            found = f"{layer} has shape {tuple(tensors[layer].shape)}" if layer else f"{own_name} is missing"
            raise WeightsError(f"{source}: {found}, {name} expects {tuple(own.shape)}.")
        fitted[own_name] = tensors[layer]
    if published:
        layer = next(iter(published.values()))
        raise WeightsError(f"{source}: {layer[:80]}, of shape {tuple(tensors[layer].shape)}, is no part of {name}.")
    net.load_state_dict(fitted, strict=False)  # mean and deviation stay ImageNet's, as in torchvision
    return net.eval()


def _own(layer: str) -> str:
    for theirs, ours in _RENAMED.items():
        if layer.startswith(theirs):
            return ours + layer.removeprefix(theirs)
    return layer


def _build(name: str, known: list[str] | None, count: int, padding: Padding | None) -> fcn.FCN:
    return fcn.build(name, known or numbered(count), voc_palette(count) if known else None, padding=padding)


def _refuse_others(name: str) -> None:
    other = trunk_of(name) or name
    if (reason := OTHERS.get(other)) is not None:
        raise WeightsError(
            f"torchvision's {other} is not the paper's network: {reason}. To use it as it is, convolutionalize it: "
            f'fc.convolutionalize(torchvision.models.{other}(weights="DEFAULT"), image_size=224).'
        )
