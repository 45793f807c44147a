"""What training, the check, evaluation and prediction see of a file is what rasterio sees, or all refuse it alike."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fullyconv.data.contents import read_image_content
from fullyconv.data.images.read import open_source, read_pixels, read_window
from fullyconv.data.masks import IGNORE, MaskCode
from fullyconv.data.pairs import Pair, read_pair
from fullyconv.errors import DataError
from fullyconv.inference.inputs import to_input

rasterio = pytest.importorskip("rasterio")
tifffile = pytest.importorskip("tifffile")
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

HEIGHT, WIDTH = 21, 34
TYPES = ("uint8", "uint16", "int16", "int32", "float32", "float64")


def pixels(bands: int, dtype: str, seed: int) -> np.ndarray:
    """Random values (bands, HEIGHT, WIDTH) over what the type holds, or from -1000 to 1000."""
    random = np.random.default_rng(seed)
    if dtype.startswith("float"):
        return random.uniform(-1000, 1000, (bands, HEIGHT, WIDTH)).astype(dtype)
    low, high = (0, np.iinfo(dtype).max) if dtype.startswith("u") else (-1000, 1000)
    return random.integers(low, high, (bands, HEIGHT, WIDTH), dtype, endpoint=True)


def range_of(dtype: str, channels: int) -> list[tuple[float, float]]:
    high = 255 if dtype == "uint8" else 65535 if dtype == "uint16" else 1000
    return [(0 if dtype.startswith("u") else -1000, high)] * channels


def expected(path: Path, channels: int, value_range: list[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    """By rasterio: the bands on the scale of 0 to 255, and where there are data."""
    with rasterio.open(path) as file:
        alpha = [b for b, kind in zip(file.indexes, file.colorinterp, strict=True) if kind.name == "alpha"]
        bands = file.read([b for b in file.indexes if b not in alpha] if len(file.indexes) != channels else None)
        valid = np.ones(file.shape, bool) if len(file.indexes) == channels and alpha else file.dataset_mask() > 0
        if file.colorinterp[0].name == "palette" and bands.dtype == np.uint8:
            colours = np.array([file.colormap(1).get(index, (0, 0, 0, 0)) for index in range(256)])
            bands = colours[bands[0]].transpose(2, 0, 1)[:channels]
    valid &= np.isfinite(bands).all(0)
    low, high = (np.array(ends)[:, None, None] for ends in zip(*value_range, strict=True))
    return np.nan_to_num(np.clip((bands.astype(float) - low) / (high - low), 0, 1) * 255), valid


def check_all_see(path: Path, folder: Path, channels: int, value_range: list[tuple[float, float]]) -> None:
    wanted, valid = expected(path, channels, value_range)
    mask = folder / "mask.png"
    Image.fromarray(np.ones((HEIGHT, WIDTH), np.uint8)).save(mask)
    trained, labels = read_pair(Pair(path, mask), [MaskCode(2)], channels, value_range)
    predicted = to_input(path, channels, value_range)
    content = read_image_content(path)
    with open_source(path) as source:
        window = read_window(source, slice(3, 17), slice(5, 30), channels, value_range)
    for seen in (trained, predicted.pixels.numpy()):
        assert seen.shape == (channels, HEIGHT, WIDTH)
        assert np.abs(seen - wanted).max() < 2e-4
    assert np.abs(window.values - wanted[:, 3:17, 5:30]).max() < 2e-4
    assert np.array_equal(labels != IGNORE, valid)
    assert np.array_equal(np.ones_like(valid) if predicted.valid is None else predicted.valid, valid)
    if channels == len(content.bands):
        assert content.valid == pytest.approx(valid.mean())
    assert content.size == (WIDTH, HEIGHT)


LAYOUTS = st.fixed_dictionaries(
    {
        "bands": st.sampled_from([1, 2, 3, 4, 5, 13]),
        "dtype": st.sampled_from(TYPES),
        "interleave": st.sampled_from(["pixel", "band"]),
        "compress": st.sampled_from([None, "lzw", "deflate", "packbits", "zstd"]),
        "tiled": st.booleans(),
        "nodata": st.sampled_from([None, 0, 7]),
        "alpha": st.booleans(),
        "predictor": st.booleans(),
        "seed": st.integers(0, 999),
    }
)


@settings(max_examples=60, deadline=None)
@given(LAYOUTS)
def test_files_of_rasterio(tmp_path_factory, layout):
    folder = tmp_path_factory.mktemp("a")
    bands, dtype, alpha = layout["bands"], layout["dtype"], layout["alpha"] and layout["bands"] in (2, 4)
    options = {key: layout[key] for key in ("interleave", "compress", "nodata") if layout[key] is not None}
    if alpha:
        options.pop("nodata", None)
    if layout["tiled"]:
        options |= {"tiled": True, "blockxsize": 16, "blockysize": 16}
    if layout["predictor"] and layout["compress"] in ("lzw", "deflate", "zstd") and dtype != "float64":
        options["predictor"] = 2 if not dtype.startswith("float") else 3
    values = pixels(bands, dtype, layout["seed"])
    values[:, 2:5, 3:9] = 0 if alpha or layout["nodata"] is None else layout["nodata"]
    path = folder / "a.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=WIDTH, height=HEIGHT, count=bands, dtype=dtype, alpha="yes" if alpha else "no",
        photometric="rgb" if bands >= 3 and dtype == "uint8" else "minisblack", **options,
    ) as file:  # fmt: skip
        file.write(values)
    channels = bands - alpha
    check_all_see(path, folder, channels, range_of(dtype, channels))
    if alpha:  # the network takes it as a channel
        check_all_see(path, folder, bands, range_of(dtype, bands))


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([1, 2, 3, 4, 7]),
    st.sampled_from(TYPES),
    st.sampled_from(["contig", "separate"]),
    st.sampled_from([None, "zlib", "lzw", "zstd"]),
    st.booleans(),
    st.integers(0, 999),
)
def test_files_of_tifffile(tmp_path_factory, bands, dtype, planes, compression, tiled, seed):
    folder = tmp_path_factory.mktemp("a")
    values = pixels(bands, dtype, seed)
    given_values = values if planes == "separate" else values.transpose(1, 2, 0)
    options = {"planarconfig": planes} if bands > 1 else {}
    rgb = bands >= 3
    tifffile.imwrite(
        folder / "a.tif", given_values if bands > 1 else values[0], photometric="rgb" if rgb else "minisblack",
        extrasamples=["unspecified"] * (bands - 3 if rgb else bands - 1) or None, compression=compression,
        tile=(16, 16) if tiled else None, **options,
    )  # fmt: skip
    check_all_see(folder / "a.tif", folder, bands, range_of(dtype, bands))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "webp"])
def test_files_of_pillow(tmp_path, mode, suffix):
    random = np.random.default_rng(0)
    colours = random.integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)
    colours[:4, :4, 3] = 0
    made = {"I;16": colours[..., 0].astype(np.uint16) * 201, "1": colours[..., 0] > 99, "L": colours[..., 0]}
    made |= {"RGB": colours[..., :3], "RGBA": colours, "LA": colours[..., 2:]}
    picture = Image.fromarray(made[mode]) if mode != "P" else Image.fromarray(colours[..., :3]).quantize(30)
    supported = {"png": made.keys() | {"P"}, "tif": made.keys() | {"P"}, "bmp": {"1", "L", "P", "RGB"}}
    if mode not in supported.get(suffix, {"RGB", "RGBA"}):
        pytest.skip("Pillow does not write this")
    path = tmp_path / f"a.{suffix}"
    picture.save(path, lossless=True, exact=True)  # of WebP; the others know no such options
    shown = np.asarray(picture.convert("RGB")).astype(float) if mode not in ("I;16",) else made[mode][..., None] / 257
    found = read_pixels(path, 3)
    assert np.abs(found.values.transpose(1, 2, 0) - shown).max() <= 0.5
    alpha = made[mode][..., -1] > 0 if mode in ("LA", "RGBA") else np.ones((HEIGHT, WIDTH), bool)
    assert np.array_equal(found.valid if found.valid is not None else np.ones_like(alpha), alpha)
    assert torch.equal(to_input(path).pixels, torch.from_numpy(found.values.copy()))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_tiffs_in_which_the_lowest_value_is_white(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "a.tif", pixels(1, "uint8", 0)[0].astype(dtype), photometric="miniswhite")
    check_all_see(tmp_path / "a.tif", tmp_path, 1, [(0, 255)])


@pytest.mark.parametrize("compression", [None, "group4", "packbits"])
@pytest.mark.parametrize("photometric", [0, 1])
def test_tiffs_of_one_bit(tmp_path, compression, photometric):
    picture = Image.fromarray(pixels(1, "uint8", 0)[0] > 99)
    picture.save(tmp_path / "a.tif", compression=compression, tiffinfo={262: photometric})
    check_all_see(tmp_path / "a.tif", tmp_path, 1, [(0, 255)])


@pytest.mark.parametrize("mode", ["P", "CMYK", "LAB", "YCbCr"])
def test_tiffs_of_other_colour_spaces_are_red_green_and_blue(tmp_path, mode):
    picture = Image.fromarray(pixels(3, "uint8", 0).transpose(1, 2, 0))
    options = {"compression": "jpeg"} if mode == "YCbCr" else {}
    (picture.quantize(30) if mode == "P" else picture if options else picture.convert(mode)).save(
        tmp_path / "a.tif", **options
    )
    check_all_see(tmp_path / "a.tif", tmp_path, 3, [(0, 255)] * 3)


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_masks_of_valid_pixels_in_or_beside_a_file(tmp_path, inside, dtype):
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=inside),
        rasterio.open(
            tmp_path / "a.tif", "w", driver="GTiff", width=WIDTH, height=HEIGHT, count=3, dtype=dtype
        ) as file,
    ):
        file.write(pixels(3, dtype, 0))
        file.write_mask(pixels(1, "uint8", 1)[0] > 99)
    assert (tmp_path / "a.tif.msk").exists() != inside
    check_all_see(tmp_path / "a.tif", tmp_path, 3, range_of(dtype, 3))


def test_nodata_that_stands_in_a_description_beside_a_file(tmp_path):
    values = pixels(3, "uint8", 0)
    values[:, 4:9] = 7
    Image.fromarray(values.transpose(1, 2, 0)).save(tmp_path / "a.tif")
    assert read_pixels(tmp_path / "a.tif").valid is None
    bands = "".join(f'<PAMRasterBand band="{i}"><NoDataValue>7</NoDataValue></PAMRasterBand>' for i in (1, 2, 3))
    (tmp_path / "a.tif.aux.xml").write_text(f"<PAMDataset>{bands}</PAMDataset>")
    assert np.array_equal(read_pixels(tmp_path / "a.tif").valid, ~(values == 7).all(0))
    check_all_see(tmp_path / "a.tif", tmp_path, 3, range_of("uint8", 3))


def test_png_of_16_bits_a_colour_keeps_them(tmp_path):
    values = pixels(3, "uint16", 0)
    with rasterio.open(tmp_path / "a.png", "w", driver="PNG", width=WIDTH, height=HEIGHT, count=3, dtype="uint16") as f:
        f.write(values)
    check_all_see(tmp_path / "a.png", tmp_path, 3, range_of("uint16", 3))


def test_pixels_that_are_not_finite_hold_no_data_and_are_0(tmp_path):
    values = pixels(2, "float32", 0)
    values[0, 2, 3], values[1, 4, 5] = np.nan, np.inf
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack", planarconfig="separate")
    found = read_pixels(tmp_path / "a.tif", 2, range_of("float32", 2))
    assert found.valid is not None
    assert np.argwhere(~found.valid).tolist() == [[2, 3], [4, 5]]
    assert found.values[0, 2, 3] == 0


@pytest.mark.parametrize(("bands", "channels"), [*product([1, 2, 3, 4, 13], [1, 2, 3, 4])])
def test_bands_are_refused_in_the_same_words_everywhere(tmp_path, bands, channels):
    path = tmp_path / "a.tif"
    values = pixels(bands, "uint8", 0)
    layout = {"planarconfig": "separate", "photometric": "minisblack"} if bands > 1 else {}
    tifffile.imwrite(path, values.squeeze(), **layout)
    Image.fromarray(np.ones((HEIGHT, WIDTH), np.uint8)).save(tmp_path / "mask.png")
    said = set()
    for read in (
        lambda: read_pair(Pair(path, tmp_path / "mask.png"), [MaskCode(2)], channels),
        lambda: to_input(path, channels),
    ):
        try:
            read()
        except DataError as error:
            said.add(str(error))
        else:
            said.add("read")
    assert len(said) == 1
    fits = bands == channels or (bands, channels) == (1, 3)
    assert (said == {"read"}) == fits
    if not fits:
        assert f"the network takes {channels} channel" in said.pop()


def test_channels_in_pages_are_bands_and_slices_are_a_stack(tmp_path):
    values = pixels(3, "uint16", 0)
    for name, options in {"imagej": {"imagej": True}, "ome": {"ome": True}}.items():
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(path, values, metadata={"axes": "CYX"}, photometric="minisblack", **options)
        found = read_pixels(path, 3, [(0, 65535)] * 3)
        assert np.allclose(found.values, values / 257, atol=1e-4)
        tifffile.imwrite(path, values, metadata={"axes": "ZYX"}, photometric="minisblack", **options)
        with pytest.raises(DataError, match=rf"{name}\.tif: holds 3 images"):
            read_pixels(path, 3)


@pytest.mark.parametrize("flagged", [True, False])
def test_smaller_copies_in_further_pages_are_overviews(tmp_path, flagged):
    values = pixels(3, "uint16", 0).transpose(1, 2, 0)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for step in (1, 2, 4):
            smaller = {"subfiletype": 1} if flagged and step > 1 else {}
            file.write(values[::step, ::step], photometric="rgb", metadata=None, **smaller)
    found = read_pixels(tmp_path / "a.tif", 3, [(0, 255)] * 3).values
    assert np.array_equal(found, values.transpose(2, 0, 1).clip(0, 255))


def test_damage_that_a_decoder_only_warns_of_is_an_error(tmp_path):
    path = tmp_path / "a.tif"
    Image.fromarray(np.random.default_rng(0).random((40, 40)) > 0.5).save(path, compression="group4")
    assert read_pixels(path, 1).values.shape == (1, 40, 40)
    content = bytearray(path.read_bytes())
    for place in range(20, 60):
        content[place] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.tif: cannot be read as an image"):
        read_pixels(path, 1)
