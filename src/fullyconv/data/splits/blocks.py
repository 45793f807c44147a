"""Group georeferenced images by where they lie, and find images of different splits that show the same ground."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import floor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fullyconv.data.images.neighbours import CLOSED, refuse_other_files
from fullyconv.data.images.read import find_decoder
from fullyconv.data.parallel import in_parallel
from fullyconv.data.splits.file import shown
from fullyconv.errors import DataError
from fullyconv.extras import require

COMMON = 1e-3
"""The share of an image from which ground in common counts; tiles beside each other may share an edge."""


class Footprint(NamedTuple):
    """The ground that an image shows: its coordinate system, and the corners of the box around it, in metres."""

    system: str
    left: float
    bottom: float
    right: float
    top: float


def footprints(images: Sequence[Path]) -> dict[Path, Footprint]:
    """Return where images lie.

    Raises DataError for images without a georeference, or with angles as coordinates, and ConfigError if rasterio is
    not installed.
    """
    require("rasterio", "raster", "reads where images lie")
    found = dict(zip(images, in_parallel(_footprint, images), strict=True))
    nowhere = [image for image in images if found[image] is None]
    if nowhere:
        raise DataError(
            f"--block needs georeferenced images, but {len(nowhere)} of {len(images)} have no coordinate system or no "
            f"position ({shown(map(str, nowhere))}). Assign them (`gdal_edit.py -a_srs EPSG:N -a_ullr ...`), or group "
            "the images by their names (--group)"
        )
    angles = [image for image, own in found.items() if isinstance(own, str)]
    if angles:
        raise DataError(
            f"--block is in metres, but the coordinates of {len(angles)} of {len(images)} images are in degrees, as in "
            f"{found[angles[0]]} ({shown(map(str, angles))}). Project them to metres (`gdalwarp -t_srs EPSG:326NN`, "
            "with NN their UTM zone), or group the images by their names (--group)"
        )
    return {image: own for image, own in found.items() if isinstance(own, Footprint)}


def block_of(place: Footprint, side: float) -> str:
    """Return the square of this side, in metres, in which the centre of an image lies, by its number to east and north.

    Images in different coordinate systems are in different squares.
    """
    east, north = (place.left + place.right) / 2, (place.bottom + place.top) / 2
    return f"{place.system} {floor(east / side)} {floor(north / side)}"


def overlapping(places: Mapping[Path, Footprint], splits: Mapping[Path, str]) -> list[tuple[Path, Path]]:
    """Return pairs of images of different splits that show the same ground, by the boxes around them."""
    pairs = []
    for system in sorted({place.system for place in places.values()}):
        images = sorted((image for image in places if places[image].system == system), key=lambda own: places[own][1])
        boxes = np.array([places[image][1:] for image in images])
        parts = np.unique([splits[image] for image in images], return_inverse=True)[1]
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        ends = np.searchsorted(boxes[:, 0], boxes[:, 2])  # the images from there on begin further right
        for first, end in enumerate(ends.tolist()):
            left, bottom, right, top = boxes[first]
            others = boxes[first + 1 : end]
            width = np.minimum(right, others[:, 2]) - np.maximum(left, others[:, 0])
            height = np.minimum(top, others[:, 3]) - np.maximum(bottom, others[:, 1])
            common = width.clip(0) * height.clip(0) > COMMON * np.minimum(areas[first], areas[first + 1 : end])
            common &= parts[first + 1 : end] != parts[first]
            pairs += [(images[first], images[first + 1 + other]) for other in np.flatnonzero(common)]
    return pairs


def _footprint(path: Path) -> Footprint | str | None:
    """Return where an image lies; the name of its coordinate system if that has angles; None without a position."""
    import rasterio

    decoder = find_decoder(path)
    driver = "GTiff" if decoder == "picture" else decoder
    with (
        rasterio.Env(**CLOSED),
        suppress(rasterio.errors.RasterioIOError),  # other formats have no georeference
        rasterio.open(path.resolve(), driver=driver) as file,
    ):
        refuse_other_files(file, path, 0)
        if not file.crs or file.transform.is_identity:
            return None
        if not file.crs.is_projected:
            return str(file.crs.to_string())
        _, metres = file.crs.linear_units_factor
        corners = [(x, y) for x in (0, file.width) for y in (0, file.height)]
        place = file.transform
        horizontal = [(place.a * x + place.b * y + place.c) * metres for x, y in corners]
        vertical = [(place.d * x + place.e * y + place.f) * metres for x, y in corners]
        return Footprint(file.crs.to_string(), min(horizontal), min(vertical), max(horizontal), max(vertical))
    return None
