"""Images that are nearly the same are found, whatever was done to the file; images that are only alike are not."""

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from fullyconv.data import check, open_data
from fullyconv.data.cache import contents_of
from fullyconv.data.contents import read_image_content
from fullyconv.data.images.fingerprint import LENGTH, as_vectors, fingerprint
from fullyconv.data.splits import near
from fullyconv.data.splits.command import split_data
from fullyconv.data.splits.near import CANDIDATE, candidates, near_duplicates
from fullyconv.data.splits.options import Options

Change = Callable[[Image.Image], Image.Image]


def texture(seed: int, size: tuple[int, int] = (240, 320), grain: float = 3) -> Image.Image:
    """Draw blobs of all sizes from ``grain`` upwards, in colour."""
    random = np.random.default_rng(seed)
    planes = np.zeros((*size, 3))
    for scale in (grain, 3 * grain, 9 * grain):
        plane = ndimage.gaussian_filter(random.normal(size=size), scale)
        planes += (plane / plane.std())[..., None] * random.uniform(10, 30, 3)
    return Image.fromarray((planes + 120).clip(0, 255).astype(np.uint8))


def reencoded(picture: Image.Image) -> Image.Image:
    encoded = io.BytesIO()
    picture.save(encoded, "JPEG", quality=50)
    return Image.open(io.BytesIO(encoded.getvalue())).convert("RGB")


