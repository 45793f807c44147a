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
    images = {pair.image.stem: pair.image for pair in pairs}
    of_image: dict[Path, list[Path]] = {}
    for mask in unmatched:
        name = mask.stem
        ends = (place for place in range(len(name) - 1, 0, -1) if not name[place].isalnum())
        image = next((images[name[:place]] for place in ends if name[:place] in images), None)
        if image is not None:
            of_image.setdefault(image, []).append(mask)
    many = sum(map(len, of_image.values()))
    if many < max(MIN_MASKS, MIN_MASKS_PER_IMAGE * len(of_image), 0.8 * len(unmatched)):
        return None
    return _problem(of_image)


def refuse_folders_of_objects(root: Path, of_image: Mapping[Path, Sequence[Path]]) -> None:
    """Raise DataError if ``of_image`` has several masks for each image."""
    found = {image: list(masks) for image, masks in of_image.items() if masks}
    if sum(map(len, found.values())) >= max(MIN_MASKS, MIN_MASKS_PER_IMAGE * len(found)):
        problem = _problem(found)
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
