"""COCO files, against pycocotools."""

import json
import os
import pickle
import stat

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image
from pycocotools import mask
from pycocotools.coco import COCO

from fullyconv.data import check, open_data
from fullyconv.data.checks.kinds import Kind
from fullyconv.data.pairs import read_pair
from fullyconv.errors import DataError

BOX = [2, 2, 12, 2, 12, 10, 2, 10]
POINT = st.tuples(st.integers(-20, 220), st.integers(-20, 180)).map(lambda point: [point[0] / 10, point[1] / 10])
POLYGON = st.lists(POINT, min_size=3, max_size=6).map(lambda points: [value for point in points for value in point])
RUNS = st.lists(st.booleans(), min_size=20 * 16, max_size=20 * 16).map(
    lambda flat: {"size": [16, 20], "counts": np.diff(np.flatnonzero(np.diff([0, *flat, 2])), prepend=0).tolist()}
)


def coco(*annotations, images=("a.png",), categories=("cat", "dog")):
    """A COCO file whose category ids have gaps, and whose images are 20 pixels wide and 16 high."""
    return {
        "images": [
            {"id": 7 + index, "file_name": name, "width": 20, "height": 16} for index, name in enumerate(images)
        ],
        "categories": [{"id": 44 - 5 * index, "name": name} for index, name in enumerate(categories)],
        "annotations": [{"id": 1 + index, "image_id": 7, "iscrowd": 0, **own} for index, own in enumerate(annotations)],
    }


def packed_runs(*counts):
    return mask.frPyObjects([{"size": [16, 20], "counts": list(counts)}], 16, 20)[0]["counts"].decode()


def kinds(data, **options):
    return {problem.kind for problem in check(data, **options).problems} - {Kind.SMALL_SPLIT}


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([44, 39]), st.one_of(st.lists(POLYGON, min_size=1, max_size=2), RUNS)), max_size=4
    )
)
def test_masks_are_what_pycocotools_draws_with_smaller_objects_on_top(photo, write_json, labels_of, tmp_path, drawn):
    photo("a.png")
    path = write_json("x.json", coco(*({"category_id": own, "segmentation": outline} for own, outline in drawn)))
    oracle = COCO()
    oracle.dataset = json.loads(path.read_text())
    oracle.createIndex()
    expected = np.zeros((16, 20), np.uint8)
    drawn = [(oracle.annToMask(own), {44: 1, 39: 2}[own["category_id"]]) for own in oracle.dataset["annotations"]]
    for own, label in sorted(drawn, key=lambda entry: -int(entry[0].sum())):
        expected[own == 1] = label
    data = open_data(path)
    assert data.classes == ["background", "cat", "dog"]
    assert np.array_equal(labels_of(data)["a.png"], expected)


def test_both_run_lengths_and_polygons_of_one_object_are_read(photo, write_json, labels_of):
    photo("a.png")
    whole = {"category_id": 44, "segmentation": {"size": [16, 20], "counts": [0, 320]}, "iscrowd": 1}
    packed = {"category_id": 39, "segmentation": {"size": [16, 20], "counts": packed_runs(50, 16, 254)}}
    two = {"category_id": 39, "segmentation": [[0, 0, 2, 0, 2, 2, 0, 2], [5, 5, 7, 5, 7, 7, 5, 7]]}
    labels = labels_of(open_data(write_json("x.json", coco(whole, packed, two))))["a.png"]
    flat = np.ones(320, np.uint8)
    flat[50:66] = 2
    expected = flat.reshape(20, 16).T.copy()
    expected[:2, :2] = expected[5:7, 5:7] = 2
    assert np.array_equal(labels, expected)


@pytest.mark.parametrize(
    ("place", "folder"),
    [
        ("instances.json", "images"),
        ("annotations/instances_default.json", "."),
        ("train/_annotations.coco.json", "train"),
    ],
)
def test_a_file_and_its_folder_are_recognized(photo, write_json, tmp_path, place, folder):
    photo(f"{folder}/a.png"), photo(f"{folder}/b.png")
    path = write_json(place, coco({"category_id": 44, "segmentation": [BOX]}, images=("a.png", "b.png")))
    for given_path in (tmp_path, path):
        data = open_data(given_path)
        assert data.layout == "coco"
        assert all(pair.image.exists() for pairs in data.splits.values() for pair in pairs)
        assert sum(map(len, data.splits.values())) == 2


