"""When a data set's classes are a network's."""

import pytest

from fullyconv.classes import difference

ROAD = ["sky", "road", "car"]


@pytest.mark.parametrize(
    ("found", "expected", "words"),
    [
        (ROAD, ROAD, ""),
        (ROAD, ["class 0", "class 1", "class 2"], ""),
        (["background", "foreground"], ["cell", "membrane"], ""),
        (["class 0", "class 1"], ROAD, "2 classes, not 3"),
        (["sky", "road", "tree"], ROAD, "tree new; car missing"),
        ([*ROAD, "tree"], ROAD, "4 classes, not 3; tree new"),
        (["sky", "car", "road"], ROAD, "another order, class 1 is car, not road"),
        (list("abcdefg"), [*"abcdefg", *"tuvwxyz"], "7 classes, not 14; t, u, v, w, x and 2 more missing"),
    ],
)
def test_only_what_differs_is_said(found, expected, words):
    assert difference(found, expected) == words
