"""When a data set's classes are a network's."""

import pytest

from fullyconv.classes import difference, printable

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


@pytest.mark.parametrize("name", ["sky", "road & <kerb>", "天空", "سماء", "نیم\u200cفاصله", "naïve", "🚗", "a | `b`"])
def test_letters_of_every_language_are_names(name):
    assert printable(name) == name


@pytest.mark.parametrize(
    "character", ["\n", "\r", "\t", "\0", "\x1b", "\x9b", "\x7f", "\u2028", "\u2029", "\u202e", "\u2066"]
)
def test_what_would_act_in_a_terminal_is_no_name(character):
    with pytest.raises(ValueError, match=f"control character U\\+{ord(character):04X}"):
        printable(f"road{character}lane")
