"""Which files belong together: descriptors, PASCAL VOC folders, and folders of images and masks."""

import hashlib
from pathlib import Path

from fullyconv.data.data import Data
from fullyconv.data.descriptor import read_descriptor
from fullyconv.data.images import list_images
from fullyconv.data.infer import infer_classes, palette_of
from fullyconv.data.masks import IGNORE, MaskCode
from fullyconv.data.pairs import Pair
from fullyconv.errors import DataError
from fullyconv.palettes import VOC_CLASSES, VOC_VOID, default_palette, voc_palette

DESCRIPTOR = "dataset.yaml"
LAYOUTS = {
    "descriptor": f"a {DESCRIPTOR} file, or a folder that holds one",
    "voc": "folders JPEGImages, SegmentationClass and ImageSets/Segmentation (a list a split)",
    "folders": "folders images and masks, with or without a folder for each split in them (or around them)",
}


def open_data(path: str | Path, layout: str | None = None) -> Data:
    """Find out which images and masks there are and what the masks mean.

    ``path`` is a descriptor or a folder; ``layout`` ("descriptor", "voc" or "folders") forces what is
    otherwise detected in this order:

    - **descriptor**: a ``dataset.yaml`` (see ``Descriptor``), or a folder that holds one.
    - **voc**: PASCAL VOC's folders, its 21 classes, 255 void. Each list in ImageSets/Segmentation is a
      split, except trainval where train and val are there, as it only repeats them.
    - **folders**: ``images/`` and ``masks/``; with ``SPLIT/`` inside both, or around both. Classes come
      from the masks (see ``infer_classes``). Without splits, the images are sorted by the SHA-256 of their
      stem; the first tenth (rounded, at least one) is test, the next tenth val, the rest train. Fewer than
      three have no test, a single one has no val either.

    Images and masks are paired by stem. What does not pair, or cannot be read, is left for ``check`` to
    report.
    Raises DataError if no layout fits, folders are missing, the description is wrong, or classes cannot be
    inferred.
    """
    path = Path(path)
    if layout is not None and layout not in LAYOUTS:
        raise DataError(f"layout is {layout!r}; {', '.join(LAYOUTS)} are known")
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder; a data set is {'; or '.join(LAYOUTS.values())}")
    found = _detect(path)
    if not found or (layout is not None and layout not in found):
        wanted = LAYOUTS if layout is None else {layout: LAYOUTS[layout]}
        expected = "".join(f"\n  {name}: {description}" for name, description in wanted.items())
        raise DataError(f"{path}: no data set found. Looked for{expected}\nand found {_list(path)}")
    match layout or found[0]:
        case "descriptor":
            return _open_descriptor(path / DESCRIPTOR if path.is_dir() else path)
        case "voc":
            return _open_voc(path)
        case _:
            return _open_folders(path)


def _detect(path: Path) -> list[str]:
    if path.is_file():
        return ["descriptor"] if path.suffix.lower() in (".yaml", ".yml") else []
    holds = {
        "descriptor": (path / DESCRIPTOR).is_file(),
        "voc": _has(path, "JPEGImages", "SegmentationClass", "ImageSets/Segmentation"),
        "folders": _has(path, "images", "masks") or any(_has(folder, "images", "masks") for folder in _folders(path)),
    }
    return [layout for layout, held in holds.items() if held]


def _open_descriptor(path: Path) -> Data:
    descriptor, root = read_descriptor(path), path.parent
    folders = {name: (root / split.images, root / split.masks) for name, split in descriptor.splits.items()}
    missing = [str(folder) for pair in folders.values() for folder in pair if not folder.is_dir()]
    if missing:
        raise DataError(f"{path}: its splits name folders that are not there: {', '.join(dict.fromkeys(missing))}")
    splits, orphans = _pair_all(folders)
    palette, void = descriptor.colours()
    colours = {colour: label for label, colour in enumerate(palette)} | ({void: IGNORE} if void else {})
    count = len(descriptor.classes)
    if not palette:
        masks = (pair.mask for pairs in splits.values() for pair in pairs if pair.mask)
        first = next(masks, None)
        palette = (palette_of(first, count) if first else None) or default_palette(count)
    code = MaskCode(count, descriptor.ignore_index, colours or None)
    return Data(root, "descriptor", descriptor.classes, palette, code, splits, orphans)


