"""The built-in data set: outlines, scenes, files."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from matplotlib.path import Path as Polygon
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from fullyconv.demo import drawing, shapes
from fullyconv.demo.outlines import Shape
from fullyconv.demo.shapes import CLASSES, PALETTE, Scene, draw_crop, draw_scene, make
from fullyconv.errors import ConfigError, DataError

SMALL: dict[str, Any] = {"train": 3, "val": 1, "test": 2, "crops_per_class": 2}


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw_scene(np.random.default_rng([3, i])) for i in range(80)]


def content(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def corners(name: str, form: float) -> NDArray[np.float64]:
    """The outline's corners in the unit circle, in order."""
    if name == "triangle":
        low = 1 + form * (np.pi / 6 - 1)
        return np.array([[0, -1], [np.cos(low), np.sin(low)], [-np.cos(low), np.sin(low)]])
    if name == "rectangle":
        angle = np.pi / 4 * (0.6 + 0.4 * form)
        angles = np.array([angle, np.pi - angle, np.pi + angle, -angle])
        return np.stack([np.cos(angles), np.sin(angles)], 1)
    if name == "star":
        radii = np.where(np.arange(10) % 2 == 0, 1, 0.42 + 0.12 * form)
        angles = np.arange(10) * np.pi / 5
        return radii[:, None] * np.stack([np.sin(angles), -np.cos(angles)], 1)
    half = 0.2 + 0.12 * form
    tip = np.sqrt(1 - half**2)
    arm = np.array([[half, half], [tip, half], [tip, -half]])
    turns = [np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) for a in -np.pi / 2 * np.arange(4)]
    return np.concatenate([arm @ turn.T for turn in turns])


@pytest.mark.parametrize("name", ["triangle", "rectangle", "star", "cross"])
@pytest.mark.parametrize("form", [0.0, 0.6, 1.0])
def test_straight_outlines_hold_the_pixel_centres_inside_their_polygon(name: str, form: float) -> None:
    x, y, radius, angle = 41.3, 37.8, 30.7, 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    polygon = Polygon(corners(name, form) @ turn.T * radius + [x, y])
    centres = np.stack(np.meshgrid(np.arange(90) + 0.5, np.arange(80) + 0.5), -1).reshape(-1, 2)
    expected = polygon.contains_points(centres).reshape(80, 90)
    covered = Shape(name, x, y, radius, angle, form).coverage(slice(0, 80), slice(0, 90))
    assert np.array_equal(covered > 0, expected)


@pytest.mark.parametrize("form", [0.0, 1.0])
def test_round_outlines_have_the_area_of_circles_less_circles(form: float) -> None:
    near, other = 0.45 + 0.2 * form, 0.85
    # Where two circles meet: the sum of two segments.
    along = (1 + near**2 - other**2) / (2 * near)
    lens = np.arccos(along) - along * np.sqrt(1 - along**2)
    along = near - along
    lens += other**2 * np.arccos(along / other) - along * np.sqrt(other**2 - along**2)
    areas = {"disc": np.pi, "ring": np.pi * (1 - (0.7 - 0.2 * form) ** 2), "crescent": np.pi - lens}
    for name, area in areas.items():
        covered = Shape(name, 50.2, 49.9, 45.0, 1.0, form).coverage(slice(0, 100), slice(0, 100), samples=4)
        assert covered.sum() == pytest.approx(area * 45.0**2, rel=1e-3), name


@pytest.mark.parametrize("name", CLASSES[1:])
def test_a_shapes_window_holds_all_of_it_and_it_fills_its_circle(name: str) -> None:
    shape = Shape(name, 60.4, 70.9, 25.0, 2.0, 0.5)
    rows, cols = shape.window(140, 120)
    assert shape.coverage(rows, cols).sum() == shape.coverage(slice(0, 140), slice(0, 120)).sum()
    y, x = np.nonzero(shape.coverage(slice(0, 140), slice(0, 120)))
    assert 23.5 < np.hypot(x + 0.5 - shape.x, y + 0.5 - shape.y).max() <= 25


