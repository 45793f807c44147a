"""Label Studio's JSON exports, against pycocotools and masks that label-studio-sdk packed."""

import json
import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools import mask

from fullyconv.data import check, open_data
from fullyconv.data.annotations.formats.label_studio import read_label_studio
from fullyconv.data.checks.kinds import Kind
from fullyconv.data.pairs import read_pair
from fullyconv.errors import DataError

SIZE = (16, 20)
TENTHS = st.integers(-100, 1100).map(lambda value: value / 10)
POINTS = st.lists(st.tuples(TENTHS, TENTHS), min_size=3, max_size=6)
PACKED = [0, 0, 0, 48, 57, 27, 252, 96, 19, 255, 198, 1, 31, 254, 19, 0, 159, 252]
"""``mask2rle`` of label-studio-sdk 2.1.2, of BRUSH times 255."""
BRUSH = [[0, 1, 1, 0], [1, 0, 0, 0], [0, 0, 1, 1]]


def result(kind, value, label="car", number="a", **more):
    return {
        "id": number,
        "type": f"{kind}labels",
        "value": {**value, f"{kind}labels": [label]},
        "from_name": "label",
        "to_name": "image",
        "original_width": SIZE[1],
        "original_height": SIZE[0],
        "image_rotation": 0,
        **more,
    }


def polygon(points, label="car", number="a", **more):
    return result("polygon", {"points": points, "closed": True}, label, number, **more)


def square(first, last, label="car", number="a", **more):
    """A square whose corners are given in pixels."""
    corners = [(first, first), (last, first), (last, last), (first, last)]
    return polygon([[x * 100 / SIZE[1], y * 100 / SIZE[0]] for x, y in corners], label, number, **more)


def annotation(*results, **more):
    numbered = [own | {"id": f"{own['id']}{place}"} for place, own in enumerate(results)]
    return {"id": 3, "completed_by": 1, "result": numbered, "was_cancelled": False, "ground_truth": False, **more}


def task(name, *annotations, number=1, **more):
    return {"id": number, "annotations": list(annotations), "data": {"image": name}, "predictions": [], **more}


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(POINTS, st.sampled_from(["car", "road"])), min_size=1, max_size=4))
def test_polygons_are_what_pycocotools_draws_as_they_follow(photo, write_json, labels_of, shapes):
    photo("a.png")
    expected = np.zeros(SIZE, np.uint8)
    names = sorted({name for _, name in shapes})
    for points, name in shapes:
        flat = [value / 100 * side for point in points for value, side in zip(point, SIZE[::-1], strict=True)]
        expected[mask.decode(mask.frPyObjects([flat], *SIZE))[..., 0] == 1] = 1 + names.index(name)
    data = open_data(write_json("x.json", [task("a.png", annotation(*(polygon(*own) for own in shapes)))]))
    assert data.layout == "label-studio"
    assert data.classes == ["background", *names]
    assert np.array_equal(labels_of(data)["a.png"], expected)


def test_points_are_rounded_as_the_sdk_rounds_them(photo, write_json, labels_of):
    # between two pixels: label-studio-sdk 2.1.2 exports (11.099999999999998, 14.9) to COCO, others (11.1, 14.9)
    photo("a.png")
    points = [[55.49999999999999, 93.125], [27.500000000000004, 81.25], [67.0, 0.0]]
    exported = [11.099999999999998, 14.9, 5.5, 13.0, 13.4, 0.0]
    data = open_data(write_json("x.json", [task("a.png", annotation(polygon(points)))]))
    assert labels_of(data)["a.png"].tolist() == mask.decode(mask.frPyObjects([exported], *SIZE))[..., 0].tolist()


def test_brushes_are_what_the_sdk_packed(photo, write_json, labels_of):
    photo("a.png", 4, 3)
    brush = result("brush", {"format": "rle", "rle": PACKED}, original_width=4, original_height=3)
    labels = labels_of(open_data(write_json("x.json", [task("a.png", annotation(brush))])))["a.png"]
    assert labels.tolist() == BRUSH


@pytest.mark.parametrize("degrees", [0, 30, 90, 352.5])
def test_rectangles_turn_clockwise_about_their_upper_left_corner(photo, write_json, labels_of, degrees):
    photo("a.png")
    box = {"x": 40.0, "y": 25.0, "width": 30.0, "height": 25.0, "rotation": degrees}
    labels = labels_of(open_data(write_json("x.json", [task("a.png", annotation(result("rectangle", box)))])))["a.png"]
    turn = np.deg2rad(degrees)
    corners = [(0, 0), (6, 0), (6, 4), (0, 4)]
    flat = [
        value
        for x, y in corners
        for value in (8 + x * np.cos(turn) - y * np.sin(turn), 4 + x * np.sin(turn) + y * np.cos(turn))
    ]
    assert np.array_equal(labels, mask.decode(mask.frPyObjects([flat], *SIZE))[..., 0])


