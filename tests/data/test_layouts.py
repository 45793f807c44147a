"""Which files a data set has, in each layout."""

import subprocess
import sys

import numpy as np
import pytest
import yaml

from fullyconv.classes import VOC_CLASSES
from fullyconv.data import Pair, check, open_data
from fullyconv.data.masks import IGNORE, read_mask
from fullyconv.errors import DataError
from fullyconv.palettes import default_palette, voc_palette

IMAGE = np.zeros((2, 2, 3), np.uint8)
MASK = [[0, 1], [1, 0]]


@pytest.fixture
def write_pairs(save):
    """Write images and index masks of the given stems into two folders."""

    def write(images, masks, stems):
        for stem in stems:
            save(f"{images}/{stem}.jpg", IMAGE)
            save(f"{masks}/{stem}.png", MASK)

    return write


@pytest.fixture
def described(tmp_path, write_pairs):
    """A folder with two splits; returns a function that writes dataset.yaml with changes."""
    write_pairs("a", "amask", ["1", "2"])
    write_pairs("b", "bmask", ["3"])

    def describe(**changes):
        content = {
            "classes": ["road", "sky"],
            "splits": {"val": {"images": "b", "masks": "bmask"}, "train": {"images": "a", "masks": "amask"}},
        } | changes
        path = tmp_path / "dataset.yaml"
        path.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))
        return path

    return describe


def stems(pairs):
    return [pair.image.stem for pair in pairs]


def test_descriptor_by_its_folder_or_its_file(described, tmp_path):
    path = described(ignore_index=7, palette=[[1, 2, 3], [4, 5, 6]])
    for data in (open_data(tmp_path), open_data(path), open_data(str(path), layout="descriptor")):
        assert data.layout == "descriptor"
        assert data.root == tmp_path
        assert data.classes == ["road", "sky"]
        assert data.palette == [(1, 2, 3), (4, 5, 6)]
        assert data.ignore_index == 7
        assert list(data.splits) == ["train", "val"]
        assert data.split("train") == [
            Pair(tmp_path / f"a/{stem}.jpg", tmp_path / f"amask/{stem}.png") for stem in "12"
        ]


def test_a_descriptor_of_any_name_can_be_given(described, tmp_path):
    path = described().rename(tmp_path / "mine.yml")
    assert len(open_data(path).split("val")) == 1


def test_descriptor_without_palette_gets_one(described):
    assert open_data(described()).palette == default_palette(2)


def test_a_colour_more_than_classes_is_void(described, tmp_path, save):
    data = open_data(described(palette=[[1, 2, 3], [4, 5, 6], [7, 8, 9]]))
    mask = save("m.png", [[(4, 5, 6), (1, 2, 3), (7, 8, 9)]])
    assert read_mask(mask, data.mask_code).tolist() == [[1, 0, IGNORE]]
    assert len(data.palette) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clases": ["a", "b"]}, "`clases` is not a known key; did you mean `classes`"),
        ({"ignore": 255}, "`ignore` is not a known key; did you mean `ignore_index`"),
        ({"xyz": 1}, "`xyz` is not a known key; the keys are classes, splits, images, masks, valid"),
        (
            {"splits": {"train": {"images": "a", "mask": "amask"}}},
            "`splits.train.mask` is not a known key; did you mean `masks`",
        ),
        ({"splits": {"train": {"images": "a"}}}, "`splits.train.masks` is missing"),
        ({"classes": None}, "`classes` is missing"),
        ({"classes": ["a"]}, "`classes`: list should have at least 2 items"),
        ({"classes": [f"c{i}" for i in range(256)]}, "`classes`: list should have at most 255 items"),
        ({"classes": ["a", "b", "a"]}, "the class 'a' is listed twice"),
        ({"palette": [[0, 0, 0]]}, "`palette` has 1 colours for 2 classes"),
        ({"palette": [[0, 0, 0], [0, 0, 300]]}, "`palette.1.2`: input should be less than or equal to 255"),
        ({"palette": [[0, 0, 0], [0, 0, 0]]}, "`palette` lists the colour [0, 0, 0] twice"),
        ({"classes": [True, "road"]}, "`classes.0`: text is expected (in quotes where YAML reads a number, yes or no)"),
        ({"classes": ["", "road"]}, "`classes.0`: string should have at least 1 character, found ''"),
        ({"classes": ["ro\x1b[2Jad", "sky"]}, "'ro\\x1b[2Jad' holds the control character U+001B"),
        ({"classes": ["ro\u202ead", "sky"]}, "'ro\\u202ead' holds the control character U+202E"),
        ({"splits": {"a\nb": {"images": "a", "masks": "amask"}}}, "'a\\nb' holds the control character U+000A"),
        ({"ignore_index": -40000}, "`ignore_index`: input should be greater than or equal to -32768, found -40000"),
        ({"splits": {"train": {"images": "no", "masks": "nowhere"}}}, "folders that do not exist"),
    ],
)
def test_what_is_wrong_in_a_descriptor_is_said(described, changes, message):
    path = described(**changes)
    with pytest.raises(DataError) as error:
        open_data(path)
    assert message in str(error.value)
    assert "dataset.yaml" in str(error.value)


