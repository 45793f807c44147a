"""Messages with names of strangers in them: nothing acts in a terminal, and no line is there but ours."""

import pickle

import pytest

from fullyconv.errors import ConfigError, DataError, FullyConvError, first_line, visible

ACTING = ["\n", "\r", "\t", "\0", "\x1b", "\x7f", "\x9b", "\u2028", "\u2029", "\u202e", "\u2066", "\u200f", "\udc80"]


@pytest.mark.parametrize("character", ACTING, ids=lambda character: f"U+{ord(character):04X}")
def test_what_acts_is_written_as_an_escape(character):
    shown = visible(f"a{character}b")
    assert shown.isprintable()
    assert (shown[0], shown[1], shown[-1]) == ("a", "\\", "b")
    assert shown.encode().decode("unicode_escape") == f"a{character}b"  # and says which it was
    assert visible(shown) == shown


@pytest.mark.parametrize("text", ["street.jpg", "Straße 5×5", "C:\\new\\table", "می‌خواهم", "שלום", "👩‍🚀", ""])
def test_what_is_seen_already_stays(text):
    assert visible(text) == text


def test_an_error_has_the_lines_that_it_was_given_and_no_more():
    error = DataError("a\nb.png: is not\x1b[2J there, but", "  one", "  two\nfullyconv: done")
    assert str(error) == "a\\nb.png: is not\\x1b[2J there, but\n  one\n  two\\nfullyconv: done"
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, FullyConvError)
    assert str(again) == str(error)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("bad block\nmore"), "bad block"),
        (KeyError(0), "KeyError: 0"),
        (IndexError(), "IndexError"),
    ],
)
def test_the_first_line_of_another_librarys_error_has_words(error: Exception, words: str) -> None:
    assert first_line(error) == words


def test_a_notebook_shows_an_error_of_the_users_without_a_traceback():
    """IPython asks an error for this."""
    assert ConfigError("--tile x: expected a number.", "  and a list")._render_traceback_() == [
        "ConfigError: --tile x: expected a number.\n  and a list"
    ]
