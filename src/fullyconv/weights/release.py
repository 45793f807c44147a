"""Convert weights whose layers have the names of the paper's release.

They are those of the release's FCNs, of the classifiers that these start from (of the VGG group and BVLC, whose fully
connected layers become convolutions, section 3.1), and of pytorch-fcn's networks, in the form of ``CaffeNet.layers``.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from fullyconv.errors import WeightsError
from fullyconv.model import fcn
from fullyconv.model.backbones import release as trunks
from fullyconv.model.fcn import FCN
from fullyconv.model.upsample import Method
from fullyconv.weights.caffe import Layers

HEADS = {"semantic": "_sem", "geometric": "_geo"}
"""SIFT Flow's two heads, and how the release marks their layers."""
STREAMS = ("color", "hha")
"""NYUDv2's late fusion: its streams, and how the release marks their layers."""
FIRST = ("conv1_1", "conv1_1_bgrd", "conv1_1color", "conv1", "conv1/7x7_s2")
_SCORES = {"32": "score_fr", "16": "score_pool4", "8": "score_pool3"}
_UPSAMPLING = {"16": "upscore2", "8": "upscore_pool4"}
_ODD_KERNELS = ("alexnet", "googlenet")
"""Trunks whose cells have their centres on pixels', so that they are upsampled with kernels of odd sides."""
_CLASSIFIER = re.compile(r"fc8.*|loss\d.*")
_DECONVOLUTION = re.compile(r"(upscore|upscore16|upscore8|upscore2|upscore_pool4)(_sem|_geo)?")


def score_counts(layers: Layers) -> dict[str, int]:
    """Return the number of classes of each head; most networks have one head, named "", and classifiers have none."""
    for names in ({"": ""}, HEADS, dict.fromkeys(STREAMS[:1], STREAMS[0])):
        heads = {head: f"score_fr{mark}" for head, mark in names.items() if layers.get(f"score_fr{mark}")}
        if heads:
            counts = {head: layers[name][0].shape[:1].numel() for head, name in heads.items()}
            return {"" if head in STREAMS else head: count for head, count in counts.items()}
    return {}


def input_channels(layers: Layers) -> int:
    """Return the number of the images' channels: 6 with two streams, else those of the first convolution."""
    if f"conv1_1{STREAMS[1]}" in layers:
        return 6
    first = next((layers[name][0] for name in FIRST if name in layers), None)
    return 3 if first is None or first.dim() != 4 else first.shape[1]


def refuse_alexnet_order(order: Sequence[str], name: str, source: str) -> None:
    """Raise WeightsError where layers run in the order of AlexNet's paper, which normalizes before it pools.

    FCN-AlexNet has CaffeNet's order, which pools first. Both have the same shapes, so that only the order tells them
    apart.
    """
    for norm, pool in (("norm1", "pool1"), ("norm2", "pool2")):
        if trunks.trunk_of(name) == "alexnet" and norm in order and pool in order[order.index(norm) :]:
            raise WeightsError(
                f"{source}: {norm} runs before {pool}, as in bvlc_alexnet; in {name}, as in CaffeNet, it runs after. "
                "The weights would fit, but give wrong scores: use bvlc_reference_caffenet.caffemodel."
            )


def upsampling(layers: Layers, name: str, source: str) -> Method:
    """Return "transposed" if a deconvolution between taps was learnt, else "bilinear".

    Raises WeightsError where the last deconvolution was learnt, which here is always bilinear.
    """
    learnt = [layer for layer, (weight, *_) in layers.items() if _is_upsampling(layer) and not _is_bilinear(weight)]
    for layer in learnt:
        if _DECONVOLUTION.fullmatch(layer)[1] not in _UPSAMPLING.values():  # type: ignore[index]
            raise WeightsError(
                f"{source}: {layer} is not bilinear interpolation. The last upsampling of {name} is always bilinear; "
                "a network that learnt another one cannot be converted."
            )
    if learnt and "score_fr" not in layers:
        raise WeightsError(
            f"{source}: {learnt[0]} was learnt; networks with several heads can only be converted with bilinear "
            "upsampling."
        )
    return "transposed" if learnt else "bilinear"


