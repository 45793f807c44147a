"""Names of splits, and names that tell that images belong together."""

import re
from collections.abc import Iterable
from pathlib import Path

from fullyconv.errors import ConfigError

NAMES = ("train", "val", "test")
"""The usual splits, in their order."""
SPLITS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
}
"""The usual name of each split, by the names in use (lower case, letters and digits only)."""
Natural = tuple[tuple[int, int, str], ...]
_COPY = re.compile(r"(.+)\.rf\.[0-9a-z]{8,}", re.IGNORECASE)
"""The name of Roboflow's copies of one image, which differ by a digest."""


def canonical(name: str) -> str:
    """Return the usual name of a split: train for Training, val for valid. Other names are returned unchanged."""
    return SPLITS.get(letters(name), "trainval" if letters(name) == "trainval" else name)


def split_among(names: Iterable[str]) -> str | None:
    """Return the first of the names that is train, val or test, as train for Training or train2017; None if none is."""
    usual = (canonical(name.rstrip("0123456789")) for name in names)
    return next((name for name in usual if name in NAMES), None)


def split_of_file(path: Path) -> str | None:
    """Return the split that a file's name or its folder's tells, as train for instances_train2017.json."""
    return split_among([*re.split(r"[^A-Za-z0-9]+", path.stem), path.parent.name])


def split_of_folders(path: Path, root: Path) -> str | None:
    """Return the split that the folders of a file below ``root`` tell, as train for train2017/labels; None if none."""
    return split_among(path.relative_to(root).parts[:-1]) if path.is_relative_to(root) else None


def letters(name: str) -> str:
    """Return a name in lower case, reduced to its letters and digits."""
    return re.sub(r"[^a-z0-9]+", "", name.lower())


def original_of(stem: str) -> str:
    """Return the name of the image of which Roboflow made the copy with this name; empty for other names."""
    copied = _COPY.fullmatch(stem)
    return copied[1] if copied else ""


def read_fold(text: str) -> tuple[int, int]:
    """Read a fold such as 0/5, the first of five. Raises ConfigError for other text."""
    match = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text.strip())
    if match is None or int(match[2]) < 2 or int(match[1]) >= int(match[2]):
        raise ConfigError(f"fold {text!r}: expected a fold and the number of folds, 0/5 to 4/5 for five folds")
    return int(match[1]), int(match[2])


def natural(text: str) -> Natural:
    """Return a key that sorts text with the numbers in it by their values: frame 9 before frame 10, and also dates."""
    pieces = re.split(r"([0-9]+)", text)
    return tuple(
        (0, int(piece), piece) if piece.isdecimal() and len(piece) < 1000 else (1, 0, piece)
        for piece in pieces
        if piece
    )
