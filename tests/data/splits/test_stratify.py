"""Groups are divided so that classes are in all parts, by brute force where there are few groups."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fullyconv.data.splits.stratify import stratify

SHARES = (0.6, 0.2, 0.2)


def cost(images: np.ndarray, parts: Sequence[int], shares: Sequence[float] = SHARES) -> tuple[int, float]:
    """Count the classes that are missing in a part though they could be in all; and add up the deviations."""
    missing, deviation = 0, 0.0
    for column in range(images.shape[1]):
        total = images[:, column].sum()
        holders = np.count_nonzero(images[:, column])
        for part, share in enumerate(shares):
            found = sum(int(n) for n, own in zip(images[:, column], parts, strict=True) if own == part)
            missing += int(holders >= len(shares) and not found)
            weight = images.shape[1] - 1 if column == 0 else 1
            deviation += weight * (found - share * total) ** 2 / (share * total) if total else 0
    return missing, deviation


@st.composite
def groups(draw: st.DrawFn) -> np.ndarray:
    count, classes = draw(st.integers(3, 7)), draw(st.integers(1, 3))
    rows = []
    for _ in range(count):
        size = draw(st.integers(1, 9))
        rows.append([size, *(draw(st.one_of(st.just(0), st.integers(0, size))) for _ in range(classes))])
    return np.array(rows)


def names(count: int) -> list[str]:
    return [f"group {number}" for number in range(count)]


@settings(max_examples=100, deadline=None)
@given(groups())
def test_no_class_is_missing_that_brute_force_finds_a_place_for(images: np.ndarray) -> None:
    parts = stratify(images, SHARES, names(len(images)))
    best = min(cost(images, other) for other in itertools.product(range(3), repeat=len(images)))
    found = cost(images, parts)
    assert found[0] == best[0]
    assert found[1] <= 4 * best[1] + 1


def test_most_divisions_are_the_best_there_are() -> None:
    random = np.random.default_rng(0)
    best_found = 0
    for _ in range(60):
        sizes = random.integers(1, 10, 7)
        occurring = random.integers(0, 10, (7, 3)) * (random.random((7, 3)) < 0.6)
        images = np.column_stack([sizes, np.minimum(occurring, sizes[:, None])])
        best = min(cost(images, other) for other in itertools.product(range(3), repeat=7))
        best_found += cost(images, stratify(images, SHARES, names(7)))[1] <= best[1] + 1e-6
    assert best_found >= 48


@given(st.permutations(range(12)), st.integers(0, 3))
def test_the_order_of_the_groups_does_not_matter(order: list[int], seed: int) -> None:
    random = np.random.default_rng(5)
    images = np.column_stack([np.ones(12, int), random.integers(0, 2, (12, 4))])
    straight = stratify(images, SHARES, names(12), seed)
    shuffled = stratify(images[order], SHARES, [names(12)[place] for place in order], seed)
    assert [straight[place] for place in order] == shuffled


def test_a_seed_gives_one_division_and_another_seed_another() -> None:
    images = np.column_stack([np.ones(30, int), np.arange(30) % 2])
    first, again, other = (stratify(images, SHARES, names(30), seed) for seed in (0, 0, 1))
    assert first == again != other


def test_equal_images_are_divided_by_the_shares() -> None:
    images = np.ones((50, 2), int)
    parts = stratify(images, SHARES, names(50))
    assert [parts.count(part) for part in range(3)] == [30, 10, 10]


@pytest.mark.parametrize("rare", [3, 5])
def test_a_class_in_a_few_of_many_images_is_in_every_split(rare: int) -> None:
    images = np.column_stack([np.ones(1000, int), np.ones(1000, int), np.arange(1000) < rare])
    parts = stratify(images, (0.8, 0.1, 0.1), names(1000))
    assert {parts[number] for number in range(rare)} == {0, 1, 2}
    assert [parts.count(part) for part in range(3)] == pytest.approx([800, 100, 100], abs=2)
