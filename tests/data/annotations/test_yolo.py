"""YOLO's data sets with outlines, against pycocotools and the order and paths of Ultralytics."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask

from fullyconv.data import check, open_data
from fullyconv.data.annotations.formats.yolo import rows_of, shapes_of
from fullyconv.data.annotations.painter import paint
from fullyconv.data.checks.kinds import Kind
from fullyconv.data.pairs import read_pair
from fullyconv.errors import DataError

SIZE = (16, 20)
BOX = "0.1 0.125 0.6 0.125 0.6 0.625 0.1 0.625"  # columns 2 to 12, rows 2 to 10: 80 pixels
SMALL = "0.2 0.25 0.3 0.25 0.3 0.375 0.2 0.375"  # columns 4 to 6, rows 4 to 6: 4 pixels
FRACTION = st.integers(0, 160).map(lambda part: part / 160)
POLYGON = st.lists(st.tuples(FRACTION, FRACTION), min_size=3, max_size=7)


@pytest.fixture
def yolo(photo, tmp_path):
    """Write the images of splits, with rows for each (None: no file), and a data.yaml of these lines."""

    def write(images, *lines, name="data.yaml"):
        for image, rows in images.items():
            path = rows_of(photo(image), tmp_path)
            if rows is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("\n".join(rows))
        (tmp_path / name).write_text("\n".join(lines or ("train: train/images", "val: valid/images", "names: [cat]")))
        return tmp_path / name

    return write


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0, 2]), POLYGON), max_size=4))
def test_outlines_are_drawn_as_pycocotools_does_with_smaller_objects_on_top(objects):
    rows = [" ".join(map(str, [own, *np.ravel(points)])) for own, points in objects]
    painted = paint(shapes_of("\n".join(rows).encode(), {0: 1, 2: 2}, SIZE), SIZE, "coco", "smaller-on-top")
    expected = np.zeros(SIZE, np.uint8)
    scaled = [(np.ravel(np.array(points) * SIZE[::-1]).tolist(), own) for own, points in objects]
    drawn = [(mask.decode(mask.frPyObjects([points], *SIZE))[..., 0], {0: 1, 2: 2}[own]) for points, own in scaled]
    for inside, label in sorted(drawn, key=lambda entry: -int(entry[0].sum())):
        expected[inside == 1] = label
    assert np.array_equal(painted.labels, expected)
    assert not painted.faults


def test_a_hole_behind_a_bridge_stays_a_hole_and_cv2_would_paint_more():
    """Converters join an outline and its hole by a bridge of no width."""
    cv2 = pytest.importorskip("cv2")
    ring = [(2, 2), (12, 2), (12, 12), (2, 12), (2, 2), (5, 5), (5, 9), (9, 9), (9, 5), (5, 5)]
    row = " ".join(["0", *(f"{x / 20} {y / 16}" for x, y in ring)])
    labels = paint(shapes_of(row.encode(), {0: 1}, SIZE), SIZE, "coco").labels
    expected = np.zeros(SIZE, np.uint8)
    expected[2:12, 2:12], expected[5:9, 5:9] = 1, 0
    assert np.array_equal(labels, expected)
    ultralytics = cv2.fillPoly(np.zeros(SIZE, np.uint8), [np.array(ring, np.int32)], 1)
    assert (labels.sum(), ultralytics.sum()) == (84, 112)  # the outline itself is painted, also the hole's


@pytest.mark.parametrize(
    "lines",
    [
        ("train: ../train/images", "val: ../valid/images", "test: ../test/images", "nc: 1", "names: ['cat']"),
        ("path: .", "train: [train/images]", "val: valid/images/b.png", "names: {0: cat}"),
        ("path: /content/sets/pets", "train: /content/sets/pets/train/images", "validation: valid", "nc: 1"),
        ("train: C:\\sets\\pets\\train.txt", "val: lists/val.txt", "names:", "  0: cat"),
    ],
)
def test_images_are_found_as_the_file_says_and_as_roboflow_means(yolo, tmp_path, lines):
    (tmp_path / "lists").mkdir()
    (tmp_path / "train.txt").write_text("./train/images/a.png\n")
    (tmp_path / "lists/val.txt").write_text("/content/sets/pets/valid/images/b.png\n")
    path = yolo({"train/images/a.png": [f"0 {BOX}"], "valid/images/b.png": []}, *lines)
    for given_path in (path, tmp_path):
        data = open_data(given_path)
        assert data.layout == "yolo"
        assert data.classes[0] == "background"
        found = {split: [pair.image.name for pair in pairs] for split, pairs in data.splits.items()}
        assert found == {"train": ["a.png"], "val": ["b.png"]}
        sums = {split: read_pair(pairs[0], data.codes)[1].sum() for split, pairs in data.splits.items()}
        assert sums == {"train": 80, "val": 0}
    assert data.notes[-1].startswith("background was added as class 0, before the classes of data.yaml: c")


def test_labels_replace_the_last_folder_of_images_as_in_ultralytics(tmp_path):
    for image, rows in {
        "images/train/a.png": "labels/train/a.txt",
        "images/x/images/a.b.png": "images/x/labels/a.b.txt",
        "train/a.png": "train/a.txt",
        "images.png": "images.txt",
    }.items():
        assert rows_of(tmp_path / image, tmp_path) == tmp_path / rows


def test_what_was_decided_is_said_and_copies_stay_together(yolo, tmp_path):
    names = [f"images/{stem}_jpg.rf.{number:032x}.png" for stem in "abcdefghijkl" for number in range(3)]
    images = {name: [f"1 {BOX}", f"0 {SMALL}"] for name in names} | {names[0]: None}
    data = open_data(yolo(images, "train: images", "val: gone", "names: [Background, cat]"))
    assert data.classes == ["background", "cat"]
    assert data.notes == [
        "data.yaml: `val` is gone, where no images are; it is left out",
        f"1 of 36 images, such as the one of {names[0][7:-4]}.txt, have no file of outlines; all of their pixels are "
        "background",
    ]
    split_of = {pair.image.name: split for split, pairs in data.splits.items() for pair in pairs}
    assert data.divided
    assert len(data.splits) == 3
    assert all(len({split_of[name[7:]] for name in names if name[7] == stem}) == 1 for stem in "abcdefghijkl")
    assert {pair.group for pairs in data.splits.values() for pair in pairs} == {
        f"{stem}_jpg" for stem in "abcdefghijkl"
    }
    sums = {int(read_pair(pair, data.codes)[1].sum()) for pairs in data.splits.values() for pair in pairs}
    assert sums == {0, 76}


def test_coordinates_are_of_the_upright_image(tmp_path, yolo):
    path = yolo({"images/a.png": [f"0 {SMALL}"]}, "train: images", "val: images", "names: [cat]")
    turned = Image.Exif()
    turned[0x0112] = 6
    stored = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    Image.fromarray(stored).save(tmp_path / "images/a.png", exif=turned)
    data = open_data(path)
    image, labels = read_pair(data.splits["train"][0], data.codes)
    assert image.shape[1:] == labels.shape == SIZE[::-1]
    rows, columns = np.nonzero(labels)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (5, 7, 3, 4)
    report = check(data)
    assert not report.errors
    assert Kind.IN_SEVERAL_SPLITS in {problem.kind for problem in report.warnings}  # val is train


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("0 0.5 0.5 0.25 0.25", "it is a box (a class and four numbers); boxes are not painted"),
        ("0 0.5 0.5 0.25 0.25 0.9", "its row has 6 numbers; a class and at least three points are expected"),
        ("0 0.1 0.1 0.2", "its row has 4 numbers"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "its row has 8 numbers"),
        ("0 10 10 20 10 20 20", "its coordinates are not within 0 to 1"),
        ("0 nan 0 1 0 1 1", "its coordinates are not within 0 to 1"),
        ("7 0 0 1 0 1 1", "its class 7 is not among the names"),
        ("0.5 0 0 1 0 1 1", "its class 0.5 is not among the names"),
        ("cat 0 0 1 0 1 1", "its row holds what is no number"),
        ("inf 0 0 1 0 1 1", "its coordinates are not within"),
    ],
)
def test_rows_that_cannot_be_drawn_are_reported(yolo, row, why):
    data = open_data(yolo({"images/a.png": [f"0 {BOX}", row]}, "train: images", "val: images", "names: [cat]"))
    report = check(data, splits=["train"])
    assert [problem.kind for problem in report.errors] == [Kind.SHAPES]
    assert report.errors[0].found.startswith(why)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("train: images", "val: images", "names: []"), "has 0 classes"),
        (("train: images", "val: images", "names: [a, b]", "nc: 3"), "`nc` is 3, but `names` has 2 entries"),
        (("train: images", "val: images", "names: {a: b}"), r"data\.yaml: `names\.a.*valid integer"),
        (("train: images", "val: images", "names: 3"), r"data\.yaml: `names`"),
        (("train: {a: b}", "val: images", "names: [a]"), r"data\.yaml: `train\.0`"),
        (("train: images", "val: images", "names: ['a\\u202e']".replace("'", '"')), "control character"),
        (("train: images", "val: images", "names: [a]", "kpt_shape: [17, 3]"), "key points"),
        (("train: gone", "val: images", "names: [a]"), "`train` is .'gone'., where no images are found below"),
        (("train: bare", "val: bare", "names: [a]"), "none of the 2 images has a file with its outlines; for"),
        (("train: images", "val: images", "names: [a"), r"data\.yaml: "),
        (("train: &a [*a]", "val: images", "names: [a]"), r"data\.yaml: "),
    ],
)
def test_files_that_are_wrong_are_refused_in_words(yolo, lines, message):
    path = yolo({"images/a.png": [f"0 {BOX}"], "bare/a.png": None}, *lines)
    with pytest.raises(DataError, match=message):
        open_data(path)


def test_a_descriptor_is_not_taken_for_yolos_file_nor_the_other_way_round(yolo, tmp_path, labels_of):
    images = {"images/a.png": [f"0 {BOX}"], "images/b.png": [f"0 {BOX}"]}
    path = yolo(images, "train: images", "val: images", "names: [cat]", name="dataset.yaml")
    for given_path in (path, tmp_path):
        assert open_data(given_path).layout == "yolo"
    for other in ("other.yaml", "third.yaml"):
        (tmp_path / other).write_text(path.read_text())
    assert open_data(tmp_path).layout == "yolo"
    path.unlink()
    with pytest.raises(DataError, match=r"several descriptions of YOLO data sets \(other\.yaml, third\.yaml\)"):
        open_data(tmp_path)
    path.write_text("annotations: {path: other.yaml, order: file}\nsplit: {by: '(.)\\.png'}")
    data = open_data(tmp_path)
    assert labels_of(pickle.loads(pickle.dumps(data)))["a.png"].sum() == 80
    path.write_text("classes: [a, b]\nnames: [a]\ntrain: images")
    with pytest.raises(DataError, match="`names` is not a known key"):
        open_data(tmp_path)


def test_no_path_of_a_split_leads_out_of_the_folder(yolo, photo, tmp_path):
    photo("secret/images/s.png")
    yolo({"data/images/a.png": [f"0 {BOX}"]}, "")
    for entry in ("../secret/images", str(tmp_path / "secret/images"), "list.txt"):
        (tmp_path / "data/list.txt").write_text(f"../secret/images/s.png\n{tmp_path}/secret/images/s.png\n")
        (tmp_path / "data/data.yaml").write_text(f"train: [images, '{entry}']\nval: images\nnames: [cat]")
        data = open_data(tmp_path / "data")
        images = {pair.image for pairs in data.splits.values() for pair in pairs}
        assert all(image.is_relative_to(tmp_path / "data") for image in images)
        assert not any(image.exists() for image in images if image.name == "s.png")