def test_every_fault_of_a_descriptor_is_listed(described):
    with pytest.raises(DataError, match=r"(?s)clases.*ignor"):
        open_data(described(clases=[], ignor=3))


@pytest.mark.parametrize("text", ["classes: [a, b", "just words", "", "\t- x"])
def test_a_descriptor_that_is_no_mapping_is_refused(tmp_path, text):
    (tmp_path / "dataset.yaml").write_text(text)
    with pytest.raises(DataError, match=r"dataset\.yaml: "):
        open_data(tmp_path)


def write_voc(tmp_path, write_pairs, **lists):
    names = " ".join(lists.values()).split()
    write_pairs("JPEGImages", "SegmentationClass", names)
    folder = tmp_path / "ImageSets/Segmentation"
    folder.mkdir(parents=True)
    for split, text in lists.items():
        (folder / f"{split}.txt").write_text("\n".join(text.split()) + "\n\n")


def test_voc(tmp_path, write_pairs):
    write_voc(tmp_path, write_pairs, val="c", train="a b", trainval="a b c", test="d")
    data = open_data(tmp_path)
    assert data.layout == "voc"
    assert {split: stems(pairs) for split, pairs in data.splits.items()} == {
        "train": ["a", "b"],
        "val": ["c"],
        "test": ["d"],
    }
    assert data.classes == VOC_CLASSES
    assert len(data.classes) == 21
    assert data.ignore_index == 255
    assert data.palette == voc_palette(21)
    assert data.split("val") == [Pair(tmp_path / "JPEGImages/c.jpg", tmp_path / "SegmentationClass/c.png")]


def test_voc_keeps_trainval_where_it_is_not_a_repetition(tmp_path, write_pairs):
    write_voc(tmp_path, write_pairs, trainval="a b", test="c")
    assert list(open_data(tmp_path).splits) == ["test", "trainval"]


def test_voc_lists_what_is_not_there(tmp_path, write_pairs):
    write_voc(tmp_path, write_pairs, train="a")
    (tmp_path / "ImageSets/Segmentation/train.txt").write_text("a\nghost")
    assert open_data(tmp_path).split("train")[1] == Pair(tmp_path / "JPEGImages/ghost.jpg", None)


def test_voc_without_lists_is_refused(tmp_path, write_pairs):
    write_voc(tmp_path, write_pairs)
    for folder in ("JPEGImages", "SegmentationClass"):
        (tmp_path / folder).mkdir()
    with pytest.raises(DataError, match="ImageSets/Segmentation no lists"):
        open_data(tmp_path)


def test_voc_palette_is_the_published_one():
    assert voc_palette(21)[:4] == [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0)]
    assert voc_palette(21)[15] == (192, 128, 128)  # person
    assert voc_palette(21)[20] == (0, 64, 128)  # tvmonitor
    assert voc_palette(256)[255] == (224, 224, 192)  # void


@pytest.mark.parametrize("form", ["images/{}", "{}/images"])
def test_folders_with_splits_inside_or_around(tmp_path, write_pairs, form):
    for split, names in {"val": "c", "train": "ab", "extra": "d"}.items():
        write_pairs(form.format(split), form.format(split).replace("images", "masks"), names)
    data = open_data(tmp_path)
    assert data.layout == "folders"
    assert {split: stems(pairs) for split, pairs in data.splits.items()} == {
        "train": ["a", "b"],
        "val": ["c"],
        "extra": ["d"],
    }
    assert all(pair.mask.stem == pair.image.stem for pairs in data.splits.values() for pair in pairs)


def test_what_does_not_pair_does_not_stop_opening(tmp_path, write_pairs, save):
    write_pairs("images/train", "masks/train", "ab")
    lonely = save("images/train/lonely.jpg", IMAGE)
    unmatched = [save("masks/train/unmatched.png", MASK), save("masks/val/x.png", MASK)]
    second = save("masks/train/a.tif", MASK)
    data = open_data(tmp_path)
    assert Pair(lonely, None) in data.split("train")
    assert data.split("val") == []
    assert sorted(data.unmatched_masks) == sorted([*unmatched, second])


@pytest.mark.parametrize("form", ["images/{}", "{}/images"])
def test_a_split_that_a_link_leads_to_and_is_not_there_is_missed(tmp_path, write_pairs, form):
    write_pairs(form.format("train"), form.format("train").replace("images", "masks"), "a")
    place = tmp_path / (form.format("val") if form[0] == "i" else "val")
    place.symlink_to(tmp_path / "unmounted")
    with pytest.raises(
        DataError, match=r"val: is a link to .*unmounted, which is not there; it may be a split's folder"
    ):
        open_data(tmp_path)


