"""The networks of the paper's release, with its layers, names and crops, and the classifiers that they start from.

``thin`` divides every width but the classes': tests run networks of a few channels. The crops are the release's own
numbers (its coord_map's), none of fullyconv's.
"""

from collections.abc import Mapping

import numpy as np

from tests.caffe.model import Net, Weights

BORDER = 100
DEPTHS = (2, 2, 3, 3, 3)
WIDTHS = (64, 128, 256, 512, 512)
INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
SCALES = {4: 0.01, 3: 0.0001}


def thinned(width: int, thin: int) -> int:
    return max(1, width // thin)


def vgg16(
    stride: int = 32,
    classes: Mapping[str, int] | int = 21,
    *,
    thin: int = 1,
    scaled: bool = False,
    grouped: bool = False,
    padding: str = "paper",
) -> Net:
    """FCN-32s, 16s, 8s, and 8s at once (``scaled``); a head for each of ``classes``, suffixed by its name.

    ``padding="same"`` ends with score_fr: Caffe has no layer that repeats the last cell beyond the border.
    """
    net = Net(f"fcn{stride}s-vgg16", data=3)
    drop7, pools = _trunk(net, "data", thin=thin, padding=padding)
    for suffix, outputs in ({"": classes} if isinstance(classes, int) else classes).items():
        fused = net.convolution("score_fr" + suffix, drop7, outputs, 1)
        if padding == "paper":
            _upscore(net, fused, pools, stride, suffix, scaled, grouped)
    return net


def _trunk(net: Net, bottom: str, *, thin: int, padding: str = "paper", suffix: str = "", first: str = "conv1_1"):
    """VGG-16 to drop7, and its pools."""
    pools = {}
    for block, (depth, width) in enumerate(zip(DEPTHS, WIDTHS, strict=True), 1):
        for number in range(1, depth + 1):
            outermost = block == number == 1
            name = first if outermost else f"conv{block}_{number}"
            pad = BORDER if outermost and padding == "paper" else 1
            bottom = net.convolution(name + suffix, bottom, thinned(width, thin), 3, pad=pad)
            bottom = net.relu(f"relu{block}_{number}{suffix}", bottom)
        bottom = pools[block] = net.max_pool(f"pool{block}{suffix}", bottom, 2, 2)
    return _classify(net, bottom, 7, thin, suffix, 0 if padding == "paper" else 3), pools


def _classify(net: Net, bottom: str, kernel: int, thin: int, suffix: str = "", pad: int = 0) -> str:
    for name, size, border in (("6", kernel, pad), ("7", 1, 0)):
        bottom = net.convolution(f"fc{name}{suffix}", bottom, thinned(4096, thin), size, pad=border)
        bottom = net.dropout(f"drop{name}{suffix}", net.relu(f"relu{name}{suffix}", bottom))
    return bottom


def _upscore(
    net: Net, fused: str, pools: dict[int, str], stride: int, suffix: str, scaled: bool = False, grouped: bool = False
) -> None:
    """From score_fr to score. The crops: 19; 5 and 27; 5, 9 and 31."""
    coarse = "score_fr"
    for pool, crop in ((4, 5), (3, 9)):
        if 2**pool < stride:
            break
        name = "upscore2" if coarse == "score_fr" else f"upscore_{coarse}"
        up = net.deconvolution(name + suffix, fused, 4, 2, grouped=grouped)
        coarse = f"pool{pool}"
        bottom = net.scale(f"scale_{coarse}", pools[pool], SCALES[pool]) if scaled else pools[pool]
        score = net.convolution(f"score_{coarse}{suffix}", bottom, net.channels[fused], 1)
        score = net.crop(f"score_{coarse}{suffix}c", score, up, crop)
        fused = net.sum(f"fuse_{coarse}{suffix}", up, score)
    up = net.deconvolution(
        f"upscore{'' if stride == 32 else stride}{suffix}", fused, 2 * stride, stride, grouped=grouped
    )
    net.crop("score" + suffix, up, next(iter(net.inputs)), {32: 19, 16: 27, 8: 31}[stride])


def siftflow(stride: int = 8, *, thin: int = 1) -> Net:
    """One trunk, 33 semantic and 3 geometric classes."""
    return vgg16(stride, {"_sem": 33, "_geo": 3}, thin=thin)


def early_fusion(*, thin: int = 1, classes: int = 40) -> Net:
    """NYUDv2: colour and log depth, 4 channels."""
    net = Net("nyud-fcn32s-color-d", data=4)
    drop7, _ = _trunk(net, "data", thin=thin, first="conv1_1_bgrd")
    _upscore(net, net.convolution("score_fr", drop7, classes, 1), {}, 32, "")
    return net


def late_fusion(*, thin: int = 1, classes: int = 40) -> Net:
    """NYUDv2: a stream for colour and one for HHA."""
    net = Net("nyud-fcn32s-color-hha", color=3, hha=3)
    scores = []
    for stream in net.inputs:
        drop7, _ = _trunk(net, stream, thin=thin, suffix=stream)
        scores.append(net.convolution(f"score_fr{stream}", drop7, classes, 1))
    _upscore(net, net.sum("score_fused", *scores, coefficients=(0.5, 0.5)), {}, 32, "")
    return net


def alexnet(*, thin: int = 1, classes: int = 21) -> Net:
    """FCN-AlexNet, in CaffeNet's order; its crop is 18."""
    net = Net("fcn32s-alexnet", data=3)
    pool5 = _alexnet_trunk(net, thin, BORDER)
    score_fr = net.convolution("score_fr", _classify(net, pool5, 6, thin), classes, 1)
    net.crop("score", net.deconvolution("upscore", score_fr, 63, 32), "data", 18)
    return net


def _alexnet_trunk(net: Net, thin: int, border: int) -> str:
    a, b, c, d, e = (2 * thinned(width // 2, thin) for width in (96, 256, 384, 384, 256))
    bottom = net.relu("relu1", net.convolution("conv1", "data", a, 11, stride=4, pad=border))
    bottom = net.lrn("norm1", net.max_pool("pool1", bottom, 3, 2))
    bottom = net.relu("relu2", net.convolution("conv2", bottom, b, 5, pad=2, group=2))
    bottom = net.lrn("norm2", net.max_pool("pool2", bottom, 3, 2))
    bottom = net.relu("relu3", net.convolution("conv3", bottom, c, 3, pad=1))
    bottom = net.relu("relu4", net.convolution("conv4", bottom, d, 3, pad=1, group=2))
    bottom = net.relu("relu5", net.convolution("conv5", bottom, e, 3, pad=1, group=2))
    return net.max_pool("pool5", bottom, 3, 2)


def googlenet(*, thin: int = 1, classes: int = 21) -> Net:
    """FCN-GoogLeNet as the paper describes it: no network was released.

    Its crop as coord_map has it. The offsets, in pixels: conv1 3 − 100 = −97, the four pools + 2 + 4 + 8 + 16 = −67;
    the deconvolution's middle is 31, so that output 31 + 67 = 98 lies on the image's first pixel.
    """
    net = Net("fcn32s-googlenet", data=3)
    drop = net.dropout("pool5/drop", _googlenet_trunk(net, thin, BORDER))
    score_fr = net.convolution("score_fr", drop, classes, 1)
    net.crop("score", net.deconvolution("upscore", score_fr, 63, 32), "data", 98)
    return net


def _googlenet_trunk(net: Net, thin: int, border: int) -> str:
    def convolution(name: str, bottom: str, outputs: int, kernel: int, **options: int) -> str:
        top = net.convolution(name, bottom, thinned(outputs, thin), kernel, **options)
        prefix, last = name.split("/")
        return net.relu(f"{prefix}/relu_{last}", top)

    bottom = convolution("conv1/7x7_s2", "data", 64, 7, stride=2, pad=border)
    bottom = net.lrn("pool1/norm1", net.max_pool("pool1/3x3_s2", bottom, 3, 2))
    bottom = convolution("conv2/3x3", convolution("conv2/3x3_reduce", bottom, 64, 1), 192, 3, pad=1)
    bottom = net.max_pool("pool2/3x3_s2", net.lrn("conv2/norm2", bottom), 3, 2)
    for name, (one, reduce3, three, reduce5, five, pool) in INCEPTIONS.items():
        if name in ("4a", "5a"):
            bottom = net.max_pool(f"pool{int(name[0]) - 1}/3x3_s2", bottom, 3, 2)
        here = f"inception_{name}/"
        branches = [
            convolution(here + "1x1", bottom, one, 1),
            convolution(here + "3x3", convolution(here + "3x3_reduce", bottom, reduce3, 1), three, 3, pad=1),
            convolution(here + "5x5", convolution(here + "5x5_reduce", bottom, reduce5, 1), five, 5, pad=2),
            convolution(here + "pool_proj", net.max_pool(here + "pool", bottom, 3, 1, pad=1), pool, 1),
        ]
        bottom = net.concat(here + "output", *branches)
    return bottom


def vgg16_classifier(*, thin: int = 1, classes: int = 1000) -> Net:
    """VGG_ILSVRC_16_layers, with fully connected layers."""
    net = Net("VGG_ILSVRC_16_layers", data=3)
    bottom = "data"
    for block, (depth, width) in enumerate(zip(DEPTHS, WIDTHS, strict=True), 1):
        for number in range(1, depth + 1):
            bottom = net.convolution(f"conv{block}_{number}", bottom, thinned(width, thin), 3, pad=1)
            bottom = net.relu(f"relu{block}_{number}", bottom)
        bottom = net.max_pool(f"pool{block}", bottom, 2, 2)
    return _fully_connected(net, bottom, 7, thin, classes)


def alexnet_classifier(*, thin: int = 1, classes: int = 1000) -> Net:
    """BVLC's CaffeNet, with fully connected layers."""
    net = Net("CaffeNet", data=3)
    return _fully_connected(net, _alexnet_trunk(net, thin, 0), 6, thin, classes)


def _fully_connected(net: Net, bottom: str, side: int, thin: int, classes: int) -> Net:
    inputs = net.channels[bottom] * side**2
    for name in ("6", "7"):
        bottom = net.inner_product(f"fc{name}", bottom, thinned(4096, thin), inputs)
        bottom = net.dropout(f"drop{name}", net.relu(f"relu{name}", bottom))
        inputs = net.channels[bottom]
    net.add("Softmax", "prob", net.inner_product("fc8", bottom, classes, inputs))
    return net


def googlenet_classifier(*, thin: int = 1, classes: int = 1000) -> Net:
    """BVLC's GoogLeNet with its auxiliary heads, which a converter leaves out."""
    net = Net("GoogleNet", data=3)
    bottom = _googlenet_trunk(net, thin, 3)
    for head, place in (("loss1", "4a"), ("loss2", "4d")):
        aux = net.convolution(f"{head}/conv", f"inception_{place}/output", thinned(128, thin), 1)
        aux = net.inner_product(f"{head}/fc", aux, thinned(1024, thin), net.channels[aux] * 16)
        net.inner_product(f"{head}/classifier", aux, classes, net.channels[aux])
    net.inner_product("loss3/classifier", bottom, classes, net.channels[bottom])
    return net


def bilinear_kernel(size: int) -> np.ndarray:
    """(size, size), as the release's surgery.py makes it."""
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 else factor - 0.5
    tent = 1 - np.abs(np.arange(size) - centre) / factor
    return np.outer(tent, tent).astype(np.float32)


def random_weights(net: Net, seed: int = 0) -> Weights:
    """He's initialization and biases that matter; bilinear deconvolutions.

    What scores a scaled pool is larger by as much, so that a skip at the wrong place would show.
    """
    random = np.random.default_rng(seed)
    weights: dict[str, list[np.ndarray]] = {}
    scaled = {
        layer.top: layer.options["scale_param"]["filler"]["value"] for layer in net.layers if layer.type == "Scale"
    }
    for layer in net.layers:
        if not layer.shapes:
            continue
        shape, *others = layer.shapes
        if layer.type == "Scale":
            weights[layer.name] = [np.full(shape, scaled[layer.top], np.float32)]
        elif layer.type == "Deconvolution":
            diagonal = np.eye(*shape[:2], dtype=np.float32) if shape[1] > 1 else np.ones(shape[:2], np.float32)
            weights[layer.name] = [diagonal[:, :, None, None] * bilinear_kernel(shape[-1])]
        else:
            deviation = np.sqrt(2 / np.prod(shape[1:])) / scaled.get(layer.bottoms[0], 1)
            kernel = random.standard_normal(shape, np.float32) * np.float32(deviation)
            weights[layer.name] = [kernel, *(10 * random.standard_normal(other, np.float32) for other in others)]
    return weights
