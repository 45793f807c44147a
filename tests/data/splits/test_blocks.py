"""Georeferenced images are grouped by the square in which their centre lies."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

rasterio = pytest.importorskip("rasterio")

from rasterio.transform import from_origin  # noqa: E402

from fullyconv.data.splits.blocks import Footprint, block_of, footprints, overlapping  # noqa: E402
from fullyconv.data.splits.command import split_data  # noqa: E402
from fullyconv.data.splits.options import Options  # noqa: E402
from fullyconv.data.splits.table import remarks  # noqa: E402
from fullyconv.errors import DataError  # noqa: E402
from tests.data.splits.conftest import SIZE, Make  # noqa: E402
from tests.data.splits.test_split import read, together  # noqa: E402


def place(root: Path, name: str, west: float, north: float, crs: str | None = "EPSG:32633", pixel: float = 1.0) -> None:
    """Replace an image by one of 32×24 metres whose upper left corner lies there."""
    old = root / "images" / f"{name}.png"
    values = np.asarray(Image.open(old)).transpose(2, 0, 1)
    old.unlink()
    georeference = {"crs": crs, "transform": from_origin(west, north, pixel, pixel)} if crs else {}
    height, width = SIZE
    with rasterio.open(old.with_suffix(".tif"), "w", "GTiff", width, height, 3, dtype="uint8", **georeference) as file:
        file.write(values)


@pytest.fixture
def tiles(make: Make) -> Path:
    """Draw 8 × 4 tiles beside each other, 32 × 24 metres each."""
    root = make({f"{row}{column}": [1] for row in range(4) for column in range(8)})
    for row in range(4):
        for column in range(8):
            place(root, f"{row}{column}", 32 * column, 24 * row + 24)
    return root


def test_images_of_one_square_stay_together(tiles: Path) -> None:
    _, division = split_data(tiles, Options(block=64, val=0.25, test=0.25))
    rows = read(tiles)
    assert together(rows, "split")
    by_hand = {}
    for name in rows:
        row, column = map(int, Path(name).stem)
        by_hand[name] = f"EPSG:32633 {(32 * column + 16) // 64} {(24 * row + 12) // 64}"
    assert {name: row["group"] for name, row in rows.items()} == by_hand
    assert division.overlapping == []


def test_overlaps_across_splits_are_counted_and_named(make: Make) -> None:
    root = make({str(i): [1] for i in range(8)})
    for i in range(8):
        place(root, str(i), 30 * i, 24)  # each overlaps the next by 2 metres
    _, division = split_data(root, Options(block=60, val=0.25, test=0.25))
    split_of = {image.stem: split for image, split in division.splits.items()}
    expected = {(str(i), str(i + 1)) for i in range(7) if split_of[str(i)] != split_of[str(i + 1)]}
    assert {(one.stem, other.stem) for one, other in division.overlapping} == expected
    (remark,) = [line for line in remarks(division) if "show ground" in line]
    assert remark.startswith(f"{len({name for pair in expected for name in pair})} images show ground")


def test_overlapping_agrees_with_comparing_all_pairs() -> None:
    random = np.random.default_rng(0)
    corners = random.integers(0, 60, (40, 2)).astype(float)
    sides = random.integers(1, 12, (40, 2))
    places = {
        Path(str(i)): Footprint("abc"[i % 2], x, y, x + w, y + h)
        for i, ((x, y), (w, h)) in enumerate(zip(corners.tolist(), sides.tolist(), strict=True))
    }
    splits = {image: ("train", "val", "test")[int(image.name) % 3] for image in places}
    expected = set()
    for one, a in places.items():
        for other, b in places.items():
            meet = min(a.right, b.right) > max(a.left, b.left) and min(a.top, b.top) > max(a.bottom, b.bottom)
            if meet and a.system == b.system and splits[one] != splits[other]:
                expected.add(frozenset((one, other)))
    assert expected
    assert {frozenset(pair) for pair in overlapping(places, splits)} == expected


def test_feet_become_metres(make: Make) -> None:
    root = make({"a": [1]})
    place(root, "a", 1000, 1000, "EPSG:2263")  # New York, in US survey feet
    found = footprints([root / "images/a.tif"])[root / "images/a.tif"]
    foot = 1200 / 3937
    assert found[1:] == pytest.approx((1000 * foot, 976 * foot, 1032 * foot, 1000 * foot))
    assert block_of(found, 100) == "EPSG:2263 3 3"


def test_degrees_are_refused(make: Make) -> None:
    root = make({str(i): [1] for i in range(4)})
    for i in range(4):
        place(root, str(i), 10 + i, 50, "EPSG:4326", 1e-4)
    with pytest.raises(DataError, match=r"4 of 4 images are in degrees, as in EPSG:4326 .*gdalwarp -t_srs"):
        split_data(root, Options(block=1000))


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_images_without_a_position_are_refused(make: Make) -> None:
    root = make({str(i): [1] for i in range(4)})
    place(root, "0", 0, 0)
    place(root, "1", 0, 0, None)
    for i in (2, 3):
        place(root, str(i), 64 * i, 24)
    with pytest.raises(DataError, match=r"1 of 4 have no coordinate system or no position \(.*1\.tif\)"):
        split_data(root, Options(block=1000))


def test_pictures_have_no_position(make: Make) -> None:
    root = make({str(i): [1] for i in range(4)})
    with pytest.raises(DataError, match="4 of 4 have no coordinate system"):
        split_data(root, Options(block=1000))
