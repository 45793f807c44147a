"""A folder that is no data set is named as what it is, with one next step."""

import json

import numpy as np
import pytest

from fullyconv.data import open_data
from fullyconv.data.pairs import read_pair
from fullyconv.errors import DataError

COCO = json.dumps({"images": [], "annotations": [], "categories": []})
LABELME = json.dumps({"version": "5", "shapes": [], "imagePath": "a.jpg", "imageData": None})
STUDIO = json.dumps([{"id": 1, "data": {"image": "a"}, "annotations": [{"result": []}]}])


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "it is an empty folder; put the images, and one mask for each,"),
        ({"s/1.dcm": b"", "s/2.dcm": b""}, "it holds DICOM slices, such as 1.dcm"),
        ({"study/IM0001": bytes(128) + b"DICM"}, "it holds DICOM slices, such as IM0001"),
        ({"study/1.2.840.1": bytes(128) + b"DICM"}, "it holds DICOM slices, such as 1.2.840.1"),
        ({"imagesTr/a.nii.gz": b"", "labelsTr/a.nii.gz": b""}, "it holds NIfTI volumes, such as a.nii.gz"),
        ({"x/y/z/instances.json": COCO}, "instances.json is a COCO file, which is opened as it is: give the folder"),
        ({"a/b/c/d/a.json": LABELME}, "a.json is a LabelMe file, which is opened as it is: give the folder that hol"),
        ({"a/b/c/d/x.json": STUDIO}, "x.json is a Label Studio export, which is opened as it is: give the folder"),
        (
            {"a.jpg": None, "task-3-annotation-3-by-1-tag-tree-0.png": None},
            "tree-0.png is a mask of Label Studio's, whose name does not say which image it is of; export the",
        ),
        (
            {"images/a.jpg": None, "labels/a.txt": "0 0.1 0.2 0.3 0.4 0.5 0.6\n"},
            "a.txt is a YOLO label file, but no da",
        ),
        ({"set.zip": b"PK"}, "it holds archives, such as set.zip; unpack them"),
        ({"clip.MP4": b""}, "it holds videos, such as clip.MP4"),
        ({"a.jpg": None, "b.jpg": None}, "it holds images in one folder, but no folder with a known name for masks"),
        ({"a.jpg": None, "a_mask.png": None}, "images and masks in one folder (a_mask.png); say in a dataset.yaml wh"),
        ({"x/a.jpg": None, "y/a.png": None}, "it holds images in 2 folders (x/, y/)"),
        (
            {"raw/0.tif": None, "labels/0.png": None, ".cache": "{}"},
            "(labels/, raw/); labels/ has a known name for masks, but no folder has one for images. Say in a "
            "dataset.yaml where they are: `images: raw`, `masks: labels` and `classes`",
        ),
        ({"S1/a.tif": None, "S2/a.tif": None, "gt/a.png": None}, "`images: FOLDER`, `masks: gt` and `classes`"),
        ({"images/a.jpg": None, "y/a.png": None}, "masks. Training needs masks; if there are any, say where in a"),
        ({"notes.txt": "hello"}, "it holds no images (notes.txt)"),
        ({"broken.json": "{", "deep.json": "[" * 9000}, "it holds no images (broken.json, deep.json)"),
    ],
)
def test_what_a_folder_looks_like_is_said_with_one_next_step(save, tmp_path, files, words):
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            save(name, np.zeros((2, 2, 3)))
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as error:
        open_data(tmp_path)
    assert f"{tmp_path}: no data set found: " in str(error.value)
    assert words in str(error.value)
    assert "NYUD" not in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("names", [("{}.jpg", "{}_1stHO.png"), ("{}.png", "{}.drawn.png"), ("{}.jpg", "{}.gif")])
def test_images_and_masks_of_one_folder_are_named_with_lines_to_paste(save, tmp_path, names):
    """As in CHASE_DB1, which has a second observer's masks as well."""
    for stem in ("Image_01L", "Image_01R", "Image_02L"):
        save(names[0].format(stem), np.zeros((4, 4, 3)))
        save(names[1].format(stem), np.zeros((4, 4)))
    save("Image_02L_2ndHO.png", np.zeros((4, 4)))
    with pytest.raises(DataError) as error:
        open_data(tmp_path)
    _, images, _, masks, *_ = str(error.value).split("which: ")[1].split("`")
    (tmp_path / "dataset.yaml").write_text(f"{images}\n{masks}\nclasses: [background, vessel]\n")
    pairs = [(p.image.name, p.mask and p.mask.name) for of in open_data(tmp_path).splits.values() for p in of]
    wanted = [tuple(name.format(stem) for name in names) for stem in ("Image_01L", "Image_01R", "Image_02L")]
    assert set(wanted) <= set(pairs)


def test_a_file_that_is_no_descriptor_is_named(save, tmp_path):
    with pytest.raises(
        DataError, match=r"a\.png: no data set found: it is a single image; expected the folder of a data set"
    ):
        open_data(save("a.png", np.zeros((2, 2, 3))))
    (tmp_path / "export.txt").write_text("0 0.1 0.2 0.3 0.4 0.5 0.6\n")
    with pytest.raises(DataError, match=r"export\.txt is a YOLO label file"):
        open_data(tmp_path / "export.txt")


def test_cityscapes_has_19_classes_and_no_test(save, tmp_path):
    """The values of labelIds and the order of the train ids are the authors' (cityscapesScripts, labels.py)."""
    ids = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
    void = [value for value in range(34) if value not in ids]
    for place in ("train/aachen/aachen_000000", "val/lindau/lindau_000001", "test/bonn/bonn_000002"):
        save(f"leftImg8bit/{place}_000019_leftImg8bit.png", np.zeros((1, 34, 3)))
        save(f"gtFine/{place}_000019_gtFine_labelIds.png", [ids + void])
        save(f"gtFine/{place}_000019_gtFine_color.png", np.zeros((1, 34, 3)))
    data = open_data(tmp_path)
    assert (data.layout, list(data.splits), data.published) == ("cityscapes", ["train", "val"], True)
    assert read_pair(data.split("train")[0], data.codes)[1].tolist() == [[*range(19), *[255] * 15]]
    assert (data.classes[0], data.classes[18], data.palette[13]) == ("road", "bicycle", (0, 0, 142))
    assert data.notes == ["test is left out: the annotations of its 1 images are not published"]
    assert data.unmatched_masks == []


def test_a_description_of_cityscapes_that_fails_is_told_that_none_is_needed(save, tmp_path):
    for place in ("train/aachen/aachen_000000", "train/bochum/bochum_000000", "val/lindau/lindau_000001"):
        save(f"leftImg8bit/{place}_000019_leftImg8bit.png", np.zeros((2, 2, 3)))
        save(f"gtFine/{place}_000019_gtFine_labelIds.png", np.full((2, 2), 7))
        save(f"gtFine/{place}_000019_gtFine_color.png", np.zeros((2, 2, 3)))
    places = "splits: {train: {images: leftImg8bit/train, masks: gtFine/train}}"
    (tmp_path / "dataset.yaml").write_text(f"classes: [a, b, c]\n{places}\n")
    for given in (tmp_path, tmp_path / "dataset.yaml"):
        with pytest.raises(DataError) as error:
            open_data(given)
        assert "has the layout cityscapes, which needs no dataset.yaml" in str(error.value).splitlines()[-1]
    assert len(open_data(tmp_path, "cityscapes").classes) == 19
    (tmp_path / "dataset.yaml").unlink()
    assert open_data(tmp_path).layout == "cityscapes"
