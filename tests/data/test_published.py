"""The paper's data sets, as their archives have them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import loadmat, savemat
from torchvision.datasets import SBDataset, VOCSegmentation

from fullyconv.data import IGNORE, check, class_pixels, open_data
from fullyconv.data.checks.problems import Kind
from fullyconv.data.dataset import SegmentationDataset
from fullyconv.data.pairs import read_pair
from fullyconv.data.samples import show
from fullyconv.errors import ConfigError, DataError
from tests.data.archives import (
    ARCHIVES,
    CONTEXT,
    CONTEXT_RAW,
    OTHERS,
    SCENES,
    context,
    nyud,
    sbd,
    sbd_with_voc,
    siftflow,
    voc,
)
from tests.data.archives import scene as scene_of

DETECTED = {
    "sbd+voc-union": "sbd+voc",
    **dict.fromkeys(("nyud-hha", "nyud-rgbd", "nyud-color-hha"), "nyud"),
    **dict.fromkeys(("siftflow-semantic", "siftflow-geometric"), "siftflow"),
}
"""Layouts that are never detected, as another one is that looks the same."""


@pytest.fixture(scope="module", params=ARCHIVES)
def published(request, tmp_path_factory):
    """A data set in each layout: the layout's name and the folder."""
    folder = tmp_path_factory.mktemp("published")
    ARCHIVES[request.param](folder)
    return request.param, folder


def stems(data, split):
    return [pair.image.stem for pair in data.split(split)]


def test_every_set_is_sound_and_its_pixels_are_counted(published):
    layout, folder = published
    data = open_data(folder, layout)
    assert open_data(folder).layout == DETECTED.get(layout, layout)
    assert len(data.classes) == len(data.palette) == len(set(data.classes)) == sum(data.head_sizes)
    assert check(data).problems == []
    counted = class_pixels(data, "train")
    dataset = SegmentationDataset(data, "train", channels=data.channels or 3)
    labels = [dataset[index][1].reshape(len(data.head_sizes), -1) for index in range(len(dataset))]
    first = 0
    for head, size in enumerate(data.head_sizes):
        pixels = np.sum([np.bincount(own[head], minlength=256)[:size] for own in labels], axis=0)
        assert counted.pixels[first : first + size].tolist() == pixels.tolist()
        first += size
    assert counted.void == sum(int((own == IGNORE).sum()) for own in labels)


def test_every_set_can_be_drawn(published, tmp_path):
    layout, folder = published
    data = open_data(folder, layout)
    show(data, tmp_path / "figure.png", count=2)
    width, height = Image.open(tmp_path / "figure.png").size
    assert width > height


@pytest.mark.parametrize("year", [2011, 2012])
def test_voc_is_found_as_unpacked_and_read_as_torchvision_reads_it(tmp_path, year):
    voc(tmp_path, year)
    data = open_data(tmp_path)
    assert list(data.splits) == ["train", "val"]
    reference = VOCSegmentation(tmp_path, year=str(year), image_set="val")
    for pair, (image, mask) in zip(data.split("val"), reference, strict=True):
        pixels, labels = read_pair(pair, data.codes)
        assert np.array_equal(pixels.transpose(1, 2, 0), image)
        assert np.array_equal(labels, mask)


def test_two_years_in_one_folder_are_ambiguous(tmp_path):
    voc(tmp_path, 2011)
    voc(tmp_path, 2012)
    with pytest.raises(
        DataError, match=r"one data set is expected in it, found .*VOC2012.*VOC2011; give the folder of"
    ):
        open_data(tmp_path)
    assert open_data(tmp_path / "VOCdevkit/VOC2012").layout == "voc"


def test_sbd_is_read_as_torchvision_reads_it(tmp_path):
    sbd(tmp_path)
    root = tmp_path / "benchmark_RELEASE/dataset"
    for path in (tmp_path, root):
        data = open_data(path)
        for split in ("train", "val"):
            reference = SBDataset(root, image_set=split, mode="segmentation")
            assert len(reference) == len(data.split(split))
            for pair, (image, mask) in zip(data.split(split), reference, strict=True):
                pixels, labels = read_pair(pair, data.codes)
                assert np.array_equal(pixels.transpose(1, 2, 0), image)
                assert np.array_equal(labels, mask)


