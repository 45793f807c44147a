"""Data sets of scenes in the folders in which they are published, against the authors' own rules."""

import json

import numpy as np
import pytest
from PIL import Image

from fullyconv.data import IGNORE, check, open_data
from fullyconv.data.pairs import read_pair
from fullyconv.errors import DataError

NUMBERS = np.random.default_rng(0)


@pytest.fixture
def write(tmp_path):
    def write(name, pixels, palette=None):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(np.asarray(pixels, np.uint8))
        if palette:
            image.putpalette(palette)
        image.save(path)
        return path

    return write


def noise(height=8, width=12):
    return NUMBERS.integers(0, 256, (height, width, 3))


def ade20k(write, place="ADEChallengeData2016"):
    """Two images for training and one for validation whose masks hold all 151 values."""
    mask = np.arange(8 * 24).reshape(8, 24) % 151
    for folder, name in (
        ("training", "train_00000001"),
        ("training", "train_00000002"),
        ("validation", "val_00000001"),
    ):
        write(f"{place}/images/{folder}/ADE_{name}.jpg", noise(8, 24))
        write(f"{place}/annotations/{folder}/ADE_{name}.png", mask)
    return mask


@pytest.mark.parametrize("place", [".", "ADEChallengeData2016"])
def test_ade20k_has_150_classes_and_0_is_void(write, tmp_path, place):
    """As the authors' evaluation has it: they subtract 1, and do not count what was 0 (sceneparsing, utils_eval.py)."""
    mask = ade20k(write, place)
    write(f"{place}/images/testing/ADE_test_00000001.jpg", noise())
    data = open_data(tmp_path)
    assert (data.layout, {name: len(pairs) for name, pairs in data.splits.items()}) == (
        "ade20k",
        {"train": 2, "val": 1},
    )
    assert "test is left out" in data.notes[0]
    assert (data.classes[0], data.classes[12], data.classes[149]) == ("wall", "person", "flag")
    assert (len(set(data.classes)), data.palette[:2]) == (150, [(120, 120, 120), (180, 120, 120)])
    labels = read_pair(data.split("val")[0], data.codes)[1]
    assert np.array_equal(labels, (mask - 1).astype(np.uint8))  # 0 wraps to 255
    assert IGNORE in labels
    assert check(data).errors == []


def test_ade20ks_list_names_the_classes_by_their_first_synonyms(write, tmp_path):
    ade20k(write, ".")
    listed = ["Idx\tRatio\tTrain\tVal\tStuff\tName"]
    listed += [f"{number}\t0.1\t5\t6\t1\tthing {number} , other" for number in range(1, 151)]
    (tmp_path / "objectInfo150.txt").write_text("\n".join(listed))
    assert open_data(tmp_path).classes == [f"thing {number}" for number in range(1, 151)]
    (tmp_path / "objectInfo150.txt").write_text("\n".join(listed[2:]))
    with pytest.raises(DataError, match="does not number the classes from 1"):
        open_data(tmp_path)


def test_ade20ks_masks_in_one_folder_are_told_by_their_names(write, tmp_path):
    for split in ("train", "val"):
        write(f"images/ADE_{split}_00000001.jpg", noise())
        write(f"annotations/ADE_{split}_00000001.png", np.full((8, 12), 150))
    data = open_data(tmp_path)
    assert (data.layout, list(data.splits)) == ("ade20k", ["train", "val"])
    assert (read_pair(data.split("val")[0], data.codes)[1] == 149).all()


def test_own_data_in_ade20ks_folders_are_not_taken_for_it(write, tmp_path):
    for name in ("training/a", "validation/b"):
        write(f"images/{name}.jpg", noise())
        write(f"annotations/{name}.png", np.arange(96).reshape(8, 12) % 2)
    assert open_data(tmp_path).layout == "folders"


def test_the_whole_of_ade20k_without_names_is_refused_with_what_to_use(write, tmp_path):
    write("images/ADE/training/urban/street/ADE_train_00000001.jpg", noise())
    write("images/ADE/training/urban/street/ADE_train_00000001_seg.png", noise())
    with pytest.raises(DataError, match=r"the whole of ADE20K .* Use the release of 2021, or SceneParse150"):
        open_data(tmp_path)


