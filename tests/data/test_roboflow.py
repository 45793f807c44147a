"""Roboflow's export of masks: the layout of its folders and of ``_classes.csv``."""

import numpy as np
import pytest
from PIL import Image

from fullyconv.data import check, open_data
from fullyconv.data.checks.kinds import Kind
from fullyconv.data.pairs import read_pair
from fullyconv.errors import DataError

TABLE = "Pixel Value, Class\n0, background\n1, Cow statue\n3, road\n"


@pytest.fixture
def export(tmp_path):
    """Write images and their masks of the values 0, 1 and 3, and the classes, into a folder."""

    def write(folder, names, table=TABLE):
        place = tmp_path / folder
        place.mkdir(parents=True, exist_ok=True)
        for number, name in enumerate(names):
            random = np.random.default_rng([number, len(folder)])
            Image.fromarray(random.integers(0, 256, (6, 9, 3), np.uint8)).save(place / f"{name}.jpg")
            Image.fromarray(np.arange(54, dtype=np.uint8).reshape(6, 9) % 2 * 3).save(place / f"{name}_mask.png")
        if table is not None:
            (place / "_classes.csv").write_text(table)
        return tmp_path

    return write


def test_values_have_the_names_of_the_table_and_folders_are_splits(export, tmp_path):
    for folder in ("train", "valid", "test"):
        export(folder, ["a_jpg.rf.0123456789abcdef", "b_mask_jpg.rf.0123456789abcdef"])
    Image.fromarray(np.full((6, 9), 1, np.uint8)).save(tmp_path / "test/a_jpg.rf.0123456789abcdef_mask.png")
    data = open_data(tmp_path)
    assert data.layout == "roboflow-masks"
    assert data.classes == ["background", "Cow statue", "road"]
    assert {split: len(pairs) for split, pairs in data.splits.items()} == {"train": 2, "val": 2, "test": 2}
    assert np.array_equal(read_pair(data.splits["train"][0], data.codes)[1].ravel(), np.arange(54) % 2 * 2)
    assert not check(data).errors
    assert {pair.group for pairs in data.splits.values() for pair in pairs} == {"a_jpg", "b_mask_jpg"}
    Image.fromarray(np.full((6, 9), 2, np.uint8)).save(tmp_path / "test/a_jpg.rf.0123456789abcdef_mask.png")
    (tmp_path / "train/a_jpg.rf.0123456789abcdef_mask.png").unlink()
    (tmp_path / "valid/a_jpg.rf.0123456789abcdef.jpg").unlink()
    kinds = {problem.kind for problem in check(open_data(tmp_path)).errors}
    assert kinds == {Kind.VALUE, Kind.NO_MASK, Kind.UNMATCHED_MASK}


@pytest.mark.parametrize("above", [True, False])
def test_a_single_split_is_divided_with_the_copies_of_an_image_in_one(export, above):
    names = [f"{stem}_jpg.rf.{number:032x}" for stem in "abcdefghijkl" for number in range(3)]
    root = export("train", names)
    data = open_data(root if above else root / "train")
    split_of = {pair.image.stem: split for split, pairs in data.splits.items() for pair in pairs}
    assert data.divided
    assert set(split_of.values()) == {"train", "val", "test"}
    assert all(len({split_of[name] for name in names if name[0] == stem}) == 1 for stem in "abcdefghijkl")


def test_files_without_a_last_line_break_or_with_a_byte_order_mark_are_read(export):
    root = export("train", ["a", "b"], "\ufeffPixel Value, Class\r\n0, background\r\n3, curb, left")
    assert open_data(root).classes == ["background", "curb, left"]
    export("valid", ["c"], "Pixel Value,Class\n0,background\n")  # a split may lack classes
    assert open_data(root).classes == ["background", "curb, left"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("Pixel Value, Class\n", "names 0 classes; at least 2 are expected"),
        ("Pixel Value, Class\n0, a\nx, b\n", "has the line 'x, b'; expected a line such as `1, road`"),
        ("Pixel Value, Class\n0, a\n²,b\n", "has the line '²,b'"),
        ("Pixel Value, Class\n0, a\n99999999999999999999, b\n", "has the line '9999"),
        ("Pixel Value, Class\n0, a\n1\n", "has the line '1'"),
        ("Pixel Value, Class\n0, a\n0, b\n", "names the value 0 twice"),
        ("Pixel Value, Class\n0, a\n1, b\x1b[31m\n", "control character"),
        ("Pixel Value, Class\n" + "".join(f"{value}, c{value}\n" for value in range(300)), "300 classes"),
    ],
)
def test_tables_that_are_wrong_are_refused_in_words(export, table, message):
    with pytest.raises(DataError, match=message.replace("[", r"\[")):
        open_data(export("train", ["a"], table))


def test_splits_that_differ_are_refused_and_tables_of_image_classes_are_none(export):
    root = export("train", ["a"])
    export("valid", ["a"], "Pixel Value, Class\n0, background\n1, road\n")
    with pytest.raises(DataError, match=r"valid.*value 1 is 'road', but 'Cow statue' in another split"):
        open_data(root)
    export("val", ["a"], "Pixel Value, Class\n0, background\n")
    export("valid", ["a"])
    with pytest.raises(DataError, match=r"two folders of one split \(train, val, valid\)"):
        open_data(root)
    for folder in ("train", "val", "valid"):
        export(folder, ["a"], "filename, Cow, road\na.jpg, 1, 0\n")
    with pytest.raises(DataError, match="no data set found"):
        open_data(root)
