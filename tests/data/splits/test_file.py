"""`splits.csv` as people edit it, and what is wrong with it."""

from pathlib import Path

import pytest

from fullyconv.data import open_data
from fullyconv.errors import ConfigError, DataError
from tests.data.splits.conftest import Make

ROWS = ["images/a.png,train,a", "images/b.png,val,b", "images/ö.png,test,ö"]


@pytest.fixture
def root(make: Make) -> Path:
    return make({"a": [1], "b": [1], "ö": [1]})


def write(root: Path, rows: list[str], header: str = "image,split,group", encoding: str = "utf-8") -> None:
    (root / "splits.csv").write_bytes("\n".join([header, *rows, ""]).encode(encoding))


def names(root: Path, fold: str | None = None) -> dict[str, list[str]]:
    return {name: [pair.image.stem for pair in own] for name, own in open_data(root, fold=fold).splits.items()}


@pytest.mark.parametrize(
    "content",
    [
        "image,split,group\nimages/a.png,train,a\nimages/b.png,val,b\nimages/ö.png,test,ö\n",
        "\ufeffimage;split;group\r\nimages/a.png;train;a\r\nimages/b.png;val;b\r\nimages/ö.png;test;ö\r\n;;\r\n",
        'Split,Group,Image\n Train ,,"images/a.png"\nvalid,,./images/b.png\ntest,,images/o\u0308.png',
        "image,split,group,fold\nimages/a.png,train,a,\nimages/b.png,val,b,\nimages/ö.png,test,ö,\n\n",
    ],
    ids=["as written", "by Excel", "by hand", "empty folds"],
)
def test_a_file_is_read_in_each_form_that_spreadsheets_give_it(root: Path, content: str) -> None:
    (root / "splits.csv").write_bytes(content.encode())
    assert names(root) == {"train": ["a"], "val": ["b"], "test": ["ö"]}


def test_a_file_with_other_columns_is_not_read_and_a_note_says_so(root: Path) -> None:
    without = open_data(root).splits
    write(root, ["a.png,1"], "file,subset")
    data = open_data(root)
    assert data.splits == without
    assert any("splits.csv: is not read" in note for note in data.notes)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (ROWS[:1], r"2 images are in the data set, but not listed \(images/b\.png, images/ö\.png\)"),
        ([*ROWS, "images/c.png,train,c"], r"1 image is listed, but not in the data set \(images/c\.png\)"),
        ([*ROWS, ROWS[0]], r"1 image is listed more than once \(images/a\.png\)"),
        ([*ROWS[:2], "images/ö.png,tset,ö"], r"1 image is in an unknown split; .*\(images/ö\.png: 'tset'\)"),
        (
            [*ROWS, *(f"{i}.png,train," for i in range(5))],
            r"5 images are listed, but .*\(0\.png, 1\.png, 2\.png and 2 more\)",
        ),
        ([*ROWS[:2], "images/ö.png"], "row 4 has 1 cells; expected 3: image, split, group"),
    ],
)
def test_a_file_that_does_not_fit_the_images_is_refused_with_a_remedy(
    root: Path, rows: list[str], message: str
) -> None:
    write(root, rows)
    with pytest.raises(DataError, match=message) as raised:
        open_data(root)
    assert "cells" in message or f"`fullyconv data split {root} --force`" in str(raised.value)


def test_a_fold_needs_a_file(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no splits\.csv with folds; run `fullyconv data split .* --folds 5`"):
        open_data(root, fold="0/5")


def test_a_fold_needs_a_file_with_as_many_folds(root: Path) -> None:
    write(root, ROWS)
    with pytest.raises(ConfigError, match=r"has no folds; .*--folds 5 --force`"):
        open_data(root, fold="0/5")
    write(root, ["images/a.png,train,a,1", "images/b.png,val,b,0", "images/ö.png,test,ö,"], "image,split,group,fold")
    assert names(root, "1/2") == {"train": ["b"], "val": ["a"], "test": ["ö"]}
    with pytest.raises(ConfigError, match=r"fold 0/3: .*has the folds 0, 1; for 3 folds \(0 to 2\), run"):
        open_data(root, fold="0/3")


def test_an_image_without_a_fold_is_named(root: Path) -> None:
    write(root, ["images/a.png,train,a,1", "images/b.png,val,b,x", "images/ö.png,test,ö,"], "image,split,group,fold")
    with pytest.raises(DataError, match=r"1 image is without a fold, .*\(images/b\.png: 'x'\)"):
        open_data(root, fold="0/2")


@pytest.mark.parametrize("text", ["5/5", "0/1", "1", "a/b", "-1/5", "0/0"])
def test_what_is_no_fold_is_refused(root: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="expected a fold and the number of folds, 0/5 to 4/5 for five folds"):
        open_data(root, fold=text)
