"""`data split`: groups are never cut, classes are in all splits, folds partition, and all commands follow the file."""

import csv
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fullyconv.data import open_data
from fullyconv.data.splits.command import split_data
from fullyconv.data.splits.groups import join
from fullyconv.data.splits.options import Options
from fullyconv.data.splits.table import remarks, table
from fullyconv.errors import ConfigError, DataError
from tests.data.splits.conftest import Make

SMALL = Options(val=0.25, test=0.25)


def read(root: Path) -> dict[str, dict[str, str]]:
    with (root / "splits.csv").open(encoding="utf-8", newline="") as file:
        return {row["image"]: row for row in csv.DictReader(file)}


def together(rows: dict[str, dict[str, str]], column: str) -> bool:
    """Whether the images of each group have the same value in a column."""
    of_group = defaultdict(set)
    for row in rows.values():
        of_group[row["group"]].add(row[column])
    return all(len(values) == 1 for values in of_group.values())


def test_the_file_lists_every_image_and_is_followed_when_the_data_are_opened(make: Make) -> None:
    root = make({f"{i}": [1] for i in range(12)})
    split_data(root, SMALL)
    rows = read(root)
    assert set(rows) == {f"images/{i}.png" for i in range(12)}
    data = open_data(root)
    assert {name: len(pairs) for name, pairs in data.splits.items()} == {"train": 6, "val": 3, "test": 3}
    for name, pairs in data.splits.items():
        assert all(rows[pair.image.relative_to(root).as_posix()]["split"] == name for pair in pairs)
    assert "splits.csv divides the images: train 6, val 3, test 3" in data.notes


def test_images_whose_paths_agree_in_the_expression_stay_together(make: Make) -> None:
    root = make({f"patient{i // 3}_{i}": [1] for i in range(24)})
    split_data(root, Options(group=r"(patient\d+)_", val=0.25, test=0.25))
    rows = read(root)
    assert {row["group"] for row in rows.values()} == {f"patient{i}" for i in range(8)}
    assert together(rows, "split")


def test_images_of_a_folder_stay_together(make: Make) -> None:
    root = make({f"{'abcdef'[i % 6]}/{i}": [1] for i in range(18)})
    split_data(root, Options(group="folder", val=0.2, test=0.2))
    assert together(read(root), "split")
    assert {row["group"] for row in read(root).values()} == {f"images/{name}" for name in "abcdef"}


def test_what_the_layout_knows_of_groups_holds(make: Make) -> None:
    root = make({f"{'abcdef'[i % 6]}/{i}": [1] for i in range(18)})
    split_data(root, Options(val=0.2, test=0.2))
    assert len({row["group"] for row in read(root).values()}) == 6
    assert together(read(root), "split")


def test_copies_of_an_image_stay_together_but_empty_tiles_do_not(make: Make) -> None:
    root = make({f"{i}": [1] for i in range(10)})
    shutil.copy(root / "images/3.png", root / "images/7.png")
    for black in (4, 5):
        Image.new("RGB", (32, 24)).save(root / f"images/{black}.png")
    split_data(root, SMALL)
    rows = read(root)
    assert rows["images/3.png"]["group"] == rows["images/7.png"]["group"]
    assert len({row["group"] for row in rows.values()}) == 9
    assert together(rows, "split")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12), st.data())
