"""Read a torch.export file (``.pt2``) as data: the description of the graph, and the weights.

``torch.export.load`` executes what a file contains: pickles, expressions and names that become Python code, functions
named by their path, compiled libraries. Here, only uncompressed entries of the archive are read: descriptions as JSON
with known fields, and weights as bytes.
"""

import math
import zipfile
from pathlib import Path
from typing import Annotated, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from fullyconv.errors import WeightsError, first_line

MAX_JSON = 1 << 25
"""Maximum size of a graph's description in bytes; networks with a thousand layers take a tenth of it."""
MAX_SIZE = 1 << 62
DTYPES = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    12: torch.bool,
    13: torch.bfloat16,
}
"""The number types by their codes in the file."""
STRIDED = 7
"""The file's code for dense tensors, the only ones that are read."""

Size = Annotated[int, Field(ge=0, le=MAX_SIZE)]


class Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class _Named(Part):
    name: str


class _Known(Part):
    as_int: Size


class _Meta(Part):
    """The type, shape and strides of a tensor."""

    dtype: int
    layout: int
    sizes: Annotated[list[_Known], Field(max_length=16)]
    strides: Annotated[list[_Known], Field(max_length=16)]
    storage_offset: _Known


class _Payload(Part):
    path_name: str
    use_pickle: bool = False
    tensor_meta: _Meta | None


class _Payloads(Part):
    config: dict[str, _Payload]


class Input(Part):
    name: str
    arg: dict[str, object]
    kind: int | None = None


class Node(Part):
    target: str
    inputs: list[Input]
    outputs: list[dict[str, object]]


class Graph(Part):
    inputs: list[dict[str, object]]
    outputs: list[dict[str, object]]
    nodes: list[Node]


class Signature(Part):
    input_specs: list[dict[str, dict[str, object]]]
    output_specs: list[dict[str, object]]


class Module(Part):
    graph: Graph
    signature: Signature


class _Model(Part):
    graph_module: Module


class Contents(NamedTuple):
    """The contents of a ``.pt2`` file: its graph, its weights by name, and its extra entry (None if there is none)."""

    module: Module
    weights: dict[str, Tensor]
    extra: str | None


def read(path: Path, key: str) -> Contents:
    """Read a ``.pt2`` file, including its extra entry ``key``.

    Raises WeightsError if the file is damaged, or contains anything but a graph and plain weights.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = _entries(archive, path)
            model = _Model.model_validate_json(_text(archive, entries, "models/model.json", path))
            tensors = {
                **_tensors(archive, entries, "data/weights/", "model_weights_config.json", path),
                **_tensors(archive, entries, "data/constants/", "model_constants_config.json", path),
            }
            extra = _text(archive, entries, f"extra/{key}", path).decode() if f"extra/{key}" in entries else None
        return Contents(model.graph_module, tensors, extra)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part)[:80] for part in first["loc"])
        raise WeightsError(
            f"{path} cannot be opened: it is not a complete .pt2 file: {place or 'a description'}: {first['msg']}."
        ) from error
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, ValueError, RuntimeError) as error:
        raise WeightsError(
            f"{path} cannot be opened: it is not a complete .pt2 file: {first_line(error)[:200]}"
        ) from error


def _entries(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """Return the entries by their names without the top folder. Raises WeightsError if one is not plain data."""
    entries: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        name = info.filename.partition("/")[2]
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise WeightsError(
                f"{path}: {info.filename[:80]!r} is compressed, unlike in files of torch.export.save. Export it again."
            )
        if name in entries:
            raise WeightsError(f"{path}: contains {info.filename[:80]!r} twice. Export it again.")
        if name.startswith("data/aotinductor/"):
            raise WeightsError(f"{path} contains compiled code, which is never run. Export it with fullyconv export.")
        entries[name] = info
    if sum(info.file_size for info in entries.values()) > path.stat().st_size:
        raise WeightsError(f"{path} is damaged: its entries claim to be larger than the file. Export it again.")
    return entries


def _text(archive: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo], name: str, path: Path) -> bytes:
    if name not in entries:
        raise WeightsError(f"{path} is not a .pt2 file of this version of torch.export: it has no {name}.")
    if entries[name].file_size > MAX_JSON:
        raise WeightsError(f"{path}: {name} has {entries[name].file_size:,} bytes; expected at most {MAX_JSON:,}.")
    return archive.read(entries[name])


def _tensors(
    archive: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo], folder: str, config: str, path: Path
) -> dict[str, Tensor]:
    """Read the weights in a folder of the archive, by their names in the network."""
    stored: dict[str, Tensor] = {}
    tensors: dict[str, Tensor] = {}
    payloads = _Payloads.model_validate_json(_text(archive, entries, folder + config, path)).config
    for name, payload in payloads.items():
        meta, entry = payload.tensor_meta, entries.get(folder + payload.path_name)
        if payload.use_pickle or meta is None or entry is None or meta.dtype not in DTYPES or meta.layout != STRIDED:
            raise WeightsError(f"{path}: {name[:80]} is not a plain tensor of numbers; pickles are never opened.")
        if payload.path_name not in stored:
            stored[payload.path_name] = held = torch.empty(entry.file_size, dtype=torch.uint8)
            with archive.open(entry) as file:
                content = file.read()
            held.numpy()[:] = memoryview(content)
        flat = stored[payload.path_name].view(DTYPES[meta.dtype])
        sizes, strides = ([part.as_int for part in parts] for parts in (meta.sizes, meta.strides))
        if math.prod(sizes) > flat.numel():
            raise WeightsError(
                f"{path} is damaged: {name[:80]} has the shape {tuple(sizes)}, but only {flat.numel()} numbers."
            )
        tensors[name] = torch.as_strided(flat, sizes, strides, meta.storage_offset.as_int)
    return tensors