def test_seg11valid_is_vocs_val_without_sbds_train(tmp_path):
    """SBD trains on 1, 2, 5, 6; VOC validates on 4, 5, 6, 7."""
    sbd_with_voc(tmp_path)
    data = open_data(tmp_path)
    assert stems(data, "train") == ["2008_000001", "2008_000002", "2008_000005", "2008_000006"]
    assert stems(data, "val") == ["2008_000004", "2008_000007"]
    assert {pair.mask.suffix for pair in data.split("train")} == {".mat"}
    assert {pair.mask.suffix for pair in data.split("val")} == {".png"}


def test_the_union_adds_what_only_voc_trains_on(tmp_path):
    """VOC trains on 1, 2, 3; SBD has 3, too, but in its val."""
    sbd_with_voc(tmp_path)
    data = open_data(tmp_path, "sbd+voc-union")
    assert stems(data, "train") == [f"2008_00000{number}" for number in (1, 2, 5, 6, 3)]
    assert data.split("train")[-1].mask.suffix == ".png"
    assert stems(data, "val") == ["2008_000004", "2008_000007"]


@pytest.fixture
def kitchen(tmp_path):
    """NYUDv2 with one training image of two rows whose every value is known."""
    nyud(tmp_path, train=(7,), val=(), test=(8,))
    folder = tmp_path / "data"
    Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)).save(folder / "images/img_7.png")
    Image.fromarray(np.array([[[7, 8, 9], [10, 11, 12]]], np.uint8)).save(folder / "hha/img_7.png")
    Image.fromarray(np.array([[1000, 2718]], np.uint16)).save(folder / "depth/img_7.png")
    savemat(tmp_path / "segmentation/img_7.mat", {"segmentation": np.array([[0, 40]], np.uint8)})
    return tmp_path


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("nyud", [[1, 4], [2, 5], [3, 6]]),
        ("nyud-hha", [[7, 10], [8, 11], [9, 12]]),
        ("nyud-rgbd", [[1, 4], [2, 5], [3, 6], [6.907755, 7.907652]]),
        ("nyud-color-hha", [[1, 4], [2, 5], [3, 6], [7, 10], [8, 11], [9, 12]]),
    ],
)
def test_nyud_has_the_channels_of_its_layout(kitchen, layout, expected):
    data = open_data(kitchen, layout)
    image, labels, _ = SegmentationDataset(data, "train", channels=len(expected))[0]
    assert image.dtype == (torch.float32 if layout == "nyud-rgbd" else torch.uint8)
    assert torch.allclose(image[:, 0].double(), torch.tensor(expected, dtype=torch.float64), atol=1e-5)
    assert labels.tolist() == [[IGNORE, 39]]
    assert data.classes[39] == "otherprop"
    assert (
        data.inputs
        == {"nyud": "image", "nyud-hha": "hha", "nyud-rgbd": "rgb+depth", "nyud-color-hha": "rgb+hha"}[layout]
    )


def test_images_that_a_network_does_not_take_are_refused_in_words(kitchen):
    hha = open_data(kitchen, "nyud-hha")
    hha.require_inputs("hha")
    with pytest.raises(ConfigError, match=r"are HHA in layout nyud-hha; the network takes the channels of a picture"):
        hha.require_inputs("image")
    with pytest.raises(ConfigError, match=r"are the channels of a picture in layout nyud; the network takes HHA"):
        open_data(kitchen, "nyud").require_inputs("hha")
    own = replace(hha, published=False, inputs="image")
    own.require_inputs("hha")  # what pictures of one's own hold is not known


def test_nyud_trains_on_trainval_as_the_paper_does(tmp_path):
    nyud(tmp_path, train=(1, 2), val=(3,), test=(4,))
    splits = open_data(tmp_path).splits
    assert {split: len(pairs) for split, pairs in splits.items()} == {"train": 3, "test": 1}
    (tmp_path / "trainval.txt").unlink()
    splits = open_data(tmp_path).splits
    assert {split: len(pairs) for split, pairs in splits.items()} == {"train": 2, "val": 1, "test": 1}
    (tmp_path / "trainval.txt").symlink_to("unmounted.txt")
    with pytest.raises(DataError, match=r"trainval\.txt: is missing"):
        open_data(tmp_path)


def test_unknown_depth_is_the_mean_of_the_known(kitchen):
    data = open_data(kitchen, "nyud-rgbd")
    path = kitchen / "data/depth/img_7.png"
    Image.fromarray(np.array([[0, 500]], np.uint16)).save(path)
    assert np.allclose(read_pair(data.split("train")[0], data.codes)[0][3], np.log(500))
    Image.fromarray(np.zeros((1, 2), np.uint16)).save(path)
    with pytest.raises(DataError, match=r"depth/img_7\.png: holds no depth above 0"):
        read_pair(data.split("train")[0], data.codes)
    Image.fromarray(np.ones((1, 2), np.uint8)).save(path)
    with pytest.raises(
        DataError, match=r"depth/img_7\.png: has 1 band of type uint8; expected an 8-bit colour image, or 16-bit"
    ):
        read_pair(data.split("train")[0], data.codes)


