"""Annotation files that would take memory without end, lead elsewhere, or break off the check."""

import base64
import io
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask

from fullyconv.data import check, open_data
from fullyconv.data.annotations import painter
from fullyconv.data.annotations.drawing import FOLDER
from fullyconv.data.annotations.formats.coco import COCO
from fullyconv.data.annotations.json_files import read_json
from fullyconv.data.annotations.painter import paint
from fullyconv.data.annotations.shapes import Polygon, Shape
from fullyconv.data.annotations.stamps import stamp
from fullyconv.data.checks.kinds import Kind
from fullyconv.errors import DataError

SQUARE = [2, 2, 12, 2, 12, 12, 2, 12]
ENTITIES = '<!ENTITY e0 "eee">' + "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 9}">' for i in range(1, 10))


def coco(*names, size=(16, 20), outline=SQUARE):
    images = [{"id": i, "file_name": n, "height": size[0], "width": size[1]} for i, n in enumerate(names)]
    objects = [{"image_id": i, "category_id": 1, "segmentation": [outline]} for i in range(len(names))]
    return {"images": images, "categories": [{"id": 1, "name": "car"}], "annotations": objects}


def found(data, kind):
    return [problem.found for problem in check(data).problems if problem.kind is kind]


@pytest.mark.parametrize("size", [(-16, -20), (20_000, 22_000), (2**40, 2**40)])
def test_a_mask_is_not_drawn_at_a_size_that_the_image_does_not_have(tmp_path, photo, write_json, size):
    photo("a.png")
    write_json("a.json", coco("a.png", size=size))
    data = open_data(tmp_path)
    tracemalloc.start()
    (said,) = found(data, Kind.UNREADABLE)
    assert f"says that a.png has {size[1]}x{size[0]} pixels" in said
    assert tracemalloc.get_traced_memory()[1] < 1 << 26  # of NumPy, too
    tracemalloc.stop()


def test_a_list_is_read_up_to_its_first_wrong_value(tmp_path):
    content = b'{"images": [], "categories": [], "annotations": [' + b"{}," * 100_000 + b"{}]}"
    (tmp_path / "a.json").write_bytes(content)
    tracemalloc.start()
    with pytest.raises(DataError, match=r"annotations\.0\.image_id: field required \(1 more\)"):
        read_json(tmp_path / "a.json", COCO)
    assert tracemalloc.get_traced_memory()[1] < 3 * len(content)
    tracemalloc.stop()


