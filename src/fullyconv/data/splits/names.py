"""Names of splits, and names that tell that images belong together."""

import re

SPLITS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
}
"""The usual name of each split, by the names in use (lower case, letters and digits only)."""
_COPY = re.compile(r"(.+)\.rf\.[0-9a-z]{8,}", re.IGNORECASE)
"""The name of Roboflow's copies of one image, which differ by a digest."""


def canonical(name: str) -> str:
    """Return the usual name of a split: train for Training, val for valid. Other names are returned unchanged."""
    return SPLITS.get(letters(name), "trainval" if letters(name) == "trainval" else name)


def letters(name: str) -> str:
    """Return a name in lower case, reduced to its letters and digits."""
    return re.sub(r"[^a-z0-9]+", "", name.lower())


def original_of(stem: str) -> str:
    """Return the name of the image of which Roboflow made the copy with this name; empty for other names."""
    copied = _COPY.fullmatch(stem)
    return copied[1] if copied else ""
