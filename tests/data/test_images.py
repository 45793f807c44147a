"""Every form of image is read as uint8 (channels, H, W)."""

import numpy as np
import pytest
from PIL import Image

from fullyconv.data.images import list_images, read_image, write_image
from fullyconv.errors import ConfigError, DataError

RGB = np.random.default_rng(0).integers(0, 256, (3, 5, 3), np.uint8)
GREY = RGB[..., 0]


def test_rgb_pixels_are_as_stored(save):
    pixels = read_image(save("a.png", RGB))
    assert pixels.dtype == np.uint8
    assert pixels.shape == (3, 3, 5)
    assert np.array_equal(pixels, RGB.transpose(2, 0, 1))


def test_what_is_too_large_to_be_read_whole_is_refused(save, monkeypatch):
    path = save("a.png", RGB)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 7)
    with pytest.raises(DataError, match=r"a\.png: is larger than the 14 pixels that are read whole"):
        read_image(path)


def test_grey_is_repeated_over_rgb(save):
    assert np.array_equal(read_image(save("a.png", GREY)), np.stack([GREY] * 3))


def test_grey_stays_one_channel_when_asked(save):
    assert np.array_equal(read_image(save("a.png", GREY), channels=1), GREY[None])


def test_rgb_becomes_luma(save):
    luma = RGB @ np.array([0.299, 0.587, 0.114])
    assert np.abs(read_image(save("a.png", RGB), channels=1)[0] - luma).max() <= 1


def test_transparency_is_dropped_not_blended(save):
    path = save("a.png", np.dstack([RGB, np.zeros_like(GREY)]))
    assert np.array_equal(read_image(path), RGB.transpose(2, 0, 1))
    assert np.array_equal(read_image(path, channels=4)[3], np.zeros_like(GREY))


def test_missing_transparency_is_opaque(save):
    assert (read_image(save("a.png", RGB), channels=4)[3] == 255).all()


def test_grey_with_transparency(save):
    image = Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(GREY // 2)])
    assert np.array_equal(read_image(save("a.png", image)), np.stack([GREY] * 3))


def test_sixteen_bits_map_the_whole_range_onto_eight(save):
    path = save("a.png", [[0, 257, 25700, 65535]], np.uint16)
    assert read_image(path, channels=1).tolist() == [[[0, 1, 100, 255]]]
    assert np.array_equal(read_image(save("a.tif", [[0, 65535]], np.uint16), 1), [[[0, 255]]])


def test_palette_images_give_their_colours(save):
    image = Image.fromarray(RGB).quantize(15)
    expected = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    assert np.array_equal(read_image(save("a.png", image)), expected)
    assert np.array_equal(read_image(save("b.png", image, transparency=0)), expected)


def test_one_bit_images_are_black_and_white(save):
    image = Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1")
    assert read_image(save("a.png", image), channels=1).tolist() == [[[0, 255]]]


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "tiff", "webp"])
def test_lossless_formats(save, suffix):
    options = {"lossless": True} if suffix == "webp" else {}
    assert np.array_equal(read_image(save(f"a.{suffix}", RGB, **options)), RGB.transpose(2, 0, 1))


@pytest.mark.parametrize("suffix", ["jpg", "jpeg"])
def test_jpeg(save, suffix):
    flat = np.full((16, 16, 3), 100, np.uint8)
    assert np.abs(read_image(save(f"a.{suffix}", flat)).astype(int) - 100).max() <= 2


def test_exif_orientation_is_not_applied(save):
    exif = Image.Exif()
    exif[0x0112] = 6
    assert read_image(save("a.jpg", RGB, exif=exif)).shape == (3, 3, 5)


def test_hidden_and_other_files_are_not_images(save, tmp_path):
    for name in ("b.PNG", "a.jpg", ".hidden.png", "._a.jpg"):
        save(name, RGB)
    (tmp_path / "Thumbs.db").touch()
    assert [path.name for path in list_images(tmp_path)] == ["a.jpg", "b.PNG"]
    assert list_images(tmp_path / "nowhere") == []


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif"])
def test_a_truncated_file_is_named(save, suffix):
    path = save(f"cut.{suffix}", np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=rf"cut\.{suffix}: cannot be read as an image"):
        read_image(path)


def test_what_is_no_image_is_named(tmp_path):
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "empty.png").touch()
    for name in ("text.png", "empty.png"):
        with pytest.raises(DataError, match=f"{name}: cannot be read as an image"):
            read_image(tmp_path / name)
    with pytest.raises(DataError, match=r"gone\.png: there is no such file"):
        read_image(tmp_path / "gone.png")


def test_a_stack_of_images_is_refused(save):
    page = Image.fromarray(GREY)
    path = save("stack.tif", page, save_all=True, append_images=[page, page])
    with pytest.raises(DataError, match=r"stack\.tif: holds 3 images"):
        read_image(path)


def test_floating_point_is_refused(save):
    with pytest.raises(DataError, match=r"a\.tif: has values from 0.0 to 0.5 \(mode F\)"):
        read_image(save("a.tif", [[0, 0.5]], np.float32))


def test_other_channel_counts_are_refused(save):
    with pytest.raises(ConfigError, match="channels is 2; images can be read with 1"):
        read_image(save("a.png", RGB), channels=2)


@pytest.fixture
def room_for_20_000_bytes():
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_a_picture_that_has_no_room_is_told_and_leaves_nothing(tmp_path, room_for_20_000_bytes, name):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8))
    with pytest.raises(OSError, match=f"File too large: .*{name}"):
        write_image(tmp_path / name, picture)
    assert not list(tmp_path.iterdir())


def test_formats_whose_decoders_start_programs_are_not_opened(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n")
    with pytest.raises(DataError, match="no known format"):
        read_image(path)
