"""Open a user's own data set: a descriptor, or folders of images and masks."""

import hashlib
import os
from pathlib import Path

from fullyconv.data.catalog import Data
from fullyconv.data.checks.object_masks import refuse_folders_of_objects
from fullyconv.data.images import SUFFIXES, list_images
from fullyconv.data.layouts.descriptor import read_descriptor
from fullyconv.data.layouts.infer import infer_classes, palette_of
from fullyconv.data.layouts.meaning import mask_code
from fullyconv.data.pairs import Pair
from fullyconv.data.published.archive import in_order
from fullyconv.errors import DataError
from fullyconv.files import absence
from fullyconv.palettes import default_palette

DESCRIPTOR = "dataset.yaml"


def is_descriptor(path: Path) -> bool:
    """Whether ``path`` is a descriptor, or a folder that holds one."""
    return os.path.lexists(path / DESCRIPTOR) if path.is_dir() else path.suffix.lower() in (".yaml", ".yml")


def is_folders(path: Path) -> bool:
    """Whether ``path`` holds folders of images and masks."""
    return path.is_dir() and (
        _has(path, "images", "masks") or any(_has(folder, "images", "masks") for folder in _folders(path))
    )


def open_descriptor(path: Path) -> Data:
    """Open the data set that a descriptor describes; ``path`` is the file or its folder. Raises DataError."""
    path = path / DESCRIPTOR if path.is_dir() else path
    descriptor, root = read_descriptor(path), path.parent
    if descriptor.splits is None or any(files.names or files.valid for files in descriptor.splits.values()):
        raise DataError(f"{path}: `splits` of folders are expected; lists, valid areas and division are not read yet")
    folders = {name: (root / files.images, root / files.masks.path) for name, files in descriptor.splits.items()}
    missing = [str(folder) for pair in folders.values() for folder in pair if not folder.is_dir()]
    if missing:
        raise DataError(f"{path}: its splits name folders that do not exist: {', '.join(dict.fromkeys(missing))}")
    splits, unmatched = _pair_all(folders)
    code = mask_code(descriptor)
    palette, _ = descriptor.colours()
    count = len(descriptor.classes)
    if not palette:
        masks = (pair.mask for pairs in splits.values() for pair in pairs if pair.mask)
        first = next(masks, None)
        palette = (palette_of(first, count) if first else None) or default_palette(count)
    return Data(root, "descriptor", descriptor.classes, palette, code, splits, unmatched)


def open_folders(root: Path) -> Data:
    """Open ``images/`` and ``masks/``, paired by stem, by the rules in ``open_data``. Raises DataError."""
    images, masks = root / "images", root / "masks"
    divided = False
    if not _has(root, "images", "masks"):
        _refuse_a_folder_for_each_image(root)
        splits, unmatched = _pair_all(
            {
                folder.name: (folder / "images", folder / "masks")
                for folder in _splits(root)
                if _has(folder, "images") or _has(folder, "masks")
            }
        )
    elif names := sorted({folder.name for folder in _splits(images) + _splits(masks)}):
        loose = list_images(images) + list_images(masks)
        refuse_folders_of_objects(root, {image: list_images(masks / image.stem) for image in list_images(images)})
        if loose:
            raise DataError(
                f"{root}: {len(loose)} files, {loose[0].relative_to(root)} among them, lie beside the splits "
                f"{', '.join(names)}; move them into a split, or remove the split folders"
            )
        splits, unmatched = _pair_all({name: (images / name, masks / name) for name in names})
    else:
        pairs, unmatched = _pair(images, masks)
        splits, divided = _divide(pairs), True
    files = [pair.mask for pairs in splits.values() for pair in pairs if pair.mask]
    code, classes, palette, notes = infer_classes(root, files + unmatched)
    return Data(root, "folders", classes, palette, code, splits, unmatched, divided=divided, inferred=True, notes=notes)


def _refuse_a_folder_for_each_image(root: Path) -> None:
    """Raise DataError where each folder holds one image and the masks of its objects, and is no split."""
    folders = [folder for folder in _folders(root) if _has(folder, "images", "masks")]
    of_folder = [(list_images(folder / "images"), list_images(folder / "masks")) for folder in folders]
    if len(folders) > 2 and all(len(images) == 1 for images, _ in of_folder):
        refuse_folders_of_objects(root, {images[0]: masks for images, masks in of_folder})


def _pair_all(folders: dict[str, tuple[Path, Path]]) -> tuple[dict[str, list[Pair]], list[Path]]:
    paired = {name: _pair(*both) for name, both in folders.items()}
    unmatched = [mask for _, unpaired in paired.values() for mask in unpaired]
    return in_order({name: pairs for name, (pairs, _) in paired.items()}), list(dict.fromkeys(unmatched))


def _pair(images: Path, masks: Path) -> tuple[list[Pair], list[Path]]:
    """Return pairs by stem, and the masks left over. Of two masks with one stem the first by name is used."""
    files = list_images(masks)
    first = {path.stem: path for path in reversed(files)}
    pairs = [Pair(image, first.get(image.stem)) for image in list_images(images)]
    taken = {pair.mask for pair in pairs}
    return pairs, [path for path in files if path not in taken]


def _divide(pairs: list[Pair]) -> dict[str, list[Pair]]:
    """Divide pairs into train, val and test by the hash of the stem, by the rule in ``open_data``."""
    ranked = sorted(pairs, key=lambda pair: hashlib.sha256(pair.image.stem.encode()).digest())
    tenth = max(1, round(len(pairs) / 10))
    tests = tenth if len(pairs) >= 3 else 0
    vals = tenth if len(pairs) >= 2 else 0
    test, val = ranked[:tests], ranked[tests : tests + vals]
    divided = {"train": ranked[tests + vals :], "val": val, "test": test}
    return {name: sorted(part, key=lambda pair: pair.image.name) for name, part in divided.items() if part}


def _has(folder: Path, *names: str) -> bool:
    return all((folder / name).is_dir() for name in names)


def _splits(path: Path) -> list[Path]:
    """The folders in ``path``. Raises DataError where a link may be to one more, which is not there."""
    for entry in sorted(path.iterdir()):
        if entry.is_symlink() and not entry.exists() and entry.suffix.lower() not in SUFFIXES:
            raise DataError(f"{entry}: {absence(entry)}; a split's folder may be missing, so mend or remove the link")
    return _folders(path)


def _folders(path: Path) -> list[Path]:
    return sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))
