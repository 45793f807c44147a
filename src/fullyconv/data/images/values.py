"""Scale the values of image files to 0..255, which networks take.

Bytes stay unchanged. For all other types, a range says for each channel which values become 0 and 255.
"""

from collections.abc import Sequence

import numpy as np

from fullyconv.errors import DataError

Range = tuple[float, float]
"""The value that becomes 0 and the one that becomes 255; values beyond are clipped."""
ValueRange = Sequence[Range]
"""A range for each channel."""
BYTE: Range = (0.0, 255.0)
"""The range of bytes, which stay unchanged."""


def check_type(dtype: np.dtype, value_range: ValueRange | None, source: str) -> None:
    """Raise DataError, naming ``source``, if a type needs a value range and there is none."""
    if value_range is None and dtype not in (np.uint8, np.uint16):
        raise DataError(
            f"{source}: holds values of type {dtype}; a network trained on 8-bit images, without a value range, takes "
            "uint8 or uint16. Train one on images of this type (which finds data.range), or scale the image to 0..255 "
            "and save it with 8 bits"
        )


def on_scale(values: np.ndarray, value_range: ValueRange | None, source: str) -> np.ndarray:
    """Scale stored values (bands, h, w) to 0..255: uint8 if that loses nothing, else float32.

    With ``value_range``, a range for each band, values are scaled and clipped, and NaN becomes 0. Without, bytes stay
    unchanged and 16-bit values are divided by 257, as older networks without a range expect.

    Raises DataError, naming ``source``, for any other type without a range.
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
