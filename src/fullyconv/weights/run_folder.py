"""A trained network on disk: ``model.safetensors`` and ``model.json``, in a run folder or on their own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from fullyconv.errors import FullyConvError, WeightsError, first_line
from fullyconv.files import write_whole
from fullyconv.model import fcn
from fullyconv.model.spec import KEY, MAX_TEXT, ModelSpec, parsed
from fullyconv.model.upsample import fill_fixed_kernels
from fullyconv.weights import HUB
from fullyconv.weights.run_files import ARCHITECTURE, WEIGHTS

FLOATS, INTEGERS = ("F64", "F32", "F16", "BF16"), ("I64", "I32", "I16", "I8", "U8", "BOOL")
"""The types, in safetensors' names, that a network's weights and its counters may have."""


def save(net: fcn.FCN, folder: Path) -> None:
    """Write the network to ``folder``. The weights file also holds the architecture, so that it can be used alone."""
    spec = net.spec.model_dump_json(indent=2)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}
    write_whole(folder / WEIGHTS, safetensors.torch.save(tensors, metadata={KEY: spec}))
    write_whole(folder / ARCHITECTURE, spec + "\n")


def load(source: str | Path) -> fcn.FCN:
    """Load the network that ``save`` wrote, from a run folder or a ``.safetensors`` file, in evaluation mode.

    ``hub:org/name`` and ``hub:org/name@revision`` are downloaded from the Hugging Face hub. Raises WeightsError where
    there is no network, it is damaged, or its weights are not those of its architecture.
    """
    path = _fetched(str(source)) if str(source).startswith(HUB) else Path(source)
    in_folder = path.is_dir()
    if in_folder:
        path = path / WEIGHTS
        if not path.is_file():
            raise WeightsError(f"{source} holds no trained network: expected {WEIGHTS} in a run folder.")
    if not path.is_file():
        raise WeightsError(f"{source}: no such file. Expected a run folder or a .safetensors file.{_hint(str(source))}")
    with _opened(path) as file:
        spec = _spec(file, path)
        if in_folder:
            _refuse_another_architecture(spec, path)
        net = _laid_out(spec, file, path)
        net.load_state_dict({name: _tensor(file, name, own) for name, own in net.state_dict().items()}, assign=True)
        fill_fixed_kernels(net)
        if any(tensor.is_meta for tensor in (*net.parameters(), *net.buffers())):  # a backbone's that is in no file
            whole = fcn.from_spec(spec)
            whole.load_state_dict(net.state_dict())
            net = whole
    return net.eval()


def _tensor(file: safe_open, name: str, own: Tensor) -> Tensor:
    """A tensor of a file, in memory of its own, as a network lays out ``own``."""
    layout = torch.channels_last if own.dim() == 4 else torch.contiguous_format
    return file.get_tensor(name).to(own.dtype).clone(memory_format=layout)


def read(path: Path) -> tuple[ModelSpec, dict[str, Tensor]]:
    """Read the architecture and the tensors of a weights file. Raises WeightsError."""
    with _opened(path) as file:
        return _spec(file, path), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def read_spec(path: Path) -> ModelSpec:
    """Read the architecture in a weights file, without its tensors. Raises WeightsError."""
    with _opened(path) as file:
        return _spec(file, path)


def is_own(path: Path) -> bool:
    """Whether the header of a safetensors file holds an architecture, as ``save`` writes it. Raises WeightsError."""
    with _opened(path) as file:
        return KEY in (file.metadata() or {})


@contextmanager
def _opened(path: Path) -> Iterator[safe_open]:
    """Open a weights file; only its header is read until a tensor is asked for."""
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise WeightsError(_why_not_opened(path, error)) from error


def _why_not_opened(path: Path, error: SafetensorError | OSError) -> str:
    """Say why ``path`` cannot be opened, and what to do with it if it is a file of another program."""
    from fullyconv.weights import foreign
    from fullyconv.weights.tensors import is_safetensors

    if isinstance(error, SafetensorError) and not is_safetensors(path) and (found := foreign.kind(path)):
        return f"{path} is {found}, not a network of fullyconv. {foreign.remedy(path)}"
    return f"{path} is no safetensors file, or is damaged: {first_line(error)[:200]}"


def _fetched(name: str) -> Path:
    """Return the folder of a network on the hub, downloaded if it is not there yet. Raises WeightsError."""
    from fullyconv.weights import hub

    return hub.download(hub.parse(name))


def _hint(source: str) -> str:
    """Say what to write if a path that does not exist looks like the name of a network on the hub."""
    from fullyconv.weights import hub

    return f" For the Hugging Face hub write {HUB}{source}." if hub.REPOSITORY.fullmatch(source) else ""


def _spec(file: safe_open, path: Path) -> ModelSpec:
    text = (file.metadata() or {}).get(KEY)
    if text is None:
        raise WeightsError(f"{path} was not written by fullyconv: its header holds no architecture.")
    return parsed(ModelSpec, text, str(path))


def _refuse_another_architecture(own: ModelSpec, path: Path) -> None:
    """Raise WeightsError where the ``model.json`` beside a weights file differs from its header (``own``)."""
    beside = path.with_name(ARCHITECTURE)
    if not beside.is_file():
        return
    readable = parsed(ModelSpec, _text(beside), str(beside))
    for field in ModelSpec.model_fields:
        if getattr(readable, field) != getattr(own, field):
            raise WeightsError(
                f"{beside}: {field} differs from the header of {path.name}, which is what counts. Restore or "
                "remove the .json file; it is there only for people to read."
            )


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(MAX_TEXT + 1)  # a longer text is refused by its length
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f"{path} cannot be read: {first_line(error)}") from error


def _laid_out(spec: ModelSpec, file: safe_open, path: Path) -> fcn.FCN:
    """Return the network that ``spec`` describes without memory for its weights, which the file's tensors fit.

    So opening a file takes no more memory than the tensors that it holds. Raises WeightsError where they do not fit.
    """
    try:
        with torch.device("meta"):
            net = fcn.from_spec(spec)
    except FullyConvError as error:
        raise WeightsError(f"{path}: its network cannot be built: {error}") from error
    own, found = net.state_dict(), set(file.keys())
    for name, tensor in own.items():
        if name not in found:
            raise WeightsError(f"{path}: {name} is missing; {net.name} needs it.")
        shape = tuple(file.get_slice(name).get_shape())
        if shape != tuple(tensor.shape):
            raise WeightsError(f"{path}: {name} has shape {shape}, {net.name} expects {tuple(tensor.shape)}.")
        kinds = FLOATS if tensor.is_floating_point() else INTEGERS
        if (kind := file.get_slice(name).get_dtype()) not in kinds:
            raise WeightsError(f"{path}: {name} holds numbers of type {kind}; expected one of {', '.join(kinds)}.")
    unknown = sorted(found - set(own))
    if unknown:
        raise WeightsError(f"{path}: {unknown[0][:80]} is no part of {net.name}.")
    return net