def test_a_network_for_other_channels_is_refused_before_anything_is_read(kitchen):
    data = open_data(kitchen, "nyud-color-hha")
    with pytest.raises(
        ConfigError, match=r"6 channels in layout nyud-color-hha; the network takes 3\. Set model.in_ch"
    ):
        SegmentationDataset(data, "train", channels=3)
    with pytest.raises(ConfigError, match=r"3 channels in layout nyud; the network takes 4"):
        SegmentationDataset(open_data(kitchen, "nyud"), "train", channels=4)  # opaque is no depth


def test_check_names_broken_depth(kitchen):
    path = kitchen / "data/depth/img_7.png"
    data = open_data(kitchen, "nyud-rgbd")

    def found():
        return {(problem.kind, *(file.name for file in problem.files)) for problem in check(data).problems}

    assert found() == set()
    Image.fromarray(np.ones((3, 2), np.uint16)).save(path)
    assert found() == {(Kind.SIZE, "img_7.png")}
    with pytest.raises(DataError, match=r"depth/img_7\.png: is 2x3 \(width x height\), .*images/img_7\.png 2x1"):
        read_pair(data.split("train")[0], data.codes)
    path.write_bytes(b"broken")
    assert found() == {(Kind.UNREADABLE, "img_7.png")}
    path.unlink()
    assert found() == {(Kind.NO_IMAGE, "img_7.png")}


@pytest.fixture
def coast(tmp_path):
    """SIFT Flow with one training image of two pixels by three."""
    siftflow(tmp_path, trainval=(1,), test=(2,))
    Image.new("RGB", (3, 2)).save(tmp_path / "Images" / SCENES / "coast_natu1.jpg")
    for folder, values in (("SemanticLabels", [[0, 1, 28], [33, 33, 33]]), ("GeoLabels", [[-1, 1, 2], [3, 3, 0]])):
        savemat(tmp_path / folder / SCENES / "coast_natu1.mat", {"S": np.array(values, float), "names": ["x"]})
    return tmp_path


def test_siftflow_has_two_labelings(coast):
    data = open_data(coast)
    image, labels, _ = SegmentationDataset(data, "train")[0]
    assert image.shape == (3, 2, 3)
    semantic = [[IGNORE, 0, 27], [32, 32, 32]]
    geometric = [[IGNORE, 0, 1], [2, 2, IGNORE]]
    assert labels.tolist() == [semantic, geometric]
    assert data.heads == {"semantic": 33, "geometric": 3}
    assert (data.classes[27], data.classes[33:]) == ("sky", ["geometric sky", "horizontal", "vertical"])
    assert SegmentationDataset(open_data(coast, "siftflow-semantic"), "train")[0][1].tolist() == semantic
    assert SegmentationDataset(open_data(coast, "siftflow-geometric"), "train")[0][1].tolist() == geometric
    assert data.absent_excluded


def test_each_labelings_pixels_are_counted_for_itself(coast):
    """Of the six pixels five have a semantic class and four a geometric one: 3 + 1 + 1, and 1 + 1 + 2."""
    counted = class_pixels(open_data(coast), "train")
    assert {index: n for index, n in enumerate(counted.pixels.tolist()) if n} == {
        0: 1,
        27: 1,
        32: 3,
        33: 1,
        34: 1,
        35: 2,
    }
    assert counted.image_pixels[[0, 27, 32, 33, 34, 35]].tolist() == [5, 5, 5, 4, 4, 4]
    assert counted.void == 3
    lines = check(open_data(coast), ["train"]).format_frequencies().splitlines()
    assert next(line for line in lines if line.startswith("window")).split() == ["window", "60.00%", "(1)"]
    assert next(line for line in lines if line.startswith("vertical")).split() == ["vertical", "50.00%", "(1)"]


def test_labelings_of_different_size_are_refused(coast):
    path = coast / "GeoLabels" / SCENES / "coast_natu1.mat"
    savemat(path, {"S": np.ones((5, 3))})
    data = open_data(coast)
    with pytest.raises(DataError, match=r"GeoLabels/.*is 3x5 \(width x height\), .*SemanticLabels/.* 3x2"):
        read_pair(data.split("train")[0], data.codes)
    assert [(p.kind, p.files) for p in check(data).problems] == [(Kind.SIZE, (path,))]


