"""Recognize folders of images and masks by their names, and open them."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from fullyconv.data.catalog import Data
from fullyconv.data.checks.object_masks import refuse_folders_of_objects
from fullyconv.data.images.files import list_images
from fullyconv.data.layouts.files import Keyed, holds_images, images_under, refuse_broken_links, subfolders
from fullyconv.data.layouts.infer import infer_classes
from fullyconv.data.layouts.pairing import Names, Paired, pair
from fullyconv.data.published.archive import in_order
from fullyconv.data.splits.divide import divide
from fullyconv.data.splits.names import SPLITS, canonical, letters
from fullyconv.errors import DataError

IMAGES = frozenset(
    [
        "images",
        "image",
        "imgs",
        "img",
        "imgdir",
        "imagedir",
        "rgb",
        "inputs",
        "input",
        "photos",
        "photo",
        "jpegimages",
        "original",
        "originals",
    ]
)
MASKS = frozenset(
    [
        "masks",
        "mask",
        "labels",
        "label",
        "annotations",
        "annotation",
        "anndir",
        "annot",
        "annots",
        "gt",
        "gts",
        "groundtruth",
        "groundtruths",
        "targets",
        "target",
        "seg",
        "segs",
        "segmentation",
        "segmentations",
        "segmentationmasks",
        "manual",
        "1stmanual",
    ]
)
ENDINGS = SPLITS | {"tr": "train", "ts": "test"}  # imagesTr, labelsTr
MAX_DEPTH = 3
MAX_FOLDERS = 2000


class Site(NamedTuple):
    """A folder of images and one of masks, and their split if their names or those of the folders above name one."""

    images: Path | None
    masks: Path | None
    split: str | None

    @property
    def place(self) -> Path:
        """The folder that holds both."""
        return (self.images or self.masks or Path()).parent


def is_folders(path: Path) -> bool:
    """Whether ``path`` holds folders of images and masks."""
    return path.is_dir() and any(site.images and site.masks for site in _sites(path))


def open_folders(root: Path) -> Data:
    """Open folders of images and masks by the rules in ``open_data``.

    Raises DataError if images and masks do not pair or the classes cannot be inferred.
    """
    paired = arrange(root)
    files = [pair.mask for pairs in paired.splits.values() for pair in pairs if pair.mask]
    code, classes, palette, notes = infer_classes(root, files + paired.unmatched)
    return Data(
        root,
        "folders",
        classes,
        palette,
        code,
        paired.splits,
        paired.unmatched,
        divided=paired.divided,
        inferred=True,
        notes=paired.notes + notes,
    )


def arrange(root: Path) -> Paired:
    """Find the images and masks of each split in folders with known names.

    Raises DataError if it is ambiguous which folder is which, or images and masks do not pair.
    """
    sites = list(_sites(root))
    depth = min(len(site.place.parts) for site in sites if site.images and site.masks)
    sites = [site for site in sites if len(site.place.parts) == depth]
    if depth > len(root.parts):
        refuse_broken_links(root)
    names: dict[str, Names] = {}
    notes: list[str] = []
    if not any(site.split or _splits_inside(site) for site in sites):
        return _divide(root, [site for site in sites if site.images and site.masks])
    for site in sites:
        _add_splits(root, site, names, notes)
    for of_split in names.values():
        _refuse_folders_of_objects(root, of_split)
    paired = pair(names)
    return replace(paired, splits=in_order(paired.splits), notes=notes + paired.notes)


def kind_of(name: str) -> str | None:
    """Return what a folder's name says it holds: "images" or "masks"; None for another name."""
    return _parse(name)[0] or None


def as_split(name: str) -> str | None:
    """Return the split that a folder's name contains, such as train for "uavid_train"; None if it contains none."""
    known = [SPLITS[word] for word in re.split(r"[^a-z0-9]+", name.lower()) if word in SPLITS]
    return known[0] if len(known) == 1 else None


def _divide(root: Path, sites: Sequence[Site]) -> Paired:
    """Join all sites into one set and divide it into splits; with three or more folders, each stays in one split."""
    images: Keyed = {}
    masks: Keyed = {}
    for site in sites:
        assert site.images is not None
        assert site.masks is not None
        above = site.place.relative_to(root).as_posix()
        images |= {path: f"{above}/{key}" for path, key in images_under(site.images).items()}
        masks |= {path: f"{above}/{key}" for path, key in images_under(site.masks).items()}
    _refuse_folders_of_objects(root, Names(images, masks))
    paired = pair({"all": Names(images, masks)})
    folders = {key.rpartition("/")[0] for key in images.values()}
    if len(folders) < 3:
        flat = len(folders) == 1
        splits = divide(paired.splits["all"], None if flat else lambda path: images[path])
        return replace(paired, splits=splits, divided=True)
    splits = divide(paired.splits["all"], lambda path: images[path].rpartition("/")[0])
    note = (
        f"the images are in {len(folders)} folders, none of which is named like a split; each folder was put into one "
        "split. To divide them differently, write a dataset.yaml with `images`, `masks` and `split: {by: ...}`"
    )
    return replace(paired, splits=splits, divided=True, notes=[*paired.notes, note])


def _refuse_folders_of_objects(root: Path, names: Names) -> None:
    """Raise DataError if each image has a folder of its own with one mask for each object."""
    if set(names.images.values()) & set(names.masks.values()):
        return
    by_folder: dict[str, list[Path]] = {}
    for mask, key in names.masks.items():
        by_folder.setdefault(key.rpartition("/")[0], []).append(mask)
    folders = Counter(key.rpartition("/")[0] for key in names.images.values())
    own = {
        image: by_folder.get(key, by_folder.get(folder, []) if folders[folder] == 1 < len(folders) else [])
        for image, key in names.images.items()
        for folder in [key.rpartition("/")[0]]
    }
    refuse_folders_of_objects(root, own)


