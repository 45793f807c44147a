"""Recognize data sets that have one mask file for each object instead of one for each image."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from fullyconv.data.checks.kinds import Kind
from fullyconv.data.checks.problems import Problem
from fullyconv.data.pairs import Pair
from fullyconv.errors import DataError

MIN_MASKS_PER_IMAGE = 1.5
"""Masks per image from which on they are taken for masks of objects."""
MIN_MASKS = 4
"""Minimum number of masks of objects."""


def object_masks(pairs: Iterable[Pair], unmatched: Sequence[Path]) -> Problem | None:
    """Return the problem if the unmatched masks are named after images, several for each; None if they are not."""
    of_image = masks_of_images([pair.image for pair in pairs], unmatched)
    many = sum(map(len, of_image.values()))
    return _problem(of_image) if are_of_objects(of_image) and many >= 0.8 * len(unmatched) else None


def masks_of_images(images: Iterable[Path], masks: Iterable[Path]) -> dict[Path, list[Path]]:
    """Return the masks whose names go on from an image's, such as a_1.png and a_2.png for a.png, by the images."""
    of_stem = {image.stem: image for image in images}
    of_image: dict[Path, list[Path]] = {}
    for mask in masks:
        name = mask.stem
        ends = (place for place in range(len(name), 0, -1) if place == len(name) or not name[place].isalnum())
        image = next((of_stem[name[:place]] for place in ends if name[:place] in of_stem), None)
        if image is not None:
            of_image.setdefault(image, []).append(mask)
    return of_image


def are_of_objects(of_image: Mapping[Path, Sequence[Path]]) -> bool:
    """Whether there are several masks for most images."""
    found = [masks for masks in of_image.values() if masks]
    return sum(map(len, found)) >= max(MIN_MASKS, MIN_MASKS_PER_IMAGE * len(found))


def refuse_folders_of_objects(root: Path, of_image: Mapping[Path, Sequence[Path]]) -> None:
    """Raise DataError if ``of_image`` has several masks for each image."""
    if are_of_objects(of_image):
        problem = _problem({image: masks for image, masks in of_image.items() if masks})
        raise DataError(f"{root}: {problem.kind.title}: {problem.found}. What to do: {problem.kind.remedy}")


def _problem(of_image: Mapping[Path, Sequence[Path]]) -> Problem:
    image, masks = max(of_image.items(), key=lambda entry: len(entry[1]))
    many = sum(map(len, of_image.values()))
    files = (*of_image, *(mask for own in of_image.values() for mask in own))
    found = (
        f"{many:,} masks for {len(of_image):,} image{'s' * (len(of_image) > 1)}, such as {masks[0].name} and "
        f"{masks[1].name} for {image.name}"
    )
    return Problem(Kind.OBJECT_MASKS, files, found, "one mask for each image")
