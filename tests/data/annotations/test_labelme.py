"""labelme's JSON files, against the calls of Pillow with which labelme draws (``labelme/_utils/shape.py``)."""

import base64
import io
import json
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from fullyconv.data import check, open_data
from fullyconv.data.annotations.formats.labelme import read_labelme
from fullyconv.data.annotations.painter import paint
from fullyconv.data.checks.kinds import Kind
from fullyconv.data.pairs import read_pair
from fullyconv.errors import DataError

SIZE = (16, 20)
SQUARE = [[2, 2], [12, 2], [12, 10], [2, 10]]
COUNTS = {"circle": 2, "rectangle": 2, "oriented_rectangle": 4, "line": 2, "point": 1, "linestrip": 3, "polygon": 5}
COORDINATE = st.integers(-40, 240).map(lambda tenth: tenth / 8)
DRAWN = st.sampled_from(sorted(COUNTS)).flatmap(
    lambda kind: st.tuples(
        st.just(kind), st.lists(st.tuples(COORDINATE, COORDINATE), min_size=COUNTS[kind], max_size=COUNTS[kind])
    )
)
LABELS = {"_background_": 0, "__ignore__": 255, "cat": 1, "dog": 2}


def shape(label="cat", points=SQUARE, kind="polygon", **more):
    return {"label": label, "points": points, "shape_type": kind, "group_id": None, "flags": {}, **more}


def labelme(*shapes, image="a.png", height=16, width=20, **more):
    known = {"imagePath": image, "imageData": None, "imageHeight": height, "imageWidth": width}
    return {"version": "5.8.1", "flags": {}, "shapes": list(shapes), **known, **more}


def png(array):
    content = io.BytesIO()
    Image.fromarray(array).save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()


def drawn_by_labelme(kind, points):
    mask = Image.new("L", SIZE[::-1])
    draw = ImageDraw.Draw(mask)
    if kind in ("circle", "point"):
        (x, y), radius = points[0], 5 if kind == "point" else math.dist(*points)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=1, fill=1)
    elif kind == "rectangle":
        (x, y), (other_x, other_y) = points
        draw.rectangle((min(x, other_x), min(y, other_y), max(x, other_x), max(y, other_y)), outline=1, fill=1)
    elif kind in ("line", "linestrip"):
        draw.line(points, fill=1, width=10, joint="curve" if kind == "linestrip" else None)
    else:
        draw.polygon(points, outline=1, fill=1)
    return np.array(mask, bool)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(LABELS)), DRAWN), max_size=4))
def test_shapes_are_painted_one_over_the_other_as_labelme_does(write_json, tmp_path, drawn):
    known = [shape("cat", []), shape("dog", [])]  # so that both are classes
    path = write_json("a.json", labelme(*known, *(shape(label, points, kind) for label, (kind, points) in drawn)))
    expected = np.zeros(SIZE, np.uint8)
    for label, (kind, points) in drawn:
        expected[drawn_by_labelme(kind, points)] = LABELS[label]
    annotations = read_labelme(tmp_path, [path])
    (image,) = annotations.images
    painted = paint(image.shapes(SIZE), SIZE, annotations.rule)
    assert annotations.classes == ["background", "cat", "dog"]
    assert np.array_equal(painted.labels, expected)
    assert len(painted.faults) == 2


@pytest.mark.parametrize(
    ("corners", "left", "top", "height", "width"),
    [
        ([[3, 2], [7, 5]], 3, 2, 4, 5),  # the box is inclusive
        ([[-2, -1], [2, 2]], -2, -1, 4, 5),  # cut by the image
        ([[17, 14], [21, 17]], 17, 14, 4, 5),
        ([[3.4, 1.6], [7.5, 5.4]], 3, 2, 4, 5),  # fractional corners: rounded, as large as it is stored
        ([[3, 2], [5, 3]], 3, 2, 2, 3),  # whole corners: cut to the box
    ],
)
def test_masks_lie_where_labelme_puts_them(photo, write_json, labels_of, corners, left, top, height, width):
    photo("a.png")
    inside = np.random.default_rng(0).random((4, 5)) < 0.6
    write = shape("cat", corners, "mask", mask=png(inside))
    expected = np.zeros((40, 40), np.uint8)
    expected[10 + top : 10 + top + height, 10 + left : 10 + left + width] = inside[:height, :width]
    labels = labels_of(open_data(write_json("a.json", labelme(write))))["a.png"]
    assert np.array_equal(labels, expected[10:26, 10:30])


