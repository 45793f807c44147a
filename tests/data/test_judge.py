"""Masks whose values are no classes are named as what they are; masks of classes are not doubted."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from fullyconv.data import check, open_data
from fullyconv.data.checks.kinds import Kind
from fullyconv.data.pairs import read_labels
from fullyconv.errors import DataError

SIDE = 96
RANDOM = np.random.default_rng(0)


def discs(count, seed, side=SIDE, first=1):
    """The numbers of ``count`` discs that do not overlap, in raster order, int32 (side, side)."""
    random = np.random.default_rng(seed)
    across = int(np.ceil(count**0.5))
    cell = side // across
    rows, columns = np.mgrid[:side, :side]
    mask = np.zeros((side, side), np.int32)
    for number in range(count):
        row, column = (divmod(number, across)[i] * cell + cell // 2 for i in (0, 1))
        radius = cell // 2 - 1 - random.integers(0, max(1, cell // 8))
        mask[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = first + number
    return mask


def scene(seed, classes, side=SIDE):
    """Rectangles of random classes over each other, class 0 behind them."""
    random = np.random.default_rng(seed)
    mask = np.zeros((side, side), np.uint8)
    for _ in range(random.integers(3, 12)):
        top, left = random.integers(0, side - 20, 2)
        height, width = random.integers(8, 40, 2)
        mask[top : top + height, left : left + width] = random.integers(0, classes)
    return mask


def smooth(mask, colours, times=4):
    """A mask drawn in colours, ``times`` as large, and scaled down with smoothing."""
    large = np.array(colours, np.uint8)[mask.repeat(times, 0).repeat(times, 1)].squeeze()
    before = [(times // 2, 0)] * 2 + [(0, 0)] * (large.ndim - 2)  # so that edges are not at pixels' edges
    moved = np.pad(large, before, mode="edge")[: large.shape[0], : large.shape[1]]
    return np.asarray(Image.fromarray(moved).resize(mask.shape[::-1], Image.Resampling.BOX))


@pytest.fixture
def saved(tmp_path, save):
    """Write masks, each with an image of its own, in folders without a descriptor; their folder."""

    def write(masks, dtype=np.uint8, **options):
        for place, mask in enumerate(masks):
            height, width = np.shape(mask)[:2]
            save(f"images/{place}.png", RANDOM.integers(0, 256, (height, width, 3)))
            save(f"masks/{place}.png", mask, dtype, **options)
        return tmp_path

    return write


def describe(root, text):
    """Write a descriptor with these lines beside the folders."""
    (root / "dataset.yaml").write_text(f"splits: {{train: {{images: images, masks: masks}}}}\n{text}\n")


def kinds(root):
    return {problem.kind for problem in check(open_data(root)).problems} - {Kind.SMALL_SPLIT, Kind.UNMEASURED_CLASS}


def test_numbers_of_a_few_objects_are_named_and_can_be_allowed(saved):
    root = saved([discs(count, count) for count in (10, 7, 9, 4, 8, 10, 6)])
    (error,) = check(open_data(root)).errors
    assert error.kind is Kind.OBJECT_IDS
    assert error.found.startswith("4 to 10 values per mask besides the background")
    assert check(open_data(root), allow=["object-ids"]).errors == []


def test_numbers_with_gaps_in_two_masks_are_named(saved):
    """As in crops of a larger picture of cells."""
    ids = np.random.default_rng(0).permutation(np.arange(1, 200))[:100].reshape(2, 5, 10)
    root = saved([np.kron(own, np.pad(np.ones((6, 6), int), 1)) for own in ids], np.uint16)
    with pytest.raises(DataError, match="masks that number objects, not classes"):
        open_data(root)


def test_numbers_of_some_objects_with_few_gaps_are_named(saved):
    """As of cells that are followed through a film: those that left it leave gaps."""
    masks = [discs(count, count, 120) for count in (30, 24, 28, 22)]
    assert Kind.OBJECT_IDS in kinds(saved([np.where(np.isin(mask, (2, 7)), 0, mask) for mask in masks]))


def test_parts_of_which_some_are_missing_are_not_doubted(saved):
    """As of bodies in 24 parts."""
    masks = [discs(24, seed, 120) for seed in range(5)]
    masks = [np.where(np.isin(mask, (3 + place, 24 - place % 3)), 0, mask) for place, mask in enumerate(masks)]
    assert Kind.OBJECT_IDS not in kinds(saved(masks))


def test_numbers_of_objects_are_named_where_some_masks_have_few(saved):
    """As of a film in which cells divide: the first masks' numbers could be classes, the last ones' could not."""
    root = saved([discs(count, count, 240) for count in (40, 55, 200, 260)], np.uint16)
    with pytest.raises(DataError, match="masks that number objects, not classes"):
        open_data(root)


@pytest.mark.parametrize("described", [True, False])
def test_numbers_of_hundreds_of_objects_are_named_and_the_remedy_works(saved, described):
    root = saved([discs(count, count, 240) for count in (460, 380, 420)], np.uint16)
    if described:
        describe(root, "classes: [background, cell]")
        found = kinds(root)
        assert found == {Kind.VALUE, Kind.OBJECT_IDS}
    else:
        with pytest.raises(DataError, match="masks that number objects, not classes") as refused:
            open_data(root)
        assert "`values: {0: background, 1: object}` and `nearest: true`" in str(refused.value)
    describe(root, "values: {0: background, 1: object}\nnearest: true\nvoid: 255")
    data = open_data(root)
    assert check(data).problems == []
    assert data.legend() == ["0: background · 1: object · 255: void", "any other takes the nearest of these"]
    for pair in data.split("train"):
        mask = np.asarray(Image.open(pair.mask))
        assert (read_labels(pair, data.codes) == np.where(mask == 255, 255, mask > 0)).all()


def test_numbers_that_go_on_from_mask_to_mask_and_colours_of_objects_are_named(saved):
    masks = [discs(9, place, first=1 + 9 * place) for place in range(6)]
    root = saved(masks)
    assert Kind.OBJECT_IDS in kinds(root)
    colours = np.vstack([np.zeros((1, 3), int), RANDOM.integers(30, 256, (60, 3))])
    saved([colours[mask] for mask in masks])
    assert Kind.OBJECT_IDS in kinds(root)


@pytest.mark.parametrize("seed", range(4))
def test_scenes_of_classes_are_not_doubted(saved, seed):
    classes = (3, 5, 9, 21)[seed]
    masks = [scene(10 * seed + place, classes) for place in range(8)]
    assert not {Kind.OBJECT_IDS, Kind.SMOOTHED, Kind.GREY_LABELS} & kinds(saved(masks))


def test_parts_that_lie_in_one_place_in_each_image_are_not_doubted(saved):
    """As of a face or a body: each class is in one place, and the same ones are in every image."""
    assert Kind.OBJECT_IDS not in kinds(saved([discs(9, seed) for seed in range(8)]))


def test_borders_of_void_around_objects_are_no_smoothing(saved):
    masks = []
    for seed in range(5):
        mask = np.where(scene(seed, 6) > 2, 3, 0).astype(np.uint8)
        edge = np.zeros(mask.shape, bool)
        edge[:-1] |= mask[:-1] != mask[1:]
        edge[:, :-1] |= mask[:, :-1] != mask[:, 1:]
        mask[edge] = 255
        masks.append(mask)
    assert kinds(saved(masks)) <= {Kind.ABSENT_CLASS}


def test_thin_classes_whose_colours_lie_between_others_are_no_smoothing(saved):
    """Wires and poles in two colours of VOC's that lie between those of ground and roof."""
    masks = []
    for seed in range(4):
        picture = Image.fromarray(np.array([[0, 0, 0], [192, 0, 0]], np.uint8)[scene(seed, 2)])
        draw = ImageDraw.Draw(picture)
        for place, colour in enumerate([(64, 0, 0), (128, 0, 0)]):
            draw.line([(0, 10 + 30 * place), (SIDE, 20 + 30 * place)], fill=colour, width=2)
        masks.append(np.asarray(picture))
    assert kinds(saved(masks)) == set()


