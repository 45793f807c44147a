"""Find image files: in a folder at all depths, by a pattern, or by a list of names."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PureWindowsPath

from fullyconv.data.images.files import is_image_name
from fullyconv.data.published.archive import read_list
from fullyconv.errors import DataError
from fullyconv.files import absence

Keyed = dict[Path, str]
"""The key of each file, by which it is paired: its path without suffix, or the text that the wildcards matched."""

_Place = tuple[int, int]


def subfolders(folder: Path) -> list[Path]:
    """Return the folders in a folder, sorted by name, including links to folders; hidden ones are left out."""
    return sorted(entry for entry in folder.iterdir() if _is_folder(entry) and not entry.name.startswith("."))


def refuse_broken_links(folder: Path) -> None:
    """Raise DataError if ``folder`` holds a broken link that may have led to a folder."""
    for entry in sorted(folder.iterdir()):
        if entry.is_symlink() and not entry.exists() and not is_image_name(entry.name):
            raise DataError(f"{entry}: {absence(entry)}; it may be a split's folder, so repair or remove the link")


def images_under(folder: Path) -> Keyed:
    """Return the image files in a folder at all depths; the key of each is its path in the folder without suffix.

    Hidden files and folders are left out. Links to folders are followed, except in a circle. If the folder does not
    exist, the result is empty. Raises DataError if a folder cannot be listed, or a broken link may have led to one.
    """
    return {path: path.relative_to(folder).with_suffix("").as_posix() for path in image_files(folder)}


def image_files(folder: Path) -> list[Path]:
    """Return the image files in a folder at all depths, as ``images_under`` does, without keys."""
    return list(_walk(folder, ())) if folder.is_dir() else []


def holds_images(folder: Path) -> bool:
    """Whether a folder holds an image file at any depth. Raises DataError as ``images_under`` does."""
    return folder.is_dir() and next(_walk(folder, ()), None) is not None


def images_at(root: Path, place: str) -> Keyed:
    """Return the image files in a folder (see ``images_under``) or those that a pattern matches.

    In a pattern, ``*`` matches any part of a name and ``**`` folders at all depths. A file's key is the text that the
    wildcards matched. Raises DataError if a folder cannot be listed.
    """
    if "*" not in place:
        return images_under(root / place)
    parts = Path(place).parts
    first = next(index for index, part in enumerate(parts) if "*" in part)
    folder = root.joinpath(*parts[:first])
    found = _matches(folder, parts[first:], (), ()) if folder.is_dir() else ()
    return {path: "/".join(filter(None, captured)) for path, captured in sorted(found)}


def select_listed(images: Keyed, listed: Path, root: Path, place: str) -> Keyed:
    """Return those of ``images`` that the text file ``listed`` names.

    The file has one image per line: its path, name or key, with or without suffix, and its mask may follow. Of the path
    only as many folders count as tell images of one name apart, so that lists may be of another machine. An image that
    does not exist is returned with the path where it was expected. Raises DataError if the list cannot be read.
    """
    by_key: dict[str, Path] = {}
    by_stem: dict[str, list[Path]] = {}
    for path, key in images.items():
        by_key.setdefault(key, path)
        by_stem.setdefault(path.stem, []).append(path)
    suffix = next((path.suffix for path in images), ".png")
    found: Keyed = {}
    for line in read_list(listed):
        listed_path = _image_in(line)
        name = str(Path(listed_path).with_suffix("")) if is_image_name(listed_path) else listed_path
        exact = next((own for own in (root / line, root / listed_path) if own in images), None) or by_key.get(name)
        if exact is None:
            ending = _ending_alike(by_stem.get(Path(name).name, []), name)
            exact = ending[0] if len(ending) == 1 else _guess(root, place, name, suffix)
        found[exact] = images.get(exact, name)
    return found


def specificity(place: str) -> int:
    """Return the number of characters in a pattern that are not wildcards."""
    return len(place.replace("*", "").strip("./"))


def without(files: Keyed, taken: Iterable[Path]) -> Keyed:
    """Return ``files`` without those in ``taken``."""
    other = set(taken)
    return {path: key for path, key in files.items() if path not in other}


def separate(places: Mapping[str, str], found: Mapping[str, Keyed]) -> dict[str, Keyed]:
    """Keep each file only in the most specific of the patterns that match it: ``*_mask.png`` goes before ``*``.

    ``places`` are the patterns and ``found`` their files, by descriptor key. Raises DataError if two patterns that
    match the same file are equally specific.
    """
    separated = dict(found)
    for one in found:
        for other in found:
            if one < other and (both := separated[one].keys() & separated[other].keys()):
                ranks = specificity(places[one]), specificity(places[other])
                if ranks[0] == ranks[1]:
                    raise DataError(
                        f"{min(both)}: is matched by both `{one}` and `{other}` ({places[one]}, {places[other]}); use "
                        'patterns that tell them apart, such as `images: "*.jpg"` and `masks: "*_mask.png"`'
                    )
                loser = one if ranks[0] < ranks[1] else other
                separated[loser] = without(separated[loser], both)
    return separated


def _is_folder(entry: Path) -> bool:
    """Whether an entry is a folder; False if the system does not let us look."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _walk(folder: Path, above: tuple[_Place, ...]) -> Iterator[Path]:
    inside = _entered(folder, above)
    if inside is None:
        return
    for entry in _entries(folder):
        if is_image_name(entry):
            yield entry
        elif _is_folder(entry):
            yield from _walk(entry, inside)
        elif entry.is_symlink() and not entry.exists():
            raise DataError(f"{entry}: {absence(entry)}; it may be a folder of images, so repair or remove the link")


