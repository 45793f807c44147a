"""COCO's panoptic files, against panopticapi's rule for colours and its conversion to semantic masks."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fullyconv.classes import IGNORE
from fullyconv.data import check, open_data
from fullyconv.data.checks.kinds import Kind
from fullyconv.errors import DataError

CATEGORIES = [
    {"id": 44, "name": "cat", "isthing": 1, "color": [1, 2, 3]},
    {"id": 7, "name": "grass", "isthing": 0, "color": [4, 5, 6]},
    {"id": 92, "name": "sky", "isthing": 0, "color": [7, 8, 9]},
]
LABELS = {44: 0, 7: 1, 92: 2}
NUMBERS = st.one_of(st.integers(1, 300), st.integers(65530, 65540), st.integers((1 << 24) - 3, (1 << 24) - 1))


def png(path, numbers, mode="RGB"):
    """Write numbers (H, W) as panopticapi.utils.id2rgb does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    numbers = np.asarray(numbers)
    Image.fromarray(np.stack([numbers % 256, numbers // 256 % 256, numbers // 65536], -1).astype(np.uint8)).convert(
        mode
    ).save(path)


def panoptic(segments, name="a", size=(20, 16)):
    return {
        "images": [{"id": 3, "file_name": f"{name}.jpg", "width": size[0], "height": size[1]}],
        "categories": CATEGORIES,
        "annotations": [
            {
                "image_id": 3,
                "file_name": f"{name}.png",
                "segments_info": [
                    {"id": number, "category_id": category, "iscrowd": crowd} for number, category, crowd in segments
                ],
            }
        ],
    }


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(NUMBERS, st.sampled_from([44, 7, 92])), min_size=1, max_size=6, unique_by=lambda own: own[0]))
def test_each_pixel_has_the_category_of_its_segment_and_0_is_void(photo, write_json, labels_of, tmp_path, segments):
    photo("images/a.jpg")
    choice = np.random.default_rng(0).integers(0, len(segments) + 1, (16, 20))
    png(tmp_path / "annotations/panoptic_val/a.png", np.array([0, *(number for number, _ in segments)])[choice])
    write_json("annotations/panoptic_val.json", panoptic([(*own, 0) for own in segments]))
    data = open_data(tmp_path)
    assert (data.layout, data.classes, list(data.splits)) == ("coco-panoptic", ["cat", "grass", "sky"], ["val"])
    assert data.palette == [(1, 2, 3), (4, 5, 6), (7, 8, 9)]
    expected = np.array([IGNORE, *(LABELS[category] for _, category in segments)])[choice]
    assert np.array_equal(labels_of(data)["a.jpg"], expected)


def test_a_long_list_of_images_before_the_segments_does_not_hide_them(photo, write_json, tmp_path):
    photo("val2017/a.jpg")
    png(tmp_path / "annotations/panoptic_val2017/a.png", np.full((16, 20), 5))
    content = panoptic([(5, 44, 0)])
    content["images"] += [{"id": number, "file_name": f"{number:040d}.jpg"} for number in range(10, 1000)]
    write_json("annotations/panoptic_val2017.json", content)
    data = open_data(tmp_path)
    assert (data.layout, [pair.image.name for pair in data.split("val")]) == ("coco-panoptic", ["a.jpg"])
    assert "990 images have no annotation" in data.notes[0]


def test_panoptic_files_without_pngs_do_not_hide_instances(photo, write_json, tmp_path):
    photo("val2017/a.jpg")
    path = write_json("annotations/panoptic_val2017.json", panoptic([(5, 44, 0)]))
    assert open_data(tmp_path).layout == "coco-panoptic"
    box = {"image_id": 3, "category_id": 44, "segmentation": [[0, 0, 4, 0, 4, 4]]}
    write_json("annotations/instances_val2017.json", {**panoptic([]), "annotations": [box]})
    assert open_data(tmp_path).layout == "coco"
    png(path.with_suffix("") / "a.png", np.full((16, 20), 5))
    assert open_data(tmp_path).layout == "coco-panoptic"


def test_images_that_are_pngs_themselves_are_not_taken_for_the_segments(photo, write_json, labels_of, tmp_path):
    image = photo("images/a.png")
    png(tmp_path / "annotations/panoptic_val/a.png", np.full((16, 20), 70000))
    content = panoptic([(70000, 92, 0)])
    content["images"][0]["file_name"] = "a.png"
    write_json("annotations/panoptic_val.json", content)
    data = open_data(tmp_path)
    assert data.split("val")[0].image == image
    assert (labels_of(data)["a.png"] == 2).all()


def test_faults_of_segments_are_reported_and_crowds_can_be_void(photo, write_json, tmp_path):
    photo("a.jpg")
    numbers = np.full((16, 20), 5)
    numbers[:4], numbers[4:8] = 6, 9
    png(tmp_path / "panoptic/a.png", numbers)
    path = write_json("panoptic.json", panoptic([(5, 44, 1), (6, 1000, 0), (8, 7, 0)]))
    report = check(open_data(path))
    (problem,) = [problem for problem in report.errors if problem.kind is Kind.SHAPES]
    assert problem.found == "its category is not among the categories, and 2 more"


@pytest.mark.parametrize(
    ("shape", "mode", "said"), [((16, 21), "RGB", "is 21x16 for an image of 20x16"), ((16, 20), "L", "with mode L")]
)
def test_a_png_that_does_not_fit_is_refused(photo, write_json, labels_of, tmp_path, shape, mode, said):
    photo("a.jpg")
    png(tmp_path / "panoptic/a.png", np.full(shape, 5), mode)
    with pytest.raises(DataError, match=said):
        labels_of(open_data(write_json("panoptic.json", panoptic([(5, 44, 0)]))))


def test_masks_are_drawn_again_when_a_png_changes_and_a_missing_one_is_named(photo, write_json, labels_of, tmp_path):
    photo("a.jpg")
    png(tmp_path / "panoptic/a.png", np.full((16, 20), 5))
    path = write_json("panoptic.json", panoptic([(5, 44, 0), (300, 92, 0)]))
    assert (labels_of(open_data(path))["a.jpg"] == 0).all()
    png(tmp_path / "panoptic/a.png", np.arange(320).reshape(16, 20) % 2 * 295 + 5)
    assert set(np.unique(labels_of(open_data(path))["a.jpg"])) == {0, 2}
    (tmp_path / "panoptic/a.png").unlink()
    with pytest.raises(DataError, match=r"a\.png: there is no such file; expected the PNG of the image's segments"):
        labels_of(open_data(path))
