"""How a file of each format is damaged: a seed's name and content to what is written in its place."""

import gzip
import io
import json
import struct
import zipfile

import onnx
import torch
import yaml
from fuzz_damage import (
    Random,
    damaged,
    hostile_pickle,
    hostile_tar,
    hostile_xml,
    hostile_yaml,
    odd_json,
    odd_numbers,
    odd_value,
    pick,
    zipped,
)
from fuzz_seeds import Seeds


def of_bytes(names: list[str]):
    def damage(name: str, content: bytes, seeds: Seeds, random: Random) -> bytes:
        if random.random() < 0.01:
            return hostile_pickle(seeds.canary, random)
        return damaged(content, [seeds.read(other) for other in names], random)

    return damage


def of_zip(name: str, content: bytes, seeds: Seeds, random: Random) -> bytes:
    if random.random() < 0.02:
        return hostile_pickle(seeds.canary, random)
    if random.random() < 0.6 and zipfile.is_zipfile(io.BytesIO(content)):
        return zipped(content, seeds.canary, random)
    return damaged(content, [content], random)


def of_torch(name: str, content: bytes, seeds: Seeds, random: Random) -> bytes:
    """As an archive, or with other values and tensors where ``torch.save`` would write them."""
    if random.random() < 0.4:
        return of_zip(name, content, seeds, random)
    tree = odd_value(torch.load(io.BytesIO(content), weights_only=True), random, odd_tensors())
    file = io.BytesIO()
    torch.save(tree, file)
    return file.getvalue()


def odd_tensors() -> list[object]:
    """Tensors of odd types and shapes, some of which claim more than they hold."""
    return [
        torch.ones(3),
        torch.ones(()),
        torch.tensor(float("nan")),
        torch.tensor(-1.0),
        torch.tensor(2**62),
        torch.ones(24, 3, 5, 5, dtype=torch.complex64),
        torch.ones(24, 3, 5, 5, dtype=torch.int8),
        torch.ones(24, dtype=torch.float16),
        torch.ones(24, requires_grad=True),
        torch.ones(1).expand(2**40),
        torch.ones(3, 3).to_sparse(),
        torch.empty(24, 3, 5, 5, device="meta"),
        torch.empty(0),
        torch.nn.Parameter(torch.ones(24)),
        float("nan"),
        float("inf"),
        "1",
        (1, 2),
        {0: {"step": 1}},
    ]


def of_pt2(name: str, content: bytes, seeds: Seeds, random: Random) -> bytes:
    """As an archive, or with other numbers or values in one of its descriptions."""
    if random.random() < 0.4:
        return of_zip(name, content, seeds, random)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = {info.filename: archive.read(info) for info in archive.infolist()}
    described = pick(random, [name for name, held in entries.items() if held[:1] == b"{"])
    change = odd_numbers if random.random() < 0.5 else odd_json
    entries[described] = change(entries[described], random)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, held in entries.items():
            archive.writestr(name, held)
    return file.getvalue()


def of_onnx(name: str, content: bytes, seeds: Seeds, random: Random) -> bytes:
    """Any byte, or one to four of the graph's parts: tensors, operations, sizes, the description."""
    if random.random() < 0.4:
        return damaged(content, [content, seeds.read("pt2/net.pt2")], random)
    model = onnx.load_from_string(content)
    for _ in range(random.integers(1, 5)):
        _change_onnx(model, seeds, random)
    return model.SerializeToString()


def _change_onnx(model: onnx.ModelProto, seeds: Seeds, random: Random) -> None:
    graph = model.graph
    if not graph.initializer or not graph.node:
        return
    tensor, node = pick(random, graph.initializer), pick(random, graph.node)
    number = pick(random, [-(2**63), -1, 0, 1, 2, 7, 255, 2**16, 2**31 - 1, 2**31, 2**40, 2**62])
    match random.integers(10):
        case 0:
            tensor.data_location = onnx.TensorProto.EXTERNAL
            places = ["/etc/passwd", "../other", str(seeds.canary), "net.onnx", "", "*/_ORT_MEM_ADDR_/*"]
            for key, value in {"location": pick(random, places), "offset": number, "length": number}.items():
                tensor.external_data.add(key=key, value=str(value))
        case 1:
            (description,) = model.metadata_props[:1] or [model.metadata_props.add(key="fullyconv", value="{}")]
            description.value = odd_json(description.value.encode(), random).decode(errors="replace")
        case 2:
            tensor.dims[:] = [*tensor.dims[1:], number][int(random.integers(2)) :]
        case 3:
            sizes = pick(random, [*graph.input, *graph.output]).type.tensor_type.shape
            (sizes.dim or [sizes.dim.add()])[0].dim_value = number
        case 4:
            others = sorted({one.op_type for one in graph.node})
            node.op_type = pick(random, ["Nothing", "", "If", "Loop", "Scan", *others])
        case 5:
            node.domain = pick(random, ["theirs", "com.microsoft", "ai.onnx.ml"])
        case 6:
            names = [name for one in graph.node for name in one.output] + ["", "nothing", "images"]
            changed = pick(random, [node.input, node.output])
            changed[:] = [pick(random, names) for _ in range(int(random.integers(4)))]
        case 7 if node.attribute:
            attribute = pick(random, node.attribute)
            attribute.ints[:] = [number] * int(random.integers(5))
            attribute.i, attribute.type = number, int(random.integers(1, 8))
        case 8:
            tensor.data_type = int(random.integers(30))
        case _:
            parts = pick(random, [graph.node, graph.initializer, graph.input, graph.output, model.opset_import])
            part = pick(random, parts) if parts else parts.add()
            if random.random() < 0.5:
                parts.remove(part)
            else:
                parts.add().CopyFrom(part)


def of_safetensors(name: str, content: bytes, seeds: Seeds, random: Random) -> bytes:
    """The header, or the architecture in it, or any byte."""
    if random.random() < 0.4:
        return damaged(content, [content], random)
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    if random.random() < 0.6 and "fullyconv" in header.get("__metadata__", {}):
        text = odd_json(header["__metadata__"]["fullyconv"].encode(), random)
        header["__metadata__"]["fullyconv"] = text.decode(errors="replace")
        changed = json.dumps(header).encode()
    else:
        changed = odd_json(content[8 : 8 + size], random)
    return struct.pack("<Q", len(changed)) + changed + content[8 + size :]


def of_archive(name: str, content: bytes, seeds: Seeds, random: Random) -> bytes:
    if random.random() < 0.5:
        return damaged(content, [content], random)
    if name.endswith("z"):
        return gzip.compress(hostile_tar(gzip.decompress(content), seeds.canary, random), 1)
    return hostile_tar(content, seeds.canary, random)


def of_yaml(name: str, content: bytes, seeds: Seeds, random: Random) -> bytes:
    choice = random.random()
    if choice < 0.1:
        return hostile_yaml(seeds.canary, random)
    if choice < 0.35:
        return damaged(content, [content], random)
    try:
        return yaml.safe_dump(odd_value(yaml.safe_load(content), random), allow_unicode=True).encode()
    except (ValueError, RecursionError):
        return b"[]"


def of_xml(name: str, content: bytes, seeds: Seeds, random: Random) -> bytes:
    choice = random.random()
    if name.endswith(".bin") or choice < 0.4:
        return damaged(content, [content], random)
    return hostile_xml(seeds.canary, random) if choice < 0.45 else odd_numbers(content, random)
