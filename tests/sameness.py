"""Every network of the paper next to the references that can run it: what test_sameness.py and the benchmark share."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np
import reference
import torch
from caffe import nets
from caffe.model import Net, Weights, caffemodel, prototxt
from torch import Tensor, nn
from torchvision.models import segmentation

import fullyconv as fc
from fullyconv.fcn import FCN

BGR = (104.00699, 116.66877, 122.67892)
NYUD_BGR, NYUD_HHA, LOG_DEPTH = (116.190, 97.203, 92.318), (132.431, 94.076, 118.477), 7.844


class Case(NamedTuple):
    """``net(thin=…)``: Caffe's network. ``means``: of its inputs, as the release has them.

    ``run``: the transcription, from blobs and inputs to a map of scores for each head. ``learnt``: the upsampling
    between the skips is not bilinear.
    """

    name: str
    model: str
    net: Callable[..., Net]
    run: Callable[..., Sequence[Tensor]]
    means: Sequence[Sequence[float]] = (BGR,)
    heads: Mapping[str, int] | None = None
    learnt: bool = False

    @property
    def classes(self) -> int:
        net = self.net(thin=64)
        scores = {layer.name: net.channels[layer.name] for layer in net.layers if layer.name.startswith("score_fr")}
        return sum(scores.values()) if self.heads else next(iter(scores.values()))


def _one_head(run: Callable[..., Tensor], *arguments: object, **options: object) -> Callable[..., list[Tensor]]:
    return lambda blobs, *inputs: [run(blobs, *inputs, *arguments, **options)]


def _siftflow(stride: int) -> Callable[..., list[Tensor]]:
    return lambda blobs, image: [reference.fcn_vgg16(blobs, image, stride, head) for head in ("_sem", "_geo")]


CASES = [
    *(
        Case(f"VOC {s}s VGG-16", f"fcn{s}s-vgg16", partial(nets.vgg16, s), _one_head(reference.fcn_vgg16, s))
        for s in (32, 16, 8)
    ),
    Case(
        "VOC 8s at once",
        "fcn8s-atonce-vgg16",
        partial(nets.vgg16, 8, scaled=True, grouped=True),
        _one_head(reference.fcn_vgg16, 8),
    ),
    Case(
        "VOC 8s learnt upsampling",
        "fcn8s-vgg16",
        partial(nets.vgg16, 8),
        _one_head(reference.fcn_vgg16, 8),
        learnt=True,
    ),
    Case("VOC 32s AlexNet", "fcn32s-alexnet", nets.alexnet, _one_head(reference.fcn_alexnet)),
    Case("VOC 32s GoogLeNet", "fcn32s-googlenet", nets.googlenet, _one_head(reference.fcn_googlenet)),
    Case(
        "NYUDv2 32s early fusion",
        "fcn32s-vgg16",
        nets.early_fusion,
        _one_head(reference.fcn_vgg16, 32, first="conv1_1_bgrd"),
        means=((*NYUD_BGR, LOG_DEPTH),),
    ),
    Case(
        "NYUDv2 32s late fusion",
        "fcn32s-latefusion-vgg16",
        nets.late_fusion,
        _one_head(reference.fcn_late_fusion),
        means=(NYUD_BGR, NYUD_HHA),
    ),
    *(
        Case(
            f"SIFT Flow {s}s",
            f"fcn{s}s-vgg16",
            partial(nets.siftflow, s),
            _siftflow(s),
            heads={"semantic": 33, "geometric": 3},
        )
        for s in (32, 16, 8)
    ),
    *(
        Case(f"PASCAL-Context {s}s", f"fcn{s}s-vgg16", partial(nets.vgg16, s, 60), _one_head(reference.fcn_vgg16, s))
        for s in (32, 16, 8)
    ),
]


WITHOUT_BORDER: dict[str, Callable[..., Tensor]] = {
    **{f"VOC {s}s VGG-16": partial(reference.fcn_vgg16_same, stride=s) for s in (32, 16, 8)},
    "VOC 8s at once": partial(reference.fcn_vgg16_same, stride=8),
    "VOC 32s AlexNet": reference.fcn_alexnet_same,
    "VOC 32s GoogLeNet": reference.fcn_googlenet_same,
}
"""Transcriptions of the cases that have ``padding="same"``."""

TORCHVISION = {"fcn_resnet50": segmentation.fcn_resnet50, "fcn_resnet101": segmentation.fcn_resnet101}


def picture(channels: int, size: tuple[int, int], seed: int = 0) -> Tensor:
    """Coloured patches and noise, (1, channels, *size), 0..255."""
    random = torch.Generator().manual_seed(seed)
    patches = torch.rand(1, channels, *(side // 16 for side in size), generator=random)
    noise = torch.rand(1, channels, *size, generator=random)
    return 200 * torch.nn.functional.interpolate(patches, size, mode="nearest") + 55 * noise


def caffe_inputs(case: Case, images: Tensor) -> list[Tensor]:
    """RGB (and depth, or HHA) in 0..255 → each input of Caffe's network: colours reversed, mean subtracted."""
    streams = images.split([len(mean) for mean in case.means], 1)
    return [_reversed(x, 1) - torch.tensor(mean).view(1, -1, 1, 1) for x, mean in zip(streams, case.means, strict=True)]


def _reversed(x: Tensor, axis: int) -> Tensor:
    """The first three channels, blue, green, red ↔ red, green, blue."""
    return x.index_select(axis, torch.tensor([2, 1, 0, *range(3, x.shape[axis])]))


