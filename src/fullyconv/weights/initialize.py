"""Start a network from other networks' weights: a previous stage's, a classifier's, or those of two that it fuses.

Files of other programs (timm, torchvision, whatever has the backbone's layers) give the backbone; see ``classifier``.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from fullyconv.classes import difference
from fullyconv.errors import WeightsError
from fullyconv.model import fcn
from fullyconv.model.backbones.imagenet import for_channels
from fullyconv.model.spec import ModelSpec
from fullyconv.weights import classifier, run_folder
from fullyconv.weights.run_files import WEIGHTS
from fullyconv.weights.tensors import is_safetensors, is_torch, read_tensors

BODY = "backbone.body."
STREAMS = (BODY + "color.", BODY + "hha.")
COARSEST = "score.32."


def initialize(
    net: fcn.FCN, sources: Sequence[Path], keep_mean: bool = False, say: Callable[[str], None] = print
) -> list[str]:
    """Start ``net`` from other networks' weights; return the names of the tensors that did not fit.

    The whole backbone has to fit, the other tensors are taken where they do. The mean and the deviation by which images
    are normalized are the sources', whose weights were trained on them; with ``keep_mean`` the mean stays ``net``'s. If
    the classes differ, their scores are not taken over, and ``say`` is called with a message. There are two fusions
    (PAMI paper, section 5, NYUDv2):

    - Early fusion: where ``net`` takes more channels than the source's colours, the first convolution's weights for the
      further channels start as the mean over the colours.
    - Late fusion: a network of two streams takes two sources, colour and HHA, and its scores start as their mean.

    Of a file that another program wrote only the backbone is taken, and ``say`` is told which tensors these are.
    Raises WeightsError where a source is missing or damaged, or has another backbone.
    """
    named = " and ".join(map(str, sources))
    own = net.state_dict()
    fused = any(name.startswith(STREAMS) for name in own)
    if len(sources) != 1 and not (len(sources) == 2 and fused):
        raise WeightsError(
            f"--init {named}: found {len(sources)} sources; {net.name} starts from "
            + ("one, or from two: the colour network and the HHA network." if fused else "one.")
        )
    if any(foreign := [_is_foreign(source) for source in sources]):
        if len(sources) > 1:
            raise WeightsError(
                f"--init {sources[foreign.index(True)]} was not written by fullyconv: late fusion starts from two run "
                "folders. Train them with --init first, or convert them: fullyconv convert FILE --model NAME --out RUN."
            )
        return _from_another_program(net, sources[0], keep_mean, say)
    specs, read = zip(*map(_read, sources), strict=True)
    tensors = read[0] if len(sources) == 1 else _two_streams(*read)
    differs = next(filter(None, (difference(spec.classes, net.classes) for spec in specs)), "")
    if differs:
        say(f"{named} has other classes ({differs}): their scores are not taken over.")
        tensors = {name: tensor for name, tensor in tensors.items() if name not in _of_classes(net)}
    tensors |= _widened(tensors, own)
    if keep_mean:
        tensors.pop("mean", None)
    fitting = {name: tensor for name, tensor in tensors.items() if name in own and own[name].shape == tensor.shape}
    missing = [name for name in own if name not in fitting and not (keep_mean and name == "mean")]
    for name in missing:
        if name.startswith("backbone.") and own[name].dim() > 0:  # single numbers, such as scales, are not trained
            found = f"has shape {tuple(tensors[name].shape)}" if name in tensors else "is missing"
            raise WeightsError(
                f"{named} does not hold the backbone of {net.name}: {name} {found}, expected {tuple(own[name].shape)}."
                + (" Late fusion starts from two: --init COLOR --init HHA." if fused and len(sources) == 1 else "")
            )
    net.load_state_dict(fitting, strict=False)
    return missing


def _is_foreign(path: Path) -> bool:
    """Whether a file holds, or by its name should hold, tensors that another program wrote.

    Raises WeightsError where it cannot be opened.
    """
    if not path.is_file():
        return False
    return (
        path.suffix.lower() in (".pth", ".pt")
        or is_torch(path)
        or (is_safetensors(path) and not run_folder.is_own(path))
    )


def _from_another_program(net: fcn.FCN, path: Path, keep_mean: bool, say: Callable[[str], None]) -> list[str]:
    """Take the backbone from a file of tensors; return the names of the tensors of ``net`` that are new."""
    fitted = classifier.fit(net, read_tensors(path), str(path), ordered=is_torch(path))
    own = net.state_dict()
    tensors = fitted.tensors | _widened(fitted.tensors, own)
    if keep_mean:
        tensors.pop("mean", None)
    net.load_state_dict(tensors, strict=False)
    say(fitted.said)
    return [
        name for name, tensor in own.items() if name not in tensors and name not in ("mean", "std") and tensor.dim()
    ]


def _of_classes(net: fcn.FCN) -> set[str]:
    """Return the names of the parameters that have a part for each class."""
    parts = ("head.4.",) if net.width else ("score.", "upsample.")
    return {name for name, _ in net.named_parameters() if name.startswith(parts)}


def _read(source: Path) -> tuple[ModelSpec, dict[str, Tensor]]:
    path = source / WEIGHTS if source.is_dir() else source
    if not path.is_file():
        raise WeightsError(f"--init {path}: no such file. Expected a run folder, a .safetensors or a .pth file.")
    return run_folder.read(path)


def _widened(tensors: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the first convolution, mean and deviation widened to ``own``'s channels, where ``tensors`` has only three.

    The weights of the further channels are the mean over the colours; their means and deviations are ``own``'s.
    """
    first = next(name for name, tensor in own.items() if name.startswith("backbone.") and tensor.dim() == 4)
    widened = {}
    for name in (first, "mean", "std"):
        channels = own[name].shape[1]
        if name in tensors and tensors[name].shape[1] == 3 < channels:
            known = tensors[name]
            widened[name] = for_channels(known, channels) if name == first else torch.cat([known, own[name][:, 3:]], 1)
    return widened


def _two_streams(color: dict[str, Tensor], hha: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of late fusion, with one stream from each network.

    The tap is both streams' fc7, halved, which averages the scores; the biases are averaged here.
    """
    fused = {
        stream + name.removeprefix(BODY): tensor
        for stream, tensors in zip(STREAMS, (color, hha), strict=True)
        for name, tensor in tensors.items()
        if name.startswith(BODY)
    }
    for name in ("mean", "std", weight := COARSEST + "weight"):
        if name in color and name in hha and len(color[name]) == len(hha[name]):
            fused[name] = torch.cat([color[name], hha[name]], 1)
    if weight in fused:
        bias = COARSEST + "bias"
        fused[bias] = (color[bias] + hha[bias]) / 2
    return fused
