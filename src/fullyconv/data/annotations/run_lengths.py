"""Run-length encodings of masks: COCO's two, CVAT's and Label Studio's.

COCO's runs go down the columns of the whole image, CVAT's along the rows of a box; both begin with pixels outside.
Label Studio's are a stream of bits that holds the bytes of an RGBA image (see ``unpack_brush``).
"""

from collections.abc import Sequence

import numpy as np

_BITS_OF_COUNT, _BITS_OF_WORD_SIZE, _BITS_OF_LENGTH_SIZE = 32, 5, 4


def counts_of_string(text: str | bytes) -> np.ndarray:
    """Return the run lengths, int64 (n,), in COCO's compressed text.

    Each number is written in characters of five bits, the lowest first; from the fourth on it is the difference to the
    number two before it (``rleToString`` in maskApi.c of the COCO API). Raises ValueError where it is damaged.
    """
    try:
        codes = np.frombuffer(text.encode("ascii") if isinstance(text, str) else text, np.uint8).astype(np.int64) - 48
    except UnicodeEncodeError as error:
        raise ValueError("its run lengths are no ASCII text") from error
    if not codes.size:
        return np.zeros(0, np.int64)
    if codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        raise ValueError("its run lengths are not COCO's compressed text, or are cut")
    ends = np.flatnonzero((codes & 32) == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    if (ends - starts).max() > 11:
        raise ValueError("its run lengths hold a number of more than 60 bits")
    place = np.arange(codes.size) - np.repeat(starts, ends - starts + 1)
    numbers = np.add.reduceat((codes & 31) << (5 * place), starts)
    negative = (codes[ends] & 16) != 0
    numbers[negative] -= np.int64(1) << (5 * (ends - starts + 1)[negative])
    for first in (1, 2):  # the numbers of odd places add up, and so do those of even ones, the first of all apart
        numbers[first::2] = np.cumsum(numbers[first::2])
    return numbers


def check_counts(counts: np.ndarray, pixels: int) -> None:
    """Raise ValueError unless the runs cover exactly so many pixels."""
    if counts.size and counts.min() < 0:
        raise ValueError("a run length is negative")
    if (counts.size and counts.max() > pixels) or (total := int(counts.sum())) != pixels:
        total = int(min(counts.max(), 2**62)) if counts.max(initial=0) > pixels else total
        raise ValueError(f"its run lengths add up to {total:,} pixels, not to {pixels:,}")


def counts_of(inside: np.ndarray) -> list[int]:
    """Return the run lengths of a flat mask of zeros and ones, (n,): pixels outside, pixels inside, and so on."""
    changes = np.flatnonzero(np.diff(inside.astype(np.int8))) + 1
    ends = np.concatenate([[0] if inside[0] else [], changes, [inside.size]]).astype(int)
    return np.diff(ends, prepend=0).tolist()


def bitmap_of_rows(counts: Sequence[int], height: int, width: int) -> np.ndarray:
    """Return the mask, bool (height, width), whose runs go along its rows. Raises ValueError if they do not fit."""
    lengths = np.asarray(counts, np.int64)
    check_counts(lengths, height * width)
    return np.repeat(np.arange(lengths.size) % 2 == 1, lengths).reshape(height, width)


def unpack_brush(packed: bytes, values: int) -> np.ndarray:
    """Return the bytes, uint8 (values,), that Label Studio's brush has packed.

    The stream begins with the number of values (32 bits), the size of a word less one (5 bits) and four sizes of
    lengths less one (4 bits each). Then come pieces: whether the piece is a run (1 bit), which of the sizes its length
    has (2 bits), its length less one; and one word for a run, or as many words as the length says (rle-pack of
    thi.ng/umbrella). Raises ValueError where it is damaged, or is not of so many values.
    """
    stream = np.unpackbits(np.frombuffer(packed, np.uint8))
    place = 0

    def take(bits: int) -> int:
        nonlocal place
        if place + bits > stream.size:
            raise ValueError("its brush mask is cut")
        taken = stream[place : place + bits]
        place += bits
        return int.from_bytes(np.packbits(np.concatenate([np.zeros(-bits % 8, np.uint8), taken])).tobytes(), "big")

    count = take(_BITS_OF_COUNT)
    if count != values:
        raise ValueError(f"its brush mask has {count:,} values; {values:,} are expected (four for each pixel)")
    word = take(_BITS_OF_WORD_SIZE) + 1
    if word > 8:
        raise ValueError(f"its brush mask has words of {word} bits; bytes are expected")
    sizes = [take(_BITS_OF_LENGTH_SIZE) + 1 for _ in range(4)]
    unpacked = np.zeros(count, np.uint8)
    done = 0
    while done < count:
        is_run, size = take(1), sizes[take(2)]
        length = min(take(size) + 1, count - done)
        if is_run:
            unpacked[done : done + length] = take(word)
        else:
            if place + length * word > stream.size:
                raise ValueError("its brush mask is cut")
            words = stream[place : place + length * word].reshape(length, word)
            unpacked[done : done + length] = np.packbits(words, axis=1)[:, 0] >> (8 - word)
            place += length * word
        done += length
    return unpacked
