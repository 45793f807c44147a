"""What values a network is given: those of image files, put on the scale of 0 to 255.

Bytes are on it as they are. For all other types a range says which value is 0 and which 255, channel by channel.
"""

from collections.abc import Sequence

import numpy as np

from fullyconv.errors import DataError

Range = tuple[float, float]
"""The value that becomes 0, and the one that becomes 255; what lies beyond is cut off."""
ValueRange = Sequence[Range]
"""A range for each channel."""
BYTE: Range = (0.0, 255.0)
"""That of bytes, which stay as they are."""


def check_type(dtype: np.dtype, value_range: ValueRange | None, source: str) -> None:
    """Raise DataError, naming ``source``, for values of a type that needs a range, where there is none."""
    if value_range is None and dtype not in (np.uint8, np.uint16):
        raise DataError(
            f"{source}: holds values of type {dtype}; a network that was trained on images of 8 bits, and has "
            "no value range, takes uint8 or uint16. Train it on such images (data.range is then found from them), or "
            "scale this one to 0..255 and save it as 8 bits"
        )


def on_scale(values: np.ndarray, value_range: ValueRange | None, source: str) -> np.ndarray:
    """Put stored values (bands, h, w) on the scale of 0 to 255: uint8 where nothing is lost by it, else float32.

    Without a range bytes stay as they are, and 16-bit values are divided by 257, as networks of before there were
    ranges expect. With one, of a range for each band, all are scaled and cut off, and what is not a number is 0.

    Raises DataError, naming ``source``, for values of another type without a range.
    """
    check_type(values.dtype, value_range, source)
    if value_range is None:
        return values if values.dtype == np.uint8 else ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if values.dtype == np.uint8 and all(tuple(own) == BYTE for own in value_range):
        return values
    scaled = np.empty(values.shape, np.float32)
    for plane, own, (start, end) in zip(scaled, values, value_range, strict=True):
        np.subtract(own, start, out=plane, casting="unsafe", dtype=np.float64)
        plane *= 255 / (end - start)
    np.clip(scaled, 0, 255, out=scaled)
    return np.nan_to_num(scaled, copy=False, nan=0.0)