def test_files_of_splits_with_equal_names_have_their_own_images(photo, write_json, tmp_path, labels_of):
    for split in ("train2017", "val2017"):
        photo(f"{split}/a.png")
        outline = BOX if split == "train2017" else [0, 0, 4, 0, 4, 4, 0, 4]
        write_json(f"annotations/instances_{split}.json", coco({"category_id": 44, "segmentation": [outline]}))
        write_json(f"annotations/captions_{split}.json", {"images": [], "annotations": []})
    data = open_data(tmp_path)
    assert list(data.splits) == ["train", "val"]
    train, val = (read_pair(data.splits[name][0], data.codes)[1] for name in data.splits)
    assert (train.sum(), val.sum()) == (80, 16)
    write_json("annotations/instances_train2017.json", coco(images=("a.png",)))
    (tmp_path / "annotations/instances_default.json").write_text(
        (tmp_path / "annotations/instances_train2017.json").read_text()
    )
    with pytest.raises(DataError, match=r"names the image a\.png, which is there 2 times"):
        open_data(tmp_path / "annotations/instances_default.json")


def test_roboflows_parent_is_no_class_and_its_copies_stay_together(photo, write_json, tmp_path):
    names = [f"{stem}_jpg.rf.{number:032x}.png" for stem in "abcdefghijkl" for number in range(3)]
    for name in names:
        photo(name)
    content = coco(*({"category_id": 9, "segmentation": [BOX]},), images=names)
    content["categories"] = [{"id": 0, "name": "animals", "supercategory": "none"}]
    content["categories"] += [{"id": 9, "name": "cat", "supercategory": "animals"}]
    data = open_data(write_json("_annotations.coco.json", content))
    assert data.classes == ["background", "cat"]
    split_of = {pair.image.name: split for split, pairs in data.splits.items() for pair in pairs}
    assert len(data.splits) == 3
    assert all(len({split_of[name] for name in names if name[0] == stem}) == 1 for stem in "abcdefghijkl")
    content["annotations"].append({"image_id": 7, "category_id": 0, "segmentation": [BOX]})
    assert open_data(write_json("_annotations.coco.json", content)).classes == ["background", "animals", "cat"]


def test_a_category_of_background_is_the_background_and_equal_names_are_one_class(photo, write_json, labels_of):
    photo("a.png")
    inside = [4, 4, 8, 4, 8, 8, 4, 8]
    content = coco(
        {"category_id": 44, "segmentation": [BOX]},
        {"category_id": 39, "segmentation": [inside]},
        categories=("cat", "Background", "cat"),
    )
    data = open_data(write_json("x.json", content))
    assert data.classes == ["background", "cat"]
    assert "several categories are called cat" in data.notes[0]
    labels = labels_of(data)["a.png"]
    assert labels[5, 5] == 0
    assert labels.sum() == 80 - 16


def test_what_cannot_be_drawn_is_reported_and_can_be_allowed(photo, write_json):
    photo("a.png"), photo("b.png")
    faulty = [
        {"category_id": 44, "segmentation": [BOX]},
        {"category_id": 44, "segmentation": [], "bbox": [0, 0, 4, 4]},
        {"category_id": 44, "segmentation": [[1, 2, 3, 4]]},
        {"category_id": 5, "segmentation": [BOX]},
        {"category_id": 44, "segmentation": {"size": [20, 16], "counts": [320]}},
        {"category_id": 44, "segmentation": [[100, 100, 110, 100, 110, 110]]},
    ]
    data = open_data(write_json("x.json", coco(*faulty, images=("a.png", "b.png"))))
    report = check(data)
    assert {problem.kind for problem in report.errors} == {Kind.SHAPES}
    assert report.errors[0].found == "it has a box and no outline; boxes are not painted, and 3 more"
    assert Kind.OUTSIDE in {problem.kind for problem in report.warnings}
    assert "1 of 2 images have no annotation" in data.notes[0]
    assert not check(data, allow=["shapes"]).errors
    assert "lie on each other in 0.00%" in report.remarks[0]


