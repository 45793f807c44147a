"""What a descriptor says mask values mean: named values, void values, palettes of greys, and what cannot be told."""

import numpy as np
import pytest
import yaml

from fullyconv.data import check, open_data
from fullyconv.data.mask_codes import IGNORE, MaskCode
from fullyconv.data.masks import read_mask
from fullyconv.errors import DataError


@pytest.fixture
def described(tmp_path, save):
    """Write masks (and an image each) and a dataset.yaml; returns the data set and a reader of its masks by number."""

    def describe(*masks, dtype=np.uint8, suffix=".png", **keys):
        paths = []
        for index, mask in enumerate(masks):
            mask = np.asarray(mask)
            save(f"images/{index}.png", np.full((*mask.shape[:2], 3), index))
            paths.append(save(f"masks/{index}{suffix}", mask, dtype))
        content = {"splits": {"train": {"images": "images", "masks": "masks"}}} | keys
        (tmp_path / "dataset.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        data = open_data(tmp_path)
        return data, lambda index: read_mask(paths[index], data.mask_code).tolist()

    return describe


def test_values_name_classes_and_several_may_name_one(described):
    data, read = described(
        [[0, 32, 64, -7]], dtype=np.int32, suffix=".tif", values={32: "cell", 0: "gap", 64: "cell"}, void=-7
    )
    assert data.classes == ["cell", "gap"]  # in the order of their first mention
    assert read(0) == [[1, 0, 0, IGNORE]]
    assert data.legend() == ["-7: void · 0: gap · 32 or 64: cell"]


def test_with_values_every_other_value_is_unknown(described):
    data, read = described([[0, 32, 255, 40]], values={0: "gap", 32: "cell"})
    with pytest.raises(DataError, match=r"values 40 \(1 pixel\), 255 \(1 pixel\); expected 0 or 32"):
        read(0)
    assert check(data).problems


def test_trimaps_of_foreground_background_and_border(described):
    data, read = described([[1, 2, 3]], values={1: "pet", 2: "background"}, void=3)
    assert data.classes == ["pet", "background"]
    assert read(0) == [[0, 1, IGNORE]]
    assert check(data).errors == []


def test_several_values_are_void_and_negative_ones_too(described):
    data, read = described(
        [[0, 1, 9, -1, -9999]], dtype=np.int32, suffix=".tif", classes=["a", "b"], void=[9, -9999], ignore_index=-1
    )
    assert read(0) == [[0, 1, IGNORE, IGNORE, IGNORE]]
    assert data.legend() == ["-9999 or -1 or 9: void · 0: a · 1 or 255: b"]


def test_counting_steps_over_every_void_value(described):
    assert described([[0, 1, 2, 3, 4]], classes=["a", "b", "c"], void=[0, 2])[1](0) == [[IGNORE, 0, IGNORE, 1, 2]]


def test_a_palette_of_greys_gives_the_values_of_grey_masks(described):
    greys = [[0, 0, 0], [32, 32, 32], [64, 64, 64]]
    _, read = described([[64, 0, 32]], [[2, 0, 1]], [[[64] * 3, [0] * 3]], classes=["a", "b", "c"], palette=greys)
    assert [read(0), read(1), read(2)] == [[[2, 0, 1]], [[2, 0, 1]], [[2, 0]]]


def test_a_palette_of_greys_that_contradicts_counting_is_what_counts(described):
    _, read = described([[0, 1]], classes=["a", "b"], palette=[[1, 1, 1], [0, 0, 0]])
    assert read(0) == [[1, 0]]


def test_a_mask_follows_one_numbering_throughout(described):
    _, read = described([[0, 32, 1]], classes=["a", "b", "c"], palette=[[0] * 3, [32] * 3, [64] * 3])
    with pytest.raises(
        DataError, match=r"value 1 \(1 pixel\); expected 0, 32 or 64 \(or 0, 1 or 2 throughout a file\)"
    ):
        read(0)


@pytest.mark.parametrize("key", [{"ignore_index": 0}, {"void": 0}, {"void": [0, 255]}])
def test_a_shift_of_names_is_impossible(described, key):
    """Masks 0 to 3 with a class named void and 0 as void: the names may begin at 0 or at 1."""
    with pytest.raises(DataError) as error:
        described([[0, 1, 2, 3]], classes=["void", "road", "tree"], **key)
    assert "values: {1: road, 2: tree}" in str(error.value)
    assert "values: {1: void, 2: road, 3: tree}" in str(error.value)
    pasted = yaml.safe_load(str(error.value).split("or\n")[0].split("is right:\n")[1])
    data, read = described([[0, 1, 2]], **pasted)
    assert (data.classes, read(0)) == (["road", "tree"], [[IGNORE, 0, 1]])
    assert data.legend()[0].startswith("0")


def test_void_at_0_without_a_class_of_that_name_steps_over_it(described):
    data, read = described([[0, 1, 2]], classes=["road", "tree"], ignore_index=0)
    assert read(0) == [[IGNORE, 0, 1]]
    assert data.legend() == ["0: void · 1: road · 2: tree"]


def test_a_legend_has_colours_too(described):
    data, _ = described([[[255, 0, 0], [0, 0, 9]]], classes=["a", "b"], palette=[[255, 0, 0], [0, 0, 9]])
    assert data.legend() == ["0: a · 1 or 255: b", "#ff0000: a · #000009: b"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"values": {0: "road", 1: "tre"}, "classes": ["road", "tree"]},
            "'tre', which is not in `classes`; did you me",
        ),
        ({"values": {0: "road"}, "classes": ["road", "tree"]}, "the class 'tree' has no value in `values`"),
        ({"values": {0: "road", 3: "tree"}, "void": 3}, "the value 3 is both 'tree' in `values` and void"),
        ({"values": {0: "road"}}, "`values` names 1 class; expected 2 to 255"),
        ({"values": {"red": "road"}}, "`values.red.[key]`: input should be a valid integer, found 'red'"),
        ({"values": {70000: "a", 0: "b"}}, "less than or equal to 65535, found 70000"),
        ({"values": {0: "a", 1: "b"}, "void": [1.5]}, "`void.0`: input should be a valid integer, found 1.5"),
        ({"classes": ["a", "b"], "images": "images"}, "`images` and `splits` are both given"),
        ({"classes": ["a", "b"], "split": {"by": "folder"}}, "`split` and `splits` are both given"),
        ({"classes": ["a", "b"], "splits": None, "images": "images"}, "`images` is given without `masks`"),
        ({"classes": ["a", "b"], "splits": None, "split": {"by": "x"}}, "but `images` and `masks` are missing"),
        ({"classes": ["a", "b"], "nearest": True}, "`nearest` needs the values or the colours"),
        (
            {"classes": ["a", "b"], "splits": None, "images": "i", "masks": "m", "split": {"by": "("}},
            "which is not a valid regular expression",
        ),
        ({"classes": ["a", "b"], "splits": {"train": {"images": "i", "masks": {"pth": "m"}}}}, "did you mean `path`?"),
        ({"classes": ["a", "b"], "splits": {"train": {"images": "i", "lst": "m"}}}, "did you mean `list`?"),
    ],
)
def test_contradictions_are_refused(described, keys, message):
    with pytest.raises(DataError) as error:
        described([[0]], **keys)
    assert message in str(error.value)