def skeleton(name: str, classes: int, in_channels: int) -> FCN:
    """Return the network ``name`` without memory for its weights, to be passed to ``fit``."""
    with torch.device("meta"):
        return fcn.build(name, [str(index) for index in range(classes)], in_channels=in_channels, upsample="transposed")


def fit(
    net: FCN,
    layers: Layers,
    source: str,
    *,
    heads: Mapping[str, int] | None = None,
    color: bool = True,
    missing: Collection[str] = (),
) -> dict[str, Tensor]:
    """Return ``layers`` as the state dict of ``net``; of a classifier, only the trunk's part.

    - ``net``: a ``skeleton`` with the classes of all ``heads``.
    - ``source``: where the layers were read, for messages.
    - ``color``: whether the layers take images in the order blue, green, red, so that the first convolution is reversed
      to red, green, blue; HHA keeps its order.
    - ``missing``: layers of the trunk that the source does not have; they are not in the result either.

    Raises WeightsError, naming the first layer that does not fit.
    """
    trained = bool(score_counts(layers))
    learnt = trained and upsampling(layers, net.name, source) == "transposed"
    used = {layer for layer in layers if _CLASSIFIER.fullmatch(layer) and not trained}
    fitted: dict[str, Tensor] = {}
    for own_name, own in net.state_dict().items():
        of_trunk = own_name.startswith("backbone.") and ".scale_" not in own_name
        if (
            own_name in ("mean", "std")
            or own_name.removeprefix("backbone.body.").partition(".")[0] in missing
            or not (trained or of_trunk)
            or (own_name.startswith("upsample.") and not learnt)
        ):
            continue
        blobs = []
        for part in _parts(net, own_name, own, heads):
            used.add(layer := _alias(part.layer, layers))
            blobs.append(_fitting(net, layers, layer, part, source))
        tensor = blobs[0] if len(blobs) == 1 else _join(own_name, blobs, bool(heads))
        if color and layer in FIRST and own.dim() == 4 and own.shape[1] >= 3:
            tensor = torch.cat([tensor[:, :3].flip(1), tensor[:, 3:]], 1)
        fitted[own_name] = tensor
    _refuse_unused(net, {name: blobs for name, blobs in layers.items() if name not in used}, source)
    return fitted


class _Part(NamedTuple):
    """The blob for one of our tensors, or for a part of it, and the shape that it must have."""

    layer: str
    blob: int
    shape: tuple[int, ...]


