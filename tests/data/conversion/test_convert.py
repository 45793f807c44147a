"""Data sets written in the formats of other tools, and read again."""

import json
import sys

import numpy as np
import pytest
import rasterio
from defusedxml import ElementTree
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from typer.testing import CliRunner

from fullyconv.cli import app
from fullyconv.data import check, open_data
from fullyconv.data.annotations.shapes import Polygon
from fullyconv.data.annotations.stamps import stamp
from fullyconv.data.conversion.convert import convert
from fullyconv.data.conversion.outlines import bridged, outlines, pixel_centres
from fullyconv.data.pairs import read_pair
from fullyconv.errors import ConfigError, DataError

MASKS = hnp.arrays(np.uint8, st.tuples(st.integers(1, 14), st.integers(1, 14)), elements=st.integers(0, 2))


def pixels(ring, size, rule):
    top, left, inside = stamp(Polygon(ring if isinstance(ring, tuple) else (ring,)), size, rule)
    whole = np.zeros(size, bool)
    whole[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return whole


@settings(max_examples=60, deadline=None)
@given(MASKS)
def test_outlines_cover_each_pixel_once_by_every_tools_rule(mask):
    again = np.zeros_like(mask)
    for label, rings in outlines(mask, background=0):
        covered = pixels(rings, mask.shape, "coco")
        assert not again[covered].any()
        again[covered] = label
        assert np.array_equal(pixels(rings, mask.shape, "centre"), covered)
        assert np.array_equal(pixels(bridged(rings), mask.shape, "coco"), covered)
        outer = pixels(rings[0], mask.shape, "coco")
        centres = pixel_centres(rings[0])
        if len(np.unique(centres, axis=0)) > 2:
            assert np.array_equal(pixels(centres, mask.shape, "pillow"), outer)
    assert np.array_equal(again, mask)


def test_simplified_outlines_have_fewer_points_and_stay_near():
    y, x = np.mgrid[:100, :100]
    disc = ((x - 50) ** 2 + (y - 50) ** 2 < 40**2).astype(np.uint8)
    ((_, exact),), ((_, simple),) = outlines(disc, 0), outlines(disc, 0, tolerance=2)
    assert len(simple[0]) < len(exact[0]) / 5
    both = pixels(simple, disc.shape, "coco"), disc.astype(bool)
    assert (both[0] & both[1]).sum() / (both[0] | both[1]).sum() > 0.97


@settings(max_examples=60, deadline=None)
@given(MASKS)
def test_simplified_areas_leave_no_gap_and_do_not_overlap(mask):
    covered = sum(pixels(rings, mask.shape, "centre").astype(int) for _, rings in outlines(mask, None, tolerance=2))
    assert (covered == 1).all()


@pytest.fixture
def source(tmp_path):
    """Two splits in which every class occurs, with holes, areas that touch at corners, and void."""
    random = np.random.default_rng(0)
    for split, count in (("train", 3), ("val", 2)):
        for number in range(count):
            mask = random.choice(np.array([0, 0, 1, 2, 255], np.uint8), (18, 25))
            mask[2:12, 3:15] = 1
            mask[4:9, 5:11] = 0
            mask[5:7, 6:8] = 2
            mask[15:] = 255
            for kind, array in (("images", random.integers(0, 255, (18, 25, 3), np.uint8)), ("masks", mask)):
                path = tmp_path / "source" / kind / split / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(path)
    text = "classes: [background, cat, dog]\nignore_index: 255\nsplits:\n"
    text += "".join(f"  {split}: {{images: images/{split}, masks: masks/{split}}}\n" for split in ("train", "val"))
    (tmp_path / "source/dataset.yaml").write_text(text)
    return open_data(tmp_path / "source")


def labels_by_image(data):
    """The names of the classes of all pixels, by the bytes of the image."""
    names = np.array([*data.classes, *["?"] * (255 - len(data.classes)), "void"])
    return {
        (split, read_pair(pair, data.codes)[0].tobytes()): names[read_pair(pair, data.codes)[1]]
        for split, pairs in data.splits.items()
        for pair in pairs
    }


def assert_equal(data, other):
    expected, found = labels_by_image(data), labels_by_image(other)
    assert expected.keys() == found.keys()
    for image, names in expected.items():
        assert np.array_equal(found[image], names)


FORMS = ["folders", "voc", "coco", "labelme", "yolo", "cvat", "label-studio"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("first", ["background", "sky"])  # sky: a class for every pixel, and none for background
def test_what_was_written_is_read_again_pixel_for_pixel(source, tmp_path, form, first):
    descriptor = source.root / "dataset.yaml"
    descriptor.write_text(descriptor.read_text().replace("background", first))
    source = open_data(source.root)
    assert convert(source, tmp_path / "out", form) == 5
    again = open_data(tmp_path / "out")
    assert sorted(again.classes) == sorted(source.classes)
    assert_equal(source, again)
    assert not check(again).errors
    assert convert(again, tmp_path / "back") == 5
    assert_equal(source, open_data(tmp_path / "back"))


def test_cvats_file_is_one_of_a_project_whose_tasks_name_the_subsets_of_its_images(source, tmp_path):
    """Datumaro 1.13.12 reads the images of the subsets that a project's tasks have, and no others."""
    convert(source, tmp_path / "out", "cvat")
    root = ElementTree.parse(tmp_path / "out/annotations.xml").getroot()
    subsets = [task.findtext("subset") for task in root.findall("meta/project/tasks/task")]
    assert subsets == ["train", "val"] == root.findtext("meta/project/subsets").split()
    assert [image.get("subset") for image in root.findall("image")] == ["train"] * 3 + ["val"] * 2


def test_nnunet_has_its_layout(source, tmp_path):
    convert(source, tmp_path / "out", "nnunet")
    about = json.loads((tmp_path / "out/dataset.json").read_text())
    assert about["labels"] == {"background": 0, "cat": 1, "dog": 2, "ignore": 3}
    assert (about["numTraining"], about["file_ending"], len(about["channel_names"])) == (5, ".png", 3)
    names = sorted(path.name for path in (tmp_path / "out/imagesTr").iterdir())
    assert names == [
        f"{split}_{number}_0000.png" for split, count in (("train", 3), ("val", 2)) for number in range(count)
    ]
    labels = np.asarray(Image.open(tmp_path / "out/labelsTr/train_0.png"))
    assert np.array_equal(labels, np.where(read_pair(source.splits["train"][0], source.codes)[1] == 255, 3, labels))


def test_the_command_converts_there_and_back(source, tmp_path):
    run = CliRunner().invoke(app, ["data", "convert", str(source.root), str(tmp_path / "out"), "--to", "coco"])
    assert run.exit_code == 0, run.output
    assert "5 images" in run.output
    assert_equal(source, open_data(tmp_path / "out"))


@pytest.mark.parametrize(
    ("form", "options", "message"),
    [
        ("dicom", {}, "--to dicom: expected one of folders, voc"),
        ("coco", {"tolerance": -1}, "--tolerance -1: expected 0 to 100"),
    ],
)
def test_what_cannot_be_written_is_said(source, tmp_path, form, options, message):
    with pytest.raises(ConfigError, match=message):
        convert(source, tmp_path / "out", form, **options)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    with pytest.raises(ConfigError, match="full: exists already; give a new folder"):
        convert(source, tmp_path / "full")


def test_images_without_masks_are_no_data_to_convert(tmp_path):
    (tmp_path / "images").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "images/a.png")
    (tmp_path / "dataset.yaml").write_text("classes: [a, b]\nimages: images\nmasks: images/none*.png\n")
    with pytest.raises(DataError):
        convert(open_data(tmp_path), tmp_path / "out")


def test_data_are_checked_before_anything_is_written(source, tmp_path):
    convert(source, tmp_path / "out", "coco")
    (tmp_path / "out/images/val/val_0.png").unlink()
    file = tmp_path / "out/annotations/instances_train.json"
    content = json.loads(file.read_text())
    content["annotations"][0]["segmentation"] = []
    file.write_text(json.dumps(content))
    arguments = ["data", "convert", str(tmp_path / "out"), str(tmp_path / "back")]
    run = CliRunner().invoke(app, arguments)
    assert "missing image" in str(run.exception)
    assert "it has a box and no outline" in str(run.exception)
    assert not (tmp_path / "back").exists()
    run = CliRunner().invoke(app, [*arguments, "--allow", "missing-images", "--allow", "shapes"])
    assert run.exit_code == 0, run.output
    assert sum(map(len, open_data(tmp_path / "back").splits.values())) == 4


def test_nnunet_takes_only_what_its_png_files_hold(source, tmp_path):
    first = source.splits["train"][0].image
    with rasterio.open(first, "w", driver="GTiff", width=25, height=18, count=3, dtype="uint16") as file:
        file.write(np.zeros((3, 18, 25), np.uint16))
    with pytest.raises(DataError, match=r"0\.png: has 3 bands of type uint16; .* 1 or 3 bands of bytes"):
        convert(source, tmp_path / "deep", "nnunet")
    Image.new("L", (25, 18)).save(first)
    with pytest.raises(DataError, match=r"1\.png: has 3 bands, others have 1"):
        convert(source, tmp_path / "grey", "nnunet")


def test_voc_is_not_begun_where_it_cannot_hold_a_class(source, tmp_path):
    source.classes[1] = "a:b"
    with pytest.raises(DataError, match=r"labelmap\.txt cannot hold the class 'a:b'"):
        convert(source, tmp_path / "out", "voc")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("package", "tolerance"), [("rasterio", 0), ("shapely", 1)])
def test_nothing_is_begun_without_the_packages_that_find_outlines(source, tmp_path, monkeypatch, package, tolerance):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=rf"{package} is not installed.*\[annotations\]"):
        convert(source, tmp_path / "out", "cvat", tolerance=tolerance)
    assert not (tmp_path / "out").exists()
    assert convert(source, tmp_path / "out", "folders") == 5


@pytest.mark.parametrize("form", FORMS)
def test_names_of_any_letters_are_written_and_read(source, tmp_path, form):
    for folder in ("images", "masks"):
        for path in (source.root / folder / "train").iterdir():
            path.rename(path.with_name(f"a {path.stem}#%20+ü&;'.png"))
    source = open_data(source.root)
    convert(source, tmp_path / "out", form)
    assert_equal(source, open_data(tmp_path / "out"))
