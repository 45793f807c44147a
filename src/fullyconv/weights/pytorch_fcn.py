"""Read pytorch-fcn's networks (github.com/wkentaro/pytorch-fcn): FCN32s, FCN16s, FCN8s and FCN8sAtOnce.

Their layers have the names of the paper's release, and their images its order of colours.
"""

import torch
from torch import Tensor

from fullyconv.model.backbones import release
from fullyconv.model.backbones.paper import AT_ONCE
from fullyconv.weights.caffe import Layers


def looks_like(tensors: dict[str, Tensor]) -> bool:
    return "conv1_1.weight" in tensors


def layers(tensors: dict[str, Tensor], name: str) -> Layers:
    """Return a state dict's layers in the form of ``CaffeNet.layers``, for the network ``name``.

    FCN8sAtOnce has its scales in its code and not in its files; they are added where ``name`` is an at-once network.
    """
    found: Layers = {}
    for kind in ("weight", "bias"):
        for full, tensor in tensors.items():
            layer, _, last = full.rpartition(".")
            if last == kind:
                found.setdefault(layer, []).append(tensor)
    if release.trunk_of(name) == release.AT_ONCE:
        found |= {f"scale_pool{pool}": [torch.tensor([AT_ONCE[2**pool]])] for pool in (4, 3)}
    return found