def whole(geometry, size):
    top, left, inside = stamp(geometry, size, "coco")
    drawn = np.zeros(size, bool)
    drawn[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return drawn


def test_polygons_that_go_far_beyond_the_image_are_cut_where_it_does_not_matter():
    """Squares exactly, as their edges are straight; a slanted one but for pixels at its edges."""
    size = (40, 50)
    far = np.array([(-90_000, 10), (25, 10), (25, 90_000), (-90_000, 90_000)], float)
    expected = np.zeros(size, bool)
    expected[10:, :25] = True
    assert np.array_equal(whole(Polygon((far,)), size), expected)
    around = np.array([(-1e6, -1e6), (1e6, -1e6), (1e6, 1e6), (-1e6, 1e6)])
    assert whole(Polygon((around,)), size).all()
    assert not whole(Polygon((around + 1e6 + 60,)), size).any()
    slanted = np.array([(-90_000, -70_000), (90_000, 70_030), (90_000, 90_000)], float)
    drawn = mask.decode(mask.frPyObjects([slanted.ravel().tolist()], *size))[..., 0].astype(bool)
    ours = whole(Polygon((slanted,)), size)
    assert 0 < drawn.sum() < drawn.size
    assert (drawn != ours).sum() <= 50


def test_an_outline_that_goes_to_and_fro_without_end_is_a_fault():
    """Pycocotools takes 40 bytes for each pixel of the outline: 15 GB here, from a file of 10 KB."""
    there_and_back = np.array([(0, 0), (8000, 8000)] * 2000, float)
    with pytest.raises(ValueError, match="its outline is 32,000,000 pixels long"):
        stamp(Polygon((there_and_back,)), (8000, 8000), "coco")


def test_stamps_beyond_the_bound_are_drawn_again(monkeypatch):
    """The smaller is on top whether stamps are held or not."""
    rings = [np.array([(0, 0), (side, 0), (side, side), (0, side)], float) for side in (4, 16, 8, 12)]
    shapes = [Shape(place + 1, (Polygon((ring,)),)) for place, ring in enumerate(rings)]
    held = paint(shapes, (16, 20), "coco", "smaller-on-top")
    monkeypatch.setattr(painter, "HELD", 20)
    again = paint(shapes, (16, 20), "coco", "smaller-on-top")
    assert np.array_equal(held.labels, again.labels)
    assert [held.labels[at, at] for at in (1, 5, 9, 14)] == [1, 3, 4, 2]


def test_a_mask_of_labelme_far_larger_than_its_image_is_a_fault(tmp_path, photo, write_json):
    photo("a.png")
    file = io.BytesIO()
    Image.new("1", (9000, 9000)).save(file, format="PNG")
    held = base64.b64encode(file.getvalue()).decode()
    shape = {"label": "car", "shape_type": "mask", "points": [[0, 0], [3, 3]], "mask": held}
    write_json("a.json", {"imagePath": "a.png", "imageHeight": 16, "imageWidth": 20, "shapes": [shape]})
    (said,) = found(open_data(tmp_path), Kind.SHAPES)
    assert "it has 9000x9000 pixels, far more than the image" in said


def test_a_folder_of_masks_that_is_a_link_is_not_written_to(tmp_path, photo, write_json):
    photo("set/a.png")
    write_json("set/a.json", coco("a.png"))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "set" / FOLDER).symlink_to(tmp_path / "elsewhere")
    data = open_data(tmp_path / "set")
    assert not found(data, Kind.UNREADABLE)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_link_within_the_folder_of_masks_is_refused_and_nothing_in_it_removed(tmp_path, photo, write_json):
    photo("set/a.png")
    photo("elsewhere/mine.png")
    write_json("set/a.json", coco("a.png"))
    (tmp_path / "set" / FOLDER).mkdir()
    (tmp_path / "set" / FOLDER / "a.png").symlink_to(tmp_path / "elsewhere")
    (said,) = found(open_data(tmp_path / "set"), Kind.UNREADABLE)
    assert "is a link, where a folder of drawn masks is expected; remove it" in said
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["mine.png"]


def test_only_masks_that_were_drawn_are_removed_for_newer_ones(tmp_path, photo, write_json):
    photo("a.png")
    for outline in (SQUARE, [1, 1, 9, 1, 9, 9]):
        write_json("a.json", coco("a.png", outline=outline))
        check(open_data(tmp_path))
        (tmp_path / FOLDER / "a.png" / "mine.png").touch()
    names = sorted(path.name for path in (tmp_path / FOLDER / "a.png").iterdir())
    assert len(names) == 2
    assert names[1] == "mine.png"


@pytest.mark.parametrize("place", ["absolute", "../elsewhere"])
def test_a_data_yaml_reads_images_elsewhere_and_writes_nothing_there(tmp_path, photo, place):
    """The masks lie beside the file that the user named, those of equal names apart."""
    elsewhere = tmp_path / "elsewhere"
    place = str(elsewhere) if place == "absolute" else place
    for folder in ("train", "val"):
        photo(f"elsewhere/images/{folder}/a.png")
        (elsewhere / "labels" / folder).mkdir(parents=True)
        (elsewhere / "labels" / folder / "a.txt").write_text("0 0.1 0.1 0.9 0.1 0.9 0.9\n")
    before = sorted(elsewhere.rglob("*"))
    (tmp_path / "set").mkdir()
    (tmp_path / "set/data.yaml").write_text(f"path: {place}\ntrain: images/train\nval: images/val\nnames: [car]\n")
    data = open_data(tmp_path / "set")
    assert not found(data, Kind.UNREADABLE)
    assert sorted(elsewhere.rglob("*")) == before
    assert len(list((tmp_path / "set" / FOLDER).rglob("*.png/*.png"))) == 2