def test_scenes_hold_every_class_in_pictures_of_many_sizes(scenes: list[Scene]) -> None:
    assert set(np.unique(np.concatenate([scene.mask.ravel() for scene in scenes]))) == set(range(len(CLASSES)))
    sizes = {scene.image.size for scene in scenes}
    assert len(sizes) > 70
    assert all(150 <= side <= 320 for size in sizes for side in size)
    assert sum(width % 32 != 0 and height % 32 != 0 for width, height in sizes) > 0.8 * len(sizes)


def test_shapes_are_8_to_200_pixels_in_size(scenes: list[Scene]) -> None:
    diameters = [2 * shape.radius for scene in scenes for shape in scene.shapes]
    assert 8 <= min(diameters) < 12
    assert 160 < max(diameters) <= 200


def test_a_mask_shows_the_shape_drawn_last_at_each_pixels_centre(scenes: list[Scene]) -> None:
    for scene in scenes[:20]:
        height, width = scene.mask.shape
        x, y = np.meshgrid(np.arange(width, dtype=np.float32) + 0.5, np.arange(height, dtype=np.float32) + 0.5)
        expected = np.zeros((height, width), np.uint8)
        for shape in scene.shapes:
            expected[shape.contains(x, y)] = CLASSES.index(shape.name)
        assert scene.image.size == (width, height)
        assert np.array_equal(scene.mask, expected)


def test_shapes_cover_each_other_but_each_is_seen(scenes: list[Scene]) -> None:
    seen = []
    for scene in scenes:
        height, width = scene.mask.shape
        for k, shape in enumerate(scene.shapes):
            drawn = shape.coverage(slice(0, height), slice(0, width)).sum()
            seen.append((scene.owner == k + 1).sum() / drawn)
    assert np.mean(np.array(seen) < 0.97) > 0.08
    assert min(seen) >= 1 - shapes.MOST_HIDDEN


def test_edges_of_the_image_lie_on_edges_of_the_mask(scenes: list[Scene]) -> None:
    def strength(down: int, right: int) -> float:
        """How much the image changes where the mask, moved so far, changes."""
        total = 0.0
        for scene in scenes:
            grey = np.asarray(scene.image.convert("L"), float)
            owner = np.roll(scene.owner, (down, right), (0, 1))
            steps, edges = np.abs(np.diff(grey)), np.diff(owner.astype(int)) != 0
            total += (steps[8:-8, 8:-8] * edges[8:-8, 8:-8]).sum() / max(edges[8:-8, 8:-8].sum(), 1)
        return total

    here = strength(0, 0)
    assert all(here > 1.15 * strength(*move) for move in [(0, 2), (0, -2), (2, 0), (-2, 0)])


def test_a_crop_differs_from_bare_ground_where_its_shape_is() -> None:
    """The picture's middle is nearly always inside a disc, and so unlike its corners; bare ground is alike."""

    def difference(name: str) -> float:
        pictures = np.stack([np.asarray(draw_crop(np.random.default_rng([1, i]), name), float) for i in range(40)])
        middle = pictures[:, 40:56, 40:56].mean((1, 2))
        corners = np.stack([pictures[:, y : y + 8, x : x + 8].mean((1, 2)) for y in (0, 88) for x in (0, 88)])
        return np.abs(middle - np.median(corners, 0)).mean()

    assert difference("disc") > 2 * difference("background")


def test_colour_does_not_give_the_class_away(scenes: list[Scene]) -> None:
    colours, names = [], []
    for scene in scenes:
        pixels = np.asarray(scene.image)
        for k, shape in enumerate(scene.shapes):
            colours.append(pixels[scene.owner == k + 1].mean(0) / 255)
            names.append(shape.name)
    assert cross_val_score(LogisticRegression(), colours, names, cv=5).mean() < 0.25  # chance: 1 of 7


@pytest.mark.parametrize("lightness", [0.3, 0.55, 0.9])
def test_a_colour_has_the_lightness_asked_for(lightness: float) -> None:
    for hue in np.arange(0, 1, 0.1):
        assert drawing.lightness(drawing.colour(lightness, 0.04, hue)) == pytest.approx(lightness, abs=1e-3)
    assert np.ptp(drawing.colour(lightness, 0, 0)) < 1e-3