def _open_voc(root: Path) -> Data:
    lists = {path.stem: path for path in sorted((root / "ImageSets/Segmentation").glob("*.txt"))}
    if {"train", "val"} <= lists.keys():
        lists.pop("trainval", None)
    if not lists:
        raise DataError(
            f"{root}: ImageSets/Segmentation has no lists; train.txt and so on are expected, one name a line"
        )
    images = {path.stem: path for path in list_images(root / "JPEGImages")}
    masks = {path.stem: path for path in list_images(root / "SegmentationClass")}
    splits = {
        split: [Pair(images.get(stem, root / "JPEGImages" / f"{stem}.jpg"), masks.get(stem)) for stem in _lines(path)]
        for split, path in lists.items()
    }
    palette = voc_palette(len(VOC_CLASSES))
    colours = {colour: label for label, colour in enumerate(palette)} | {VOC_VOID: IGNORE}
    code = MaskCode(len(VOC_CLASSES), IGNORE, colours)
    return Data(root, "voc", list(VOC_CLASSES), palette, code, _in_order(splits))


def _open_folders(root: Path) -> Data:
    images, masks = root / "images", root / "masks"
    if not _has(root, "images", "masks"):
        splits, orphans = _pair_all(
            {folder.name: (folder / "images", folder / "masks") for folder in _folders(root) if _has(folder, "images")}
        )
    elif names := sorted({folder.name for folder in _folders(images) + _folders(masks)}):
        loose = list_images(images) + list_images(masks)
        if loose:
            raise DataError(
                f"{root}: {len(loose)} files, {loose[0].relative_to(root)} among them, lie beside the splits "
                f"{', '.join(names)}; move them into a split, or take the split folders away"
            )
        splits, orphans = _pair_all({name: (images / name, masks / name) for name in names})
    else:
        pairs, orphans = _pair(images, masks)
        splits = _divide(pairs)
    files = [pair.mask for pairs in splits.values() for pair in pairs if pair.mask]
    code, classes, palette = infer_classes(root, files + orphans)
    return Data(root, "folders", classes, palette, code, splits, orphans)


def _pair_all(folders: dict[str, tuple[Path, Path]]) -> tuple[dict[str, list[Pair]], list[Path]]:
    paired = {name: _pair(*both) for name, both in folders.items()}
    orphans = [mask for _, unpaired in paired.values() for mask in unpaired]
    return _in_order({name: pairs for name, (pairs, _) in paired.items()}), list(dict.fromkeys(orphans))


def _pair(images: Path, masks: Path) -> tuple[list[Pair], list[Path]]:
    """Pairs by stem, and the masks left over. Of two masks with one stem the first by name is taken."""
    files = list_images(masks)
    first = {path.stem: path for path in reversed(files)}
    pairs = [Pair(image, first.get(image.stem)) for image in list_images(images)]
    taken = {pair.mask for pair in pairs}
    return pairs, [path for path in files if path not in taken]


def _divide(pairs: list[Pair]) -> dict[str, list[Pair]]:
    """Test, val and train by the hash of the stem; the rule is in ``open_data``."""
    ranked = sorted(pairs, key=lambda pair: hashlib.sha256(pair.image.stem.encode()).digest())
    tenth = max(1, round(len(pairs) / 10))
    tests = tenth if len(pairs) >= 3 else 0
    vals = tenth if len(pairs) >= 2 else 0
    test, val = ranked[:tests], ranked[tests : tests + vals]
    divided = {"train": ranked[tests + vals :], "val": val, "test": test}
    return {name: sorted(part, key=lambda pair: pair.image.name) for name, part in divided.items() if part}


def _in_order(splits: dict[str, list[Pair]]) -> dict[str, list[Pair]]:
    usual = ("train", "val", "test")
    names = [name for name in usual if name in splits] + [name for name in splits if name not in usual]
    return {name: splits[name] for name in names}


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _has(folder: Path, *names: str) -> bool:
    return all((folder / name).is_dir() for name in names)


def _folders(path: Path) -> list[Path]:
    return sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _list(path: Path, limit: int = 10) -> str:
    if path.is_file():
        return f"a file {path.suffix or 'without a suffix'}"
    names = sorted(entry.name + "/" * entry.is_dir() for entry in path.iterdir() if not entry.name.startswith("."))
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return (", ".join(names[:limit]) + more) or "an empty folder"