CHANGES: dict[str, Change] = {
    "JPEG of quality 50": reencoded,
    "half the size": lambda own: own.resize((own.width // 2, own.height // 2)),
    "brighter": lambda own: own.point(lambda value: min(255, int(1.2 * value))),
    "darker": lambda own: own.point(lambda value: int(0.8 * value)),
    "cropped on one side": lambda own: own.crop((own.width // 50, own.height // 50, own.width, own.height)),
    "cropped on all sides": lambda own: own.crop((3, 2, own.width - 3, own.height - 2)),
    "grey": lambda own: own.convert("L"),
}


def find(folder: Path, pictures: list[Image.Image]) -> list[tuple[int, int]]:
    paths = [folder / f"{number}.png" for number in range(len(pictures))]
    for path, picture in zip(paths, pictures, strict=True):
        picture.save(path)
    prints = [read_image_content(path).fingerprint for path in paths]
    return near_duplicates(paths, prints, range(len(paths)))


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("grain", [1.5, 4])
def test_a_changed_copy_is_found_among_others(tmp_path: Path, change: str, grain: float) -> None:
    originals = [texture(seed, grain=grain) for seed in range(6)]
    assert find(tmp_path, [*originals, CHANGES[change](originals[4])]) == [(4, 6)]


def test_images_are_compared_once_for_all_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = texture(0)
    for split, picture in (("train", original), ("val", reencoded(original))):
        for kind, image in (("images", picture), ("masks", Image.new("L", picture.size))):
            (tmp_path / kind / split).mkdir(parents=True)
            image.save(tmp_path / kind / split / f"{split}.png")
    for path in tmp_path.rglob("*.png"):
        os.utime(path, (1e9, 1e9))  # long ago, so that it is remembered

    def found() -> list[str]:
        contents_of.cache_clear()  # as in a new process
        return [problem.kind.word for problem in check(open_data(tmp_path)).problems]

    first = found()
    assert "near-duplicates" in first
    monkeypatch.setattr(near, "read_details", None)
    assert found() == first


def test_images_of_one_texture_are_not_the_same(tmp_path: Path) -> None:
    large = texture(0, (480, 480), 2)
    tiles = [large.crop((x, y, x + 120, y + 120)) for x in range(0, 480, 120) for y in range(0, 480, 120)]
    assert find(tmp_path, tiles) == []


def test_a_common_dark_border_makes_no_duplicates(tmp_path: Path) -> None:
    down, right = np.mgrid[-1:1:200j, -1:1:200j]
    light = np.exp(-1.5 * (down**2 + right**2))[..., None]
    cells = [np.asarray(texture(seed, (200, 200), 2), float) - 120 for seed in range(8)]
    pictures = [Image.fromarray((light * (200 + own / 2)).clip(0, 255).astype(np.uint8)) for own in cells]
    paths = [tmp_path / f"{number}.png" for number in range(8)]
    assert find(tmp_path, pictures) == []
    vectors = as_vectors([read_image_content(path).fingerprint for path in paths])
    assert len(candidates(vectors, np.arange(8))) > 0  # it is the comparison of details that tells them apart


def test_images_of_one_colour_have_no_fingerprint(tmp_path: Path) -> None:
    pictures = [Image.new("RGB", (64, 48), colour) for colour in ("black", "black", "white", "#808080")]
    assert find(tmp_path, pictures) == []
    for values in (np.zeros((1, 40, 40), np.uint16), np.full((2, 40, 40), 1e30, np.float32)):
        assert fingerprint(values, None) == ""
    assert fingerprint(np.full((1, 40, 40), np.nan, np.float32), None) == ""
    assert fingerprint(np.zeros((1, 40, 40)), np.zeros((40, 40), bool)) == ""


def test_pixels_without_data_do_not_count() -> None:
    values = np.asarray(texture(1), np.float32).transpose(2, 0, 1)
    valid = np.ones(values.shape[1:], bool)
    valid[:40] = False
    spoiled = np.where(valid, values, -9999)
    broken = np.where(valid, values, np.nan)
    whole = np.where(valid, values, values[:, valid].mean(1)[:, None, None])
    marks = as_vectors([fingerprint(whole, None), fingerprint(spoiled, valid), fingerprint(broken, None)])
    assert (marks @ marks.T).min() > 0.999


def test_candidates_are_those_of_all_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near, "_BLOCK", 7)
    random = np.random.default_rng(0)
    vectors = random.normal(size=(40, LENGTH)).astype(np.float32)
    vectors[30:] = vectors[:10] + 0.2 * vectors[30:]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    sets = random.integers(0, 3, 40)
    expected = {
        (a, b) for a in range(40) for b in range(a) if vectors[a] @ vectors[b] >= CANDIDATE and sets[a] != sets[b]
    }
    assert expected
    assert {(b, a) for a, b in candidates(vectors, sets)} == expected
    assert len(candidates(np.repeat(vectors[:1], 30, 0), np.arange(30))) <= 3 * 30


def test_the_check_names_them_across_splits_and_not_within(tmp_path: Path) -> None:
    pictures = [texture(seed) for seed in range(4)]
    pictures += [reencoded(pictures[0]), reencoded(pictures[1]), pictures[2]]
    for number, picture in enumerate(pictures):
        split = "train" if number < 4 or number == 5 else "val"
        for kind, own in (("images", picture), ("masks", Image.fromarray(np.eye(240, 320, dtype=np.uint8)))):
            (tmp_path / kind / split).mkdir(parents=True, exist_ok=True)
            own.save(tmp_path / kind / split / f"{number}.png")
    report = check(open_data(tmp_path))
    (problem,) = [own for own in report.problems if own.kind.word == "near-duplicates"]
    assert {file.stem for file in problem.files} == {"0", "4"}
    assert "nearly the same in train and in val" in str(report)
    assert " ≈ " in str(report)
    assert [own.kind.word for own in report.errors] == []
    assert {file.stem for own in report.problems if own.kind.word == "duplicates" for file in own.files} == {"2", "6"}


def test_the_division_keeps_them_together_however_many(tmp_path: Path) -> None:
    scenes = [texture(seed) for seed in range(12)]
    pictures = {f"{number}": own for number, own in enumerate(scenes)}
    pictures |= {f"copy{number}": scenes[3].crop((number, 0, 320, 240 - number)) for number in range(9)}
    for name, picture in pictures.items():
        for kind, own in (("images", picture), ("masks", Image.fromarray(np.eye(picture.height, picture.width) > 0))):
            (tmp_path / kind).mkdir(exist_ok=True)
            own.save(tmp_path / kind / f"{name}.png")
    _, division = split_data(tmp_path, Options(val=0.2, test=0.2))
    groups = {image.stem: group for image, group in division.groups.items()}
    assert len({groups["3"], *(groups[f"copy{number}"] for number in range(9))}) == 1
    assert len(set(groups.values())) == 12
    assert not [own for own in check(open_data(tmp_path)).problems if own.kind.word == "near-duplicates"]
