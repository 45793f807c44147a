"""Find the folders of published data sets, and read their lists of images."""

from collections.abc import Sequence
from pathlib import Path

from fullyconv.data.pairs import Pair
from fullyconv.errors import DataError
from fullyconv.files import absence, exists


def find(root: Path, places: Sequence[str], entries: Sequence[str]) -> list[Path]:
    """Return the folders, among ``root`` and the ``places`` (patterns) below it, that hold all of ``entries``."""
    if not root.is_dir():
        return []
    folders = [root, *(folder for place in places for folder in sorted(root.glob(place)))]
    return [folder for folder in folders if all((folder / entry).exists() for entry in entries)]


def find_one(root: Path, places: Sequence[str], entries: Sequence[str]) -> Path:
    """Return the one folder that ``find`` finds. Raises DataError if there is none or more than one."""
    found = find(root, places, entries)
    if len(found) != 1:
        names = ", ".join(map(str, found)) or "none"
        raise DataError(f"{root}: one data set is expected in it, found {names}; give the folder of one of them")
    return found[0]


def read_list(path: Path) -> list[str]:
    """Return the names in a list, one per line. Raises DataError if it is missing or not text."""
    if exists(path) and not path.is_file():  # a pipe would be waited for
        raise DataError(f"{path}: {absence(path)}; expected a list of names, one per line")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise DataError(f"{path}: is missing; expected the names of a split's images, one per line") from error
    except (OSError, ValueError) as error:  # also a name that no system takes
        raise DataError(f"{path}: cannot be read as a list of images, one name per line ({error})") from error
    return [line.strip() for line in lines if line.strip()]


def in_order(splits: dict[str, list[Pair]]) -> dict[str, list[Pair]]:
    """Return the splits with train, val and test first."""
    usual = ("train", "val", "test")
    names = [name for name in usual if name in splits] + [name for name in splits if name not in usual]
    return {name: splits[name] for name in names}