def test_images_with_a_key_in_common_or_alike_are_one_group(keys: list[tuple[int, int]], data: st.DataObject) -> None:
    images = [Path(str(number)) for number in range(len(keys))]
    alike = data.draw(st.lists(st.lists(st.sampled_from(images), min_size=2, max_size=3), max_size=3))
    groups = join({image: [("a", str(a)), ("b", str(b))] for image, (a, b) in zip(images, keys, strict=True)}, alike)
    linked = {
        (one, two)
        for one, (a, b) in zip(images, keys, strict=True)
        for two, (c, d) in zip(images, keys, strict=True)
        if a == c or b == d or any(one in same and two in same for same in alike)
    }
    while more := {(a, d) for a, b in linked for c, d in linked if b == c} - linked:
        linked |= more
    assert {(one, two) for one in images for two in images if groups[one] == groups[two]} == linked


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 5), min_size=12, max_size=12).filter(lambda own: len(set(own)) > 3), st.booleans())
def test_groups_are_never_cut(make: Make, tmp_path: Path, of_image: list[int], folds: bool) -> None:
    shutil.rmtree(tmp_path / "data", ignore_errors=True)
    root = make({f"g{group}_{i}": [1 + i % 2] for i, group in enumerate(of_image)})
    split_data(root, Options(group=r"g\d", val=0.2, test=0.2, folds=2 if folds else None))
    rows = read(root)
    assert len(rows) == 12
    assert together(rows, "split")
    assert not folds or together(rows, "fold")


def test_rare_classes_are_in_every_split(make: Make) -> None:
    root = make({f"{i}": [1, *([2] if i < 3 else []), *([3] if 3 <= i < 7 else [])] for i in range(30)})
    _, division = split_data(root, Options())
    splits = {image.stem: split for image, split in division.splits.items()}
    assert {splits[str(i)] for i in range(3)} == {splits[str(i)] for i in range(3, 7)} == {"train", "val", "test"}
    assert remarks(division) == []


def test_folds_partition_what_is_not_for_the_test(make: Make) -> None:
    root = make({f"{i}": [1 + i % 3] for i in range(24)})
    split_data(root, Options(test=0.25, folds=3))
    rows = read(root)
    assert sum(row["split"] == "test" for row in rows.values()) == 6
    assert all((row["fold"] == "") == (row["split"] == "test") for row in rows.values())
    assert all((row["fold"] == "0") == (row["split"] == "val") for row in rows.values())
    validated = []
    for fold in range(3):
        data = open_data(root, fold=f"{fold}/3")
        assert {name: len(pairs) for name, pairs in data.splits.items()} == {"train": 12, "val": 6, "test": 6}
        assert {pair.image for pair in data.splits["val"]} == {
            root / name for name, row in rows.items() if row["fold"] == str(fold)
        }
        validated += [pair.image for pair in data.splits["val"]]
    assert sorted(validated) == sorted(root / name for name, row in rows.items() if row["split"] != "test")
    assert open_data(root).splits == open_data(root, fold="0/3").splits


def test_a_group_that_is_too_large_and_a_class_in_one_group_are_remarked_on(make: Make) -> None:
    root = make({f"g{0 if i < 14 else i}_{i}": [1, *([2] if i == 19 else [])] for i in range(20)})
    _, division = split_data(root, Options(group=r"g\d+", val=0.2, test=0.2))
    others = [name for name in ("train", "val", "test") if name != division.splits[root / "images/g19_19.png"]]
    assert division.splits[root / "images/g0_0.png"] == "train"
    assert remarks(division) == [
        "train has 70.0% of the images instead of 60.0%; the largest of 7 groups, g0, has 14 of 20 images.",
        "val has 15.0% of the images instead of 20.0%; the largest of 7 groups, g0, has 14 of 20 images.",
        "test has 15.0% of the images instead of 20.0%; the largest of 7 groups, g0, has 14 of 20 images.",
        f"class 2 is not in {' and '.join(others)}: it occurs in only 1 group (g19).",
    ]


def test_the_table_counts_images_groups_and_classes(make: Make) -> None:
    root = make({f"g{i // 2}_{i}": [1] if i < 4 else [] for i in range(8)})
    _, division = split_data(root, Options(group=r"g\d", val=0.25, test=0.25))
    lines = [line.split() for line in table(division)]
    assert lines[:3] == [["class", "train", "val", "test"], ["images", "4", "2", "2"], ["groups", "2", "1", "1"]]
    holders = [sum(bool(division.pixels[image][1]) for image in own) for own in division.parts().values()]
    assert lines[4][3::2] == [f"({count})" for count in holders]
    assert lines[4][2::2] == [f"{4 * 32 * h / n / (24 * 32):.2%}" for h, n in zip(holders, (4, 2, 2), strict=True)]


