"""Recognize data sets with one mask file for each object, where one for each image is expected."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from fullyconv.data.checks.kinds import Kind
from fullyconv.data.checks.problems import Problem
from fullyconv.data.pairs import Pair
from fullyconv.errors import DataError

SEVERAL = 1.5
"""Masks per image, from which on they are taken for those of objects."""
FEWEST = 4
"""Masks of objects, at least."""


def object_masks(pairs: Iterable[Pair], unmatched: Sequence[Path]) -> Problem | None:
    """Return the problem where masks that match no image have names that extend an image's, several for each."""
    images = {pair.image.stem: pair.image for pair in pairs}
    of_image: dict[Path, list[Path]] = {}
    for mask in unmatched:
        name = mask.stem
        ends = (place for place in range(len(name) - 1, 0, -1) if not name[place].isalnum())
        image = next((images[name[:place]] for place in ends if name[:place] in images), None)
        if image is not None:
            of_image.setdefault(image, []).append(mask)
    many = sum(map(len, of_image.values()))
    if many < max(FEWEST, SEVERAL * len(of_image), 0.8 * len(unmatched)):
        return None
    return _problem(of_image)


def refuse_folders_of_objects(root: Path, of_image: Mapping[Path, Sequence[Path]]) -> None:
    """Raise DataError where each image has a folder of several masks of its own."""
    found = {image: list(masks) for image, masks in of_image.items() if masks}
    if sum(map(len, found.values())) >= max(FEWEST, SEVERAL * len(found)):
        problem = _problem(found)
        raise DataError(f"{root}: {problem.kind.title}: {problem.found}. What to do: {problem.kind.remedy}")


def _problem(of_image: Mapping[Path, Sequence[Path]]) -> Problem:
    image, masks = max(of_image.items(), key=lambda entry: len(entry[1]))
    many = sum(map(len, of_image.values()))
    files = (*of_image, *(mask for own in of_image.values() for mask in own))
    found = (
        f"{many:,} masks for {len(of_image):,} image{'s' * (len(of_image) > 1)}, as {masks[0].name} and "
        f"{masks[1].name} for {image.name}"
    )
    return Problem(Kind.OBJECT_MASKS, files, found, "one mask for each image")