def test_the_share_of_pixels_where_order_decides_is_said(photo, write_json):
    photo("a.png"), photo("b.png")
    one, other = (
        {"category_id": 44, "segmentation": [BOX]},
        {"category_id": 39, "segmentation": [[2, 2, 6, 2, 6, 4, 2, 4]]},
    )
    data = open_data(write_json("x.json", coco(one, one, other, images=("a.png", "b.png"))))
    for _ in range(2):  # drawn, and kept
        assert check(data).remarks == ("Shapes of different classes lie on each other in 1.25% of the pixels.",)


def test_sizes_that_differ_and_images_that_are_missing_are_reported(photo, write_json):
    photo("a.png", 16, 20)
    data = open_data(write_json("x.json", coco({"category_id": 44, "segmentation": [BOX]}, images=("a.png", "b.png"))))
    assert kinds(data) >= {Kind.SIZE, Kind.NO_IMAGE}


def test_masks_are_drawn_once_and_again_when_the_annotation_changes(photo, write_json, tmp_path, labels_of):
    photo("a.png")
    write_json("x.json", coco({"category_id": 44, "segmentation": [BOX]}))
    data = open_data(tmp_path)
    (pair,) = [pair for pairs in data.splits.values() for pair in pairs]
    assert not pair.mask.exists()
    assert labels_of(data)["a.png"].sum() == 80
    kept = pair.mask.stat()
    assert labels_of(open_data(tmp_path))["a.png"].sum() == 80
    assert pair.mask.stat().st_mtime_ns == kept.st_mtime_ns
    write_json("x.json", coco({"category_id": 39, "segmentation": [BOX]}))
    assert labels_of(open_data(tmp_path))["a.png"].sum() == 160
    assert not pair.mask.exists()
    assert labels_of(data)["a.png"].sum() == 80  # data that were opened before are still what they were


def test_a_kept_mask_that_is_damaged_is_drawn_again(photo, write_json, tmp_path, labels_of):
    photo("a.png")
    write_json("x.json", coco({"category_id": 44, "segmentation": [BOX]}))
    data = open_data(tmp_path)
    check(data)
    (pair,) = [pair for pairs in data.splits.values() for pair in pairs]
    pair.mask.write_bytes(b"")
    assert kinds(open_data(tmp_path)) <= {Kind.ABSENT_CLASS, Kind.UNMEASURED_CLASS}
    assert labels_of(data)["a.png"].sum() == 80


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the folder cannot be made read-only")
def test_a_folder_that_cannot_be_written_is_read_all_the_same(photo, write_json, tmp_path, labels_of):
    photo("a.png")
    write_json("x.json", coco({"category_id": 44, "segmentation": [BOX]}))
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        assert labels_of(open_data(tmp_path))["a.png"].sum() == 80
    finally:
        tmp_path.chmod(stat.S_IRWXU)


def test_data_can_be_sent_to_another_process(photo, write_json, labels_of):
    photo("a.png")
    data = open_data(write_json("x.json", coco({"category_id": 44, "segmentation": [BOX]})))
    assert labels_of(pickle.loads(pickle.dumps(data)))["a.png"].sum() == 80


