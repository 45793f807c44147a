"""Which files a data set has: folders of any depth and name, patterns, lists, links, names that differ, and splits."""

import os
from collections import Counter

import numpy as np
import pytest
import yaml

from fullyconv.classes import VOC_CLASSES
from fullyconv.data import check, class_pixels, open_data
from fullyconv.data.checks.kinds import Kind
from fullyconv.data.mask_codes import IGNORE
from fullyconv.data.pairs import Pair, read_pair
from fullyconv.data.splits.divide import divide
from fullyconv.data.splits.equal import equal_files
from fullyconv.errors import DataError

MASK = [[0, 1], [1, 0]]


@pytest.fixture
def draw(save):
    """Write an image, different from all others, at each path."""
    numbers = iter(range(10**6))

    def write(*names):
        for name in names:
            number = next(numbers)
            save(name, np.full((2, 2, 3), (number * 97 % 256, number * 31 % 256, 7)))

    return write


@pytest.fixture
def mask(save):
    def write(*names):
        for name in names:
            save(name, MASK)

    return write


@pytest.fixture
def describe(tmp_path):
    def write(**keys):
        (tmp_path / "dataset.yaml").write_text(yaml.safe_dump({"classes": ["a", "b"]} | keys))
        return open_data(tmp_path)

    return write


def found(data, split="train"):
    return [
        (str(pair.image.relative_to(data.root)), str(pair.mask.relative_to(data.root)) if pair.mask else None)
        for pair in data.split(split)
    ]


@pytest.mark.parametrize(
    ("images", "masks", "image", "drawn"),
    [
        ("*.jpg", "*_1stHO.png", "Image_01L.jpg", "Image_01L_1stHO.png"),
        ("img/*.JPG", "img/*_mask.png", "img/7.jpg", "img/7_mask.png"),
        ("photos/*", "masks/*_seg*", "photos/a.jpg", "masks/a_seg.png"),
        ("photos/*.*", "masks", "photos/a.jpg", "masks/a.png"),
        ("*/img/*.png", "*/gt/*.png", "patient 1/img/3.png", "patient 1/gt/3.png"),
        ("raw/**/*_rgb.png", "raw/**/*_labels.png", "raw/x/y/3_rgb.png", "raw/x/y/3_labels.png"),
        ("IMD*/IMD*_Image/IMD*.bmp", "IMD*/*_lesion/*_lesion.bmp", "IMD1/IMD1_Image/IMD1.bmp", None),
        ("photos", "masks", "photos/a/1.png", "masks/a/1.png"),
        (".", "masks", "a/1.png", "masks/a/1.png"),
    ],
)
def test_images_and_masks_pair_by_what_the_wildcards_stand_for(draw, mask, describe, images, masks, image, drawn):
    draw(image)
    mask(drawn or "IMD1/IMD1_lesion/IMD1_lesion.bmp")
    if drawn is None:
        with pytest.raises(DataError, match=r"IMD1\.bmp: no mask was found for this"):
            describe(splits={"train": {"images": images, "masks": masks}})
    else:
        assert found(describe(splits={"train": {"images": images, "masks": masks}})) == [(image, drawn)]


def test_one_folder_of_images_and_masks_with_absolute_places(draw, mask, describe, tmp_path):
    draw("all/1.png", "all/2.png")
    mask("all/1_mask.png", "all/2_mask.png", "all/3_mask.png")
    places = {"images": f"{tmp_path}/all/*.png", "masks": f"{tmp_path}/all/*_mask.png"}
    data = describe(splits={"train": places})
    assert found(data) == [("all/1.png", "all/1_mask.png"), ("all/2.png", "all/2_mask.png")]
    assert data.unmatched_masks == [tmp_path / "all/3_mask.png"]


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ({"images": "all/*.jpg", "masks": "all/*_mask.png"}, r"`images`: no file matches 'all/\*\.jpg'"),
        ({"images": "nowhere", "masks": "all"}, "folders that do not exist: .*nowhere"),
        ({"images": "all", "masks": "all"}, "is matched by both `images` and `masks`"),
    ],
)
def test_places_that_cannot_be(draw, describe, places, message):
    draw("all/1.png")
    with pytest.raises(DataError, match=message):
        describe(splits={"train": places})


