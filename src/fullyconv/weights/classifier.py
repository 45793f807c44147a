"""Give the backbone of an FCN the weights of a trained classifier (paper, section 4.1)."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn

from fullyconv.errors import WeightsError
from fullyconv.model.backbones import imagenet, release
from fullyconv.model.backbones.backbone import per_channel
from fullyconv.model.fcn import FCN
from fullyconv.weights import pytorch_fcn

BODY = "backbone.body."
_FIRST_OF_VGG = "features.0.weight"
_VGG_OF_TIMM = {"pre_logits.fc1.": "classifier.0.", "pre_logits.fc2.": "classifier.3.", "head.fc.": "classifier.6."}
"""timm's names of VGG's fully connected layers, and torchvision's."""


class Fitted(NamedTuple):
    """The tensors of a file that fit a network, under the network's names; ``said``: which these are, in words."""

    tensors: dict[str, Tensor]
    said: str


def adopt(net: FCN, classifier: nn.Module) -> None:
    """Give ``net``'s backbone the weights of ``classifier``, the timm network of the same name.

    Raises WeightsError, naming the first layer of the backbone that the classifier does not have.
    """
    source = {_plain(name): tensor for name, tensor in classifier.state_dict().items()}
    adopted: dict[str, Tensor] = {}
    for name, own in net.backbone.body.state_dict().items():
        found = source.get(_plain(name))
        if found is None or found.shape != own.shape:
            has = "has no such layer" if found is None else f"has {tuple(found.shape)}"
            raise WeightsError(
                f"The classifier is not the backbone of {net.name}: {name} is {tuple(own.shape)}, the classifier {has}."
            )
        adopted[name] = found
    net.backbone.body.load_state_dict(adopted)


def fit(net: FCN, tensors: Mapping[str, Tensor], source: str, ordered: bool) -> Fitted:
    """Find the backbone of ``net`` among the tensors of another program's network, a classifier or a segmentation one.

    Names are compared after whatever prefix most of them have in common with the backbone's (``module.``,
    ``encoder.``). Where they do not fit, and ``tensors`` are ``ordered`` as in the network, their order is tried. The
    first convolution is made to fit the network's channels. Raises WeightsError, naming both sides, unless the whole
    backbone is there.
    """
    if release.trunk_of(net.name):
        return _vgg16(net, tensors, source)
    own = net.backbone.body.state_dict()
    found, used, prefix = _by_name(own, tensors)
    how = f" (under {prefix})" if prefix else ""
    if ordered and _misfits(net, own, found):
        renamed = _by_order(net, tensors)
        by_order, _, _ = _by_name(own, renamed)
        if not _misfits(net, own, by_order):
            found, how = by_order, " (by their order)"
            used = {theirs for theirs, tensor in tensors.items() if any(tensor is taken for taken in found.values())}
    if misfits := _misfits(net, own, found):
        name = misfits[0]
        has = f"has shape {tuple(found[name].shape)}" if name in found else "is not in the file"
        first = next(iter(tensors), "nothing")
        raise WeightsError(
            f"--init {source} does not hold the backbone of {net.name}: of the backbone's {_count(own)} tensors "
            f"{_count(own) - len(misfits)} fit. {name} {has}, expected {tuple(own[name].shape)}; the file holds "
            f"{len(tensors)} tensors, the first {first[:80]!r}. Name the network that the file was trained as: --model "
            "fcnNs-NAME, with NAME as timm calls it."
        )
    fitted = {BODY + name: _for_channels(net, tensor, own[name]) for name, tensor in found.items()}
    return Fitted(fitted, _said(source, net, len(found), how, [name for name in tensors if name not in used]))


def _by_name(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], set[str], str]:
    """Return the tensors that ``own`` names, the names that they have in ``tensors``, and their common prefix."""
    inner = "model." if all(name.startswith("model.") for name in own) else ""
    wanted = {_plain(name.removeprefix(inner)): name for name in own}
    fitting: Counter[str] = Counter()
    for name in tensors:
        parts = name.split(".")
        for depth in range(min(len(parts), 9)):
            if _plain(".".join(parts[depth:])) in wanted:
                fitting[".".join([*parts[:depth], ""])] += 1
    prefix = max(fitting, key=lambda common: (fitting[common], -len(common)), default="")
    used = {
        name: wanted[plain]
        for name in tensors
        if name.startswith(prefix) and (plain := _plain(name.removeprefix(prefix))) in wanted
    }
    return {ours: tensors[name] for name, ours in used.items()}, set(used), prefix