def test_no_name_leads_out_of_the_folder(photo, write_json, tmp_path):
    photo("data/a.png"), photo("secret.png")
    names = ("../secret.png", "/etc/passwd", "C:\\other\\a.png", str(tmp_path / "secret.png"))
    data = open_data(write_json("data/x.json", coco(images=names)))
    images = [pair.image for pairs in data.splits.values() for pair in pairs]
    assert all(image.is_relative_to(tmp_path / "data") for image in images)
    assert tmp_path / "data/a.png" in images


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": 3}, r"x\.json: images: a list is expected"),
        ({"annotations": [{"image_id": 7}]}, r"x\.json: annotations\.0\.category_id: .*required"),
        (
            {"annotations": [{"image_id": 7, "category_id": 44, "segmentation": [["a"]]}]},
            r"annotations\.0\.segmentation",
        ),
        ({"categories": []}, "has 0 categories"),
        ({"categories": [{"id": 1, "name": "a\nb"}]}, "control character"),
        ({"images": [{"id": 1, "file_name": ""}]}, "names an image ''"),
        ({"images": [{"id": 1, "file_name": "x" * 300}]}, "names an image 'xxx.*of 300 characters"),
        ({"images": [{"id": 1, "file_name": "a/" * 3000 + "b.png"}]}, "of 6,005 characters"),
        ({"images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "a.png"}]}, "more than once"),
        ({"images": [{"id": 1, "file_name": "a.png", "width": 10**9, "height": 10**9}]}, None),
    ],
)
def test_files_that_are_wrong_are_refused_in_words(photo, write_json, change, message):
    photo("a.png")
    path = write_json("x.json", coco() | change)
    if message is None:
        assert "masks of 1 to" in check(open_data(path, "coco")).problems[0].found
        return
    with pytest.raises(DataError, match=message):
        open_data(path, "coco")


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"images": [', b"[" * 10**6, b'{"images": [], "annotations": [], "categories": []']
)
def test_damaged_json_is_refused_in_words(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x\.json"):
        open_data(path)


def test_a_descriptor_says_how_shapes_are_drawn(photo, write_json, tmp_path, labels_of):
    for number in range(4):
        photo(f"scene_{number // 2}_{number}.png")
    names = [f"scene_{number // 2}_{number}.png" for number in range(4)]
    corner = [[2.5, 2.5, 6.5, 2.5, 6.5, 6.5, 2.5, 6.5]]
    content = coco(
        {"category_id": 39, "segmentation": corner},
        {"category_id": 44, "segmentation": [BOX]},
        {"category_id": 44, "segmentation": {"size": [16, 20], "counts": [300, 20]}, "iscrowd": 1},
        images=names,
    )
    write_json("x.json", content)

    def labels(**options):
        write_json("dataset.yaml", {"annotations": {"path": "x.json", **options}, "split": {"by": "scene_."}})
        return labels_of(open_data(tmp_path))[names[0]]

    plain = labels()
    assert [int((plain == label).sum()) for label in range(3)] == [320 - 20 - 80, 100 - 16, 16]
    assert (labels(order="file") == 2).sum() == 0
    assert (labels(rasterize="touched") == 2).sum() == 25
    assert (labels(crowd="void") == 255).sum() == 20
    assert (labels(background="void") == 255).sum() == 320 - 100
    assert [len(pairs) for pairs in open_data(tmp_path).splits.values()] == [2, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"annotations": "gone.json"},
            r"`annotations`: .*gone\.json does not exist; expected a file or a folder of coco",
        ),
        ({"annotations": "dataset.yaml"}, "holds no annotations that are read"),
        ({"annotations": {"path": ".", "rasterise": "centre"}}, "did you mean `rasterize`"),
        ({"annotations": {"path": ".", "rasterize": "middle"}}, "'tool', 'centre' or 'touched'"),
        ({"annotations": ".", "classes": ["a", "b"]}, "`annotations` says what `classes` says"),
    ],
)
def test_a_wrong_descriptor_is_refused_in_words(write_json, tmp_path, content, message):
    write_json("dataset.yaml", content)
    with pytest.raises(DataError, match=message):
        open_data(tmp_path)


def test_slivers_are_remarked_on_and_not_called_outside(photo, write_json):
    photo("a.png")
    annotations = [
        {"image_id": 1, "category_id": 3, "segmentation": [[5.1, 2, 5.2, 2, 5.2, 9, 5.1, 9]]},
        {"image_id": 1, "category_id": 3, "segmentation": [[5, 2, 9, 2, 9, 9, 5, 9]]},
    ]
    images = [{"id": 1, "file_name": "a.png", "width": 20, "height": 16}]
    content = {"images": images, "categories": [{"id": 3, "name": "car"}], "annotations": annotations}
    report = check(open_data(write_json("a.json", content)))
    assert Kind.OUTSIDE not in {problem.kind for problem in report.problems}
    assert "Shapes that cover no pixel, being thinner than one or without an area: 1." in report.remarks


def test_photographs_that_exif_turns_fit_annotations_of_the_upright_image(tmp_path, write_json):
    """At the first check, too, when their masks are not drawn yet."""
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    pixels = np.random.default_rng(0).integers(0, 256, (2, 16, 20, 3), np.uint8)
    for name, stored in zip("ab", pixels, strict=True):
        Image.fromarray(stored).save(tmp_path / f"{name}.png", exif=turned)
    annotations = [{"image_id": i, "category_id": 3, "segmentation": [[2, 2, 12, 2, 12, 18]]} for i in range(2)]
    images = [{"id": i, "file_name": f"{name}.png", "width": 16, "height": 20} for i, name in enumerate("ab")]
    content = {"images": images, "categories": [{"id": 3, "name": "car"}], "annotations": annotations}
    assert check(open_data(write_json("a.json", content))).errors == []