def test_holes_void_order_and_types_of_other_versions(photo, write_json, labels_of):
    photo("a.png")
    shapes = [
        shape("cat", SQUARE),
        shape("_background_", [[4, 4], [6, 4], [6, 6], [4, 6]], "ai_polygon"),
        shape("__ignore__", [[8, 4], [9, 5]], "rectangle"),
        shape("dog", [[2, 2], [3, 2], [3, 3], [2, 3]], "rectangle"),  # X-AnyLabeling's has four corners
        {"label": 7, "points": [[0, 0], [1, 0], [1, 1], [0, 1]]},  # as the first versions: no type
    ]
    data = open_data(write_json("a.json", labelme(*shapes)))
    labels = labels_of(data)["a.png"]
    assert data.classes == ["background", "7", "cat", "dog"]
    expected = np.zeros(SIZE, np.uint8)
    expected[2:11, 2:13] = 2
    expected[4:7, 4:7], expected[4:6, 8:10], expected[2:4, 2:4], expected[:2, :2] = 0, 255, 3, 1
    assert np.array_equal(labels, expected)


@pytest.mark.parametrize(
    ("image", "annotation", "named"),
    [
        ("a.png", "a.json", "a.png"),
        ("images/a.png", "annotations/a.json", "..\\images\\a.png"),
        ("a.png", "json/a.json", "D:\\other\\machine\\a.png"),
        ("img/a.png", "ann/a.json", "never-renamed.jpg"),
        ("a.png", "a.json", None),
        ("train/images/a.png", "train/labels/a.json", "../images/a.png"),
    ],
)
def test_images_are_found_by_their_path_or_by_the_files_name(photo, write_json, tmp_path, image, annotation, named):
    wanted = photo(image)
    path = write_json(annotation, labelme(shape(), image=named))
    for given_path in (tmp_path, path) if "train" not in image else (tmp_path,):
        data = open_data(given_path)
        assert data.layout == "labelme"
        assert [pair.image for pair in data.splits["train"]] == [wanted]


def test_equal_names_in_split_folders_are_images_of_their_own(photo, write_json, tmp_path):
    for split, points in (("train", SQUARE), ("valid", [[0, 0], [1, 0], [1, 1], [0, 1]])):
        photo(f"images/{split}/a.png"), photo(f"images/{split}/b.png")
        write_json(f"labels/{split}/a.json", labelme(shape(points=points), image=f"../../images/{split}/a.png"))
        write_json(f"labels/{split}/b.json", labelme(shape(points=points), image="wrong.png"))
    data = open_data(tmp_path)
    assert list(data.splits) == ["train", "val"]
    sums = [[int(read_pair(pair, data.codes)[1].sum()) for pair in pairs] for pairs in data.splits.values()]
    assert sums == [[99, 99], [4, 4]]


def test_an_image_that_lies_only_in_its_file_is_taken_out(write_json, tmp_path, labels_of):
    pixels = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    write_json("x/a.json", labelme(shape(), image="lost.jpg", imageData=png(pixels)))
    data = open_data(tmp_path)
    (pair,) = data.splits["train"]
    assert np.array_equal(read_pair(pair, data.codes)[0], pixels.transpose(2, 0, 1))
    assert not check(data).errors
    assert "1 images were taken out of their JSON files" in data.notes[0]
    written = pair.image.stat().st_mtime_ns
    assert open_data(tmp_path).splits["train"][0].image.stat().st_mtime_ns == written
    write_json("x/a.json", labelme(shape(), image="lost.jpg", imageData=png(255 - pixels)))
    assert np.array_equal(read_pair(open_data(tmp_path).splits["train"][0], data.codes)[0], 255 - pair_pixels(pixels))
    write_json("x/a.json", labelme(shape(), imageData=base64.b64encode(b"#!/bin/sh").decode()))
    with pytest.raises(DataError, match=r"a\.json: the image that it holds cannot be read"):
        open_data(tmp_path)


def pair_pixels(pixels):
    return pixels.transpose(2, 0, 1)


@pytest.mark.parametrize("upright", [True, False])
def test_turned_photographs_fit_their_shapes(tmp_path, write_json, upright):
    """labelme draws on the turned image; older programs drew on the stored one."""
    stored = np.zeros((*SIZE, 3), np.uint8)
    stored[2:6, 3:9] = 255
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(stored).save(tmp_path / "a.png", exif=turned)
    shown = np.rot90(stored, -1) if upright else stored
    rows, columns = np.nonzero(shown[..., 0])
    corners = [[int(columns.min()), int(rows.min())], [int(columns.max()), int(rows.max())]]
    height, width = shown.shape[:2]
    write_json("a.json", labelme(shape("cat", corners, "rectangle"), height=height, width=width))
    data = open_data(tmp_path)
    image, labels = read_pair(data.splits["train"][0], data.codes)
    assert np.array_equal(image[0] > 0, labels == 1)
    assert {problem.kind for problem in check(data).errors} == (set() if upright else {Kind.ROTATED})
    write_json("a.json", labelme(shape(), height=17, width=21))
    assert Kind.SIZE in {problem.kind for problem in check(open_data(tmp_path)).errors}


