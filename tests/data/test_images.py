"""Pictures of every usual form are read as uint8 (channels, H, W)."""

from contextlib import suppress

import numpy as np
import pytest
from PIL import Image
from PIL.ImageFile import ImageFile

from fullyconv.data import open_data
from fullyconv.data.contents import read_image_content
from fullyconv.data.images import source
from fullyconv.data.images.files import list_images, write_image
from fullyconv.data.images.gdal import GdalFile
from fullyconv.data.images.planes import read_planes
from fullyconv.data.images.read import read_image, read_pixels
from fullyconv.data.masks import open_mask
from fullyconv.errors import DataError

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
    with pytest.raises(DataError, match=r"a\.png: has more than 14 pixels"):
        read_image(path)


@pytest.mark.parametrize("kind", ["png", "jpg", "bmp", "plain.tif", "deep.tif"])
@pytest.mark.parametrize("read", [read_image, lambda path: open_mask(path, None), read_planes, read_image_content])
def test_what_memory_does_not_hold_is_refused_before_it_is_decoded(tmp_path, monkeypatch, kind, read):
    """Whatever decodes it and whoever asks: pixels are counted by what the file's head says."""
    path, deep = tmp_path / f"a.{kind}", kind == "deep.tif"
    if deep:
        pytest.importorskip("rasterio")
    Image.fromarray(np.ones((40, 50), np.uint16 if deep else np.uint8)).save(path)
    monkeypatch.setattr(source, "ALWAYS", 1000)
    monkeypatch.setattr(source, "SHARE", 1)
    monkeypatch.setattr(source, "_memory_left", lambda: 20_000)
    with suppress(DataError):  # 8 bits are no depth
        read(path)
    monkeypatch.setattr(source, "_memory_left", lambda: 10_000)
    monkeypatch.setattr(GdalFile, "_read", lambda *_: pytest.fail("it was decoded"))
    monkeypatch.setattr(ImageFile, "load", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(DataError, match=r"a\.\S+: reading its 2,000 pixels at once needs 0\.0 GiB"):
        read(path)


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


def test_pixels_of_no_opacity_hold_no_data_unless_alpha_is_a_channel(save):
    alpha = np.array([[0, 1, 255, 0, 9]] * 3, np.uint8)
    path = save("a.png", np.dstack([RGB, alpha]))
    assert np.array_equal(read_pixels(path).valid, alpha > 0)
    assert read_pixels(path, channels=4).valid is None
    assert read_pixels(save("b.png", np.dstack([RGB, np.maximum(alpha, 1)]))).valid is None


@pytest.mark.parametrize(("channels", "words"), [(4, "4 channels"), (2, "2 channels"), (6, "6 channels")])
def test_bands_that_the_network_does_not_take_are_refused(save, channels, words):
    with pytest.raises(DataError, match=rf"a\.png: has 3 bands of type uint8; the network takes {words}"):
        read_image(save("a.png", RGB), channels=channels)


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


def test_exif_orientation_is_applied_unless_the_pixels_are_asked_for_as_stored(save):
    exif = Image.Exif()
    exif[0x0112] = 6  # the first row is on the right
    path = save("a.png", RGB, exif=exif)
    assert np.array_equal(read_image(path), np.rot90(RGB, -1).transpose(2, 0, 1))
    assert np.array_equal(read_image(path, upright=False), RGB.transpose(2, 0, 1))


@pytest.mark.parametrize("orientation", [0, 1, 9])
def test_an_orientation_that_means_nothing_turns_nothing(save, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(read_image(save("a.png", RGB, exif=exif)), RGB.transpose(2, 0, 1))


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


@pytest.mark.parametrize("suffix", ["tif", "gif", "png", "webp", "avif"])
def test_a_stack_of_images_is_refused(save, suffix):
    pages = [Image.fromarray(np.full((16, 16, 3), level, np.uint8)) for level in (0, 100, 200)]
    path = save(f"stack.{suffix}", pages[0], save_all=True, append_images=pages[1:])
    with pytest.raises(DataError, match=rf"stack\.{suffix}: holds 3 images"):
        read_image(path)


def test_of_the_several_pictures_of_an_mpo_the_first_is_the_image(save):
    first, second = (Image.fromarray(np.full((16, 16, 3), level, np.uint8)) for level in (50, 200))
    path = save("a.mpo", first, save_all=True, append_images=[second])
    assert np.abs(read_image(path).astype(int) - 50).max() <= 2


@pytest.mark.parametrize("suffix", ["ppm", "pnm", "tga", "bmp", "jp2", "j2k", "mpo", "avif", "jfif", "GIF"])
def test_whatever_is_read_when_it_is_named_is_found_in_a_folder(save, tmp_path, suffix):
    """Formats with loss are within a few levels of a flat image."""
    flat = np.full((16, 16, 3), (90, 100, 110), np.uint8)
    path = save(f"images/a.{suffix}", flat, **({"no_jp2": True} if suffix == "j2k" else {}))
    assert list_images(tmp_path / "images") == [path]
    assert np.abs(read_image(path).transpose(1, 2, 0).astype(int) - flat).max() <= 4
    save("masks/a.png", np.zeros((16, 16)))
    (pair,) = open_data(tmp_path).split("train")
    assert pair.image == path


@pytest.mark.parametrize(("suffix", "what"), [("heic", "HEIC photograph; save it as"), ("dcm", "DICOM image")])
def test_images_of_a_kind_that_is_not_read_are_listed_and_named(tmp_path, suffix, what):
    path = tmp_path / f"a.{suffix}"
    path.touch()
    assert list_images(tmp_path) == [path]
    with pytest.raises(DataError, match=rf"a\.{suffix}: is a {what}"):
        read_image(path)


def test_a_bmp_whose_pixels_name_colours_that_it_lacks_is_refused(save):
    picture = Image.fromarray(np.array([[0, 1, 2, 3]], np.uint8)).convert("P")
    picture.putpalette([0, 0, 0, 9, 9, 9, 20, 20, 20, 30, 30, 30])
    path = save("a.bmp", picture)
    assert read_image(path, 1).tolist() == [[[0, 9, 20, 30]]]
    content = bytearray(path.read_bytes())
    colours = content.index(bytes([30, 30, 30, 0])) // 4
    content[46:50] = (3).to_bytes(4, "little")
    path.write_bytes(content)
    assert colours
    with pytest.raises(DataError, match=r"a\.bmp: cannot be read as an image"):
        read_image(path)


@pytest.mark.parametrize(("magic", "most"), [(b"P5", 20), (b"P6", 65535)])
def test_portable_pixmaps_that_pillow_would_scale_are_refused(tmp_path, magic, most):
    path = tmp_path / "a.ppm"
    path.write_bytes(magic + f" 2 1 {most}\n".encode() + bytes(12))
    with pytest.raises(DataError, match=rf"a\.ppm: has the maximum value {most}"):
        read_image(path)


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_values_of_more_than_16_bits_need_a_range(save, dtype):
    path = save("a.tif", [[0, 5, 10]], dtype)
    with pytest.raises(DataError, match=r"a\.tif: holds values of type .*32; a network trained on"):
        read_image(path, channels=1)
    assert read_image(path, 1, [(0, 10)]).tolist() == [[[0, 127.5, 255]]]


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
    with pytest.raises(DataError, match="unknown format"):
        read_image(path)
