"""Run-length encodings, against the tools that write them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco

from fullyconv.data.annotations.run_lengths import bitmap_of_rows, counts_of, counts_of_string, unpack_brush

MASKS = hnp.arrays(np.uint8, st.tuples(st.integers(1, 60), st.integers(1, 60)), elements=st.integers(0, 1))


@settings(max_examples=100)
@given(MASKS)
def test_compressed_runs_are_pycocotools(mask):
    counts = counts_of_string(coco.encode(np.asfortranarray(mask))["counts"])
    assert np.array_equal(np.repeat(np.arange(counts.size) % 2, counts), mask.ravel(order="F"))


def compress(numbers):
    """COCO's text by its definition; pycocotools writes beyond its memory for numbers of more than six characters."""
    text = ""
    for place, number in enumerate(numbers):
        rest = number - numbers[place - 2] if place > 2 else number
        while True:
            piece, rest = rest & 31, rest >> 5
            ends = rest == (-1 if piece & 16 else 0)
            text += chr(48 + piece + (0 if ends else 32))
            if ends:
                break
    return text


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=20))
def test_large_numbers_are_read(numbers):
    assert counts_of_string(compress(numbers)).tolist() == numbers


@given(MASKS)
def test_the_tests_text_is_pycocotools(mask):
    packed = coco.encode(np.asfortranarray(mask))["counts"].decode()
    assert compress(counts_of_string(packed).tolist()) == packed


@pytest.mark.parametrize(
    ("text", "message"), [("ü", "ASCII"), ("\x00", "not COCO's"), ("0P", "cut"), ("o" * 13 + "0", "60 bits")]
)
def test_damaged_text_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        counts_of_string(text)


@given(MASKS)
def test_rows_of_a_box_are_read(mask):
    flat = mask.ravel()
    changes = np.flatnonzero(np.diff(np.concatenate([[0], flat])))
    counts = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    assert np.array_equal(bitmap_of_rows(counts, *mask.shape), mask)
    assert counts_of(flat) == counts
    with pytest.raises(ValueError, match="add up to"):
        bitmap_of_rows([*counts, 1], *mask.shape)


def pack(values, word=8, sizes=(3, 4, 8, 16)):
    """Label Studio's packing as its documentation says, with the smallest size that holds each run."""
    bits = f"{len(values):032b}{word - 1:05b}" + "".join(f"{size - 1:04b}" for size in sizes)
    place = 0
    while place < len(values):
        end = place + 1
        while end < len(values) and values[end] == values[place]:
            end += 1
        is_run = end - place > 1
        if not is_run:
            while end < len(values) and (end + 1 == len(values) or values[end] != values[end + 1]):
                end += 1
        length = min(end - place, 1 << sizes[-1])
        size = next(index for index, size in enumerate(sizes) if length <= 1 << size)
        bits += f"{int(is_run)}{size:02b}{length - 1:0{sizes[size]}b}"
        bits += "".join(f"{value:0{word}b}" for value in values[place : place + (1 if is_run else length)])
        place += length
    bits += "0" * (-len(bits) % 8)
    return [int(bits[place : place + 8], 2) for place in range(0, len(bits), 8)]


@given(st.lists(st.one_of(st.integers(0, 255), st.just(255)), min_size=1, max_size=200))
def test_brush_masks_are_unpacked(values):
    assert unpack_brush(bytes(pack(values)), len(values)).tolist() == values


@given(st.lists(st.integers(0, 7), min_size=1, max_size=50))
def test_brush_masks_of_short_words_are_unpacked(values):
    assert unpack_brush(bytes(pack(values, word=3)), len(values)).tolist() == values


@pytest.mark.parametrize(
    ("packed", "message"),
    [
        (pack([1, 2, 3, 4])[:-1], "cut"),
        (pack([1, 2, 3, 4])[:3], "cut"),
        (pack([1, 2, 3]), "has 3 values; 4 are expected"),
        ([0, 0, 0, 4, 0x38], "cut"),
        ([0, 0, 0, 4, 0xFF, 0xFF, 0xFF, 0], "words of 32 bits"),
    ],
)
def test_damaged_brush_masks_are_refused(packed, message):
    with pytest.raises(ValueError, match=message):
        unpack_brush(bytes(packed), 4)
