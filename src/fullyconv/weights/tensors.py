"""Read state dicts, torch's ``.pth`` and safetensors, as tensors only: nothing in a file is ever executed."""

import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import cast

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from fullyconv.errors import WeightsError, first_line

WRAPPERS = ("model_state_dict", "state_dict", "model")
"""Keys under which training scripts save the state dict of their network."""
_NUMBERS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
_COUNTS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)
_SCALAR = cast(Callable[..., object], np.float64(0).__reduce__()[0])
_SCALARS: list[Callable[..., object] | tuple[Callable[..., object], str]] = [
    (_SCALAR, "numpy.core.multiarray.scalar"),
    (_SCALAR, "numpy._core.multiarray.scalar"),
    np.dtype,
    type(np.dtype("float64")),
]
"""NumPy's numbers, which are allowed because pytorch-fcn's checkpoints hold their best mean IoU as one."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the state dict in a file of safetensors or ``torch.save``, recognized by its content.

    Tensors of ``torch.save`` are mapped, not copied. Raises WeightsError where the file is neither, is damaged, or
    holds anything but tensors.
    """
    if is_torch(path):
        return _checked(_read_torch(path), path)
    try:
        tensors = safetensors.torch.load_file(path)
    except Exception as error:
        raise WeightsError(
            f"{path} is no file of safetensors or torch.save, or is damaged: {_reason(error)}"
        ) from error
    return _checked(tensors, path)


def is_torch(path: Path) -> bool:
    """Whether the file starts like one of ``torch.save``: as a zip archive, or as the pickle of torch before 1.6."""
    with path.open("rb") as file:
        head = file.read(4)
    return head == b"PK\x03\x04" or head[:2] == b"\x80\x02"


def is_safetensors(path: Path) -> bool:
    """Whether the file starts like one of safetensors: with the length of a header, and a header in JSON."""
    with path.open("rb") as file:
        head = file.read(9)
    return head[8:] == b"{" and int.from_bytes(head[:8], "little") + 8 <= path.stat().st_size


def load_as_data(path: Path, mapped: bool = False) -> object:
    """Load tensors, numbers and text, in lists and dictionaries, that ``torch.save`` wrote; nothing is executed.

    With ``mapped``, tensors are read from the file when they are used, and the file must not change until then. For
    any other content an error is raised, of whatever kind, torch's among them.
    """
    zipped = zipfile.is_zipfile(path)
    if zipped:
        _refuse_compression(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.serialization.safe_globals(_SCALARS):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped and zipped)


def _read_torch(path: Path) -> object:
    """Return a file's content, without the ``WRAPPERS`` around a state dict."""
    try:
        content = load_as_data(path, mapped=True)
    except Exception as error:
        raise WeightsError(
            f"{path} cannot be read as tensors: it is damaged, or holds more than tensors (which is never executed). "
            f"{_reason(error)}"
        ) from error
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    return content


def _refuse_compression(path: Path) -> None:
    """Raise ValueError where an entry is compressed, so that it could be of any size; torch.save never does that."""
    with zipfile.ZipFile(path) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ValueError("Its entries are compressed, which torch.save never does.")


def _checked(content: object, path: Path) -> dict[str, Tensor]:
    """Return ``content`` if it is a state dict of plain tensors, whose every number is in the file.

    Raises WeightsError otherwise.
    """
    if not isinstance(content, dict):
        raise WeightsError(f"{path} holds a {type(content).__name__}; expected a state dict, names and tensors.")
    for name, tensor in content.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise WeightsError(f"{path}: {str(name)[:80]!r} is a {type(tensor).__name__}; expected names and tensors.")
        if not is_plain(tensor):
            raise WeightsError(
                f"{path}: {name[:80]!r} is not a plain tensor of numbers ({tensor.dtype}, {tensor.layout}, shape "
                f"{tuple(tensor.shape)[:8]})."
            )
    return dict(content)


def is_plain(tensor: Tensor) -> bool:
    """Return whether a tensor holds numbers, as many as its shape says."""
    dense = tensor.layout == torch.strided and tensor.dtype in (*_NUMBERS, *_COUNTS) and tensor.device.type == "cpu"
    return dense and tensor.nbytes <= tensor.untyped_storage().nbytes()


def _reason(error: Exception) -> str:
    """Return the error's first line, except for pickles: there torch advises to execute them."""
    if isinstance(error, UnpicklingError):
        return ""
    return first_line(error)[:200]