def test_what_was_decided_is_said(photo, write_json, tmp_path):
    for name in ("a.png", "a.bmp", "b.png", "c.png"):  # a.bmp may be its mask
        photo(name)
    write_json("a.json", labelme(shape("cat"), shape("Cat "), shape("__ignore__")))
    write_json("b.json", labelme(image="b.png"))
    write_json("classes.json", ["cat"])
    write_json(".fullyconv-cache.json", {})
    data = open_data(tmp_path)
    assert data.classes == ["background", "Cat ", "cat"]
    assert data.divided
    assert data.notes == [
        "the labels 'Cat ' and 'cat' differ only by case or spaces; they are classes of their own",
        "1 of 2 files have no shapes; all pixels of their images are background",
        "1 images, such as c.png, have no JSON file among these; they are left out",
        "1 JSON files, such as classes.json, are not labelme's; they are left out",
    ]


@pytest.mark.parametrize(
    ("faulty", "why"),
    [
        (shape(points=[[1, 2], [3, 4]]), "it has 2 points; at least 3 are expected"),
        (shape(points=[]), "it has 0 points"),
        (shape(points=[[1, 2]], kind="circle"), "its circle has 1 points; 2 are expected"),
        (shape(points=SQUARE[:3], kind="rectangle"), "its rectangle has 3 points; 2 or 4 are expected"),
        (shape(points=[[1, 2]], kind="linestrip"), "its linestrip has 1 points; at least 2 are expected"),
        (shape(points=[[1, 2], [math.inf, 3]], kind="line"), "its coordinates are no numbers"),
        (shape(kind="cuboid"), "its type 'cuboid' is not one of labelme's"),
        (shape(label=""), "its polygon has no label"),
        (shape(points=[[1, 1], [2, 2]], kind="mask"), "its mask is missing"),
        (shape(points=[[1, 1], [2, 2]], kind="mask", mask="AAAA"), "its mask cannot be read as a PNG image"),
        (shape(points=[[1, 1], [9, 9]], kind="mask", mask=png(np.ones((2, 2), bool))), "its mask has 2x2 pixels"),
        (shape(points=[[0, 0], [1, 1]], kind="mask", mask=png(np.ones((2, 2, 3), np.uint8))), "its mask is in colour"),
    ],
)
def test_shapes_that_cannot_be_drawn_are_reported(photo, write_json, faulty, why):
    photo("a.png")
    report = check(open_data(write_json("a.json", labelme(shape(), faulty))))
    assert [problem.kind for problem in report.errors] == [Kind.SHAPES]
    assert report.errors[0].found.startswith(why)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (labelme(), "has 0 labels"),
        (labelme(shape("a\nb")), "control character"),
        (labelme(shape(points=[["x", 1]])), r"a\.json: shapes\.0\.points\.0\.0"),
        (labelme(shape()) | {"shapes": 3}, r"a\.json: shapes: a list is expected"),
        (labelme(shape(), image="x" * 300), r"a\.json: names an image 'xxx"),
        (labelme(shape(), imageHeight=10**9, imageWidth=10**9), None),
    ],
)
def test_files_that_are_wrong_are_refused_in_words(write_json, photo, tmp_path, content, message):
    photo("b.png")
    path = write_json("a.json", content)
    if message is None:
        photo("a.png")
        assert "masks of 1 to" in check(open_data(path)).problems[0].found
        return
    with pytest.raises(DataError, match=message):
        open_data(path, "labelme")


def test_all_damaged_files_are_named_and_two_files_of_one_image_refused(photo, write_json, tmp_path):
    photo("a.png")
    whole = write_json("a.json", labelme(shape(), imageData="A" * 99)).read_text()
    (tmp_path / "b.json").write_text(whole[:-30])
    (tmp_path / "c.json").write_text(whole.replace("2, 2", "2, null"))
    with pytest.raises(DataError, match=r"2 JSON files cannot be read:\n.*b\.json: is no JSON.*\n.*c\.json: shapes"):
        open_data(tmp_path)
    (tmp_path / "b.json").write_text(whole), (tmp_path / "c.json").unlink()
    with pytest.raises(DataError, match=r"b\.json: annotates .*a\.png, as .*a\.json does"):
        open_data(tmp_path)


def test_images_within_the_files_are_not_kept_in_memory_and_data_can_be_sent(photo, write_json, labels_of, tmp_path):
    photo("a.png")
    data = open_data(write_json("a.json", labelme(shape(), imageData="A" * 10**6)))
    sent = pickle.dumps(data)
    assert len(sent) < 10**4
    assert labels_of(pickle.loads(sent))["a.png"].sum() == 99
    assert json.loads((tmp_path / "a.json").read_text())["imageData"]
    assert not list(Path(tmp_path).glob(".fullyconv-masks/embedded/*"))


def test_a_mask_is_drawn_again_if_another_file_renumbers_its_class(photo, write_json, tmp_path):
    photo("a.png"), photo("b.png")
    write_json("a.json", labelme(shape("cat")))
    for other, expected in (("dog", 1), ("ant", 2)):  # the second name comes before cat
        write_json("b.json", labelme(shape(other), image="b.png"))
        data = open_data(tmp_path)
        pair = next(pair for pairs in data.splits.values() for pair in pairs if pair.image.name == "a.png")
        assert data.classes[read_pair(pair, data.codes)[1].max()] == "cat"
        assert read_pair(pair, data.codes)[1].max() == expected
