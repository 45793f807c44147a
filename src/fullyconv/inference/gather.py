"""Find the images that files, folders and patterns name."""

import glob
import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fullyconv.data.images.files import READ, is_image_name
from fullyconv.errors import DataError


@dataclass
class Gathered:
    """What was found.

    - ``images``: each image, with its path within the folder of the results.
    - ``others``: files in folders whose names are not those of images.
    - ``unlisted``: folders within the given ones that cannot be listed, each with the error.
    """

    images: dict[Path, Path] = field(default_factory=dict)
    others: list[Path] = field(default_factory=list)
    unlisted: list[tuple[Path, OSError]] = field(default_factory=list)

    def left_out(self) -> str:
        """Say how many files are left out, and name some; empty if there are none."""
        if not self.others:
            return ""
        endings = Counter(path.suffix.lower() or "no ending" for path in self.others)
        shown = ", ".join(f"{count} with {ending}" for ending, count in endings.most_common(5))
        return (
            f"{len(self.others):,} files are left out, as their names are not those of images, such as "
            f"{self.others[0]} ({shown})"
        )


def gather(inputs: Sequence[str | Path], out: Path) -> Gathered:
    """Find the images of files, folders (and those in them) and patterns such as ``day*/*.jpg``.

    Each file is found once. Raises DataError where an input names no image, and OSError where a given folder cannot be
    listed.
    """
    gathered = Gathered()
    seen: set[Path] = set()
    for given in inputs:
        images = _find(given, out, gathered)
        if not images:
            unlisted = [f"; {folder} cannot be listed ({error.strerror})" for folder, error in gathered.unlisted[:1]]
            raise DataError(_nothing_at(given) + "".join(unlisted))
        for image, place in images:
            if located(image) not in seen:
                seen.add(located(image))
                gathered.images[image] = place
    if not gathered.images:
        raise DataError("no images are given; name files, folders, or patterns such as 'day*/*.jpg'")
    return gathered


def located(path: Path) -> Path:
    """One path for one file, however its folder is written; a link is a file of its own."""
    return path.parent.resolve() / path.name


def _find(given: str | Path, out: Path, gathered: Gathered) -> list[tuple[Path, Path]]:
    """The images that an input names, each with its path below the folder that it was found in.

    Results of earlier runs, below ``out``, are no images. What else is there is added to ``gathered``.
    """
    path = Path(given)
    if os.path.lexists(path) and not path.is_dir():
        return [(path, Path(path.name))]
    patterns = [i for i, part in enumerate(path.parts) if glob.has_magic(part)]
    if path.is_dir() or not patterns:
        root, matches = path, [path]
    else:
        root = Path(*path.parts[: patterns[0]])
        matches = list(root.glob(str(Path(*path.parts[patterns[0] :]))))
    within = root.resolve().is_relative_to(out.resolve())
    images = []
    for found in sorted(set(_below(matches, gathered))):
        place = found.relative_to(root)
        is_hidden = any(part.startswith(".") for part in place.parts)
        if is_hidden or not (within or not Path(os.path.realpath(found)).is_relative_to(out.resolve())):
            continue
        if is_image_name(found):
            images.append((found, place))
        else:
            gathered.others.append(found)
    return images


def _below(matches: Iterable[Path], gathered: Gathered) -> Iterator[Path]:
    """What folders and those in them hold, but folders. Each is listed once: under its own name before those of links.

    Hidden folders in them are left out, and those that cannot be listed are added to ``gathered``.
    """
    given = sorted(matches)
    waiting, linked, listed = deque(given), deque[Path](), set[Path]()
    while waiting or linked:
        path = waiting.popleft() if waiting else linked.popleft()
        if not path.is_dir():
            if os.path.lexists(path):
                yield path
        elif (folder := path.resolve()) not in listed:
            listed.add(folder)
            try:
                inside = sorted(path.iterdir())
            except OSError as error:
                if path in given:
                    raise
                gathered.unlisted.append((path, error))
                continue
            for inner in inside:
                if not inner.name.startswith("."):
                    (linked if inner.is_symlink() else waiting).append(inner)


def _nothing_at(given: str | Path) -> str:
    suffixes = ", ".join(sorted(READ))
    if Path(given).is_dir():
        return f"{given}: this folder and those in it hold no images; files ending in {suffixes} were looked for"
    if glob.has_magic(str(given)):
        return f"{given}: no image matches this pattern; files ending in {suffixes} were looked for"
    return f"{given}: there is no such file or folder; give images, folders, or patterns such as 'day*/*.jpg'"