@pytest.mark.parametrize(
    ("values", "lines"),
    [
        ([0, 32, 64, 96, 128, 160, 192, 224, 255], "224: class_7, 255: class_8}`"),
        ([0, 85, 170, 255], "values: {0: background, 85: class_1, 170: class_2, 255: class_3}`"),
        ([0, 20, 40, 255], "values: {0: background, 20: class_1, 40: class_2}, void: 255`"),
        ([0, 128], "values: {0: background, 128: class_1}`"),
        ([10, 20, 30], "values: {10: background, 20: class_1, 30: class_2}`"),
    ],
)
def test_labels_written_as_greys_are_named_with_lines_to_paste(saved, values, lines):
    root = saved([np.array(values)[scene(seed, len(values))] for seed in range(6)])
    with pytest.raises(DataError, match="classes are written as greys") as refused:
        open_data(root)
    assert lines in str(refused.value)
    pasted = str(refused.value).split("`")[1].replace(", void", "\nvoid")
    describe(root, pasted)
    data = open_data(root)
    assert check(data).errors == []
    place = {value: label for label, value in enumerate(v for v in values if f"{v}:" in pasted)}
    pair = data.split("train")[0]
    truth = np.vectorize(lambda value: place.get(value, 255))(np.asarray(Image.open(pair.mask)))
    assert (read_labels(pair, data.codes) == truth).all()


