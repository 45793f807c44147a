"""Read label maps in MATLAB files."""

import io
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from scipy.io import loadmat

from fullyconv.errors import DataError
from fullyconv.files import absence

SUFFIX = ".mat"
HEADER = 128
"""Bytes before the first element of a file of version 5; the last four are its version and byte order."""
NUMBERS = frozenset({1, 2, 3, 4, 5, 6, 7, 9, 12, 13, 16, 17, 18})
"""Types of elements that are numbers or characters."""
MATRIX, COMPRESSED = 14, 15
"""The other types of elements: a matrix, whose parts are elements, and a compressed element, with a checksum."""
CONTAINERS = frozenset({1, 2, 3, 16, 17})
"""Classes of matrices that hold matrices: cells, structs, objects, functions and opaque ones."""
SPARSE, COMPLEX = 5, 1 << 11
"""The class of sparse matrices, which have two parts beside flags, sides, name and numbers, and the flag of complex
ones, which have one."""
INT32, OPAQUE = 5, 17
"""The type of a matrix's sides, and the class of matrices that have none."""
SMALLEST = 8
"""Fewest bytes of an element."""
MAX_BYTES = 256 * 2**20
"""Most bytes of a file, uncompressed; published label maps have less than one million."""
MAX_DEPTH = 32


def read_matrix(path: str | Path, key: str) -> np.ndarray:
    """Read the matrix of whole numbers, (H, W), that a MATLAB file holds under ``key``.

    ``key`` is a variable's name, or the path into a struct, with dots: ``GTcls.Segmentation``. Floating-point matrices
    of whole numbers, MATLAB's default type, are returned as int64.
    Raises DataError, naming the file, if it is absent, broken, of another version than 5, or holds no such matrix.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: {absence(path)}")
    variable, *fields = key.split(".")
    value = _load(path, variable)
    for field in fields:
        struct: np.ndarray = value if isinstance(value, np.ndarray) else np.empty(0)
        names = struct.dtype.names or ()
        if field not in names or struct.size != 1:
            found = f"is {struct.size} struct(s) with {', '.join(names)}" if names else "is no struct"
            raise DataError(f"{path}: {field!r} of {key} is expected, but what is there {found}")
        value = struct[field].item()
    return _whole_numbers(path, key, value)


def _load(path: Path, variable: str) -> object:
    try:
        variables = loadmat(_checked(path), variable_names=[variable])
    except DataError:
        raise
    except Exception as error:  # SciPy's reader raises errors of many kinds on broken files
        raise DataError(f"{path}: cannot be read as a MATLAB file ({error})") from error
    if variable not in variables:
        raise DataError(f"{path}: holds no variable {variable!r}, which the layout of this data set expects")
    return variables[variable]


def _checked(path: Path) -> io.BytesIO:
    """Decompress a file of version 5 and check its every element.

    SciPy's reader trusts what it reads: an unknown type ends the process, and it takes whatever memory a size or a
    compressed element asks for. Raises DataError for a file of another version, ValueError for one that is
    damaged or too large.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ValueError(f"it has {size:,} bytes; at most {MAX_BYTES:,} are read")
    content = path.read_bytes()
    marks = {b"\x00\x01IM": "<", b"\x01\x00MI": ">"}
    if content[HEADER - 4 : HEADER] in (b"\x00\x02IM", b"\x02\x00MI"):
        raise DataError(
            f"{path}: is a MATLAB 7.3 (HDF5) file; the published files are of version 5, so fetch it again "
            "or save it in MATLAB with `save -v6`"
        )
    order = marks.get(content[HEADER - 4 : HEADER])
    if order is None:
        raise ValueError("it has no header of MATLAB's version 5; `save -v6` writes one")
    plain = io.BytesIO(_inflated(content, order))
    _check_parts(plain, order, HEADER, plain.getbuffer().nbytes, container=True, depth=0)
    plain.seek(0)
    return plain


