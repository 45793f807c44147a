"""``check`` finds everything that is wrong, all of it at once."""

import shutil
import time

import numpy as np
import pytest
import yaml
from PIL import Image

from fullyconv.data import check, class_pixels, open_data
from fullyconv.data.checks.kinds import KINDS, Kind
from fullyconv.errors import ConfigError, DataError

RANDOM = np.random.default_rng(0)
CLASSES = ["road", "sky", "car", "ghost"]
PALETTE = [[10, 0, 0], [0, 10, 0], [0, 0, 10], [9, 9, 9]]


def picture(height=24, width=32):
    return RANDOM.integers(0, 256, (height, width, 3), np.uint8)


def labels(height=24, width=32):
    return np.arange(height * width).reshape(height, width) % 3


@pytest.fixture
def good(save, tmp_path):
    """A sound data set of eight pairs in three splits; its folder."""
    for split, stems in {"train": "abcd", "val": "vw", "test": "tu"}.items():
        for stem in stems:
            save(f"{split}/images/{stem}.png", picture())
            save(f"{split}/masks/{stem}.png", labels())
    describe(tmp_path, CLASSES[:3], ["train", "val", "test"])
    return tmp_path


def describe(root, classes, splits):
    content = {
        "classes": classes,
        "palette": PALETTE[: len(classes)],
        "ignore_index": 255,
        "splits": {name: {"images": f"{name}/images", "masks": f"{name}/masks"} for name in splits},
    }
    (root / "dataset.yaml").write_text(yaml.safe_dump(content))


def found(root, **options):
    """The problems of a data set as (kind, names of the files)."""
    report = check(open_data(root), **options)
    return {(problem.kind, *(path.name for path in problem.files)) for problem in report.problems}


def test_sound_data_have_no_problems(good):
    report = check(open_data(good))
    assert report.problems == []
    report.raise_for_errors()
    assert "no problems in 8 images (train 4, val 2, test 2)" in str(report)


@pytest.fixture
def bad(good, save):
    """The sound data set with every kind of problem added, most of them twice or in different formats."""
    describe(good, CLASSES, ["train", "val", "test", "extra"])
    for folder in ("extra/images", "extra/masks"):
        (good / folder).mkdir(parents=True)
    train = "train/{}/{}"

    def add(stem, image, mask, suffix=".png", mask_suffix=".png", **options):
        save(train.format("images", stem + suffix), image, **options)
        save(train.format("masks", stem + mask_suffix), mask)

    def cut(name):
        (good / name).write_bytes((good / name).read_bytes()[:-300])

    save("train/images/unmasked.png", picture())
    save("val/masks/unmatched.png", labels())
    add("cut-image", picture(), labels(), suffix=".jpg")
    cut("train/images/cut-image.jpg")
    add("cut-mask", picture(), RANDOM.integers(0, 3, (64, 64)))
    cut("train/masks/cut-mask.png")
    add("both-broken", picture(), labels())
    (good / "train/images/both-broken.png").write_text("no image")
    (good / "train/masks/both-broken.png").write_bytes(b"")
    add("small", picture(), labels(12, 16))
    exif = Image.Exif()
    exif[0x0112] = 6
    add("turned", picture(24, 24), labels(24, 24), suffix=".jpg", exif=exif)
    wrong = labels()
    wrong[0, :5], wrong[1, :2] = 77, 200
    add("wrong", picture(), wrong)
    add("lossy", picture(), labels(), mask_suffix=".jpg")
    colours = np.array(PALETTE, np.uint8)[labels()]
    add("right-colours", picture(), colours)
    colours[0, :7] = (1, 2, 3)
    add("wrong-colours", picture(), colours)
    save("train/images/again.bmp", Image.open(good / "test/images/t.png"))
    save("train/masks/again.png", labels())
    return good