def test_images_held_by_annotations_elsewhere_are_not_written_there(tmp_path, write_json):
    file = io.BytesIO()
    Image.new("RGB", (20, 16)).save(file, format="PNG")
    shape = {"label": "car", "points": [[2, 2], [9, 2], [9, 9]]}
    held = base64.b64encode(file.getvalue()).decode()
    for name in ("a", "b"):
        write_json(f"elsewhere/{name}.json", {"imagePath": f"{name}.png", "imageData": held, "shapes": [shape]})
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "dataset.yaml").write_text("annotations: {path: ../elsewhere}\n")
    check(open_data(tmp_path / "set"))
    assert sorted(path.name for path in (tmp_path / "elsewhere").iterdir()) == ["a.json", "b.json"]
    assert len(list((tmp_path / "set" / FOLDER / "embedded").iterdir())) == 2


def test_a_frame_of_a_video_is_not_sought_in_folders_that_its_file_leads_to(tmp_path, photo):
    photo("images/frame_000000.png")
    (tmp_path / "set").mkdir()
    box = '<box frame="0" outside="0" xtl="1" ytl="1" xbr="9" ybr="9" z_order="0"/>'
    track = f'<track id="0" label="car" subset="../../images">{box}</track>'
    about = "<original_size><width>20</width><height>16</height></original_size>"
    labels = "<labels><label><name>car</name></label></labels>"
    meta = f"<meta><task><id>1</id><mode>interpolation</mode>{labels}{about}</task></meta>"
    (tmp_path / "set/annotations.xml").write_text(f"<annotations>{meta}{track}</annotations>")
    data = open_data(tmp_path / "set")
    (pair,) = (pair for pairs in data.splits.values() for pair in pairs)
    assert pair.image == tmp_path / "set/images/images/frame_000000.png"
    assert len(found(data, Kind.NO_IMAGE)) == 1


def test_tracks_that_leave_out_most_frames_are_refused(tmp_path, monkeypatch):
    from fullyconv.data.annotations.formats.cvat import video

    monkeypatch.setattr(video, "HELD", 50)
    box = '<box frame="{}" outside="0" xtl="1" ytl="1" xbr="9" ybr="9" z_order="0"/>'
    tracks = "".join(
        f'<track id="{i}" label="car">{box.format(2 * i)}{box.format(2 * i + 1)}</track>' for i in range(20)
    )
    labels = "<labels><label><name>car</name></label></labels>"
    meta = f"<meta><task><id>1</id><mode>interpolation</mode>{labels}</task></meta>"
    (tmp_path / "annotations.xml").write_text(f"<annotations>{meta}{tracks}</annotations>")
    with pytest.raises(DataError, match="in more than 50 places it does not say where an object of a video is"):
        open_data(tmp_path)


@pytest.mark.parametrize(
    "declared", [ENTITIES, '<!ENTITY e9 SYSTEM "file:///etc/passwd">', '<!ENTITY % p SYSTEM "http://localhost/x"> %p;']
)
def test_entities_are_refused(tmp_path, declared):
    image = '<image id="0" name="a&e9;.png" width="20" height="16"/>'
    (tmp_path / "a.xml").write_text(
        f"<!DOCTYPE annotations [{declared}]><annotations><meta></meta>{image}</annotations>"
    )
    with pytest.raises(DataError, match="declares a document type or entities"):
        open_data(tmp_path)


