import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fullyconv.errors import DataError
from fullyconv.inference.inputs import to_input


def to_tensor(image, channels=3):
    return to_input(image, channels).pixels


PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 4), dtype=np.uint8)
RGB = torch.from_numpy(PIXELS[..., :3].transpose(2, 0, 1).copy())


@pytest.mark.parametrize(("given_channels", "channels"), [(1, 1), (3, 1), (4, 1), (1, 3), (3, 3), (4, 3), (4, 4)])
def test_arrays_tensors_and_files_convert_as_pillow_does(tmp_path, given_channels, channels):
    array = PIXELS[..., 0] if given_channels == 1 else PIXELS[..., :given_channels]
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    picture = Image.fromarray(array)
    expected = np.atleast_3d(np.asarray(picture.convert(mode))).transpose(2, 0, 1)
    picture.save(tmp_path / "a.png")
    tensor = torch.from_numpy(np.atleast_3d(array).transpose(2, 0, 1).copy())
    for form in (array, tensor, picture, tmp_path / "a.png", str(tmp_path / "a.png")):
        result = to_tensor(form, channels)
        assert result.dtype == torch.uint8
        assert np.array_equal(result.numpy(), expected)
    in_floats = to_tensor(tensor.float(), channels)
    assert in_floats.dtype == torch.float32
    assert np.abs(in_floats.numpy() - expected).max() <= 0.501  # the same before rounding to bytes


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.sampled_from(["uint8", "uint16", "float32", "float64"]))
def test_any_size_from_one_pixel_and_any_layout_in_memory(height, width, dtype):
    draw = np.random.default_rng(height * 10 + width)
    array = draw.integers(0, 256, (height, width, 3)).astype(dtype)
    if dtype == "uint16":
        array *= 257  # the 16-bit value of the same brightness
    expected = array.astype(float) / (257 if dtype == "uint16" else 1)
    for form in (array, np.asfortranarray(array), array[::-1][::-1]):
        assert np.array_equal(to_tensor(form).numpy(), expected.transpose(2, 0, 1))


def test_sixteen_bits_are_rounded_as_files_are(tmp_path):
    array = np.array([[0, 128, 129, 385, 386, 65535]], dtype=np.uint16)
    Image.fromarray(array).save(tmp_path / "a.png")
    assert to_tensor(array, 1).tolist() == [[[0, 0, 1, 1, 2, 255]]]
    assert torch.equal(to_tensor(array, 1), to_tensor(tmp_path / "a.png", 1))


def test_palette_and_one_bit_pictures_show_their_colours():
    picture = Image.fromarray(np.array([[0, 1]], dtype=np.uint8)).convert("P")
    picture.putpalette([9, 8, 7, 200, 100, 50])
    assert to_tensor(picture).tolist() == [[[9, 200]], [[8, 100]], [[7, 50]]]
    assert to_tensor(Image.fromarray(np.array([[True, False]]))).tolist() == [[[255, 0]]] * 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_files_are_turned_upright(tmp_path, orientation):
    # what each EXIF orientation says of the stored pixels, undone by numpy (rows are y, columns x)
    upright = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: np.rot90(a),
    }[orientation]
    picture = Image.fromarray(PIXELS[..., :3])
    exif = picture.getexif()
    exif[0x0112] = orientation
    picture.save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(to_tensor(tmp_path / "a.png").permute(1, 2, 0).numpy(), upright(PIXELS[..., :3]))


def test_other_channel_counts_pass_where_the_network_takes_them():
    assert to_tensor(np.zeros((4, 5, 6), np.uint8), 6).shape == (6, 4, 5)
    assert to_tensor(torch.zeros(2, 4, 5), 2).shape == (2, 4, 5)


def test_the_callers_array_is_not_shared():
    array = PIXELS[..., :3].copy()
    tensor = to_tensor(array)
    array[:] = 0
    assert torch.equal(tensor, RGB)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((3, 8, 9), np.uint8), r"9 channels \(\(9, 3, 8\).*channels last.*takes 3 "),
        (np.zeros((2, 2, 2), np.uint8), "2 channels"),
        (np.zeros(4, np.uint8), r"shape \(4,\); \(H, W\) or"),
        (np.zeros((0, 4), np.uint8), "no length 0"),
        (torch.zeros(4, 5), r"shape \(4, 5\); \(C, H, W\)"),
        (np.zeros((2, 2), np.int64), "int64; uint8, uint16 or floats"),
        (np.zeros((2, 2), bool), "bool; uint8, uint16 or floats"),
        (np.array([["a"]]), "uint8, uint16 or floats"),
        (np.full((2, 2), -1.0), "from -1 to -1; 0 to 255"),
        (np.full((2, 2), 256.0), "from 256 to 256; 0 to 255"),
        (np.full((2, 2), np.nan), "from nan to nan; 0 to 255"),
        (np.full((2, 2), 0.5), "looks like 0..1; multiply it by 255"),
        ([[0, 1]], "this is a list"),
        ("nowhere.jpg", r"nowhere\.jpg: there is no such file"),
    ],
)
def test_what_is_no_image_is_refused(image, message):
    with pytest.raises(DataError, match=message):
        to_tensor(image, 3)


def test_a_dark_image_in_floats_is_not_taken_for_0_to_1():
    assert to_tensor(np.eye(2)).tolist() == [[[1, 0], [0, 1]]] * 3


def test_broken_files_are_named(tmp_path):
    path = tmp_path / "broken.png"
    Image.fromarray(PIXELS).save(path)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError, match=r"broken\.png: cannot be read as an image"):
        to_tensor(path)
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png: has 3 bands and alpha of type uint8; the network takes 5 channels"):
        to_tensor(tmp_path / "a.png", 5)