def _add_splits(root: Path, site: Site, names: dict[str, Names], notes: list[str]) -> None:
    """Add the images and masks of a site to its split or splits in ``names``."""
    inside = _splits_inside(site)
    above = site.place.relative_to(root)
    if not inside:
        if site.split is None and not above.parts:
            raise DataError(
                f"{site.images}: is beside split folders but belongs to no split; move its files into one, or remove it"
            )
        split = site.split or canonical(above.parts[0])
        _add(above, split, site.images, site.masks, names, notes)
        return
    loose = [path for folder in (site.images, site.masks) if folder for path in list_images(folder)]
    if loose:
        raise DataError(
            f"{site.place}: {len(loose)} files, such as {loose[0].relative_to(site.place)}, are outside of the split "
            f"folders {', '.join(inside)}; move them into a split, or remove the split folders"
        )
    for name, (images, masks) in inside.items():
        _add(above, canonical(name), images, masks, names, notes)


def _add(
    above: Path, split: str, images: Path | None, masks: Path | None, names: dict[str, Names], notes: list[str]
) -> None:
    found = images_under(images) if images else {}
    if split == "test" and found and (masks is None or not masks.is_dir()):
        notes.append(f"the test split is left out because its {len(found)} images have no masks ({images})")
        return
    drawn = images_under(masks) if masks else {}
    more = Names(*({path: f"{above.as_posix()}/{key}" for path, key in files.items()} for files in (found, drawn)))
    known = names.get(split, Names({}, {}))
    names[split] = Names(known.images | more.images, known.masks | more.masks)


def _splits_inside(site: Site) -> dict[str, tuple[Path | None, Path | None]]:
    """Return the split folders inside the folders of images and masks, by name; empty if none is named like a split."""
    both = [folder for folder in (site.images, site.masks) if folder is not None]
    found = {folder.name for outer in both if outer.is_dir() for folder in subfolders(outer)}
    if not any(letters(name) in SPLITS for name in found):
        return {}
    for outer in both:
        refuse_broken_links(outer)
    return {name: (site.images and site.images / name, site.masks and site.masks / name) for name in sorted(found)}


def _sites(root: Path) -> Iterator[Site]:
    """Yield the folders of images and masks in ``root`` and below it, the uppermost first."""
    level, looked = [root], 0
    for _ in range(MAX_DEPTH + 1):
        below: list[Path] = []
        for folder in level:
            looked += 1
            if looked > MAX_FOLDERS:
                return
            try:
                inside = subfolders(folder)
            except OSError:  # a folder that may not be listed, such as another user's
                continue
            found = list(_sites_in(root, folder, inside))
            yield from found
            taken = {path for site in found for path in site[:2]}
            below += [inner for inner in inside if inner not in taken]
        level = below


def _sites_in(root: Path, folder: Path, inside: Sequence[Path]) -> Iterator[Site]:
    kinds: dict[str | None, dict[str, list[Path]]] = {}
    for inner in inside:
        kind, split = _parse(inner.name)
        if kind is not None and _may_hold_images(inner):
            kinds.setdefault(split, {}).setdefault(kind, []).append(inner)
    told = next((split for part in folder.relative_to(root).parts if (split := as_split(part))), None)
    for split, of_kind in kinds.items():
        images, masks = of_kind.get("images", []), of_kind.get("masks", [])
        bare = of_kind.get("", [])
        if not images and masks and split is not None:
            images = bare  # train and trainannot
        if images or masks:
            yield Site(_one(folder, images, "images"), _one(folder, masks, "masks"), split or told)


def _one(folder: Path, found: Sequence[Path], usual: str) -> Path | None:
    """Return the only folder, or the one with the usual name. Raises DataError if several folders are possible."""
    named = [path for path in found if path.name.lower() == usual]
    if len(found) > 1 and len(named) != 1:
        raise DataError(
            f"{folder}: {' and '.join(path.name for path in found)} could each be the folder of {usual}; say which it "
            f"is in a dataset.yaml with `images` and `masks`, such as `{usual}: {found[0].name}`"
        )
    return next(iter(named or found), None)


def _parse(name: str) -> tuple[str | None, str | None]:
    """Return what a folder's name says: "images", "masks" or "" (only a split), and the split; None for nothing."""
    word = letters(name)
    for kind, words in (("images", IMAGES), ("masks", MASKS)):
        if word in words:
            return kind, None
        for split, usual in ENDINGS.items():
            if (word.startswith(split) and split in SPLITS and word.removeprefix(split) in words) or (
                word.endswith(split) and word.removesuffix(split) in words
            ):
                return kind, usual
    if word in SPLITS:
        return "", SPLITS[word]
    parts = re.split(r"[^a-z0-9]+", name.lower())  # images_prepped_train
    kinds = [kind for kind, words in (("images", IMAGES), ("masks", MASKS)) if not words.isdisjoint(parts)]
    told = as_split(name)
    return (kinds[0], told) if len(kinds) == 1 and told is not None else (None, None)


def _may_hold_images(folder: Path) -> bool:
    """Whether a folder holds images at any depth, or is empty; a folder of only other files does not count."""
    try:
        return holds_images(folder) or not any(path.is_file() for path in folder.rglob("*"))
    except DataError:  # reported when the data set is opened
        return True
