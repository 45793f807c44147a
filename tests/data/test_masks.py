"""Every form of mask is read as class indices, with IGNORE where there is no class."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fullyconv.data.images.headers import is_lossy
from fullyconv.data.masks import IGNORE, MaskCode, read_mask, to_labels
from fullyconv.errors import DataError

RED, GREEN, BLACK, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 0), (255, 255, 255)


def palette_image(indices, colours) -> Image.Image:
    image = Image.fromarray(np.asarray(indices, np.uint8), "P")
    image.putpalette([channel for colour in colours for channel in colour])
    return image


def test_index_masks_of_every_depth(save):
    code = MaskCode(3)
    indices = [[0, 1], [2, 1]]
    files = [
        save("l.png", indices),
        save("p.png", palette_image(indices, [RED, GREEN, BLACK])),
        save("i16.png", indices, np.uint16),
        save("i32.tif", indices, np.int32),
        save("grey-as-rgb.png", np.stack([indices] * 3, axis=-1)),
    ]
    assert [Image.open(path).mode for path in files] == ["L", "P", "I;16", "I", "RGB"]
    for path in files:
        labels = read_mask(path, code)
        assert labels.dtype == np.uint8
        assert labels.tolist() == indices, path.name


def test_transparency_is_the_mask_where_there_is_one_colour(save):
    path = save("a.png", [[(7, 7, 7, 0), (7, 7, 7, 255), (7, 7, 7, 255)]])
    assert Image.open(path).mode == "RGBA"
    assert read_mask(path, MaskCode(2)).tolist() == [[0, 1, 1]]


def test_transparency_that_follows_the_colours_is_dropped_and_else_refused(save):
    code = MaskCode(2, colours={BLACK: 0, RED: 1})
    for alpha in (0, 255, 128):
        path = save(f"{alpha}.png", [[(*BLACK, alpha), (*RED, 255), (*RED, 255)]])
        assert read_mask(path, code).tolist() == [[0, 1, 1]]
    path = save("both.png", [[(*BLACK, 0), (*BLACK, 255), (*RED, 255)]])
    with pytest.raises(DataError, match=r"both\.png: has colours that are transparent in some places and opaque"):
        read_mask(path, code)


def test_one_bit_masks_hold_0_and_1_whatever_the_number_of_classes(save):
    path = save("a.png", Image.fromarray(np.array([[False, True]])))
    assert Image.open(path).mode == "1"
    assert read_mask(path, MaskCode(5)).tolist() == [[0, 1]]


@pytest.mark.parametrize("ignore_index", [11, 255, 30])
def test_void_becomes_ignore(save, ignore_index):
    path = save("a.png", [[0, 10, ignore_index]])
    assert read_mask(path, MaskCode(11, ignore_index)).tolist() == [[0, 10, IGNORE]]


def test_void_of_sixteen_bits(save):
    assert read_mask(save("a.png", [[1, 65535]], np.uint16), MaskCode(3, 65535)).tolist() == [[1, IGNORE]]


@given(classes=st.integers(1, 254), ignore_index=st.integers(0, 255) | st.none())
def test_values_count_the_classes_and_step_over_void(classes, ignore_index):
    values = [value for value in range(256) if value != ignore_index][:classes]
    labels, unknown = to_labels(Image.fromarray(np.array([values], np.uint8)), MaskCode(classes, ignore_index))
    assert labels.tolist() == [list(range(classes))]
    assert unknown == []


def test_the_label_of_void_is_never_a_class():
    labels, _ = to_labels(Image.fromarray(np.array([[254]], np.uint8)), MaskCode(255))
    assert labels.tolist() == [[254]]
    with pytest.raises(DataError, match="the masks have 256 classes; expected at most 255"):
        MaskCode(256)


def test_two_classes_may_be_0_and_255_or_one_bit(save):
    code = MaskCode(2)
    assert read_mask(save("a.png", [[0, 255]]), code).tolist() == [[0, 1]]
    assert read_mask(save("b.png", Image.fromarray(np.array([[False, True]]))), code).tolist() == [[0, 1]]
    assert read_mask(save("c.png", [[0, 1]]), code).tolist() == [[0, 1]]
    assert read_mask(save("d.png", [[BLACK, WHITE]]), code).tolist() == [[0, 1]]


def test_255_is_void_for_two_classes_when_said_so(save):
    assert read_mask(save("a.png", [[0, 1, 255]]), MaskCode(2, 255)).tolist() == [[0, 1, IGNORE]]


def test_255_beside_0_and_1_is_no_class_unless_said_so(save):
    with pytest.raises(DataError, match=r"value 255 \(1 pixel\)"):
        read_mask(save("a.png", [[0, 1, 255]]), MaskCode(2))


def test_colour_masks_are_read_by_the_palette(save):
    code = MaskCode(2, colours={RED: 0, GREEN: 1, BLACK: IGNORE})
    assert read_mask(save("a.png", [[GREEN, RED, BLACK]]), code).tolist() == [[1, 0, IGNORE]]
    assert read_mask(save("b.png", [[(*GREEN, 9), (*RED, 0)]]), code).tolist() == [[1, 0]]  # RGBA
    assert read_mask(save("c.png", [[1, 0]]), code).tolist() == [[1, 0]]  # beside them, an index mask


def test_masks_whose_palettes_differ_are_read_by_colour(save):
    code = MaskCode(3, colours={BLACK: 0, GREEN: 1, RED: 2}, by_colour=True)
    one = save("a.png", palette_image([[0, 1]], [BLACK, RED]))
    other = save("b.png", palette_image([[0, 1]], [GREEN, BLACK]))
    grey = save("c.png", [[0]])
    assert [read_mask(path, code).tolist() for path in (one, other, grey)] == [[[0, 2]], [[1, 0]], [[0]]]


@given(st.data())
def test_many_colours_are_told_apart(data):
    """Against a dictionary, pixel by pixel, for palettes of nearby colours and unknown ones between them."""
    near = st.tuples(*[st.integers(0, 3)] * 3)
    palette = data.draw(st.lists(near, min_size=1, max_size=20, unique=True))
    pixels = data.draw(st.lists(near, min_size=1, max_size=20))
    known = {colour: label for label, colour in enumerate(palette)}
    image = Image.fromarray(np.array([pixels], np.uint8))
    labels, unknown = to_labels(image, MaskCode(len(palette), colours=known))
    assert labels.tolist() == [[known.get(colour, IGNORE) for colour in pixels]]
    assert dict(unknown) == {c: pixels.count(c) for c in pixels if c not in known}


def test_values_outside_the_classes_are_listed_with_their_pixels(save):
    path = save("wrong.png", [[0, 7, 7, 200]])
    with pytest.raises(DataError) as error:
        read_mask(path, MaskCode(5, 255))
    assert "wrong.png: holds values 7 (2 pixels), 200 (1 pixel)" in str(error.value)
    assert "expected 0 to 4, 255 for void" in str(error.value)


def test_values_beyond_sixteen_bits_and_below_zero_are_listed(save):
    with pytest.raises(DataError, match=r"values -1 \(1 pixel\), 70000 \(1 pixel\)"):
        read_mask(save("a.tif", [[0, -1, 70000]], np.int32), MaskCode(5))


def test_only_the_most_frequent_unknown_values_are_listed(save):
    with pytest.raises(DataError, match=r"values 5 \(1 pixel\),.* and 15 more"):
        read_mask(save("a.png", [list(range(25))]), MaskCode(5))


def test_colours_outside_the_palette_are_listed(save):
    path = save("a.png", [[RED, GREEN, GREEN]])
    with pytest.raises(DataError, match=r"colour #00ff00 \(2 pixels\)"):
        read_mask(path, MaskCode(2, colours={RED: 0, BLACK: 1}))
    with pytest.raises(DataError, match="colours #00ff00"):
        read_mask(path, MaskCode(2))


@pytest.mark.parametrize("dtype", ["uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"])
@pytest.mark.parametrize("georeferenced", [False, True])
def test_masks_in_tiffs_of_every_type(tmp_path, dtype, georeferenced):
    tifffile = pytest.importorskip("tifffile")
    tags = [(33550, 12, 3, (1.0, 1.0, 0.0), True)] if georeferenced else []
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, 1], [2, 255]], dtype), extratags=tags)
    assert read_mask(tmp_path / "a.tif", MaskCode(3, 255)).tolist() == [[0, 1], [2, IGNORE]]


def test_floating_point_masks_are_read_where_they_hold_whole_numbers(save):
    assert read_mask(save("a.tif", [[0, 1, 0]], np.float32), MaskCode(2)).tolist() == [[0, 1, 0]]
    for value in (0.5, np.nan, np.inf):
        with pytest.raises(DataError, match=r"b\.tif: holds values that are not whole numbers"):
            read_mask(save("b.tif", [[0, value]], np.float32), MaskCode(2))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.jpg", {"quality": 95}),
        ("a.webp", {"quality": 90}),
        ("a.webp", {"quality": 90, "exif": b"Exif\0\0" + bytes(20)}),
        ("a.webp", {"lossless": True}),
        ("a.webp", {"lossless": True, "icc_profile": b"profile"}),
        ("a.avif", {"quality": 80}),
        ("a.jp2", {"irreversible": True, "quality_mode": "dB", "quality_layers": [50]}),
        ("a.j2k", {"irreversible": True, "quality_mode": "dB", "quality_layers": [50]}),
        ("a.jp2", {}),
        ("a.j2k", {}),
        ("a.png", {}),
        ("a.tif", {"compression": "tiff_lzw"}),
        ("a.tif", {"compression": "jpeg", "quality": 90}),
        ("b.tif", {"compression": "webp", "webp_level": 90}),
        ("b.tif", {"compression": "webp", "webp_lossless": True}),
    ],
)
@pytest.mark.filterwarnings("ignore:.*:UserWarning:PIL")
def test_a_file_is_told_as_lossy_exactly_if_it_changed_what_was_drawn(tmp_path, name, options):
    drawn = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    path = tmp_path / name
    if name == "b.tif":
        rasterio = pytest.importorskip("rasterio")
        with rasterio.open(path, "w", driver="GTiff", width=32, height=24, count=3, dtype="uint8", **options) as file:
            file.write(drawn.transpose(2, 0, 1))
    else:
        Image.fromarray(drawn).save(path, **options)
    with Image.open(path) as opened:
        changed = not np.array_equal(np.asarray(opened.convert("RGB")), drawn)
    assert is_lossy(path) == changed
    content = path.read_bytes()
    for size in range(0, min(len(content), 120), 9):  # nothing is raised for damaged files
        path.write_bytes(content[:size])
        is_lossy(path)