def _inflated(content: bytes, order: str) -> bytes:
    """Return the file with its elements decompressed. Raises ValueError where they are too large or damaged."""
    whole, start = bytearray(content[:HEADER]), HEADER
    while start < len(content):
        if len(content) - start < 8:
            raise ValueError(f"it ends within the element at byte {start}")
        kind, length = struct.unpack_from(order + "II", content, start)
        after = start + 8 if kind >> 16 else start + 8 + length
        if after > len(content):
            raise ValueError(f"the element at byte {start}, of type {kind} and {length} bytes, is damaged")
        if kind == COMPRESSED:
            unpacked = zlib.decompressobj()
            whole += unpacked.decompress(content[start + 8 : after], MAX_BYTES - len(whole))
            if unpacked.unconsumed_tail or len(whole) >= MAX_BYTES:
                raise ValueError(f"it holds more than the {MAX_BYTES:,} bytes that are read")
            if not unpacked.eof:
                raise ValueError(f"the compressed element at byte {start} is damaged")
        else:
            after = min(after + -after % 8, len(content))
            whole += content[start:after]
        whole += bytes(-len(whole) % 8)
        start = after
    return bytes(whole)


def _check_parts(file: BinaryIO, order: str, start: int, end: int, container: bool, depth: int) -> int:
    """Check and count the elements from ``start`` to ``end``; only a ``container`` may hold matrices."""
    count = 0
    while start < end:
        count += 1
        file.seek(start)
        head = file.read(min(16, end - start))
        if len(head) < 8:
            raise ValueError(f"it ends within the element at byte {start}")
        kind, length = struct.unpack(order + "II", head[:8])
        if kind >> 16:  # up to four bytes, in the tag itself
            kind, after = kind & 0xFFFF, start + 8
        else:
            after = start + 8 + length
        known = kind in NUMBERS or (container and kind == MATRIX)
        if not known or after > end:
            raise ValueError(f"the element at byte {start}, of type {kind} and {length} bytes, is damaged")
        if kind == MATRIX and length:
            if depth == MAX_DEPTH or after - start < 24:
                raise ValueError(f"the matrix at byte {start} is damaged")
            file.seek(start + 16)
            (flags,) = struct.unpack(order + "I", file.read(4))
            nested, needed = flags & 0xFF in CONTAINERS, 4 + bool(flags & COMPLEX) + 2 * (flags & 0xFF == SPARSE)
            if flags & 0xFF != OPAQUE:
                _check_sides(file, order, start, after, SMALLEST if nested else 1, flags & 0xFF == SPARSE)
            if _check_parts(file, order, start + 8, after, nested, depth + 1) < needed and not nested:
                raise ValueError(f"the matrix at byte {start} lacks some of its parts")
        start = after + -after % 8
    return count


def _check_sides(file: BinaryIO, order: str, start: int, after: int, smallest: int, sparse: bool) -> None:
    """Raise ValueError where a matrix claims more entries, of at least ``smallest`` bytes, than it has bytes.

    SciPy allocates as many cells, structs and blanks as the sides of a matrix say, except for sparse ones.
    """
    file.seek(start + 24)
    kind, length = struct.unpack(order + "II", file.read(8))
    if kind >> 16:
        kind, length = kind & 0xFFFF, kind >> 16
        file.seek(start + 28)
    if kind != INT32 or length % 4 or length > 4 * MAX_DEPTH or file.tell() + length > after:
        raise ValueError(f"the sides of the matrix at byte {start} are damaged")
    sides = struct.unpack(f"{order}{length // 4}i", file.read(length))
    if min(sides, default=-1) < 0 or not (sparse or math.prod(sides) * smallest <= after - start):
        raise ValueError(f"the matrix at byte {start} has sides {sides[:8]}, and no room for as many entries")


def _whole_numbers(path: Path, key: str, value: object) -> np.ndarray:
    if type(value) is not np.ndarray or value.ndim != 2 or value.dtype.kind not in "uif" or not value.size:
        found = f"{value.dtype} of shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
        raise DataError(f"{path}: {key} is {found}; a matrix of whole numbers (height x width) is expected")
    if value.dtype.kind != "f":
        return value
    if not (np.isfinite(value).all() and (value == np.floor(value)).all() and np.abs(value).max() < 2**53):
        raise DataError(f"{path}: {key} holds fractions; whole numbers are expected, one for each class")
    return value.astype(np.int64)