def _parts(net: FCN, own_name: str, own: Tensor, heads: Mapping[str, int] | None) -> list[_Part]:
    shape = tuple(own.shape)
    if own_name.startswith("backbone.body.scale_"):
        return [_Part(own_name.removeprefix("backbone.body."), 0, shape)]
    layer, kind = own_name.removeprefix("backbone.body.").rsplit(".", 1)
    blob = 1 if kind == "bias" else 0
    group, _, rest = layer.partition(".")
    if group == "upsample":
        return [_Part(_UPSAMPLING[rest], blob, shape)]
    if group == "score" and heads:
        return [_Part(_SCORES[rest] + HEADS[head], blob, (count, *shape[1:])) for head, count in heads.items()]
    if group == "score" and trunks.trunk_of(net.name) == trunks.LATE_FUSION:
        half = shape if blob else (shape[0], shape[1] // 2, *shape[2:])
        return [_Part(_SCORES[rest] + stream, blob, half) for stream in STREAMS]
    if group == "score":
        return [_Part(_SCORES[rest], blob, shape)]
    if group in STREAMS:
        return [_Part(rest + group, blob, shape)]
    return [_Part(f"{group}/{rest}" if rest else group, blob, shape)]


def _alias(layer: str, layers: Layers) -> str:
    """Return the layer's name in ``layers``: early fusion names its first layer after its input."""
    return "conv1_1_bgrd" if layer == "conv1_1" and "conv1_1" not in layers and "conv1_1_bgrd" in layers else layer


def _fitting(net: FCN, layers: Layers, layer: str, part: _Part, source: str) -> Tensor:
    """Return the blob in the shape of ``part``. Raises WeightsError."""
    kind = "bias" if part.blob else "weight"
    blobs = layers.get(layer, [])
    if len(blobs) <= part.blob:
        lacks = f"has no {kind}" if blobs else "is missing"
        raise WeightsError(f"{source}: layer {layer} {lacks}; {net.name} needs one of shape {part.shape}.")
    tensor = blobs[part.blob]
    if layer.startswith("scale_"):
        return _one_number(tensor, layer, source)
    if layer.startswith("upscore") and tensor.dim() == 4 and tensor.shape[1] == 1:
        tensor = torch.diag_embed(tensor[:, 0].permute(1, 2, 0)).permute(2, 3, 0, 1)
    sides = list(tensor.shape)
    while len(sides) > 1 and sides[0] == 1 and tuple(sides) != part.shape:
        del sides[0]  # old blobs always have four sides, the first of which may be added ones
    if tuple(sides) == part.shape:
        return tensor.view(sides)
    outputs, *inputs = part.shape
    if len(inputs) == 3 and sides == [outputs, inputs[0] * inputs[1] * inputs[2]]:
        return tensor.view(part.shape)  # fully connected
    raise WeightsError(
        f"{source}: the {kind} of layer {layer} has shape {tuple(tensor.shape)}, {net.name} expects {part.shape}."
    )


def _one_number(tensor: Tensor, layer: str, source: str) -> Tensor:
    first = tensor.flatten()[0] if tensor.numel() else torch.tensor(torch.nan)
    if not bool((tensor == first).all()):
        raise WeightsError(f"{source}: layer {layer} scales channels by different numbers; expected one for all.")
    return first


def _join(own_name: str, parts: list[Tensor], heads: bool) -> Tensor:
    """Concatenate the parts of heads, or of streams' weights, and average streams' biases.

    The tap of late fusion is halved, so that the streams' scores are averaged too.
    """
    if heads:
        return torch.cat(parts)
    return torch.stack(parts).mean(0) if own_name.endswith("bias") else torch.cat(parts, 1)


def _refuse_unused(net: FCN, unused: Layers, source: str) -> None:
    """Raise WeightsError where an unused layer is anything but an upsampling of the expected kernel."""
    for layer, (weight, *_) in unused.items():
        if not _is_upsampling(layer):
            raise WeightsError(
                f"{source}: layer {layer[:80]}, of shape {tuple(weight.shape)}, is no part of {net.name}. "
                "Is --model the network in the file?"
            )
        stride, kernel = _expected_kernel(net, layer)
        if weight.shape[-1] != kernel:
            raise WeightsError(
                f"{source}: layer {layer} has shape {tuple(weight.shape)}; {net.name} upsamples by {stride} there, "
                f"with a kernel of {kernel}×{kernel}."
            )


def _expected_kernel(net: FCN, layer: str) -> tuple[int, int]:
    """Return the factor and the kernel of an upsampling, which is 63×63, not 64×64, if cells' centres are pixels'."""
    name = _DECONVOLUTION.fullmatch(layer)[1]  # type: ignore[index]
    if name in _UPSAMPLING.values():
        return 2, 4
    stride = net.backbone.strides[0]
    return stride, 2 * stride - (trunks.trunk_of(net.name) in _ODD_KERNELS)


def _is_upsampling(layer: str) -> bool:
    return _DECONVOLUTION.fullmatch(layer) is not None


def _is_bilinear(weight: Tensor) -> bool:
    """Whether a deconvolution interpolates each class by itself, bilinearly."""
    if weight.dim() != 4 or weight.shape[1] not in (1, weight.shape[0]) or weight.shape[2] != weight.shape[3]:
        return False
    own = weight[:, 0] if weight.shape[1] == 1 else weight.diagonal().permute(2, 0, 1)
    size = weight.shape[-1]
    factor = (size + 1) // 2
    along = 1 - (torch.arange(size) - (size - 1) / 2).abs() / factor
    alone = weight.count_nonzero() == own.count_nonzero()
    return bool(alone and torch.allclose(own, along[:, None] * along, atol=1e-5))