def test_check_names_masks_with_wrong_values_and_broken_ones(coast):
    semantic, geometric = (coast / folder / SCENES / "coast_natu1.mat" for folder in ("SemanticLabels", "GeoLabels"))
    savemat(semantic, {"S": np.full((2, 3), 34.0)})
    geometric.write_bytes(geometric.read_bytes()[:150])
    problems = {problem.kind: problem for problem in check(open_data(coast)).problems}
    assert problems[Kind.VALUE].files == (semantic,)
    assert problems[Kind.VALUE].expected == "1 to 33, 0 or -1 for void"
    assert problems[Kind.UNREADABLE].files == (geometric,)


def test_context_reduces_raw_labels_to_59_classes(tmp_path):
    """Against the names: a raw label is the class of its name, or background where the task has no such class."""
    context(tmp_path)
    data = open_data(tmp_path)
    assert data.classes == ["background", *CONTEXT]
    raw_names = dict(line.split(": ") for line in (tmp_path / "labels.txt").read_text().splitlines())
    task_names = {CONTEXT_RAW.get(name, name): name for name in CONTEXT} | dict.fromkeys(OTHERS, "background")
    seen = set()
    for pair in [*data.split("train"), *data.split("val")]:
        raw = loadmat(pair.mask)["LabelMap"]
        labels = read_pair(pair, data.codes)[1]
        for value, label in {*zip(raw.ravel().tolist(), labels.ravel().tolist(), strict=True)}:
            assert data.classes[label] == task_names[raw_names[str(value)]]
            seen.add(raw_names[str(value)])
    assert len(seen) > 15


@pytest.mark.parametrize("name", ["table", "bedclothes", "cloth", "wool"])
def test_context_knows_the_three_names_that_differ(tmp_path, name):
    context(tmp_path)
    data = open_data(tmp_path)
    raw = {line.split(": ")[1]: int(line.split(": ")[0]) for line in (tmp_path / "labels.txt").read_text().splitlines()}
    label = data.mask_code.values[raw[name]]
    assert data.classes[label] == {v: k for k, v in CONTEXT_RAW.items()}.get(name, "background")


def test_context_says_which_label_lists_do_not_fit(tmp_path):
    context(tmp_path)
    (tmp_path / "59_labels.txt").write_text("1: aeroplane\n2: unicorn\n")
    with pytest.raises(DataError, match=r"labels\.txt: has no 'unicorn', class 2 of 59_labels\.txt"):
        open_data(tmp_path)
    (tmp_path / "59_labels.txt").write_text("1: aeroplane\n3: bird\n")
    with pytest.raises(DataError, match=r"59_labels\.txt: its classes are not numbered 1, 2, 3"):
        open_data(tmp_path)
    (tmp_path / "59_labels.txt").write_text("aeroplane\n")
    with pytest.raises(DataError, match=r"59_labels\.txt: holds the line 'aeroplane'; lines such as `12: dog`"):
        open_data(tmp_path)


@pytest.mark.parametrize(
    ("make", "lost"),
    [
        (sbd, "benchmark_RELEASE/dataset/train.txt"),
        (nyud, "test.txt"),
        (siftflow, "trainval.txt"),
        (context, "VOCdevkit/VOC2010/ImageSets/Main/val.txt"),
    ],
)
def test_a_missing_list_or_part_is_said(tmp_path, make, lost):
    make(tmp_path)
    (tmp_path / lost).unlink()
    with pytest.raises(DataError, match=r"no data set found|is missing; expected the names of a split's images"):
        open_data(tmp_path)


def test_missing_images_and_masks_are_reported(tmp_path):
    siftflow(tmp_path)
    (tmp_path / "Images" / SCENES / "coast_natu1.jpg").unlink()
    (tmp_path / "GeoLabels" / SCENES / "coast_natu2.mat").unlink()
    found = {(p.kind, p.files[0].name) for p in check(open_data(tmp_path)).problems}
    assert found == {(Kind.NO_IMAGE, "coast_natu1.jpg"), (Kind.NO_MASK, "coast_natu2.mat")}


def test_the_miniatures_are_what_they_are_drawn_from(tmp_path):
    nyud(tmp_path, train=(3,), val=(), test=(4,))
    data = open_data(tmp_path)
    image, labels, _ = SegmentationDataset(data, "train")[0]
    picture, classes = scene_of(3, 40, (40, 52))
    assert np.array_equal(image, picture.transpose(2, 0, 1))
    assert np.array_equal(labels[2:], classes[2:])
    assert (labels[:2] == IGNORE).all()