@pytest.mark.parametrize("pattern", drawing.PATTERNS, ids=lambda pattern: pattern.__name__)
@pytest.mark.parametrize("size", [(7, 9), (64, 64), (150, 320)])
def test_patterns_fill_their_picture_with_values_from_0_to_1(pattern: drawing.Pattern, size: tuple[int, int]) -> None:
    values = pattern(np.random.default_rng(0), *size)
    assert values.shape == size
    assert values.min() >= 0
    assert values.max() <= 1
    assert values.std() > 0.01


def test_the_same_seed_gives_the_same_files_byte_for_byte(tmp_path: Path) -> None:
    for name, seed in [("a", 0), ("b", 0), ("c", 1)]:
        make(tmp_path / name, **SMALL, seed=seed)
    first, same, other = (content(tmp_path / name) for name in "abc")
    assert first == same
    assert first.keys() == other.keys()
    assert all(first[name] != other[name] for name in first if name != "dataset.yaml")
    assert len(set(first.values())) == len(first)


def test_a_picture_does_not_depend_on_how_many_there_are(tmp_path: Path) -> None:
    make(tmp_path / "few", **SMALL)
    make(tmp_path / "more", **{name: count + 1 for name, count in SMALL.items()})
    few, more = content(tmp_path / "few"), content(tmp_path / "more")
    assert few.items() <= more.items()


def test_files_are_those_the_descriptor_names(tmp_path: Path) -> None:
    done = []
    make(tmp_path / "new" / "set", **SMALL, progress=lambda count, total: done.append((count, total)))
    root = tmp_path / "new" / "set"
    assert [path.name for path in root.parent.iterdir()] == ["set"]
    descriptor = yaml.safe_load((root / "dataset.yaml").read_text())
    assert descriptor["classes"] == CLASSES
    assert [tuple(rgb) for rgb in descriptor["palette"]] == PALETTE
    for split, folders in descriptor["splits"].items():
        images, masks = (sorted((root / folders[kind]).iterdir()) for kind in ("images", "masks"))
        assert len(images) == SMALL[split]
        assert [path.stem for path in images] == [path.stem for path in masks]
        for image, mask in zip(map(Image.open, images), map(Image.open, masks), strict=True):
            assert (image.mode, mask.mode) == ("RGB", "P")
            assert image.size == mask.size
            assert np.asarray(mask).max() < len(CLASSES)
            assert mask.getpalette()[: 3 * len(CLASSES)] == [value for rgb in PALETTE for value in rgb]
    assert sorted(path.name for path in (root / "crops" / "train").iterdir()) == sorted(CLASSES)
    crops = list((root / "crops").rglob("*.png"))
    assert len(crops) == len(CLASSES) * (2 + 1)
    assert {Image.open(path).size for path in crops} == {(shapes.CROP, shapes.CROP)}
    files = len(crops) + SMALL["train"] + SMALL["val"] + SMALL["test"]
    assert done == [(i + 1, files) for i in range(files)]


def test_a_folder_in_use_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    (tmp_path / "file").write_text("keep")
    for name in ("mine", "file"):
        before = content(tmp_path)
        with pytest.raises(DataError, match=f"{name} exists and is not an empty folder"):
            make(tmp_path / name, **SMALL)
        assert content(tmp_path) == before
        assert len(list(tmp_path.iterdir())) == 2


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    make(tmp_path / "set", **SMALL)
    assert (tmp_path / "set" / "dataset.yaml").exists()


def test_an_interrupted_make_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "set", **SMALL, progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def _end(*_: object) -> None:
    """What becomes of a process that the system kills."""
    os._exit(9)


def test_a_process_that_is_killed_ends_the_drawing_with_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shapes, "_write_scene", _end)
    with pytest.raises(DataError, match="data was not drawn: a process that draws was ended from outside"):
        shapes.make(tmp_path / "data", train=1, val=1, test=1, crops_per_class=1)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_the_users_to_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("keep")
    with pytest.raises(DataError, match="cannot be written"):
        make(tmp_path / "file" / "set", **SMALL)


@pytest.mark.parametrize("wrong", [{"train": 0}, {"val": -1}, {"crops_per_class": 0}, {"seed": -1}])
def test_counts_that_make_no_sense_are_refused(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))} is {next(iter(wrong.values()))}"):
        make(tmp_path / "set", **{**SMALL, **wrong})
    assert list(tmp_path.iterdir()) == []