def test_the_splits_of_the_layout_are_replaced_and_this_is_said(make: Make) -> None:
    root = make({f"{split}/{i}": [1] for split in ("train", "val") for i in range(5)})
    said: list[str] = []
    split_data(root, Options(val=0.2, test=0.2), say=said.append)
    assert f"{root / 'splits.csv'} will replace the splits of the layout (train 5, val 5)." in said
    assert set(open_data(root).splits) == {"train", "val", "test"}


def test_an_existing_file_is_not_replaced_without_force(make: Make) -> None:
    root = make({f"{i}": [1] for i in range(8)})
    (root / "splits.csv").write_text("mine")
    with pytest.raises(ConfigError, match=r"splits\.csv: exists; --force replaces it"):
        split_data(root, SMALL)
    assert (root / "splits.csv").read_text() == "mine"
    split_data(root, SMALL, force=True)
    assert len(read(root)) == 8


def test_the_order_of_files_does_not_matter(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make({f"{i}": [1, *([2] if i % 5 == 0 else [])] for i in range(15)})
    split_data(root, SMALL)
    first = (root / "splits.csv").read_bytes()
    from fullyconv.data.splits import command

    straight = command.each_once
    monkeypatch.setattr(command, "each_once", lambda data: straight(data)[::-1])
    split_data(root, SMALL, force=True)
    assert (root / "splits.csv").read_bytes() == first


def test_one_group_cannot_be_divided(make: Make) -> None:
    root = make({f"a_{i}": [1] for i in range(4)})
    with pytest.raises(DataError, match=r"all 4 images belong to one group \(a\).*with --group"):
        split_data(root, Options(group="a"))


def test_more_folds_than_groups_are_refused(make: Make) -> None:
    root = make({f"g{i % 3}_{i}": [1] for i in range(9)})
    with pytest.raises(DataError, match="has 2 groups outside of test, fewer than 4 folds"):
        split_data(root, Options(group=r"g\d", folds=4))


def test_an_expression_must_match_every_image(make: Make) -> None:
    root = make({name: [1] for name in ("p1_a", "p2_b", "other")})
    with pytest.raises(DataError, match=r"other\.png: --group \('p\\\\d'\) does not match"):
        split_data(root, Options(group=r"p\d"))


def test_two_groups_give_no_test(make: Make) -> None:
    root = make({f"g{i % 2}_{i}": [1] for i in range(8)})
    split_data(root, Options(group=r"g\d"))
    assert {row["split"] for row in read(root).values()} == {"train", "val"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"val": 1.0}, "--val 1: expected a share"),
        ({"test": -0.1}, r"--test -0\.1: expected a share"),
        ({"val": 0.5, "test": 0.5}, "leave no images to train on"),
        ({"folds": 1}, "--folds 1: expected at least 2"),
    ],
)
def test_impossible_options_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Options(**values)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="--val and --folds contradict"):
        Options.given(val=0.1, folds=5)


def test_images_that_the_check_allows_without_a_mask_are_divided_too(make: Make) -> None:
    root = make({f"{i}": [1] for i in range(8)})
    (root / "masks/5.png").unlink()
    with pytest.raises(DataError, match="missing-masks"):
        split_data(root, SMALL)
    split_data(root, SMALL, allow=["missing-masks"])
    assert len(read(root)) == 8
    assert sum(map(len, open_data(root).splits.values())) == 8


def test_the_pixels_of_masks_are_those_that_numpy_counts(make: Make) -> None:
    root = make({f"{i}": [1 + i % 2] for i in range(6)})
    _, division = split_data(root, SMALL)
    for image, counts in division.pixels.items():
        mask = np.asarray(Image.open(root / "masks" / image.name))
        assert counts[:3].tolist() == [int((mask == label).sum()) for label in range(3)]