def test_every_kind_of_problem_is_found_at_once(bad):
    assert found(bad) == {
        (Kind.NO_MASK, "unmasked.png"),
        (Kind.UNMATCHED_MASK, "unmatched.png"),
        (Kind.UNREADABLE, "cut-image.jpg"),
        (Kind.UNREADABLE, "cut-mask.png"),
        (Kind.UNREADABLE, "both-broken.png"),
        (Kind.SIZE, "small.png"),
        (Kind.ROTATED, "turned.jpg"),
        (Kind.VALUE, "wrong.png"),
        (Kind.LOSSY, "lossy.jpg"),
        (Kind.COLOUR, "wrong-colours.png"),
        (Kind.IN_SEVERAL_SPLITS, "again.bmp", "t.png"),
        (Kind.ABSENT_CLASS,),
        (Kind.EMPTY,),
    }


def test_the_report_groups_problems_with_what_was_found_and_what_to_do(bad):
    text = str(check(open_data(bad)))
    for line in [
        "12 errors and 2 warnings in 19 images",
        "error: image without a mask (missing-masks): 1\n  train/images/unmasked.png\n  expected: a mask with the",
        "file that cannot be read (unreadable): 4",
        "train/masks/small.png: 16x12 (width x height) for an image of 32x24",
        "train/images/turned.jpg: orientation 6",
        "train/masks/wrong.png: values 77 (5 pixels), 200 (2 pixels)\n  expected: 0 to 3, 255 for void",
        "train/masks/wrong-colours.png: colour #010203 (7 pixels)",
        "train/images/again.bmp = test/images/t.png: the same pixels in train and test",
        "warning: class that never occurs (absent-classes): 1\n  'ghost'",
        "error: split without images (empty-splits): 1\n  split 'extra'",
    ]:
        assert line in text, line
    assert text.count("what to do: ") == len({kind for kind, *_ in found(bad)})


def test_refusing_says_the_same(bad):
    report = check(open_data(bad))
    with pytest.raises(DataError) as error:
        report.raise_for_errors()
    assert str(error.value) == report.format_problems()
    assert str(report).startswith(str(error.value))


def test_a_missing_image_in_a_list_is_found(tmp_path, save):
    save("JPEGImages/a.jpg", picture())
    save("SegmentationClass/a.png", labels())
    save("SegmentationClass/b.png", labels())
    (tmp_path / "ImageSets/Segmentation").mkdir(parents=True)
    (tmp_path / "ImageSets/Segmentation/train.txt").write_text("a\nb\nc")
    assert {(Kind.NO_IMAGE, "b.jpg"), (Kind.NO_IMAGE, "c.jpg")} <= found(tmp_path)


def test_a_second_mask_of_one_name_is_found(good, save):
    save("val/masks/v.tif", labels())
    assert found(good) == {(Kind.UNMATCHED_MASK, "v.tif")}
    assert "val/masks/v.tif: the image has another mask" in str(check(open_data(good)))


def test_two_images_of_one_name_have_one_mask(good, save):
    save("train/images/a.bmp", picture())
    assert found(good) == {(Kind.DUPLICATE_NAME, "a.bmp", "a.png")}


def test_a_problem_kind_lists_ten_files_and_json_has_all(good, save):
    for index in range(13):
        save(f"val/images/lonely{index:02}.png", picture())
    report = check(open_data(good))
    assert str(report).count("lonely") == 10
    assert "  and 3 more\n" in str(report)
    assert str(report.as_json()).count("lonely") == 13


def test_copies_are_found_by_their_pixels_not_their_bytes(good, save):
    save("val/images/copy.tif", Image.open(good / "train/images/a.png").convert("RGBA"))
    save("val/masks/copy.png", labels())
    assert found(good) == {(Kind.IN_SEVERAL_SPLITS, "a.png", "copy.tif")}
    near = np.array(Image.open(good / "train/images/a.png"))
    near[0, 0, 0] ^= 1
    save("val/images/copy.tif", near)
    assert found(good) == {(Kind.NEARLY_IN_SEVERAL_SPLITS, "a.png", "copy.tif")}


def test_the_same_pixels_in_another_shape_are_another_image(good, save):
    pixels = picture(8, 16)
    for split, shape in (("train", (8, 16)), ("val", (16, 8))):
        save(f"{split}/images/flat.png", pixels.reshape(*shape, 3))
        save(f"{split}/masks/flat.png", np.zeros(shape))
    assert found(good) == set()


