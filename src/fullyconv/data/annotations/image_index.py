"""Find the images that annotations name, among those that lie in the data set's folder.

Names in annotations are of other machines: with other folders, backslashes, or no folder at all. They are only compared
with the files that were found, never opened as paths, so that no name leads out of the folder.
"""

import ntpath
import os
from collections import defaultdict
from collections.abc import Container, Iterator, Sequence
from pathlib import Path

from fullyconv.data.layouts.files import image_files
from fullyconv.data.splits.names import split_among
from fullyconv.errors import DataError

MAX_NAME, MAX_PATH = 255, 1000
"""Most bytes of a file's name, and most characters of its path: systems raise errors for longer ones."""


class ImageIndex:
    """The images in a folder at all depths, found by what annotations call them.

    ``without`` are files that are not taken for images, such as masks.
    """

    def __init__(self, root: Path, without: Container[Path] = ()) -> None:
        """Raises DataError if a folder cannot be listed."""
        self.root = root
        self._by_path: dict[str, Path] = {}
        self._by_name: defaultdict[str, list[Path]] = defaultdict(list)
        self._by_stem: defaultdict[str, list[Path]] = defaultdict(list)
        for path in image_files(root):
            if path not in without:
                self._by_path[os.path.normcase(path)] = path
                self._by_name[path.name].append(path)
                self._by_stem[_stem(path.name)].append(path)

    def __contains__(self, path: Path) -> bool:
        return os.path.normcase(path) in self._by_path

    def __iter__(self) -> Iterator[Path]:
        return iter(self._by_path.values())

    def find(self, name: str, near: Path, split: str | None = None) -> Path:
        """Return the image of a name in the annotation file ``near``; the path where it would be if it is not there.

        Of several with this name, that is the one to which the name leads from the file, else the one whose folders the
        name ends with, else the one beside the file or in the folder of its split. Raises DataError if there are still
        several.
        """
        parts = parts_of(name)
        if not parts:
            raise DataError(f"{near}: names an image {name[:80]!r}; the name of a file is expected")
        folder = near.parent
        led_to = os.path.normpath(os.path.join(folder, name.replace("\\", "/")))  # noqa: PTH118 (paths are slow)
        if direct := self._by_path.get(os.path.normcase(led_to)):
            return direct
        found = self._by_name.get(parts[-1]) or self._by_stem.get(_stem(parts[-1]), [])
        for depth in range(len(parts), 1, -1):
            ending = [path for path in found if path.parts[-depth:-1] == tuple(parts[-depth:-1])]
            if ending:
                found = ending
                break
        if len(found) > 1:
            found = _nearer(found, near, split, self.root)
        if len(found) > 1:
            raise DataError(
                f"{near}: names the image {name[:200]}, which is there {len(found)} times, as {found[0]} and "
                f"{found[1]}; give the images names of their own, or the annotation file a folder with its images"
            )
        if found:
            return found[0]
        if len(name) > MAX_PATH or max(len(os.fsencode(part)) for part in parts) > MAX_NAME:
            raise DataError(
                f"{near}: names an image {name[:80]!r}…, of {len(name):,} characters; the name of a file is expected"
            )
        return folder.joinpath(*parts)


def parts_of(name: str) -> list[str]:
    """Return the folders and the name in a path of any system, without drives and steps upwards."""
    below = ntpath.splitdrive(name)[1].replace("\\", "/")
    return [part for part in below.split("/") if part not in ("", ".", "..") and "\0" not in part]


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name


def _nearer(found: Sequence[Path], near: Path, split: str | None, root: Path) -> list[Path]:
    """Return those of several images of one name that lie by the annotation file, or in its split's folder."""
    same = [path for path in found if path.parent == near.parent]
    if len(same) == 1:
        return same
    beside = [path for path in found if path.is_relative_to(near.parent)]
    if near.parent != root and len(beside) == 1:
        return beside
    if split is None:
        return list(found)
    in_split = [path for path in found if any(split_among([part]) == split for part in path.relative_to(root).parts)]
    return in_split or list(found)
