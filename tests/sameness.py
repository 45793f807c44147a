"""Every network of the paper next to the references that can run it: what test_sameness.py and the benchmark share."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models import segmentation

import fullyconv as fc
from fullyconv.model.backbones import Padding
from fullyconv.model.fcn import FCN
from fullyconv.weights.convert import convert
from tests import reference
from tests.caffe import nets
from tests.caffe.model import Net, Weights, caffemodel, prototxt

BGR = (104.00699, 116.66877, 122.67892)
SIFT_FLOW_BGR = (114.578, 115.294, 108.353)
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
            means=(SIFT_FLOW_BGR,),
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
    """RGB (and log depth, or HHA) in 0..255 → the inputs of Caffe's network, as the release's data layers make them:
    colours as blue, green, red, all else as in its file, less the mean."""
    channels = [2, 1, 0, *range(3, images.shape[1])]
    streams = images[:, channels].split([len(mean) for mean in case.means], 1)
    return [x - torch.tensor(mean).view(1, -1, 1, 1) for x, mean in zip(streams, case.means, strict=True)]


def weights_of(case: Case, net: Net) -> dict[str, list[np.ndarray]]:
    """Random, and such that several classes win somewhere."""
    weights = {name: list(blobs) for name, blobs in nets.random_weights(net).items()}
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


def ours(case: Case, caffe: Net, weights: Weights, padding: Padding = "paper") -> FCN:
    """fullyconv's network, converted from Caffe's file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.caffemodel"
        path.write_bytes(caffemodel(caffe, weights))
        return convert(str(path), case.model, padding=padding)


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