def test_a_split_of_masks_alone_is_not_passed_over(tmp_path, write_pairs):
    for split in ("train", "val"):
        write_pairs(f"{split}/images", f"{split}/masks", "a")
    (tmp_path / "val/images").rename(tmp_path / "elsewhere")
    (tmp_path / "val/images").symlink_to("unmounted")
    assert open_data(tmp_path).splits["val"] == []
    problems = [(problem.kind.name, problem.files) for problem in check(open_data(tmp_path)).problems]
    assert ("EMPTY", ()) in problems
    assert ("UNMATCHED_MASK", (tmp_path / "val/masks/a.png",)) in problems


def test_links_that_lead_nowhere_are_no_other_layout_or_list(tmp_path, write_pairs):
    write_pairs("images", "masks", "abc")
    lost = tmp_path / "images" / "d.png"
    lost.symlink_to("unmounted.png")
    problems = check(open_data(tmp_path)).problems
    assert "is a link to unmounted.png, which is not there" in [p.found for p in problems if p.files == (lost,)]
    (tmp_path / "dataset.yaml").symlink_to("unmounted.yaml")
    with pytest.raises(DataError, match=r"dataset\.yaml: cannot be read"):
        open_data(tmp_path)


def test_files_beside_splits_are_refused(tmp_path, write_pairs):
    write_pairs("images/train", "masks/train", "a")
    write_pairs("images", "masks", "b")
    with pytest.raises(DataError, match=r"2 files, such as images/b\.jpg, are outside of the split folders train"):
        open_data(tmp_path)


@pytest.mark.parametrize(
    ("pairs", "sizes"),
    [(1, [1]), (2, [1, 1]), (3, [1, 1, 1]), (10, [8, 1, 1]), (26, [20, 3, 3]), (100, [80, 10, 10])],
)
def test_folders_without_splits_are_divided(tmp_path, write_pairs, pairs, sizes):
    write_pairs("images", "masks", [f"{i:03}" for i in range(pairs)])
    splits = open_data(tmp_path).splits
    assert [len(part) for part in splits.values()] == sizes
    assert list(splits) == ["train", "val", "test"][: len(sizes)]
    assert sorted(pair.image.stem for part in splits.values() for pair in part) == [f"{i:03}" for i in range(pairs)]


def test_the_division_depends_on_the_names_only(tmp_path, write_pairs):
    """The lowest SHA-256 are test, the next val; the digests of a to j are sha256sum's."""
    write_pairs("one/images", "one/masks", "abcdefghij")
    write_pairs("other/images", "other/masks", "jihgfedcba")
    one, other = (open_data(tmp_path / folder).splits for folder in ("one", "other"))
    assert {name: stems(part) for name, part in one.items()} == {n: stems(p) for n, p in other.items()}
    assert stems(one["test"]) == ["j"]  # 189f40034be7...
    assert stems(one["val"]) == ["d"]  # 18ac3e7343f0...


def test_a_layout_can_be_forced(described, tmp_path, write_pairs):
    described()
    write_pairs("images", "masks", "xyz")
    assert open_data(tmp_path).layout == "descriptor"
    assert open_data(tmp_path, layout="folders").layout == "folders"
    with pytest.raises(DataError) as error:
        open_data(tmp_path, layout="voc")
    assert "does not have the layout voc (folders JPEGImages, SegmentationClass and" in str(error.value)
    with pytest.raises(DataError, match=r"layout is 'ms-coco'; expected one of descriptor, .*voc, .*folders"):
        open_data(tmp_path, layout="ms-coco")


def test_nothing_at_a_path_is_said(tmp_path, save):
    with pytest.raises(DataError, match=r"nowhere: does not exist"):
        open_data(tmp_path / "nowhere")


def test_an_unknown_split_is_answered_with_those_there_are(described):
    with pytest.raises(DataError, match="has no split 'test'; its splits are train, val"):
        open_data(described()).split("test")


def test_camvid(camvid):
    data = open_data(camvid)
    assert {split: len(pairs) for split, pairs in data.splits.items()} == {
        "train": 367,
        "val": 101,
        "test": 233,
    }
    assert data.ignore_index == 11
    assert data.palette[3] == (128, 64, 128)


def test_isbi(isbi):
    data = open_data(isbi)
    assert {split: len(pairs) for split, pairs in data.splits.items()} == {"train": 20, "val": 5, "test": 5}
    assert data.classes == ["background", "foreground"]
    assert data.ignore_index is None


def test_the_package_loads_without_torch():
    program = "import sys, fullyconv.data; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