def _matches(
    folder: Path, parts: tuple[str, ...], captured: tuple[str, ...], above: tuple[_Place, ...]
) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Yield the files under ``folder`` that match, each with the texts that the wildcards matched."""
    part, *rest = parts
    if part == "**":
        yield from _matches(folder, tuple(rest) or ("*",), captured, above)
        if (inside := _entered(folder, above)) is not None:
            for entry in _entries(folder):
                if entry.is_dir():
                    yield from _matches(entry, parts, (*captured, entry.name), inside)
        return
    any_suffix = not rest and part.endswith("*")  # the suffix of an image is not part of its key
    pattern = part.removesuffix(".*") if any_suffix and part != ".*" else part
    regex = re.compile("(.*)".join(map(re.escape, pattern.split("*"))), re.IGNORECASE)
    for entry in _entries(folder):
        if any_suffix and not is_image_name(entry.name):
            continue
        match = regex.fullmatch(entry.stem if any_suffix else entry.name)
        if match is None:
            continue
        if not rest and not entry.is_dir():
            yield entry, (*captured, *match.groups())
        elif rest and entry.is_dir():
            yield from _matches(entry, tuple(rest), (*captured, *match.groups()), above)


def _entries(folder: Path) -> list[Path]:
    try:
        visible = (entry for entry in folder.iterdir() if not entry.name.startswith("."))
        return sorted(visible, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror})") from error


def _entered(folder: Path, above: tuple[_Place, ...]) -> tuple[_Place, ...] | None:
    """Return the folders above and this one; None if this one is already among them because a link leads back up."""
    status = folder.stat()
    here = status.st_dev, status.st_ino
    return None if here in above else (*above, here)


def _image_in(line: str) -> str:
    """Return the image's path in a line of a list, of any system: the first of an image and a mask."""
    paths = line.split()
    several = len(paths) > 1 and all(is_image_name(path) for path in paths)
    return PureWindowsPath(paths[0] if several else line).as_posix()


def _ending_alike(images: list[Path], name: str) -> list[Path]:
    """Return those of several images of one stem whose folders are the most alike to the last folders of ``name``."""
    parts, found = Path(name).parts[:-1], images
    for depth in range(1, len(parts) + 1):
        nearer = [path for path in found if path.parts[-depth - 1 : -1] == parts[-depth:]]
        if len(found) == 1 or not nearer:
            break
        found = nearer
    return found


def _guess(root: Path, place: str, name: str, suffix: str) -> Path:
    """Return the path where a listed image that does not exist was expected."""
    if "*" not in place:
        return root / place / f"{name}{suffix}"
    before, _, after = place.replace("**/", "").partition("*")
    return root / f"{before}{name}{after}"
