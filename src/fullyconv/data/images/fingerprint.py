"""A fingerprint of an image's coarse shapes, which survives compression, scaling and changes of brightness."""

import base64
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

WAVES = 8
"""Number of the lowest frequencies of the cosine transform that are kept in each direction."""
LENGTH = WAVES * WAVES - 1
_WEIGHTS = np.hypot(*np.mgrid[:WAVES, :WAVES]).astype(np.float32) ** 0.5
"""Finer shapes count more, as coarse ones, such as a dark border, are common to many images."""
_FLAT = 1e-5
"""Images whose coarse shapes are weaker than this share of their brightness have no fingerprint."""


def fingerprint(values: np.ndarray, valid: np.ndarray | None) -> str:
    """Return the fingerprint of evenly spaced pixels (bands, h, w); empty if they show no coarse shapes.

    It is the first 8×8 coefficients but one of the cosine transform of the mean of at most three bands, weighted, as
    bytes in base 64. ``valid`` is bool (h, w), true where pixels hold data; the others get the mean of these.
    """
    grey = values[:3].sum(0, dtype=np.float32)
    holds = np.isfinite(grey) if values.dtype.kind == "f" else None
    if valid is not None:
        holds = valid if holds is None else holds & valid
    if holds is not None:
        if not holds.any():
            return ""
        grey = np.where(holds, grey, grey[holds].mean())
    height, width = grey.shape
    found = _cosines(height) @ grey @ _cosines(width).T
    brightness = float(np.abs(found[0, 0]))
    coarse = (found * _WEIGHTS).ravel()[1:]
    largest = float(np.abs(coarse).max())
    if not largest > _FLAT * brightness:
        return ""
    return base64.b64encode(np.rint(coarse * (127 / largest)).astype(np.int8).tobytes()).decode()


def as_vectors(fingerprints: Sequence[str]) -> np.ndarray:
    """Return fingerprints as vectors of length 1, float32 (N, 63), of which similar ones have a product near 1.

    An empty fingerprint is a vector of zeros.
    """
    nothing = bytes(LENGTH)
    joined = b"".join(base64.b64decode(own) if own else nothing for own in fingerprints)
    vectors = np.frombuffer(joined, np.int8).reshape(-1, LENGTH).astype(np.float32)
    lengths = np.sqrt((vectors * vectors).sum(1, keepdims=True))
    return np.divide(vectors, lengths, out=vectors, where=lengths > 0)


@lru_cache(maxsize=64)
def _cosines(side: int) -> np.ndarray:
    """Return the lowest waves along a side, float32 (WAVES, side)."""
    places = (np.arange(side) + 0.5) / side
    return np.cos(np.pi * np.arange(WAVES)[:, None] * places).astype(np.float32) / np.float32(side)