def test_a_file_in_two_splits_is_found(good):
    describe(good, CLASSES[:3], ["train", "val", "test"])
    content = yaml.safe_load((good / "dataset.yaml").read_text())
    content["splits"]["val"] = content["splits"]["test"]
    (good / "dataset.yaml").write_text(yaml.safe_dump(content))
    assert found(good) == {(Kind.IN_SEVERAL_SPLITS, "t.png"), (Kind.IN_SEVERAL_SPLITS, "u.png")}


def test_only_the_splits_asked_for_are_read(bad):
    assert found(bad, splits=["test"]) == {(Kind.UNMATCHED_MASK, "unmatched.png"), (Kind.UNMEASURED_CLASS,)}
    with pytest.raises(DataError, match="has no split 'tset'"):
        check(open_data(bad), ["tset"])


def test_that_a_class_never_occurs_is_a_matter_of_all_splits(good, save):
    for stem in "vw":
        save(f"val/masks/{stem}.png", np.zeros((24, 32)))
    for splits in (None, ["val"], ["val", "test"]):
        (problem,) = check(open_data(good), splits).problems
        assert (problem.kind, problem.found) == (Kind.UNMEASURED_CLASS, "split 'val': sky, car")
    assert found(good, splits=["test"]) == set()


def test_black_tiles_in_two_splits_are_no_copies(good, save):
    for split in ("train", "val"):
        save(f"{split}/images/black.png", np.zeros((8, 8, 3)))
        save(f"{split}/masks/black.png", np.zeros((8, 8)))
    report = check(open_data(good))
    assert {problem.kind for problem in report.problems} == {Kind.ONE_COLOUR, Kind.FAINT}
    assert report.errors == []