def whole_ade20k(write, root, name, numbers, objects):
    """An image whose PNG holds class numbers as ADE20K's readers have them: R / 10 · 256 + G; B numbers instances."""
    image = write(f"images/ADE/{name}.jpg", noise())
    numbers = np.asarray(numbers).reshape(8, 12)
    write(f"images/ADE/{name}_seg.png", np.stack([numbers // 256 * 10, numbers % 256, numbers % 7 + 1], -1))
    write(f"images/ADE/{name}_parts_1.png", noise())
    listed = [{"name": words, "name_ndx": at, "parts": {"part_level": level}} for at, words, level in objects]
    image.with_suffix(".json").write_text(json.dumps({"annotation": {"filename": image.name, "object": listed}}))


def test_the_whole_of_ade20k_has_the_classes_of_its_objects(write, tmp_path):
    objects = [(2855, "tree", 0), (64, "plate, dish", 0), (65, "plate, slab", 0), (3050, "window", 1)]
    whole_ade20k(write, tmp_path, "training/urban/street/ADE_train_00000001", [0, 64, 65, 2855] * 24, objects)
    whole_ade20k(write, tmp_path, "validation/home/attic/ADE_val_00000001", [2855, 0] * 48, objects)
    data = open_data(tmp_path)
    assert (data.layout, data.classes) == ("ade20k-full", ["plate, dish", "plate, slab", "tree"])
    assert {split: len(pairs) for split, pairs in data.splits.items()} == {"train": 1, "val": 1}
    for split, labels in (("train", [IGNORE, 0, 1, 2] * 24), ("val", [2, IGNORE] * 48)):
        assert np.array_equal(read_pair(data.splits[split][0], data.codes)[1].ravel(), labels)


def test_the_rarest_classes_of_ade20k_are_void_if_there_are_too_many(write, tmp_path):
    numbers = np.arange(1000, 1256)
    for at, own in enumerate((numbers, numbers[:-1])):
        place = f"training/urban/street/ADE_train_0000000{at}"
        shown = np.resize(own[-80:], 96)
        whole_ade20k(write, tmp_path, place, shown, [(int(number), f"class {number}", 0) for number in own])
    data = open_data(tmp_path)
    assert (len(data.classes), data.classes[-1]) == (255, "class 1254")
    assert data.notes[0] == "1 of 256 classes, in at most 1 images each, are read as void"
    found = [read_pair(pair, data.codes)[1] for pairs in data.splits.values() for pair in pairs]
    assert sum(int((labels == IGNORE).sum()) for labels in found) == 1


def mapillary(write, root, version="v2.0"):
    """Two splits of one image whose masks hold all four labels; the second and the last are not of evaluation."""
    labels = [
        ("animal--bird", "Bird", (165, 42, 42), True),
        ("void--ego-vehicle", "Ego Vehicle", (120, 10, 10), False),
        ("nature--sky", "Sky", (70, 130, 180), True),
        ("void--unlabeled", "Unlabeled", (0, 0, 0), False),
    ]
    keys = ("name", "readable", "color", "evaluate")
    config = {"labels": [dict(zip(keys, label, strict=True), instances=True) for label in labels], "version": "1.1"}
    (root / (f"config_{version}.json" if version else "config.json")).write_text(json.dumps(config))
    mask = np.arange(96).reshape(8, 12) % 4
    for split in ("training", "validation"):
        write(f"{split}/images/a.jpg", noise())
        write(f"{split}/{version or '.'}/labels/a.png", mask, [channel for label in labels for channel in label[2]])
        write(f"{split}/{version or '.'}/instances/a.png", mask)
    write("testing/images/b.jpg", noise())
    return mask, config


@pytest.mark.parametrize("version", ["v1.2", "v2.0", ""])
def test_mapillarys_classes_are_those_of_its_file_that_are_evaluated(write, tmp_path, version):
    mask, _ = mapillary(write, tmp_path, version)
    data = open_data(tmp_path)
    assert data.layout == f"mapillary-{version}".rstrip("-")
    assert (data.classes, data.palette) == (["Bird", "Sky"], [(165, 42, 42), (70, 130, 180)])
    assert list(data.splits) == ["train", "val"]
    assert "test is left out" in data.notes[0]
    labels = read_pair(data.split("val")[0], data.codes)[1]
    assert np.array_equal(labels, np.array([0, IGNORE, 1, IGNORE])[mask])
    assert check(data).errors == []


def test_of_two_versions_mapillarys_newer_is_opened_and_the_other_can_be_chosen(write, tmp_path):
    _, config = mapillary(write, tmp_path, "v2.0")
    mapillary(write, tmp_path, "v1.2")
    config["labels"][2]["readable"] = "Bird"
    (tmp_path / "config_v1.2.json").write_text(json.dumps(config))
    assert open_data(tmp_path).classes == ["Bird", "Sky"]
    assert open_data(tmp_path, "mapillary-v1.2").classes == ["animal--bird", "nature--sky"]


def test_a_damaged_file_of_mapillarys_classes_is_refused_in_words(write, tmp_path):
    mapillary(write, tmp_path)
    (tmp_path / "config_v2.0.json").write_text('{"labels": [{"readable": "Bird", "name": "b", "color": [1, 2, 300]}]}')
    with pytest.raises(DataError, match=r"config_v2.0.json: labels.0.color.2: .*255"):
        open_data(tmp_path)


def test_another_data_sets_config_is_not_taken_for_mapillarys(write, tmp_path):
    (tmp_path / "config.json").write_text('{"labels": ["a", "b"]}')
    for split in ("training", "validation"):
        write(f"{split}/images/{split}.jpg", noise())
        write(f"{split}/labels/{split}.png", np.arange(96).reshape(8, 12) % 2)
    assert open_data(tmp_path).layout == "folders"
