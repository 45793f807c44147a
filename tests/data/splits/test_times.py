"""The first images are train, then val, the last test."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fullyconv.data.splits.command import split_data
from fullyconv.data.splits.names import natural
from fullyconv.data.splits.options import Options
from fullyconv.data.splits.times import by_time
from fullyconv.errors import ConfigError, DataError
from tests.data.splits.conftest import Make
from tests.data.splits.test_split import read


def in_order(root: Path, names: list[str]) -> str:
    """Return the first letter of the split of each image, in this order."""
    rows = read(root)
    return "".join(rows[f"images/{name}"]["split"][1] for name in names)  # r, a, e


def test_numbers_in_names_are_compared_by_value(make: Make) -> None:
    names = [f"frame{i}" for i in range(1, 13)]
    root = make({name: [1] for name in names})
    split_data(root, Options(time=r"frame(\d+)", val=0.25, test=0.25))
    assert in_order(root, [f"{name}.png" for name in names]) == "r" * 6 + "a" * 3 + "e" * 3


def test_decimal_numbers_are_compared_by_value(make: Make) -> None:
    names = ["t12.25", "t12.5", "t100.0", "t100.75"]
    root = make({name: [1] for name in reversed(names)})
    split_data(root, Options(time=r"t([\d.]+\d)", val=0.25, test=0.25))
    assert in_order(root, [f"{name}.png" for name in names]) == "rrae"


def test_images_of_one_day_stay_together(make: Make) -> None:
    names = [f"2024-{month}-{day:02}_{i}" for month in ("01", "11") for day in (3, 21) for i in range(3)]
    root = make({name: [1] for name in names})
    split_data(root, Options(time=r"\d{4}-\d\d-\d\d", val=0.3, test=0.3))
    assert in_order(root, [f"{name}.png" for name in names]) == "rrrrrraaaeee"


def test_groups_hold_and_count_by_their_first_image(make: Make) -> None:
    root = make({f"{i}_{'ab'[i in (0, 7)] if i in (0, 7) else f'c{i}'}": [1] for i in range(8)})
    split_data(root, Options(time=r"(\d+)_", group=r"_(\w+)", val=0.25, test=0.25))
    rows = read(root)
    assert rows["images/7_b.png"]["split"] == rows["images/0_b.png"]["split"] == "train"
    assert rows["images/6_c6.png"]["split"] == "test"


def test_exif_says_when_a_picture_was_taken(make: Make) -> None:
    root = make({str(i): [1] for i in range(8)})
    for i in range(8):
        picture = Image.open(root / f"images/{i}.png")
        picture.load()
        (root / f"images/{i}.png").unlink()
        exif = Image.Exif()
        moment = f"2024:05:01 10:{59 - i}:00"  # the last is the first
        if i % 2:
            exif.get_ifd(0x8769)[0x9003] = moment
            exif[0x0132] = "2025:01:01 00:00:00"  # when it was edited
        else:
            exif[0x0132] = moment
        picture.save(root / f"images/{i}.{'jpg' if i % 2 else 'tif'}", exif=exif)
    split_data(root, Options(time="exif", val=0.25, test=0.25))
    names = [f"{i}.{'jpg' if i % 2 else 'tif'}" for i in range(8)]
    assert in_order(root, names) == "eeaarrrr"


def test_pictures_without_a_time_are_named(make: Make) -> None:
    root = make({str(i): [1] for i in range(5)})
    with pytest.raises(DataError, match=r"--time exif: 5 of 5 images do not say .* and 2 more\)"):
        split_data(root, Options(time="exif"))


def test_time_and_folds_contradict() -> None:
    with pytest.raises(ConfigError, match="--time and --folds contradict"):
        Options(time="exif", folds=5)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5)), min_size=3, max_size=12))
def test_no_group_is_before_one_of_an_earlier_part(groups: list[tuple[int, int]]) -> None:
    times, sizes = ({str(i): own[k] for i, own in enumerate(groups)} for k in (0, 1))
    part_of = by_time(times, sizes, {"a": 0.6, "b": 0.2, "c": 0.2})
    assert set(part_of.values()) == {"a", "b", "c"}
    assert all(part_of[a] <= part_of[b] for a in times for b in times if times[a] < times[b])


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=5))
def test_natural_order_is_that_of_the_numbers(numbers: list[int]) -> None:
    assert sorted((f"a{n}b" for n in numbers), key=natural) == [f"a{n}b" for n in sorted(numbers)]