@pytest.mark.parametrize("orientation", [0, 1, 2, 8, 9])
def test_only_orientations_that_mean_something_are_rotations(good, save, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    save("train/images/turned.jpg", picture(24, 24), exif=exif)
    save("train/masks/turned.png", labels(24, 24))
    assert found(good) == ({(Kind.ROTATED, "turned.jpg")} if orientation in (2, 8) else set())


@pytest.mark.parametrize(("stem", "kinds"), [("holiday", {Kind.ROTATED}), ("2007_000032", set())])
def test_ones_own_photographs_in_vocs_folders_are_judged_as_all_others(tmp_path, save, stem, kinds):
    exif = Image.Exif()
    exif[0x0112] = 6
    save(f"JPEGImages/{stem}.jpg", picture(24, 24), exif=exif)
    save(f"SegmentationClass/{stem}.png", labels(24, 24))
    (tmp_path / "ImageSets/Segmentation").mkdir(parents=True)
    (tmp_path / "ImageSets/Segmentation/train.txt").write_text(stem)
    assert {problem.kind for problem in check(open_data(tmp_path)).errors} == kinds


def test_a_split_that_is_void_everywhere_is_an_error(good, save):
    for stem in "vw":
        save(f"val/masks/{stem}.png", np.full((24, 32), 255))
    (error,) = check(open_data(good)).errors
    assert (error.kind, error.found) == (Kind.UNLABELLED, "split 'val': 1,536 pixels of void")
    assert "val" not in check(open_data(good), allow=["unlabelled"]).usable_data().splits


def test_each_error_can_be_allowed_and_what_cannot_be_used_is_left_out(bad):
    data = open_data(bad)
    kinds = {error.kind.word for error in check(data).errors}
    for kind in kinds:
        report = check(data, allow=[kind])
        assert {error.kind.word for error in report.errors} == kinds - {kind}
        assert f"warning, allowed: {KINDS[kind].title}" in str(report)
    report = check(data, allow=kinds)
    report.raise_for_errors()
    usable = report.usable_data()
    assert {split: [pair.image.stem for pair in pairs] for split, pairs in usable.splits.items()} == {
        "train": ["a", "again", "b", "c", "d", "right-colours", "turned"],
        "val": ["v", "w"],
        "test": ["t", "u"],
    }
    assert {error.kind for error in check(usable).errors} == {Kind.UNMATCHED_MASK, Kind.ROTATED}


def test_strict_takes_warnings_for_errors_but_for_those_that_are_allowed(good):
    describe(good, CLASSES, ["train", "val", "test"])
    assert [error.kind for error in check(open_data(good), strict=True).errors] == [Kind.ABSENT_CLASS]
    assert check(open_data(good), strict=True, allow=["absent-classes"]).errors == []
    assert check(open_data(good)).errors == []


def test_a_void_value_among_the_classes_is_named_where_a_class_is_absent_and_the_remedy_works(tmp_path, save):
    for stem in "ab":
        save(f"images/{stem}.png", picture())
        save(f"masks/{stem}.png", labels())
    splits = "splits: {train: {images: images, masks: masks}}\n"
    (tmp_path / "dataset.yaml").write_text(f"{splits}classes: [road, shadow, tree]\nignore_index: 1\n")
    (problem,) = check(open_data(tmp_path)).problems
    assert (problem.kind, problem.found) == (Kind.ABSENT_CLASS, "'tree'")
    assert "the value 1 is void, so 'shadow' has the value 2" in problem.remedy
    assert "If that is right" in problem.remedy
    values, void = problem.remedy.split("`")[5::2]
    (tmp_path / "dataset.yaml").write_text(f"{splits}{values}\n{void}\n")
    data = open_data(tmp_path)
    assert (check(data).problems, data.classes) == ([], ["road", "tree"])


def test_the_tools_own_division_is_never_an_error(tmp_path, save):
    same = picture()
    for stem in "abcdefgh":
        save(f"images/{stem}.png", same)
        save(f"masks/{stem}.png", labels())
    report = check(open_data(tmp_path), strict=True)
    assert {problem.kind for problem in report.problems} == {Kind.IN_SEVERAL_SPLITS, Kind.SMALL_SPLIT}
    assert report.errors == []


def test_an_unknown_kind_is_refused_with_the_nearest(good):
    with pytest.raises(ConfigError, match=r"allow: duplicate is not a kind of problem; did you mean duplicates\?"):
        check(open_data(good), allow=["duplicate"])


def test_warnings_are_said_in_one_line_a_kind(good):
    describe(good, CLASSES, ["train", "val", "test"])
    assert check(open_data(good)).format_warnings() == ["warning: class that never occurs (absent-classes): 'ghost'"]


def test_progress_counts_every_pair(good):
    steps = []
    check(open_data(good), progress=lambda done, of: steps.append((done, of)))
    assert steps == [(done, 8) for done in range(1, 9)]


@pytest.fixture
def counted(save, tmp_path):
    save("train/images/a.png", picture(2, 4))
    save("train/masks/a.png", [[0, 0, 0, 1], [0, 0, 255, 255]])
    save("train/images/b.png", picture(1, 4))
    save("train/masks/b.png", [[1, 1, 1, 1]])
    describe(tmp_path, CLASSES[:3], ["train"])
    return open_data(tmp_path)


def test_class_frequencies(counted):
    """By hand: a has 5 + 1 labelled pixels and 2 void, b has 4; class 1 is in both, class 2 in neither."""
    for pixels in (class_pixels(counted, "train"), check(counted).frequencies["train"]):
        assert pixels.pixels.tolist() == [5, 5, 0]
        assert pixels.image_pixels.tolist() == [6, 10, 0]
        assert pixels.images.tolist() == [1, 2, 0]
        assert pixels.void == 2
        assert pixels.pixels.dtype == np.int64


def test_class_frequencies_are_printed(counted):
    table = check(counted).format_frequencies().splitlines()
    assert table[1].split() == ["class", "train"]
    assert table[2].split() == ["road", "50.00%", "(1)"]
    assert table[4].split() == ["car", "0.00%", "(0)"]
    assert table[5].split()[:2] == ["void", "16.67%"]


def test_class_pixels_need_sound_masks(good, save):
    save("train/images/unmasked.png", picture())
    with pytest.raises(DataError, match=r"unmasked\.png: has no mask"):
        class_pixels(open_data(good), "train")


def test_camvid_is_sound(camvid):
    start = time.monotonic()
    report = check(open_data(camvid))
    assert report.problems == []
    assert time.monotonic() - start < 60
    assert sum(report.frequencies["test"].pixels) + report.frequencies["test"].void == 233 * 360 * 480


def test_isbi_is_sound_and_a_copy_across_splits_is_not(isbi, tmp_path):
    shutil.copytree(isbi, tmp_path / "copy")
    assert found(tmp_path / "copy") == set()
    for folder in ("images", "masks"):
        first = min((tmp_path / "copy" / folder / "train").iterdir())
        shutil.copy(first, tmp_path / "copy" / folder / "test" / "again.png")
    assert {kind for kind, *_ in found(tmp_path / "copy")} == {Kind.IN_SEVERAL_SPLITS}


@pytest.fixture
def of_arrays(tmp_path):
    """A data set of one split whose images are these arrays, (H, W) or (bands, H, W), as TIFF files."""
    import tifffile

    def write(*images):
        for kind in ("images", "masks"):
            (tmp_path / kind / "train").mkdir(parents=True)
        for number, image in enumerate(images):
            planes = "separate" if image.ndim == 3 else None
            path = tmp_path / f"images/train/{number}.tif"
            tifffile.imwrite(path, image, photometric="minisblack", planarconfig=planes)
            mask = Image.fromarray(np.indices(image.shape[-2:]).sum(0).astype(np.uint8) % 2)
            mask.save(tmp_path / f"masks/train/{number}.png")
        return {(problem.kind, problem.files[0].name, problem.found) for problem in check(open_data(tmp_path)).problems}

    return write


def noise_between(low, high, dtype=np.uint8, bands=()):
    return np.random.default_rng(0).integers(low, high, (*bands, 20, 20)).astype(dtype)


def test_images_of_which_a_network_sees_nothing_are_named(of_arrays):
    found = of_arrays(noise_between(0, 200), noise_between(0, 3), noise_between(253, 256), noise_between(90, 99))
    assert found == {(Kind.FAINT, "1.tif", "nearly black"), (Kind.FAINT, "2.tif", "nearly white")}


def test_sixteen_bit_images_are_faint_beside_the_others_not_by_their_type(of_arrays):
    usual = [noise_between(700 + i, 900 + i, np.uint16) for i in range(6)]
    assert of_arrays(*usual, noise_between(20, 30, np.uint16)) == {(Kind.FAINT, "6.tif", "nearly black")}


def test_values_that_stand_for_missing_data_without_being_declared_are_named(of_arrays):
    """As -9999 in a whole band of a Sentinel-2 tile, which would stretch its range over 10,000 values of nothing."""
    usual = noise_between(0, 4000, np.int16, bands=(3,))
    band, measured = usual.copy(), usual.copy()
    band[1] = -9999
    measured[0, :9, :9] = -999  # near other values below 0
    measured[0, 9:] -= 2000
    found = of_arrays(usual, band, measured)
    assert found == {(Kind.FILL, "1.tif", "-9999 in band 2 (in 100.0% of its pixels or more)")}


def test_the_lowest_number_of_a_type_is_no_measurement(of_arrays):
    corner = noise_between(0, 9, np.float32)
    corner[:9, :9] = np.finfo(np.float32).min
    found = of_arrays(noise_between(0, 8, np.float32), corner)
    assert (Kind.FILL, "1.tif", "-3.40282e+38 in band 1 (in 10.0% of its pixels or more)") in found


def test_images_without_data_are_named(of_arrays):
    found = of_arrays(noise_between(0, 9, np.float32), np.full((20, 20), np.nan, np.float32))
    assert {(kind, name) for kind, name, _ in found} == {(Kind.NO_DATA, "1.tif")}


def test_images_of_other_bands_or_another_type_than_most_are_named(of_arrays):
    four = noise_between(0, 255, bands=(4,))
    found = of_arrays(noise_between(0, 255), noise_between(0, 250), four, noise_between(0, 99, np.uint16))
    assert found == {
        (Kind.UNLIKE, "2.tif", "4 bands of type uint8"),
        (Kind.UNLIKE, "3.tif", "1 band of type uint16"),
    }