def test_values_that_a_description_does_not_have_are_listed_with_lines_to_paste(saved):
    root = saved([np.array([1, 2, 4])[scene(seed, 3)] for seed in range(4)])
    describe(root, "classes: [road, car, tree]")
    problem = next(problem for problem in check(open_data(root)).problems if problem.kind is Kind.VALUE)
    assert "`values: {1: road, 2: car, 4: tree}`" in problem.remedy
    describe(root, "values: {1: road, 2: car, 4: tree}")
    assert check(open_data(root)).errors == []


@pytest.mark.parametrize("colours", [[(0, 0, 0), (255, 0, 0)], [(0, 0, 0), (0, 128, 0), (200, 200, 0)], [(0,), (255,)]])
@pytest.mark.parametrize("times", [2, 5])
def test_smoothed_edges_are_named_and_the_remedy_works(saved, colours, times):
    truths = [scene(seed, len(colours), 64) for seed in range(6)]
    root = saved([smooth(truth, colours, times) for truth in truths])
    with pytest.raises(DataError, match="masks with smoothed edges") as refused:
        open_data(root)
    assert "without anti-aliasing" in str(refused.value)
    pasted = str(refused.value).split("`")[1]
    classes = f"classes: {[f'class_{i}' for i in range(len(colours))]}\n" if pasted.startswith("palette") else ""
    describe(root, f"{classes}{pasted}\nnearest: true")
    data = open_data(root)
    assert check(data).errors == []
    pairs = data.split("train")
    agree = [(read_labels(pair, data.codes) == truths[int(pair.image.stem)]).mean() for pair in pairs]
    assert min(agree) > 0.75


def test_in_a_described_data_set_smoothed_edges_are_the_reason_beside_the_unknown_colours(saved):
    colours = [(0, 0, 0), (255, 0, 0)]
    root = saved([smooth(scene(seed, 2), colours) for seed in range(4)])
    describe(root, f"classes: [a, b]\npalette: {[list(colour) for colour in colours]}")
    assert kinds(root) == {Kind.COLOUR, Kind.SMOOTHED}


def objects(save, name):
    """Save five images with a mask for each of their three to seven objects; where the objects of each image are."""
    truths = {}
    for place in range(5):
        mask = discs(3 + place, place, 60)
        save(f"images/im-{place}.png", RANDOM.integers(0, 256, (60, 60, 3)))
        for number in range(1, 4 + place):
            save(name(f"im-{place}", number), 255 * (mask == number))
        truths[f"im-{place}"] = mask > 0
    return truths


def test_one_mask_for_each_object_is_one_problem_and_the_remedy_works(tmp_path, save):
    truths = objects(save, lambda image, number: f"masks/{image}_{number}.png")
    report = check(open_data(tmp_path))
    assert {error.kind for error in report.errors} == {Kind.OBJECT_MASKS}
    assert report.errors[0].found == "25 masks for 5 images, such as im-4_1.png and im-4_2.png for im-4.png"
    assert len(str(report).splitlines()) < 40
    data = open_data(tmp_path, "object-masks-by-name")
    assert check(data).errors == []
    for pair in data.split("train"):
        assert (read_labels(pair, data.codes) == truths[pair.image.stem]).all()


@pytest.mark.parametrize("name", ["masks/{0}/{1}.png", "{0}/masks/{0}{1}.png", "stage1_train/{0}/masks/{1}.png"])
def test_a_folder_of_masks_for_each_image_is_opened_as_their_union(tmp_path, save, name):
    truths = objects(save, name.format)
    if not name.startswith("masks"):
        for image in (tmp_path / "images").iterdir():
            place = (tmp_path / name.format(image.stem, 1)).parent.parent / "images" / image.name
            place.parent.mkdir()
            image.rename(place)
        (tmp_path / "images").rmdir()
    data = open_data(tmp_path)
    assert (data.layout, data.classes) == ("object-masks", ["background", "foreground"])
    assert data.notes == ["25 masks of 5 images are read as one object each; what they cover is foreground"]
    assert data.divided
    assert check(data).errors == []
    pairs = [pair for pairs in data.splits.values() for pair in pairs]
    assert len(pairs) == 5
    for pair in pairs:
        assert (read_labels(pair, data.codes) == truths[pair.image.stem]).all()


def test_a_second_mask_for_some_images_is_no_mask_of_objects(tmp_path, saved, save):
    root = saved([scene(seed, 3) for seed in range(8)])
    for place in range(3):
        save(f"masks/{place}_old.png", scene(place, 3))
    assert Kind.OBJECT_MASKS not in kinds(root)
    assert Kind.UNMATCHED_MASK in kinds(root)
