"""Masks in MATLAB files."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat
from scipy.sparse import csc_array

from fullyconv.data.masks import IGNORE, MaskCode, read_mask, to_labels
from fullyconv.data.published import matlab
from fullyconv.data.published.matlab import read_matrix
from fullyconv.errors import DataError


@pytest.fixture
def mat(tmp_path):
    """Write variables to a MATLAB file; its path."""

    def write(name="a.mat", **variables):
        savemat(tmp_path / name, variables)
        return tmp_path / name

    return write


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "int32", "uint32", "int64", "float32", "float64"]
)
def test_whole_numbers_of_every_type_are_read(mat, dtype):
    path = mat(S=np.array([[0, 1, 2], [3, 2, 1]], dtype))
    assert read_mask(path, MaskCode(4, key="S")).tolist() == [[0, 1, 2], [3, 2, 1]]


def test_a_key_leads_into_structs(mat):
    path = mat(GTcls={"Boundaries": 1, "Segmentation": np.array([[4, 5]]), "Inner": {"Deep": np.array([[6, 7]])}})
    assert read_matrix(path, "GTcls.Segmentation").tolist() == [[4, 5]]
    assert read_matrix(path, "GTcls.Inner.Deep").tolist() == [[6, 7]]


def test_values_have_the_labels_that_the_code_gives_them(mat):
    code = MaskCode(2, values={-1: IGNORE, 0: IGNORE, 7: 0, 65535: 1}, key="S")
    assert read_mask(mat(S=np.array([[-1.0, 0, 7, 65535]])), code).tolist() == [[IGNORE, IGNORE, 0, 1]]
    assert read_mask(mat(S=np.array([[0, 7, 65535]], np.uint16)), code).tolist() == [[IGNORE, 0, 1]]


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.integers(-1, 65535), st.integers(0, 254) | st.just(IGNORE), min_size=1), st.data())
def test_any_table_of_values_is_followed(values, data):
    """Against the dictionary itself, pixel by pixel, with values outside of it among them."""
    pixels = data.draw(st.lists(st.sampled_from(sorted(values)) | st.integers(-5, 70000), min_size=1, max_size=20))
    labels, unknown = to_labels(np.array([pixels]), MaskCode(255, values=values, key="S"))
    assert labels.tolist() == [[values.get(pixel, IGNORE) for pixel in pixels]]
    assert dict(unknown) == {pixel: pixels.count(pixel) for pixel in pixels if pixel not in values}


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.float64])
def test_negative_values_are_unknown_unless_they_are_void(mat, dtype):
    path = mat(S=np.array([[-1, -2, 1]], dtype))
    with pytest.raises(DataError, match=r"values -2 \(1 pixel\), -1 \(1 pixel\); expected 0 to 4"):
        read_mask(path, MaskCode(5, key="S"))
    void = MaskCode(5, values={-1: IGNORE} | {label: label for label in range(5)}, key="S")
    with pytest.raises(DataError, match=r"value -2 \(1 pixel\); expected 0 to 4, -1 for void"):
        read_mask(path, void)


def test_two_classes_by_table_are_not_zero_and_255(mat):
    code = MaskCode(2, values={1: 0, 2: 1}, key="S")
    with pytest.raises(DataError, match="value 255"):
        read_mask(mat(S=np.array([[1, 2, 255]], np.uint8)), code)
    code = MaskCode(2, values={1: 0, 255: 1}, key="S")
    assert read_mask(mat(S=np.array([[1, 255]], np.uint8)), code).tolist() == [[0, 1]]


@pytest.mark.parametrize(
    ("variables", "key", "message"),
    [
        ({"T": np.eye(3)}, "S", "holds no variable 'S'"),
        ({"S": np.array([[0.5, 1]])}, "S", "S holds fractions"),
        ({"S": np.array([[np.nan, 1]])}, "S", "S holds fractions"),
        ({"S": np.zeros((2, 3, 4))}, "S", r"S is float64 of shape \(2, 3, 4\); a matrix of whole numbers"),
        ({"S": "words"}, "S", "S is <U5"),
        ({"S": np.array([[1 + 2j]])}, "S", "S is complex128"),
        ({"S": np.zeros((0, 0))}, "S", r"of shape \(0, 0\)"),
        ({"S": np.eye(2)}, "S.Segmentation", "'Segmentation' of S.Segmentation is expected, but what is there is no"),
        ({"S": {"Other": 1}}, "S.Segmentation", r"but what is there is 1 struct\(s\) with Other"),
        ({"S": np.zeros((1, 2), [("Segmentation", object)])}, "S.Segmentation", r"is 2 struct\(s\) with Segmentation"),
        ({"S": {"Segmentation": {"x": 1}}}, "S.Segmentation", "a matrix of whole numbers"),
    ],
)
def test_files_without_the_matrix_are_refused_by_name(mat, variables, key, message):
    path = mat(**variables)
    with pytest.raises(DataError, match=message) as error:
        read_matrix(path, key)
    assert str(error.value).startswith(f"{path}: ")


def test_version_7_3_is_refused_in_words(tmp_path):
    path = tmp_path / "a.mat"
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n" + bytes(500))
    with pytest.raises(DataError, match=r"a\.mat: is a MATLAB 7\.3 \(HDF5\) file"):
        read_matrix(path, "S")


def test_truncated_and_foreign_files_are_refused(mat, tmp_path):
    whole = mat(S=np.arange(400).reshape(20, 20)).read_bytes()
    for length in (*range(0, len(whole) - 8, 97), len(whole) - 9):
        (tmp_path / "cut.mat").write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"cut\.mat: (cannot be read as a MATLAB file|holds no variable)"):
            read_matrix(tmp_path / "cut.mat", "S")
    (tmp_path / "text.mat").write_text("no MATLAB file at all\n" * 20)
    with pytest.raises(DataError, match=r"text\.mat: "):
        read_matrix(tmp_path / "text.mat", "S")
    with pytest.raises(DataError, match="there is no such file"):
        read_matrix(tmp_path / "absent.mat", "S")


@pytest.mark.parametrize("damage", [b"\x00\x00\x00\x00", b"\xf1\x00\x00\x00", b"\x0e\x00\x00\x00", b"\x08\x00\x00\x00"])
def test_elements_of_unknown_types_are_refused(mat, damage):
    """SciPy alone would end the process: it looks the type of the numbers up without asking whether there is one."""
    path = mat(S=np.arange(30, dtype=np.uint8).reshape(5, 6))
    content = path.read_bytes()
    numbers = content.index(b"\x02\x00\x00\x00\x1e\x00\x00\x00")  # 30 numbers of type 2, unsigned bytes
    path.write_bytes(content[:numbers] + damage + content[numbers + 4 :])
    with pytest.raises(DataError, match=rf"a\.mat: cannot be read .*byte {numbers}, of type {damage[0]} and 30 bytes"):
        read_matrix(path, "S")


@pytest.mark.parametrize(
    "value", [np.eye(2) * 1j, "word", "", np.zeros((0, 3)), csc_array(np.eye(3)), [1, "a"], {"x": {"y": [2]}}]
)
@pytest.mark.parametrize("compressed", [False, True])
def test_whatever_else_a_file_holds_is_passed_over(tmp_path, value, compressed):
    cells = np.empty(2, object)
    cells[:] = [value, np.eye(2)]
    savemat(tmp_path / "a.mat", {"other": value, "cells": cells, "S": np.eye(2)}, do_compression=compressed)
    assert read_matrix(tmp_path / "a.mat", "S").tolist() == [[1, 0], [0, 1]]


def test_a_matrix_that_says_it_is_complex_and_is_not_is_refused(mat):
    """SciPy alone reads its imaginary part from behind it, and ends the process at what lies there."""
    path = mat(T={"a": np.eye(2), "b": np.eye(2)})
    content = bytearray(path.read_bytes())
    flags = content.index(b"\x06\x00\x00\x00\x08\x00\x00\x00\x06", 128)
    content[flags + 9] |= 8
    path.write_bytes(content)
    with pytest.raises(DataError, match="lacks some of its parts"):
        read_matrix(path, "T.a")


def test_matlab_files_are_no_masks_where_the_layout_has_none(mat):
    with pytest.raises(DataError, match="expected an image in this layout"):
        read_mask(mat(S=np.eye(2)), MaskCode(2))


def element(kind, content):
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def claiming(kind, sides, numbers=b"", name=b"S"):
    """A matrix of this class that claims these sides and holds these numbers."""
    flags = element(6, struct.pack("<II", kind, 0))
    return element(14, flags + element(5, struct.pack(f"<{len(sides)}i", *sides)) + element(1, name) + numbers)


HEADER = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
CELL, STRUCT, OBJECT, CHAR, UINT8 = 1, 2, 3, 4, 9


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", [CELL, STRUCT, OBJECT, CHAR, UINT8])
@pytest.mark.parametrize("sides", [(2**30, 2), (2**31 - 1, 2**31 - 1, 2**31 - 1), (-1, -1), ()])
def test_a_matrix_of_a_size_that_is_only_claimed_is_refused(tmp_path, compressed, kind, sides):
    """SciPy alone would make room for that many cells, structs or blanks."""
    content = claiming(kind, sides, element(2, b"1234"))
    content = struct.pack("<II", 15, len(zlib.compress(content))) + zlib.compress(content) if compressed else content
    (tmp_path / "a.mat").write_bytes(HEADER + content)
    with pytest.raises(DataError, match=r"a\.mat: cannot be read as a MATLAB file \(the (matrix|sides)"):
        read_matrix(tmp_path / "a.mat", "S")


def test_the_matrix_of_these_tests_is_one(tmp_path):
    (tmp_path / "a.mat").write_bytes(HEADER + claiming(UINT8, (2, 2), element(2, b"\1\2\3\4")))
    assert read_matrix(tmp_path / "a.mat", "S").tolist() == [[1, 3], [2, 4]]


def test_compressed_bombs_are_refused(mat, tmp_path, monkeypatch):
    savemat(tmp_path / "a.mat", {"S": np.zeros((1000, 1000), np.uint8)}, do_compression=True)
    assert read_matrix(tmp_path / "a.mat", "S").shape == (1000, 1000)
    monkeypatch.setattr(matlab, "MAX_BYTES", 900_000)
    assert (tmp_path / "a.mat").stat().st_size < 9000
    with pytest.raises(DataError, match=r"more than the 900,000 bytes"):
        read_matrix(tmp_path / "a.mat", "S")
    with pytest.raises(DataError, match=r"it has 1,000,\d+ bytes; at most 900,000"):
        read_matrix(mat(S=np.zeros((1000, 1000), np.uint8)), "S")


def test_what_is_compressed_is_checked_too(tmp_path):
    """SciPy alone would end the process at the unknown type."""
    bad = zlib.compress(claiming(UINT8, (2, 2), element(8, b"\1\2\3\4")))
    (tmp_path / "a.mat").write_bytes(HEADER + struct.pack("<II", 15, len(bad)) + bad)
    with pytest.raises(DataError, match="of type 8 and 4 bytes, is damaged"):
        read_matrix(tmp_path / "a.mat", "S")
    (tmp_path / "a.mat").write_bytes(HEADER + struct.pack("<II", 15, len(bad) - 9) + bad[:-9])
    with pytest.raises(DataError, match="compressed element at byte 128 is damaged"):
        read_matrix(tmp_path / "a.mat", "S")


def test_functions_and_objects_are_no_matrices(tmp_path):
    """They are read as data, and refused."""
    inner = claiming(UINT8, (1, 1), element(2, b"\1"), name=b"")
    (tmp_path / "a.mat").write_bytes(HEADER + claiming(16, (1, 1), inner))
    with pytest.raises(DataError, match=r"a\.mat: "):
        read_matrix(tmp_path / "a.mat", "S")


def test_files_of_version_4_are_refused(tmp_path):
    savemat(tmp_path / "a.mat", {"S": np.eye(30)}, format="4")
    with pytest.raises(DataError, match=r"no header of MATLAB's version 5; `save -v6`"):
        read_matrix(tmp_path / "a.mat", "S")