def test_ellipses_turn_clockwise_about_their_centre(photo, write_json, labels_of):
    photo("a.png")
    ellipse = {"x": 50.0, "y": 50.0, "radiusX": 35.0, "radiusY": 6.25, "rotation": 45}
    labels = labels_of(open_data(write_json("x.json", [task("a.png", annotation(result("ellipse", ellipse)))])))[
        "a.png"
    ]
    assert labels[8 + 3, 10 + 3] == 1
    assert labels[8 - 3, 10 + 3] == 0
    assert abs(int(labels.sum()) - np.pi * 7) < 3


def test_a_region_and_its_labels_may_be_two_results_and_choices_are_no_regions(photo, write_json, labels_of):
    photo("a.png")
    outline = square(2, 12)
    region = outline | {"type": "polygon", "value": {"points": outline["value"]["points"]}}
    named = outline | {"type": "labels", "value": {**region["value"], "labels": ["road"]}}
    choice = {"id": "z", "type": "choices", "value": {"choices": ["night"]}, "to_name": "image"}
    relation = {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"}
    whole = annotation() | {"result": [choice, region, named, relation]}
    data = open_data(write_json("x.json", [task("a.png", whole)]))
    assert data.classes == ["background", "road"]
    assert not check(data, allow=["small-splits"]).errors
    assert labels_of(data)["a.png"].sum() == 100


def test_the_ground_truth_is_read_or_the_newest_that_was_not_cancelled(photo, write_json, labels_of):
    for name in "abcd":
        photo(f"{name}.png")
    old, new = {"created_at": "2024-01-30T02:40:43Z"}, {"created_at": "2024-02-01T02:40:43Z"}
    small, large = square(2, 4), square(2, 12)
    tasks = [
        task("a.png", annotation(large, **new), annotation(small, **old)),
        task("b.png", annotation(large, **old, ground_truth=True), annotation(small, **new)),
        task("c.png", annotation(large, **old), annotation(small, **new, was_cancelled=True)),
        task("d.png", predictions=[{"result": [small]}]),
    ]
    data = open_data(write_json("x.json", tasks))
    assert {name: int(own.sum()) for name, own in labels_of(data).items()} == dict.fromkeys(
        ("a.png", "b.png", "c.png"), 100
    )
    assert data.notes == [
        "x.json: 2 of 4 tasks have several annotations; the ground truth is read, or else the newest",
        "x.json: 1 of 4 tasks are left out, as nobody annotated them",
        "x.json: 1 of 4 tasks have predictions, which are not read",
    ]


def test_splits_are_those_of_the_task_or_of_the_images_folders(photo, write_json):
    for name in ("images/train/a.png", "images/valid/a.png", "c.png"):
        photo(name)
    one = annotation(square(2, 4))
    tasks = [task(f"/data/local-files/?d=images/{split}/a.png", one) for split in ("train", "valid")]
    tasks.append(task("c.png", one))
    tasks[2]["data"]["split"] = "Testing"
    data = open_data(write_json("x.json", tasks))
    assert {name: len(pairs) for name, pairs in data.splits.items()} == {"train": 1, "val": 1, "test": 1}


def test_images_annotated_as_empty_are_background(photo, write_json, labels_of):
    photo("a.png"), photo("b.png")
    data = open_data(write_json("x.json", [task("a.png", annotation(square(2, 4))), task("b.png", annotation())]))
    assert labels_of(data)["b.png"].sum() == 0
    assert "1 of 2 tasks are annotated as empty" in data.notes[0]


@pytest.mark.parametrize(
    ("address", "file"),
    [
        ("/data/upload/1/abcdef12-a.png", "a.png"),
        ("/data/upload/1/abcdef12-a.png", "upload/abcdef12-a.png"),
        ("/data/local-files/?d=my%20set/a%20b.png", "my set/a b.png"),
        ("/data/local-files/?d=images%5Ca.png", "images/a.png"),
        ("/data/local-files/?d=C:%5Cwork%5Ca.png", "a.png"),
        ("s3://bucket/folder/a.png", "a.png"),
        ("https://host/x/a%20b.png?X-Amz-Signature=1%2F2", "a b.png"),
        ("http://host:8080/data/upload/1/abcdef12-a.png", "a.png"),
        ("a%20b.png", "a%20b.png"),
        ("/image2", "uploaded.png"),
    ],
)
def test_images_are_found_by_every_kind_of_address(photo, write_json, tmp_path, address, file):
    photo(file), photo("other.png")
    path = write_json("x.json", [task(address, annotation(square(2, 4)), file_upload="abcdef12-uploaded.png")])
    assert [pair.image for pairs in open_data(path).splits.values() for pair in pairs] == [tmp_path / file]


def test_images_that_are_missing_and_regions_that_cannot_be_drawn_are_reported(photo, write_json):
    faulty = {
        "regions of the kind keypoint are not read": result("keypoint", {"x": 1.0, "y": 2.0}),
        "its polygon is not closed": square(2, 4) | {"value": square(2, 4)["value"] | {"closed": False}},
        "turned by 90 degrees": square(2, 4, image_rotation=90),
        "it has 2 points; at least 3": polygon([[1, 2], [3, 4]]),
        "its polygon cannot be read": polygon([[1, 2], [3]]),
        "its polygon cannot be read: ": polygon([{"x": 1}]),
        "its polygon has no points": result("polygon", {}),
        "its polygon has 2 labels; one is expected": square(2, 4)
        | {"value": square(2, 4)["value"] | {"polygonlabels": ["car", "road"]}},
        "its polygon has 0 labels": square(2, 4) | {"value": {"points": []}},
        "has 48 values; 1,280 are expected": result("brush", {"rle": PACKED}),
        "its brush mask is cut": result("brush", {"rle": [0, 0, 5, 0, 57, 27]}),
        "its brush has no rle": result("brush", {"rle": [1000]}),
        "its rectangle has no x": result("rectangle", {}),
        "x is 'left'; a number is expected": result("ellipse", {"x": "left", "y": 1.0}),
    }
    tasks = []
    for number, own in enumerate(faulty.values()):
        photo(f"{number}.png")
        tasks.append(task(f"{number}.png", annotation(own)))
    missing = task("/data/upload/7/01234567-gone.jpg", annotation(square(2, 4)))
    report = check(open_data(write_json("x.json", [*tasks, missing])))
    assert {problem.kind for problem in report.errors} == {Kind.SHAPES, Kind.NO_IMAGE}
    found = {problem.files[0].name: problem.found for problem in report.errors}
    assert "no such file" in found.pop("01234567-gone.jpg")
    for number, words in enumerate(faulty):
        assert words in found[f"{number}.png"]


def test_data_can_be_sent_to_another_process_and_no_name_leads_out(photo, write_json, tmp_path):
    photo("data/a.png"), photo("secret.png")
    names = ("a.png", "../secret.png", "/data/local-files/?d=../secret.png", f"file://{tmp_path}/secret.png")
    for name in names[1:]:
        path = write_json("data/x.json", [task("a.png", annotation(square(2, 12))), task(name, annotation())])
        data = open_data(path)
        images = {pair.image for pairs in data.splits.values() for pair in pairs}
        assert all(own.is_relative_to(tmp_path / "data") and ".." not in own.parts for own in images)
    kept = [pair for pairs in pickle.loads(pickle.dumps(data)).splits.values() for pair in pairs]
    assert {read_pair(pair, data.codes)[1].sum() for pair in kept if pair.image.name == "a.png"} == {100}


MIN = [
    {"image": "a.png", "label": [{"polygonlabels": ["car"], "original_width": 20}], "annotator": 1, "annotation_id": 3}
]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (MIN, r'x\.json: is an export "JSON-MIN", in which tasks are cut; export as "JSON" instead'),
        (
            [task("a.png", annotation(square(2, 4))), task("a.png", annotation())],
            r"annotates .*a\.png more than once; one task for each image",
        ),
        (
            [{"id": 7, "annotations": [annotation(square(2, 4))], "data": {"a": "a.png", "b": "b.png"}}],
            "7 names 2 images",
        ),
        ([{"id": 7, "annotations": [annotation(square(2, 4))], "data": {"text": "a"}}], "task 7 names 0 images"),
        ([task("a.png", predictions=[{"result": []}])], "nobody annotated its tasks, and predictions are not read"),
        ([task("a.png", annotation())], "has 0 labels"),
        ([task("a.png", annotation(square(2, 4, label="a\tb")))], "control character"),
        ([{"id": 7, "annotations": [{"result": 3}]}], r"0\.annotations\.0\.result"),
        ([3], r"x\.json: 0"),
        ({}, r"x\.json: its content"),
    ],
)
def test_files_that_are_wrong_are_refused_in_words(write_json, tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read_label_studio(tmp_path, [write_json("x.json", content)])


@pytest.mark.parametrize(
    "content", [b"", b"[", b"[" * 10**6, b'[{"id": 1, "data": {"image": "a.png"}, "annotations": [']
)
def test_damaged_json_is_refused_in_words(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x\.json"):
        open_data(path)


def test_exports_are_recognized_when_a_brush_fills_their_beginning(photo, write_json):
    photo("a.png", 4, 3)
    brush = result("brush", {"rle": PACKED + [0] * 10**5}, original_width=4, original_height=3)
    brush = {key: brush[key] for key in ("value", "type", "id", "original_width", "original_height")}
    whole = task("a.png", annotation(brush))
    assert open_data(write_json("x.json", [whole])).layout == "label-studio"
    assert json.dumps([whole]).index("data") > 1 << 16