@pytest.mark.parametrize(
    "line",
    [
        "/SegNet/CamVid/val/1.png /SegNet/CamVid/valannot/1.png",
        "/SegNet/CamVid/val/1.png /SegNet/CamVid/valannot/1_L.png",
        r"D:\CamVid\val\1.png",
        "val/1.png",
    ],
)
def test_a_list_of_another_machine_names_images_and_masks(draw, mask, describe, tmp_path, line):
    """As SegNet's lists of CamVid."""
    draw("train/1.png", "val/1.png", "val/2.png")
    mask("trainannot/1.png", "valannot/1.png", "valannot/2.png")
    (tmp_path / "list.txt").write_text(line)
    data = describe(splits={"train": {"images": "*/*.png", "masks": "*annot/*.png", "list": "list.txt"}})
    assert found(data) == [("val/1.png", "valannot/1.png")]


def test_a_list_names_a_splits_images(draw, mask, describe, tmp_path):
    draw(*(f"images/{i}.png" for i in "abcde"))
    mask(*(f"masks/{i}.png" for i in "abcdef"))
    (tmp_path / "train.txt").write_text("a\nb.png\nimages/c.png\n")
    (tmp_path / "val.txt").write_text("d\nghost\n")
    places = {"images": "images", "masks": "masks"}
    data = describe(splits={name: places | {"list": f"{name}.txt"} for name in ("val", "train")})
    assert found(data) == [(f"images/{i}.png", f"masks/{i}.png") for i in "abc"]
    assert found(data, "val") == [("images/d.png", "masks/d.png"), ("images/ghost.png", None)]
    assert data.unmatched_masks == [tmp_path / "masks/f.png"]
    assert {problem.kind for problem in check(data).errors} == {Kind.NO_IMAGE, Kind.UNMATCHED_MASK}
    with pytest.raises(DataError, match=r"lost\.txt: is missing"):
        describe(splits={"train": places | {"list": "lost.txt"}})


