"""Ways of damaging files: their bytes, the entries of an archive, the values of JSON and YAML."""

import io
import json
import os
import pickle
import re
import struct
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

Random = np.random.Generator
Choice = TypeVar("Choice")
ODD: tuple[object, ...] = (
    None, True, -1, 0, 1, 3, 255, 256, 65536, 2**31, 2**62, 10**30, 0.5, 1e308, "", "a", "../../etc/passwd", "\x00",
    "fcn8s-vgg16", "fcn8s-../x", "x" * 5000, "<script>alert(1)</script>", [], {}, [[]], [None], [2**40], {"a": 1},
    ["a"] * 300, [[0, 0, 0]] * 300,
)  # fmt: skip
"""What stands in place of a value of JSON or YAML."""


def pick(random: Random, choices: Sequence[Choice]) -> Choice:
    return choices[int(random.integers(len(choices)))]


def damaged(content: bytes, others: list[bytes], random: Random) -> bytes:
    """The bytes, damaged in one to four places; ``others`` are the files that parts are spliced in from."""
    found = bytearray(content)
    for _ in range(random.integers(1, 5)):
        if not found:
            break
        at = _near_an_end_or_anywhere(len(found), random)
        match random.integers(9):
            case 0:
                del found[at:]
            case 1:
                found[at] ^= 1 << int(random.integers(8))
            case 2:
                found[at] = int(random.integers(256))
            case 3:
                end = at + int(random.integers(1, 64))
                found[at:end] = random.bytes(end - at)
            case 4:  # a varint or a length that says far too much
                found[at : at + 10] = b"\xff" * int(random.integers(1, 10)) + b"\x7f"
            case 5:
                found[at : at + 8] = struct.pack("<Q", int(random.integers(2**62)))
            case 6:  # another place of this file, or of another
                other = others[random.integers(len(others))]
                place = int(random.integers(len(other)))
                found[at:at] = other[place : place + int(random.integers(1, 4096))]
            case 7:
                found = bytearray(random.bytes(int(random.integers(1, 4096)))) if random.random() < 0.1 else found
                del found[at : at + int(random.integers(1, 512))]
            case 8:  # a length or a size of 32 bits, in either order
                number = int(pick(random, [0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, 65535, 100_000]))
                found[at : at + 4] = struct.pack(pick(random, ["<I", ">I"]), number)
    return bytes(found)


def _near_an_end_or_anywhere(size: int, random: Random) -> int:
    """Headers are at the start, and in archives also at the end."""
    match random.integers(3):
        case 0:
            return int(random.integers(min(size, 2048)))
        case 1:
            return size - 1 - int(random.integers(min(size, 2048)))
    return int(random.integers(size))


def odd_value(tree: object, random: Random, more: Sequence[object] = ()) -> object:
    """The tree with one value, or a few, replaced by another of it, by one of ``ODD`` or ``more``, removed, or doubled.

    A tree is what JSON or YAML is read as; a value of it may also be given another name.
    """
    odd = [*ODD, *more]
    for _ in range(random.integers(1, 4)):
        places = list(_places(tree))
        if not places:
            return pick(random, odd)
        holder, key = pick(random, places)
        match random.integers(5):
            case 0 if isinstance(holder, dict):
                holder[pick(random, ["", "__class__", "pretrained", "name", "x" * 300])] = holder.pop(key)
            case 1:
                del holder[key]
            case 2 if isinstance(holder, list):
                holder.extend([holder[key]] * int(random.integers(1, 400)))
            case 3:
                holder[key] = pick(random, [holder[key] for holder, key in places])
            case _:
                holder[key] = pick(random, odd)
    return tree


def _places(tree: object, depth: int = 0) -> list[tuple[dict | list, object]]:
    """Each value of the tree: what holds it, and its key there."""
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree))) if isinstance(tree, list) else []
    if depth == 12:
        return []
    own = [(tree, key) for key in keys]
    return own + [place for key in keys for place in _places(tree[key], depth + 1)]


def odd_json(text: bytes, random: Random) -> bytes:
    """JSON with odd values, nested without end, or not JSON."""
    match random.integers(10):
        case 0:
            return b"[" * int(random.integers(1, 100_000))
        case 1:
            return damaged(text, [text], random)
        case 2:
            return re.sub(rb"\d+", lambda found: found[0] if random.random() < 0.9 else b"9" * 5000, text)
    try:
        return json.dumps(odd_value(json.loads(text), random)).encode()
    except (ValueError, RecursionError):  # one value in two places of the tree
        return b"{}"


def odd_numbers(text: bytes, random: Random) -> bytes:
    """Text, one to four of whose numbers are others."""
    found = [match.span() for match in re.finditer(rb"\d+", text)]
    for _ in range(random.integers(1, 5) if found else 0):
        start, end = pick(random, found)
        number = pick(random, [0, 1, 2, 3, 255, 65536, 2**31, 2**62, 10**30])
        text = text[:start] + str(number).encode()[: end - start].rjust(end - start, b"0") + text[end:]
    return text