@pytest.mark.parametrize("name", ["../elsewhere/a.png", "{}/elsewhere/a.png", "..\\elsewhere\\a.png"])
def test_no_name_leads_out_of_the_folder(tmp_path, photo, write_json, name):
    photo("elsewhere/a.png")
    photo("set/b.png")
    write_json("set/a.json", coco(name.format(tmp_path), "b.png"))
    data = open_data(tmp_path / "set")
    for pairs in data.splits.values():
        assert all(pair.image.resolve().is_relative_to(tmp_path / "set") for pair in pairs)
    assert len(found(data, Kind.NO_IMAGE)) == 1


@pytest.mark.parametrize("entry", ["x" * 5000, "\\ud800.png", "a/" * 3000])
def test_names_that_no_system_takes_are_not_found_in_words(tmp_path, photo, entry):
    photo("images/a.png")
    (tmp_path / "data.yaml").write_text(f'path: "{entry}"\ntrain: "{entry}"\nval: images\nnames: [car]\n')
    with pytest.raises(DataError, match=r"`train` is .* where no images are found"):
        open_data(tmp_path)
    (tmp_path / "dataset.yaml").write_text(f'annotations: {{path: "{entry}"}}\n')
    with pytest.raises(DataError, match=r"does not exist|unable to parse raw data"):
        open_data(tmp_path / "dataset.yaml")


@pytest.mark.parametrize("entry", ["x" * 5000, "a\\0.txt", "a/" * 3000])
def test_lists_whose_names_no_system_takes_are_refused_in_words(tmp_path, photo, entry):
    photo("images/a.png")
    photo("masks/a.png")
    splits = f'{{train: {{images: images, masks: masks, list: "{entry}"}}}}'
    (tmp_path / "dataset.yaml").write_text(f"classes: [a, b]\nsplits: {splits}\n")
    with pytest.raises(DataError, match="cannot be read as a list of images"):
        open_data(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
@pytest.mark.parametrize(
    "name", ["a.json", "annotations.xml", "data.yaml", "dataset.yaml", "_classes.csv", "train.txt"]
)
def test_a_pipe_is_not_waited_for(tmp_path, photo, name):
    photo("images/a.png")
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError):
        open_data(tmp_path)
    with pytest.raises(DataError):
        open_data(tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
def test_pipes_among_images_and_masks_are_not_waited_for(tmp_path, photo):
    for name in "ab":
        photo(f"images/{name}.png")
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(np.indices((16, 20), np.uint8)[0] % 2).save(tmp_path / "masks" / f"{name}.png")
    for name in "cde":
        os.mkfifo(tmp_path / "images" / f"{name}.png")
        os.mkfifo(tmp_path / "masks" / f"{name}.png")
    assert len(found(open_data(tmp_path), Kind.UNREADABLE)) == 6


@pytest.mark.parametrize("number", ["9" * 5000, "256", "٢٥٦"])
def test_colours_in_a_file_of_classes_that_are_none_are_refused_in_words(tmp_path, photo, number):
    """Python itself raises ValueError for numbers of more than 4,300 digits."""
    photo("JPEGImages/a.png")
    photo("SegmentationClass/a.png")
    (tmp_path / "labelmap.txt").write_text(f"background:0,0,0::\nroad:{number},0,0::\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"has the line 'road:.* expected a line such as `road:128,64,128::`"):
        open_data(tmp_path)


def test_an_entry_that_may_not_be_looked_at_is_passed_over(tmp_path, photo, write_json, monkeypatch):
    """As those below /proc/1, where a descriptor names the whole machine."""
    photo("a.png")
    write_json("a.json", coco("a.png"))
    (tmp_path / "closed").touch()
    looked = Path.is_dir

    def refused(self):
        if self.name == "closed":
            raise PermissionError(13, "Permission denied", str(self))
        return looked(self)

    monkeypatch.setattr(Path, "is_dir", refused)
    assert check(open_data(tmp_path)).errors == []
