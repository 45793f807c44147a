"""A trained network on disk: ``model.safetensors`` and ``model.json``, in a run folder or on their own."""

import json
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open

from fullyconv.errors import ConfigError, WeightsError
from fullyconv.files import write_whole
from fullyconv.model import fcn
from fullyconv.weights import hub
from fullyconv.weights.run_files import ARCHITECTURE, WEIGHTS


def save(net: fcn.FCN, folder: Path) -> None:
    """Write the network to ``folder``. The architecture also goes into the weights file, which so stands alone."""
    spec = json.dumps(net.spec, indent=2, ensure_ascii=False)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}
    write_whole(folder / WEIGHTS, safetensors.torch.save(tensors, metadata={"fullyconv": spec}))
    write_whole(folder / ARCHITECTURE, spec + "\n")


def load(source: str | Path) -> fcn.FCN:
    """The network in a run folder or a ``.safetensors`` file that ``save`` wrote, in evaluation mode.

    What is no path here is fetched from the Hugging Face hub, as ``org/name`` or ``org/name@revision``; a path goes
    first. Raises WeightsError where there is none, it is damaged, or its weights are not those of its architecture.
    """
    path = Path(source)
    hub_id = hub.parse(str(source)) if isinstance(source, str) and not path.exists() else None
    if hub_id is not None:
        path = hub.download(hub_id)
    if path.is_dir():
        path = path / WEIGHTS
        if not path.is_file():
            raise WeightsError(f"{source} holds no trained network: expected {WEIGHTS} in a run folder.")
    if not path.is_file():
        raise WeightsError(
            f"{source}: no such file. Expected a run folder, a .safetensors file or a hub id (org/name)."
        )
    spec, tensors = read(path)
    try:
        net = fcn.build(**spec)
    except (TypeError, ConfigError) as error:
        raise WeightsError(f"{path}: its architecture cannot be built: {error}") from error
    _fit(net, tensors, path)
    return net.eval()


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The architecture and the tensors of a weights file. Raises WeightsError."""
    try:
        with safe_open(path, framework="pt") as file:
            spec = (file.metadata() or {}).get("fullyconv")
        tensors = safetensors.torch.load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is not a whole safetensors file: {error}") from error
    if spec is None:
        raise WeightsError(f"{path} was not written by fullyconv: its header holds no architecture.")
    return json.loads(spec), tensors


def _fit(net: fcn.FCN, tensors: dict[str, Any], path: Path) -> None:
    own = net.state_dict()
    for name, tensor in own.items():
        if name not in tensors:
            raise WeightsError(f"{path}: {name} is missing; {net.name} needs it.")
        if tensors[name].shape != tensor.shape:
            raise WeightsError(
                f"{path}: {name} has shape {tuple(tensors[name].shape)}, {net.name} expects {tuple(tensor.shape)}."
            )
    unknown = [name for name in tensors if name not in own]
    if unknown:
        raise WeightsError(f"{path}: {unknown[0]} is no part of {net.name}.")
    net.load_state_dict(tensors)