class _Hostile:
    """Runs a command when it is unpickled."""

    def __init__(self, canary: Path):
        self.canary = canary

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.canary}",)


def hostile_pickle(canary: Path, random: Random) -> bytes:
    """Pickles that make the file ``canary`` where they are trusted."""
    match random.integers(4):
        case 0:
            return pickle.dumps(_Hostile(canary), protocol=2)
        case 1:
            return pickle.dumps({"state_dict": {"a.weight": _Hostile(canary)}}, protocol=2)
        case 2:
            return f"cbuiltins\neval\n(S'open({str(canary)!r}, \"w\")'\ntR.".encode()
    return f"cposix\nsystem\n(S'touch {canary}'\ntR.".encode()


def zipped(content: bytes, canary: Path, random: Random) -> bytes:
    """A zip archive with entries renamed, doubled, compressed, left out, damaged, or swapped for hostile ones."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = [(info.filename, archive.read(info)) for info in archive.infolist()]
    at = int(random.integers(len(entries)))
    name, held = entries[at]
    compression = zipfile.ZIP_STORED
    match random.integers(10):
        case 0:
            entries[at] = (str(pick(random, ["../escaped", "/tmp/escaped", "a/../../escaped", "/", "x" * 300])), held)
        case 1:
            entries.insert(
                int(random.integers(len(entries) + 1)), (name, damaged(held or b"\0", [held or b"\0"], random))
            )
        case 2:
            compression = zipfile.ZIP_DEFLATED
        case 3:
            entries[at] = (name, bytes(64 << 20))
            compression = zipfile.ZIP_DEFLATED
        case 4:
            del entries[at]
        case 5:
            other = int(random.integers(len(entries)))
            entries[at], entries[other] = (name, entries[other][1]), (entries[other][0], held)
        case 6 | 7:
            pickles = [i for i, (name, _) in enumerate(entries) if name.endswith(".pkl")] or [at]
            at = int(pick(random, pickles))
            entries[at] = (entries[at][0], hostile_pickle(canary, random))
        case 8 if held[:1] == b"{":
            entries[at] = (name, odd_json(held, random))
        case _:
            texts = [i for i, (_, held) in enumerate(entries) if held[:1] == b"{"]
            at = int(pick(random, texts)) if texts and random.random() < 0.7 else at
            name, held = entries[at]
            held = held or b"\0"
            change = odd_json if held[:1] == b"{" else lambda held, random: damaged(held, [held], random)
            entries[at] = (name, change(held, random))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, held in entries:
            archive.writestr(name, held)
    return file.getvalue()


def hostile_tar(content: bytes, canary: Path, random: Random) -> bytes:
    """A tar archive with an entry that leads out of the folder that it is unpacked to, or is no file."""
    file = io.BytesIO(content)
    added = tarfile.TarInfo(str(pick(random, ["../escaped", str(canary), "inner/../../escaped", "inner/link/x"])))
    target = str(pick(random, [str(canary.parent), "..", "../..", "/etc/passwd"]))
    with tarfile.open(fileobj=file, mode="a") as archive:
        match random.integers(5):
            case 0:
                added.type, added.linkname = tarfile.SYMTYPE, target
            case 1:
                added.type, added.linkname = tarfile.LNKTYPE, target
            case 2:
                added.type = pick(random, [tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE])
            case 3:  # a link, and a file that is written through it
                link = tarfile.TarInfo("inner/link")
                link.type, link.linkname = tarfile.SYMTYPE, target
                archive.addfile(link)
        held = b"hostile" if added.isreg() else b""
        added.size = len(held)
        archive.addfile(added, io.BytesIO(held))
    return file.getvalue()


def hostile_yaml(canary: Path, random: Random) -> bytes:
    """YAML that grows without end, names Python's functions, or is nested deeply."""
    match random.integers(6):
        case 0:
            lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
            lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
            return "\n".join(lines).encode()
        case 1:
            return f"classes: !!python/object/apply:os.system ['touch {canary}']\n".encode()
        case 2:
            return b"[" * int(random.integers(1, 20_000))
        case 3:
            return b"classes: &a [*a, *a]\nsplits: &b {train: *b}\n"
        case 4:
            return b"classes: " + b"9" * 10_000 + b"\nsplits: 2001-99-99\n"
    return b"model: &m {<<: *m}\ndata: {<<: [1, 2]}\n? [a, b]\n: {}\n"


def hostile_xml(canary: Path, random: Random) -> bytes:
    """A document type: entities that grow without end, or stand for a file."""
    entities = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 9}">' for i in range(1, 10))
    match random.integers(2):
        case 0:
            return f'<?xml version="1.0"?><!DOCTYPE net [<!ENTITY e0 "eee">{entities}]><net name="&e9;">&e9;'.encode()
    return f'<?xml version="1.0"?><!DOCTYPE net [<!ENTITY e SYSTEM "file://{canary.parent}">]><net name="&e;">'.encode()
