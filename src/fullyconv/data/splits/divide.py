"""Divide one set of images into train, val and test splits."""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from fullyconv.data.pairs import Pair
from fullyconv.data.splits.equal import equal_files
from fullyconv.data.splits.groups import join
from fullyconv.errors import DataError


def divide(pairs: Sequence[Pair], source: Callable[[Path], str] | None = None) -> dict[str, list[Pair]]:
    """Divide pairs into train, val and test, reproducibly, without separating images that belong together.

    Images of the same ``source`` (a function of the image's path that returns, say, its folder or scene) form a group;
    by default the source is the image's stem. Byte-identical files are in one group as well, unless all files are
    identical. Groups are ordered by the SHA-256 of their source: the first tenth of the images (rounded, at least one)
    is test, the next tenth val, the rest train. A group is never split: it belongs to the part in which it begins. The
    largest group is always in train. With two groups there is no test; with one there is only train. The returned
    pairs say to which source they belong (``Pair.group``), if it was given and several images have it.
    """
    if source is not None:
        images = Counter(source(pair.image) for pair in pairs)
        named = [name if images[name := source(pair.image)] > 1 else "" for pair in pairs]
        pairs = [replace(own, group=name) if name != own.group else own for own, name in zip(pairs, named, strict=True)]
    groups = _groups(pairs, source)
    largest = max(groups, key=lambda group: (len(groups[group]), group), default=b"")
    tenth = max(1, round(len(pairs) / 10))
    train, val, test = list(groups.get(largest, [])), list[Pair](), list[Pair]()
    others = [digest for digest in sorted(groups) if digest != largest]
    for digest in others:
        last = digest == others[-1]  # goes to val if val is still empty
        if len(others) >= 2 and len(test) < tenth and not (test and last):
            test += groups[digest]
        elif len(val) < tenth:
            val += groups[digest]
        else:
            train += groups[digest]
    parts = {"train": train, "val": val, "test": test}
    return {name: sorted(part, key=lambda pair: pair.image.parts) for name, part in parts.items() if part}


def source_of(by: str, root: Path, option: str = "`split.by`") -> Callable[[Path], str]:
    """Return a function that maps an image's path to its source.

    If ``by`` is ``folder``, the source is the image's folder. Otherwise ``by`` is a regular expression, and the source
    is its first group, or the whole match if it has no group. Paths are relative to ``root``, with forward slashes.
    The returned function raises DataError for an image that the expression does not match; the message calls it
    ``option``.
    """

    def source(path: Path) -> str:
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
        if by == "folder":
            return name.rpartition("/")[0]
        match = re.search(by, name)
        if match is None or (match.groups() and match[1] is None):
            raise DataError(
                f"{path}: {option} ({by!r}) does not match {name!r}; it must match every image's path, and find what "
                "the image belongs to, such as a patient, a scene or a video"
            )
        return match[1] if match.groups() else match[0]

    return source


def require_several(pairs: Sequence[Pair], source: Callable[[Path], str], by: str) -> None:
    """Raise DataError if all images have the same source and therefore cannot be divided by it."""
    found = {source(pair.image) for pair in pairs}
    if len(found) == 1 and len(pairs) > 1:
        raise DataError(
            f"{pairs[0].image}: `split.by` ({by!r}) finds the same source, {found.pop()!r}, for all {len(pairs)} "
            "images; train and val need at least two sources"
        )


def _groups(pairs: Sequence[Pair], source: Callable[[Path], str] | None) -> dict[bytes, list[Pair]]:
    """Group the pairs that stay together, keyed by the lowest digest of their sources."""
    names = {pair.image: source(pair.image) if source is not None else pair.image.stem for pair in pairs}
    group_of = join({image: [("source", name)] for image, name in names.items()}, equal_files(names))
    if len(set(group_of.values())) == 1:  # all files are identical, as in a first try: divide them all the same
        group_of = names
    together: defaultdict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        together[group_of[pair.image]].append(pair)
    return {min(_digest(names[pair.image]) for pair in group): group for group in together.values()}


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode(errors="surrogateescape")).digest()