def _by_order(net: FCN, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under the names of the timm network that ``net`` is built on, if they are in its order."""
    import timm

    from fullyconv.model.backbones.published import by_order

    trunk = net.name.partition("-")[2]
    known = timm.is_model(trunk)
    return (by_order(trunk, dict(tensors)) or {}) if known else {}


def _misfits(net: FCN, own: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    """Return the names of the backbone's tensors that are missing or have another shape.

    Single numbers, which count batches, may be missing.
    """
    return [
        name
        for name, tensor in own.items()
        if tensor.dim() and (name not in found or _for_channels(net, found[name], tensor).shape != tensor.shape)
    ]


def _for_channels(net: FCN, tensor: Tensor, own: Tensor) -> Tensor:
    """Return a first convolution's weights for the channels of ``net``; other tensors stay as they are."""
    colors = tensor.dim() == own.dim() == 4 and tensor.shape[1] == 3 and own.shape[1] == net.in_channels
    return imagenet.for_channels(tensor, net.in_channels) if colors and net.in_channels != 3 else tensor


def _vgg16(net: FCN, tensors: Mapping[str, Tensor], source: str) -> Fitted:
    """Fit torchvision's or timm's vgg16 to the paper's trunk, with the normalization of its images."""
    convert = f"Convert it: fullyconv convert {source} --model {net.name} --out RUN, then --init RUN."
    prefix = next((name.removesuffix(_FIRST_OF_VGG) for name in tensors if name.endswith(_FIRST_OF_VGG)), None)
    trunk = release.trunk_of(net.name)
    if prefix is None or trunk not in ("vgg16", release.AT_ONCE):
        own = any(pytorch_fcn.looks_like({name[-len("conv1_1.weight") :]: tensor}) for name, tensor in tensors.items())
        raise WeightsError(
            f"--init {source} does not hold the backbone of {net.name}: expected a vgg16 of torchvision or timm, for "
            f"fcn32s, 16s or 8s-vgg16; found {next(iter(tensors), 'nothing')[:80]!r} as its first tensor. "
            + (f"It has the paper's layers, perhaps with blue first. {convert}" if own else "")
        )
    layers: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        layer = name.removeprefix(prefix)
        for theirs, published in _VGG_OF_TIMM.items():
            layer = layer.replace(theirs, published) if layer.startswith(theirs) else layer
        layers[layer] = tensor.flatten(1) if layer.startswith("classifier.") and tensor.dim() == 4 else tensor
    fitted = imagenet.vgg16_trunk({layer: layers[layer] for layer in sorted(layers, key=_place_in_vgg)}, source)
    fitted = {
        BODY + name: _for_channels(net, tensor, net.backbone.body.state_dict()[name]) for name, tensor in fitted.items()
    }
    unused = [name for name in tensors if name.removeprefix(prefix).startswith((imagenet.CLASSIFIER, "head.fc."))]
    said = _said(source, net, len(fitted), f" (under {prefix})" if prefix else "", unused)
    for name, values in (("mean", imagenet.MEAN), ("std", imagenet.STD)):
        fitted[name] = per_channel(values, min(3, net.in_channels)).view(1, -1, 1, 1)
    return Fitted(fitted, said)


def _place_in_vgg(layer: str) -> tuple[bool, int, bool, str]:
    """Sort layers in the order in which they run: .safetensors files hold them in another."""
    match = re.fullmatch(r"(features|classifier)\.(\d{1,4})\.(weight|bias)", layer)
    if match is None:
        return True, 10**4, True, layer
    return match[1] == "classifier", int(match[2]), match[3] == "bias", layer


def _said(source: str, net: FCN, fitted: int, how: str, unused: list[str]) -> str:
    shown = ", ".join(name[:80] for name in unused[:3]) + (", ..." if len(unused) > 3 else "")
    rest = f" Not used: {len(unused)} ({shown})." if unused else ""
    return f"{source}: {fitted} tensors{how} are the backbone of {net.name}, all that it needs.{rest}"


def _count(own: Mapping[str, Tensor]) -> int:
    return sum(tensor.dim() > 0 for tensor in own.values())


def _plain(name: str) -> str:
    """Return a name in which dots do not matter: timm's ``stages.0.conv`` is ``stages_0.conv`` in its backbones."""
    return name.replace(".", "_")