def test_255_beside_0_and_1_is_told_what_to_say(described):
    _, read = described([[0, 1, 255]], [[0, 255]], classes=["land", "water"])
    with pytest.raises(DataError, match=r"value 255 \(1 pixel\); .*if 255 is void, set `ignore_index: 255`"):
        read(0)
    assert read(1) == [[0, 1]]


def test_the_remedy_for_255_beside_the_classes_is_one_line_that_works(described):
    masks, classes = ([[0, 1, 255]], [[0, 255, 0]]), ["land", "water"]
    (problem,) = check(described(*masks, classes=classes)[0]).errors
    line = problem.remedy.split("`")[1]
    data, read = described(*masks, classes=classes, **yaml.safe_load(line))
    assert check(data).errors == []
    assert [read(0), read(1)] == [[[0, 1, IGNORE]], [[0, IGNORE, 0]]]


def open_masks(save, tmp_path, *masks):
    for index, mask in enumerate(masks):
        save(f"images/{index}.png", np.zeros((1, 1, 3)))
        save(f"masks/{index}.png", mask)
    return open_data(tmp_path)


def test_files_of_0_and_1_beside_files_of_0_and_255_are_two_classes(save, tmp_path):
    data = open_masks(save, tmp_path, [[0, 1]], [[0, 255]], [[255, 255]], [[0, 0]])
    assert data.classes == ["background", "foreground"]
    assert [read_mask(tmp_path / f"masks/{i}.png", data.mask_code).tolist() for i in range(4)] == [
        [[0, 1]],
        [[0, 1]],
        [[1, 1]],
        [[0, 0]],
    ]
    assert "both 1 and 255 are read as the foreground" in data.notes[0]
    assert data.legend() == ["0: background · 1 or 255: foreground"]


def test_255_that_would_be_void_in_one_file_and_foreground_in_another_is_refused(save, tmp_path):
    with pytest.raises(
        DataError, match=r"(?s)masks/0\.png: holds 1 and 255, but .*masks/1\.png holds 255 without 1.*`void: 255`"
    ):
        open_masks(save, tmp_path, [[0, 1, 255]], [[0, 255]])


def test_nearest_takes_the_nearest_value_or_colour():
    values = MaskCode(3, values={0: 0, 100: 1, 200: 2}, nearest=True)
    found = np.array([[0, 3, 50, 51, 99, 255, 160]])
    assert values.label_values(found)[0].tolist() == [[0, 0, 0, 1, 1, 2, 2]]
    assert values.doubtful(found).tolist() == [[False, False, True, True, False, True, True]]
    colours = MaskCode(2, colours={(255, 0, 0): 0, (0, 0, 255): 1, (0, 0, 0): IGNORE}, by_colour=True, nearest=True)
    rgb = np.array([[(250, 3, 2), (9, 9, 200), (1, 1, 1), (128, 0, 128)]])
    assert colours.label_colours(rgb)[0].tolist()[0][:3] == [0, 1, IGNORE]
    assert colours.doubtful(rgb, colours=True).tolist() == [[False, True, False, True]]