def test_folders_that_links_lead_to_are_searched_but_not_in_a_circle(draw, mask, describe, tmp_path):
    draw("elsewhere/1.png", "elsewhere/2.png", "images/0.png")
    mask("drawn/1.png", "drawn/2.png", "masks/0.png")
    (tmp_path / "images/more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "masks/more").symlink_to("../drawn")
    (tmp_path / "images/up").symlink_to(tmp_path)
    (tmp_path / "masks/self").symlink_to(".")
    data = describe(splits={"train": {"images": "images", "masks": "masks"}})
    pairs = {(image, drawn) for image, drawn in found(data) if drawn}
    assert {(f"images/{i}.png", f"masks/{i}.png") for i in ("0", "more/1", "more/2")} <= pairs


def test_a_link_to_a_folder_that_is_missing_is_told(draw, mask, describe, tmp_path):
    draw("images/0.png")
    mask("masks/0.png")
    (tmp_path / "images/more").symlink_to("unmounted")
    with pytest.raises(DataError, match=r"images/more: is a link to unmounted, which is not there; it may be a folder"):
        describe(splits={"train": {"images": "images", "masks": "masks"}})


def test_one_set_is_divided_and_sources_stay_together(draw, mask, describe):
    names = [f"{scene}_{frame}" for scene in "abcdefghij" for frame in range(3)]
    draw(*(f"photos/{name}.png" for name in names))
    mask(*(f"drawn/{name}.png" for name in names))
    data = describe(images="photos", masks="drawn", split={"by": "([a-z])_"})
    assert {split: len(pairs) for split, pairs in data.splits.items()} == {"train": 24, "val": 3, "test": 3}
    scenes = {split: {pair.image.stem[0] for pair in pairs} for split, pairs in data.splits.items()}
    assert sum(map(len, scenes.values())) == 10
    # the digests of a to j are sha256sum's, as without sources
    assert (scenes["test"], scenes["val"]) == ({"j"}, {"d"})
    assert data.divided
    alone = describe(images="photos", masks="drawn")
    assert {split: len(pairs) for split, pairs in alone.splits.items()} == {"train": 24, "val": 3, "test": 3}


def test_sources_may_be_folders(draw, mask, describe):
    names = [f"{patient}/{slice_}" for patient in ("p1", "p2", "p3") for slice_ in range(4)]
    draw(*(f"images/{name}.png" for name in names))
    mask(*(f"masks/{name}.png" for name in names))
    data = describe(images="images", masks="masks", split={"by": "folder"})
    patients = {split: {pair.image.parent.name for pair in pairs} for split, pairs in data.splits.items()}
    assert sorted(map(len, patients.values())) == [1, 1, 1]
    assert set().union(*patients.values()) == {"p1", "p2", "p3"}


@pytest.mark.parametrize(
    ("by", "message"),
    [
        ("scene(\\d)", r"1\.png: `split.by` \('scene\(\\\\d\)'\) does not match 'images/1\.png'"),
        ("folder", "finds the same source, 'images', for all 3 images"),
    ],
)
def test_an_image_without_a_source_is_refused_by_name(draw, mask, describe, by, message):
    draw(*(f"images/{i}.png" for i in "123"))
    mask(*(f"masks/{i}.png" for i in "123"))
    with pytest.raises(DataError, match=message):
        describe(images="images", masks="masks", split={"by": by})


@pytest.mark.parametrize("sizes", [[1000, 5, 5, 5], [3, 3], [5], [90, 5, 5], [1] * 9, [2, 30, 40, 50, 60]])
def test_every_split_has_images_whatever_the_sizes_of_the_sources(sizes, tmp_path):
    """Properties: no source in two splits, none lost, the largest in train."""
    pairs = [Pair(tmp_path / f"{source}_{i}.png", None) for source, many in enumerate(sizes) for i in range(many)]
    splits = divide(pairs, lambda path: path.name.partition("_")[0])
    assert list(splits) == ["train", "val", "test"][: min(3, len(sizes))]
    where = [(split, pair.image.name.partition("_")[0]) for split, part in splits.items() for pair in part]
    assert Counter(source for _, source in where) == {str(source): many for source, many in enumerate(sizes)}
    assert len({source for _, source in set(where)}) == len(set(where))
    assert sum(split == "train" for split, _ in where) >= max(sizes)


def test_equal_files_stay_together(draw, mask, tmp_path):
    names = [f"{i:02}" for i in range(40)]
    draw(*(f"images/{name}.png" for name in names))
    mask(*(f"masks/{name}.png" for name in names))
    for name in names[1:13]:
        (tmp_path / f"images/{name}.png").write_bytes((tmp_path / "images/00.png").read_bytes())
    splits = open_data(tmp_path).splits
    assert [split for split, part in splits.items() if any(pair.image.stem < "13" for pair in part)] == ["train"]
    assert sum(map(len, splits.values())) == 40
    assert Kind.IN_SEVERAL_SPLITS not in {problem.kind for problem in check(open_data(tmp_path)).problems}


def test_files_are_equal_to_the_last_byte_or_not_at_all(tmp_path):
    content = bytes(range(256)) * 400
    for name, change in {"a": None, "b": None, "c": 30_000, "d": len(content) - 1, "e": 0}.items():
        altered = bytearray(content)
        if change is not None:
            altered[change] ^= 1
        (tmp_path / name).write_bytes(altered)
    (tmp_path / "short").write_bytes(content[:-1])
    paths = [tmp_path / name for name in ("a", "b", "c", "d", "e", "short", "missing")]
    assert equal_files(paths) == [[tmp_path / "a", tmp_path / "b"]]


def test_outside_of_the_valid_area_there_is_no_class(draw, save, describe, tmp_path):
    """As DRIVE has it: names with endings of their own, GIF masks of the field of view."""
    for number in (21, 22):
        draw(f"training/images/{number}_training.tif")
        save(f"training/manual/{number}_manual1.gif", [[0, 255], [255, 0]])
        save(f"training/mask/{number}_training_mask.gif", [[0, 255], [255, 255]])
    data = describe(
        splits={
            "train": {
                "images": "training/images/*_training.tif",
                "masks": "training/manual/*_manual1.gif",
                "valid": "training/mask/*_training_mask.gif",
            }
        }
    )
    assert read_pair(data.split("train")[0], data.codes)[1].tolist() == [[IGNORE, 1], [1, 0]]
    counted = class_pixels(data, "train")
    assert (counted.pixels.tolist(), counted.void) == ([2, 4], 2)
    assert check(data).frequencies["train"].void == 2
    assert check(data).errors == []
    save("training/mask/22_training_mask.gif", [[255]])
    assert "1x1 (width x height), the mask " in check(data).errors[0].found
    (tmp_path / "training/mask/22_training_mask.gif").unlink()
    with pytest.raises(
        DataError, match=r"22_training\.tif: has no mask of its valid area, like 1 of 2 images of train"
    ):
        describe(splits=yaml.safe_load((tmp_path / "dataset.yaml").read_text())["splits"])


def test_a_jpeg_mask_with_nearest_is_as_drawn_and_doubtful_pixels_are_told(draw, save, describe):
    drawn = np.zeros((32, 32), np.uint8)
    drawn[:, 15:] = 255
    draw("images/0.png")
    save("images/0.png", np.zeros((32, 32, 3)))
    save("masks/0.jpg", drawn, quality=30)
    places = {"splits": {"train": {"images": "images", "masks": "masks"}}}
    assert {problem.kind for problem in check(describe(**places)).errors} == {Kind.LOSSY}
    data = describe(**places, classes=["a", "b"], values={0: "a", 255: "b"}, nearest=True)
    assert (read_pair(data.split("train")[0], data.codes)[1] == drawn // 255).all()
    report = check(data)
    assert report.errors == []
    assert report.frequencies["train"].pixels.tolist() == [32 * 15, 32 * 17]
    assert all(problem.kind is not Kind.LOSSY for problem in report.problems)
    beside_recognized_folders = describe(values={0: "a", 255: "b"}, masks={"nearest": True})
    assert (read_pair(beside_recognized_folders.split("train")[0], data.codes)[1] == drawn // 255).all()
    save("masks/0.jpg", (drawn // 2).astype(np.uint8))
    assert [problem.found for problem in check(data).problems if problem.kind is Kind.DOUBTFUL] != []


def test_smoothed_masks_with_nearest_have_the_classes_that_are_named(draw, save, describe):
    save("images/0.png", np.zeros((1, 3, 3)))
    save("masks/0.png", [[(200, 0, 0), (130, 0, 70), (0, 0, 200)]])
    masks = {"path": "masks", "nearest": True}
    data = describe(splits={"train": {"images": "images", "masks": masks}}, palette=[[200, 0, 0], [0, 0, 200]])
    assert read_pair(data.split("train")[0], data.codes)[1].tolist() == [[0, 0, 1]]
    doubtful = [problem.found for problem in check(data).problems if problem.kind is Kind.DOUBTFUL]
    assert doubtful == ["1 pixels (33.3%)"]


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("Images", "Labels"),
        ("imgs", "gts"),
        ("img", "ground truth"),
        ("RGB", "Ground_Truth"),
        ("photos", "seg"),
        ("JPEGImages", "annotations"),
        ("data/images", "data/masks"),
    ],
)
def test_folders_of_other_names_are_recognized(draw, mask, tmp_path, images, masks):
    draw(*(f"{images}/{i}.jpg" for i in "abc"))
    mask(*(f"{masks}/{i}.png" for i in "abc"))
    data = open_data(tmp_path)
    assert data.layout == "folders"
    assert sum(map(len, data.splits.values())) == 3


@pytest.mark.parametrize(
    "form",
    [
        ("img_dir/{split}", "ann_dir/{split}"),
        ("{split}/Images", "{split}/Labels"),
        ("{split}_images", "{split}_masks"),
        ("images-{split}", "masks-{split}"),
        ("{split}", "{split}annot"),
        ("images_prepped_{split}", "annotations_prepped_{split}"),
        ("{split}", "{split}_labels"),
        ("uavid_{split}/seq1/Images", "uavid_{split}/seq1/Labels"),
    ],
)
@pytest.mark.parametrize("names", [("train", "val"), ("Training", "Validation")])
def test_splits_are_told_by_folders_inside_around_and_by_their_names(draw, mask, tmp_path, form, names):
    for split in names:
        draw(*(f"{form[0].format(split=split)}/{split}{i}.jpg" for i in "ab"))
        mask(*(f"{form[1].format(split=split)}/{split}{i}.png" for i in "ab"))
    splits = open_data(tmp_path).splits
    assert {split: [pair.image.stem for pair in pairs] for split, pairs in splits.items()} == {
        "train": [f"{names[0]}a", f"{names[0]}b"],
        "val": [f"{names[1]}a", f"{names[1]}b"],
    }
    assert all(pair.mask.stem == pair.image.stem for pairs in splits.values() for pair in pairs)


def test_medical_decathlons_names_of_folders_where_they_hold_images(draw, mask, tmp_path):
    draw("imagesTr/a.png", "imagesTs/b.png")
    mask("labelsTr/a.png", "labelsTs/b.png")
    assert {name: len(part) for name, part in open_data(tmp_path).splits.items()} == {"train": 1, "test": 1}


def test_cities_within_splits_are_paired_by_their_folders(draw, mask, tmp_path):
    names = [f"{split}/{city}/0" for split in ("train", "val") for city in ("aachen", "bochum")]
    draw(*(f"images/{name}.png" for name in names))
    mask(*(f"masks/{name}.png" for name in names))
    data = open_data(tmp_path)
    assert found(data) == [(f"images/train/{c}/0.png", f"masks/train/{c}/0.png") for c in ("aachen", "bochum")]


def test_folders_that_are_no_splits_stay_together(draw, mask, tmp_path):
    names = [f"p{patient}/{i}" for patient in range(10) for i in range(3)]
    draw(*(f"images/{name}.png" for name in names))
    mask(*(f"masks/{name}.png" for name in names))
    data = open_data(tmp_path)
    assert {name: len(part) for name, part in data.splits.items()} == {"train": 24, "val": 3, "test": 3}
    patients = [{pair.image.parent.name for pair in part} for part in data.splits.values()]
    assert sum(map(len, patients)) == 10
    assert "the images are in 10 folders" in data.notes[0]


def test_test_images_without_masks_are_left_out_and_that_is_said(draw, mask, tmp_path):
    draw("train/images/a.png", "train/images/b.png", "test/images/c.png")
    mask("train/masks/a.png", "train/masks/b.png")
    data = open_data(tmp_path)
    assert list(data.splits) == ["train"]
    assert "test split is left out because its 1 images have no masks" in data.notes[0]


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        (["a.jpg", "b.jpg"], ["a_mask.png", "b_mask.png"]),
        (["21_training.tif", "31_training.tif", "32_training.tif"], ["21_manual1.gif", "31_manual1.gif"]),
        (["0001TP_006690.png", "0001TP_006720.png"], ["0001TP_006690_L.png", "0001TP_006720_L.png"]),
        (["img1.png", "img2.png", "img10.png"], ["mask1.png", "mask2.png", "mask10.png"]),
        (["ISIC_0001.jpg", "ISIC_0011.jpg"], ["ISIC_0001_Segmentation.png", "ISIC_0011_Segmentation.png"]),
        (["rgb_a_1.png", "rgb_b_1.png"], ["gt_a_1.png", "gt_b_1.png"]),
    ],
)
def test_names_that_differ_by_a_constant_beginning_or_ending_pair(draw, mask, tmp_path, images, masks):
    draw(*(f"images/{name}" for name in images))
    mask(*(f"masks/{name}" for name in masks))
    data = open_data(tmp_path)
    pairs = {(p.image.name, p.mask.name) for part in data.splits.values() for p in part if p.mask}
    assert pairs == set(zip(images, masks, strict=False))
    assert "images and masks are paired as" in data.notes[0]


@pytest.mark.parametrize(
    "masks",
    [
        ["x_0_color.png", "x_0_labelIds.png", "x_1_color.png", "x_1_labelIds.png"],
        ["mask one.png", "another.png"],
    ],
)
def test_names_that_could_pair_in_several_ways_are_refused(draw, mask, tmp_path, masks):
    draw("images/x_0_leftImg8bit.png", "images/x_1_leftImg8bit.png")
    mask(*(f"masks/{name}" for name in masks))
    with pytest.raises(DataError, match=r"(?s)no mask was found for this.*`masks: \"masks/\*_mask\.png\"`"):
        open_data(tmp_path)


def test_two_folders_of_masks_are_not_chosen_from(draw, mask, tmp_path):
    draw("training/images/1.png")
    mask("training/1st_manual/1.png", "training/mask/1.png")
    with pytest.raises(DataError, match=r"1st_manual and mask could each be the folder of masks"):
        open_data(tmp_path)


def test_a_mask_for_each_object_is_opened(draw, mask, tmp_path):
    for image in ("ab12", "cd34"):
        draw(f"stage1_train/{image}/images/{image}.png")
        mask(*(f"stage1_train/{image}/masks/{i}.png" for i in ("f0", "f1", "f2")))
    assert open_data(tmp_path).notes == [
        "6 masks of 2 images are read as one object each; what they cover is foreground"
    ]


def test_a_data_set_without_images_is_refused(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    (tmp_path / "dataset.yaml").write_text("classes: [a, b]")
    with pytest.raises(DataError, match="no images to train on or to measure on were found"):
        open_data(tmp_path)


def test_what_masks_mean_may_be_said_beside_recognized_folders(draw, mask, describe):
    draw(*(f"img/{i}.png" for i in "abcd"))
    mask(*(f"gt/{i}.png" for i in "abcd"))
    data = describe(classes=["gap", "cell"])
    assert (data.layout, data.classes) == ("descriptor", ["gap", "cell"])
    assert {name: len(part) for name, part in data.splits.items()} == {"train": 2, "val": 1, "test": 1}
    (data.root / "gt").rename(data.root / "what")
    with pytest.raises(DataError, match="no folders of images and masks were recognized"):
        open_data(data.root)


def write_voc(tmp_path, draw, save, masks, **lists):
    for name, pixels in masks.items():
        draw(f"JPEGImages/{name}.jpg")
        save(f"SegmentationClass/{name}.png", pixels)
    folder = tmp_path / "ImageSets/Segmentation"
    folder.mkdir(parents=True)
    for name, text in lists.items():
        (folder / f"{name}.txt").write_text("\n".join(text))


CAT, DOG = (48, 112, 32), (176, 112, 32)


def test_cvats_labelmap_names_the_classes_and_their_colours(tmp_path, draw, save):
    masks = {name: [[(0, 0, 0), CAT], [DOG, (224, 224, 192)]] for name in "abcdef"}
    write_voc(tmp_path, draw, save, masks, default="abcdef")
    (tmp_path / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\nCat:48,112,32::\nDog:176,112,32::\n"
    )
    data = open_data(tmp_path)
    assert (data.classes, data.palette) == (["background", "Cat", "Dog"], [(0, 0, 0), CAT, DOG])
    assert not data.published
    assert {name: len(part) for name, part in data.splits.items()} == {"train": 4, "val": 1, "test": 1}
    assert read_pair(data.split("train")[0], data.codes)[1].tolist() == [[0, 1], [2, IGNORE]]
    assert "default.txt were divided" in data.notes[0]
    assert check(data).errors == []


def test_lists_of_any_spelling_are_splits(tmp_path, draw, save):
    write_voc(tmp_path, draw, save, dict.fromkeys("abc", MASK), Train="ab", Validation="c")
    (tmp_path / "class_names.txt").write_text("__ignore__\n_background_\nweed\n")
    data = open_data(tmp_path)
    assert {name: len(part) for name, part in data.splits.items()} == {"train": 2, "val": 1}
    assert data.classes == ["background", "weed"]


@pytest.mark.parametrize("arrays", [True, False])  # kept by labelme's earlier exports, often deleted as they are large
def test_labelmes_masks_may_be_beside_its_arrays(tmp_path, draw, save, arrays):
    for name in "abc":
        draw(f"JPEGImages/{name}.jpg")
        save(f"SegmentationClassPNG/{name}.png", [[0, 1], [1, 0]])
        if arrays:
            (tmp_path / "SegmentationClass").mkdir(exist_ok=True)
            np.save(tmp_path / f"SegmentationClass/{name}.npy", np.array([[0, 1], [1, 0]], np.int32))
    (tmp_path / "class_names.txt").write_text("_background_\nweed")
    data = open_data(tmp_path)
    assert (data.layout, data.classes, sum(map(len, data.splits.values()))) == ("voc", ["background", "weed"], 3)
    assert read_pair(data.split("train")[0], data.codes)[1].tolist() == [[0, 1], [1, 0]]


def test_own_folders_without_class_file_have_vocs_classes_only_if_the_masks_fit(tmp_path, draw, save):
    write_voc(tmp_path, draw, save, {name: [[0, 15], [255, 20]] for name in "abc"})
    data = open_data(tmp_path)
    assert data.classes == VOC_CLASSES
    assert "labelmap.txt" in data.notes[0]
    assert not data.published
    save("SegmentationClass/a.png", [[0, 30]])
    assert open_data(tmp_path).classes == [f"class {i}" for i in range(31)]
    save("SegmentationClass/a.png", [[(0, 0, 0), CAT]])
    assert "aeroplane" not in open_data(tmp_path).classes
    (tmp_path / "dataset.yaml").write_text("classes: [soil, weed]\n")
    assert open_data(tmp_path).classes == ["soil", "weed"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "labelmap.txt",
            "background:0,0,0::\nweed:1,2::\n",
            "has the line 'weed:1,2::'; expected a line such as `road:128,64,128",
        ),
        ("labelmap.txt", "background:0,0,0::\nweed:0,0,0::\n", "has the same colour as another line"),
        ("labelmap.txt", "background:0,0,0::\n", "lists 1 classes; expected 2 to 255"),
        ("class_names.txt", "a\na\n", "lists the class 'a' twice"),
        ("class_names.txt", "a\nb\u202e\n", "control character"),
    ],
)
def test_class_files_that_are_wrong_are_named(tmp_path, draw, save, name, text, message):
    write_voc(tmp_path, draw, save, {"a": MASK}, train="a")
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=f"{name}: .*{message.replace('`', '.')}"):
        open_data(tmp_path)


def test_published_is_voc_itself_alone(tmp_path, draw, save):
    names = ["2008_000001", "2010_000123"]
    write_voc(tmp_path, draw, save, dict.fromkeys(names, MASK), train=names[:1], val=names[1:])
    assert open_data(tmp_path).published
    (tmp_path / "class_names.txt").write_text("_background_\nweed\n")
    assert not open_data(tmp_path).published


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="rights are not kept from an administrator")
def test_a_folder_that_cannot_be_listed_is_named(draw, mask, tmp_path):
    draw("images/a/1.png")
    mask("masks/a/1.png")
    (tmp_path / "images/a").chmod(0)
    with pytest.raises(DataError, match="images/a: cannot be listed"):
        open_data(tmp_path)