def weights_of(case: Case, net: Net) -> dict[str, list[np.ndarray]]:
    """Random, and such that several classes win somewhere."""
    weights = dict(nets.random_weights(net))
    if case.learnt:
        random = np.random.default_rng(1)
        for name in ("upscore2", "upscore_pool4"):
            (kernel,) = weights[name]
            weights[name] = [kernel + 0.05 * random.standard_normal(kernel.shape, np.float32)]
    inputs = caffe_inputs(case, picture(sum(net.inputs.values()), (97, 64)))
    with torch.inference_mode():
        scores = case.run(blobs_of(weights), *inputs)
    final = [name for name in weights if name.startswith("score_fr")]
    for index, name in enumerate(final):
        mean = scores[index if case.heads else 0].mean((0, 2, 3)).numpy()
        weights[name][1] -= mean
    return weights


def blobs_of(weights: Weights) -> dict[str, list[Tensor]]:
    return {name: [torch.from_numpy(blob) for blob in blobs] for name, blobs in weights.items()}


def ours(case: Case, blobs: Mapping[str, Sequence[Tensor]], padding: str = "paper") -> FCN:
    """fullyconv's network with Caffe's weights."""
    mean = [value for stream in case.means for value in (*stream[2::-1], *stream[3:])]
    net = fc.create(
        case.model,
        case.classes,
        in_channels=len(mean),
        mean=mean,
        heads=case.heads,
        upsample="transposed" if case.learnt else "bilinear",
        padding=padding,
    )
    missing, unexpected = net.load_state_dict(_state(case, blobs), strict=False)
    assert not unexpected
    assert set(missing) <= {"mean", "std"}
    return net.eval()


def _state(case: Case, blobs: Mapping[str, Sequence[Tensor]]) -> dict[str, Tensor]:
    """Caffe's names → ours; first layers reversed to RGB, heads one after the other, streams side by side."""
    state: dict[str, Tensor] = {}
    scores: dict[str, list[Sequence[Tensor]]] = {}
    for name, layer in blobs.items():
        if score := re.fullmatch(r"score_(fr|pool4|pool3).*", name):
            scores.setdefault({"fr": "32", "pool4": "16", "pool3": "8"}[score[1]], []).append(layer)
        elif name in ("upscore2", "upscore_pool4") and case.learnt:
            state[{"upscore2": "upsample.16.weight", "upscore_pool4": "upsample.8.weight"}[name]] = layer[0]
        elif name.startswith("scale"):
            state[f"backbone.body.{name}"] = layer[0][0]
        elif not name.startswith("upscore"):
            weight, bias = layer
            if name.startswith(("conv1_1", "conv1/")) or name == "conv1":
                weight = _reversed(weight, 1)
            stream = re.fullmatch("(.*)(color|hha)", name)
            path = f"{stream[2]}.{stream[1]}" if stream else name.replace("/", ".").removesuffix("_bgrd")
            state |= {f"backbone.body.{path}.weight": weight, f"backbone.body.{path}.bias": bias}
    for stride, layers in scores.items():
        weights, biases = zip(*layers, strict=True)
        together = len(case.means) == 1
        state[f"score.{stride}.weight"] = torch.cat(weights, 0 if together else 1)
        state[f"score.{stride}.bias"] = torch.cat(biases) if together else sum(biases) / len(biases)
    return state


def opencv(net: Net, weights: Weights) -> Callable[..., list[Tensor]]:
    """OpenCV's DNN on the network's prototxt and caffemodel: from inputs to the last layers' outputs."""
    files = (np.frombuffer(data, np.uint8) for data in (prototxt(net).encode(), caffemodel(net, weights)))
    network = cv2.dnn.readNetFromCaffe(*files)
    taken = {bottom for layer in net.layers for bottom in layer.bottoms}
    ends = [layer.name for layer in net.layers if layer.top not in taken]

    def run(*inputs: Tensor) -> list[Tensor]:
        for name, x in zip(net.inputs, inputs, strict=True):
            network.setInput(x.numpy(), name)
        return [torch.from_numpy(output) for output in network.forward(ends)]

    return run


def torchvision_network(name: str) -> nn.Module:
    """Torchvision's, with statistics too: batch norm that does nothing would prove nothing."""
    network = TORCHVISION[name](weights=None, weights_backbone=None, num_classes=21).eval()
    random = torch.Generator().manual_seed(0)
    for tensor, low, high in (
        part
        for module in network.modules()
        if isinstance(module, nn.BatchNorm2d)
        for part in (
            (module.weight, 0.5, 1.0),
            (module.bias, -0.2, 0.2),
            (module.running_mean, -0.2, 0.2),
            (module.running_var, 0.5, 1.5),
        )
    ):
        tensor.detach().copy_(low + (high - low) * torch.rand(tensor.shape, generator=random))
    return network


def torchvision_input(images: Tensor) -> Tensor:
    """What torchvision's transforms make of 0..255."""
    mean, std = (torch.tensor(x).view(1, 3, 1, 1) for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    return (images / 255 - mean) / std


def ours_of_torchvision(name: str, theirs: nn.Module) -> FCN:
    """fullyconv's network with torchvision's weights."""
    renamed = {
        "classifier.0": "backbone.body.head.conv",
        "classifier.1": "backbone.body.head.norm",
        "classifier.4": "score.8",
        "backbone": "backbone.body.backbone",
    }
    net = fc.create(name, 21)
    state = {"mean": net.mean, "std": net.std}
    for key, value in theirs.state_dict().items():
        prefix = next(prefix for prefix in renamed if key.startswith(prefix))
        state[renamed[prefix] + key.removeprefix(prefix)] = value
    net.load_state_dict(state)
    return net.eval()
