"""TIFF files of strangers: tiles that become larger than they say, and files that lead to others."""

import os
import shutil
import socket
import subprocess
import sys
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from fullyconv.data.images import source
from fullyconv.data.images.neighbours import CLOSED
from fullyconv.data.images.read import open_source
from fullyconv.errors import DataError
from tests.inference.geotiffs import geotiff, noise, rasterio, tifffile

imagecodecs = pytest.importorskip("imagecodecs")

JPEG, LZW, DEFLATE, PACKBITS, ZSTD, JPEG_2000, WEBP = 7, 5, 8, 32773, 50000, 33005, 50001
LARGE = 1024


def encode(pixels: np.ndarray, compression: int) -> bytes:
    encoders: dict[int, Callable[[], bytes]] = {
        JPEG: lambda: imagecodecs.jpeg_encode(pixels, colorspace="rgb", outcolorspace="ycbcr", subsampling="444"),
        LZW: lambda: imagecodecs.lzw_encode(pixels.tobytes()),
        DEFLATE: lambda: zlib.compress(pixels.tobytes()),
        PACKBITS: lambda: b"".join(b"\x7f" + part.tobytes() for part in pixels.reshape(-1, 128)),
        ZSTD: lambda: imagecodecs.zstd_encode(pixels.tobytes()),
        JPEG_2000: lambda: imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", level=0),
        WEBP: lambda: imagecodecs.webp_encode(pixels, lossless=True),
    }
    return encoders[compression]()


def slide(path: Path, tile: bytes, compression: int, side: int = 64, levels: bool = True) -> Path:
    """A file of 128×128 pixels whose tiles, four at the finest level and one at the next, are ``tile``."""
    options = {
        "dtype": np.uint8,
        "tile": (side, side),
        "photometric": "rgb",
        "compression": compression,
        "metadata": None,
        **({"subsampling": (1, 1), "photometric": "ycbcr"} if compression == JPEG else {}),
    }
    with tifffile.TiffWriter(path) as file:
        if levels:
            file.write(iter([tile] * 4), shape=(128, 128, 3), subifds=1, **options)
            file.write(iter([tile]), shape=(64, 64, 3), subfiletype=1, **options)
        else:
            file.write(iter([tile] * 4), shape=(128, 128, 3), **options)
    return path


def read(path: Path, level: int = 0) -> np.ndarray:
    with open_source(path, level) as file:
        return file.window(slice(0, 64), slice(0, 64)).values


@pytest.mark.parametrize("compression", [JPEG, LZW, DEFLATE, PACKBITS, ZSTD, JPEG_2000, WEBP])
@pytest.mark.parametrize("levels", [True, False], ids=["slide", "flat"])
def test_no_tile_becomes_larger_than_the_file_says(tmp_path, compression, levels):
    pixels = noise(64, 64, 3)
    if levels or compression != JPEG_2000:  # which GDAL does not read in TIFF
        found = read(slide(tmp_path / "right.tif", encode(pixels, compression), compression, levels=levels))
        difference = np.abs(found.transpose(1, 2, 0).astype(int) - pixels)
        assert difference.mean() < 5
        assert difference.max() == 0 or compression == JPEG

    tile = encode(np.zeros((LARGE, LARGE, 3), np.uint8), compression)
    path = slide(tmp_path / "a.tif", tile, compression, levels=levels)
    if levels and compression in (JPEG, JPEG_2000):
        with pytest.raises(DataError, match=r"a\.tif: .*a tile states 1024×1024 pixels of 3 channels, where .* 64×64"):
            read(path)
        return
    if compression == JPEG:
        with pytest.raises(DataError, match=r"a\.tif: .*expected 64x64, got 1024x1024"):
            read(path)
    with suppress(DataError):  # some decoders stop where the tile ends, others refuse what goes on
        assert tuple(read(path).shape) == (3, 64, 64)


@pytest.mark.parametrize(
    ("tile", "reason"),
    [
        (
            b"\xff\xd8" + b"\xff\xf7\0\x0b\x08\xff\xff\xff\xff\x01" + b"\xff\xc0\0\x0b\x08\0\x40\0\x40\x03",
            "65535×65535",
        ),
        (b"\xff\xd8\xff\xe0\0\x04ab\xff\xff\xff\xc2\0\x0b\x08\0\x41\0\x40\x03", "65×64 pixels of 3"),
        (b"\xff\xd8\xff\xc0\0\x0b\x08\0\0\0\x40\x03", "0×64 pixels"),
        (b"\xff\xd8\xff\xc0\0\x0b\x08\0\x40\0\x40\x04", "64×64 pixels of 4 channels"),
        (b"\xff\xd8\xff\xda" + b"\xff\xc0\0\x0b\x08\0\x40\0\x40\x03", "holds no JPEG image"),
        (b"\xff\xd8\xff\xe0", "holds no JPEG image"),
        (b"\xff", "holds no JPEG image"),
        (b"nothing", "holds no JPEG image"),
    ],
    ids=["JPEG-LS first", "after filling", "no rows", "channels", "no frame", "cut", "shorter", "none"],
)
def test_a_jpeg_tile_is_judged_by_the_header_that_decoders_take(tmp_path, tile, reason):
    with pytest.raises(DataError, match=reason):
        read(slide(tmp_path / "a.tif", tile, JPEG))


def test_a_block_is_no_larger_than_its_image_nor_than_memory_holds(tmp_path, monkeypatch):
    pixels = zlib.compress(bytes(64))
    for levels in (True, False):
        with pytest.raises(DataError, match=r"blocks of 8192×8192 pixels, larger than the image of 128×128"):
            read(slide(tmp_path / "a.tif", pixels, DEFLATE, side=8192, levels=levels))
        monkeypatch.setattr(source, "ALWAYS", 2**20)
        monkeypatch.setattr(source, "_memory_left", lambda: 2**20)
        with pytest.raises(DataError, match=r"blocks of 1024×1024 .* takes 3 MiB, more than the limit of 0 MiB"):
            read(slide(tmp_path / "a.tif", pixels, DEFLATE, side=1024, levels=levels))
        monkeypatch.undo()


def test_a_tile_beyond_the_end_of_the_file_is_not_asked_for(tmp_path):
    path = slide(tmp_path / "a.tif", b"x" * 64, DEFLATE)
    with tifffile.TiffFile(path, mode="r+") as file:
        counts = file.pages.first.tags["TileByteCounts"]
        counts.overwrite([2**31] * 4)
    with pytest.raises(DataError, match="a tile lies beyond the end of the file"):
        read(path)


@pytest.mark.parametrize("side", [64, 1024])
@pytest.mark.parametrize("compression", [DEFLATE, JPEG_2000])
def test_channels_in_pages_are_judged_tile_by_tile(tmp_path, compression, side):
    path, pixels = tmp_path / "a.ome.tif", noise(side, side)
    with tifffile.TiffWriter(path, ome=True) as file:
        options = {"dtype": np.uint8, "tile": (64, 64), "photometric": "minisblack", "metadata": {"axes": "CYX"}}
        tiles = [encode(pixels, compression)] * 2
        file.write(iter(tiles), shape=(2, 64, 64), compression=compression, **options)
    if side == 64:
        assert np.array_equal(read(path), [pixels, pixels])
    else:
        with pytest.raises(DataError, match=r"a\.ome\.tif: "):
            read(path)


def vrt(source: Path, side: int) -> str:
    """A file of GDAL's that takes its pixels from ``source``."""
    bands = (
        f'<VRTRasterBand dataType="Byte" band="{band}"><SimpleSource><SourceFilename>{source}</SourceFilename>'
        f"<SourceBand>{band}</SourceBand></SimpleSource></VRTRasterBand>"
        for band in (1, 2, 3)
    )
    return f'<VRTDataset rasterXSize="{side}" rasterYSize="{side}">{"".join(bands)}</VRTDataset>'


def pam(levels: str) -> str:
    key = f'<MDI key="OVERVIEW_FILE">{levels}</MDI>'
    return f'<PAMDataset><Metadata domain="OVERVIEWS">{key}</Metadata></PAMDataset>'


ELSEWHERE = (
    "{secret}",
    "http://127.0.0.1:{port}/a.tif",
    "/vsicurl/http://127.0.0.1:{port}/a.tif",
    ":::BASE:::secret.tif",
)


@pytest.fixture
def server():
    """A port of this machine, and the connections that were made to it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0)
        yield listening


@pytest.mark.parametrize("place", [*ELSEWHERE, "VRT"])
@pytest.mark.parametrize("said", ["in the file", "beside it", "in the file of its levels"])
def test_levels_are_taken_from_no_other_file_and_no_address(tmp_path, server, place, said):
    secret, path = tmp_path / "secret.tif", tmp_path / "a.tif"
    geotiff(secret, np.full((3, 64, 64), 77, np.uint8))
    geotiff(path, noise(3, 128, 128))
    named = place.format(secret=secret, port=server.getsockname()[1])
    if place == "VRT":
        (tmp_path / {"in the file": "a.tif.ovr", "beside it": "a.tif.msk"}.get(said, "a.tif.OVR")).write_text(
            vrt(secret, 64)
        )
    elif said == "beside it":
        (tmp_path / "a.tif.aux.xml").write_text(pam(named))
    else:
        named_in = path if said == "in the file" else tmp_path / "a.tif.ovr"
        geotiff(named_in, noise(3, 128, 128))
        with rasterio.open(named_in, "r+") as file:
            file.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=named)
    with pytest.raises(DataError, match=r"refers to another file for its levels|not recognized as being"):
        read(path, level=1)
    with pytest.raises(BlockingIOError):
        server.accept()


def test_levels_masks_and_georeferences_beside_a_file_are_read_where_they_are_its_own(tmp_path):
    path, masked = geotiff(tmp_path / "a.tif", noise(3, 128, 128)), geotiff(tmp_path / "b.tif", noise(3, 128, 128))
    with rasterio.Env(TIFF_USE_OVR=True), rasterio.open(path, "r+") as file:
        file.build_overviews([2])
    assert (tmp_path / "a.tif.ovr").exists()
    with open_source(path, level=1) as file:
        assert file.size == (64, 64)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(masked, "r+") as file:
        file.write_mask(np.eye(128, dtype=bool))
    assert (tmp_path / "b.tif.msk").exists()
    with open_source(masked) as file:
        valid = file.mask(slice(0, 128), slice(0, 128))
        assert valid is not None
        assert np.array_equal(valid, np.eye(128, dtype=bool))


def test_a_mask_in_a_format_that_leads_elsewhere_is_not_opened(tmp_path):
    path = geotiff(tmp_path / "a.tif", noise(3, 128, 128))
    (tmp_path / "a.tif.msk").write_text(vrt(geotiff(tmp_path / "secret.tif", noise(3, 128, 128)), 128))
    with pytest.raises(
        DataError, match=r"a\.tif\.msk: cannot be read .*, but GDAL reads it together with a\.tif\. Remove it"
    ):
        read(path)


@pytest.mark.parametrize("content", [vrt(Path("secret.tif"), 128), "/vsicurl/http://127.0.0.1:9/a.tif"])
def test_a_file_of_another_format_under_a_name_of_tiffs_is_refused(tmp_path, content):
    (tmp_path / "a.tif").write_text(content)
    with pytest.raises(DataError, match=r"a\.tif: cannot be read as an image"):
        read(tmp_path / "a.tif")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells which libraries are loaded")
def test_no_plug_in_of_gdals_is_loaded(tmp_path):
    path = geotiff(tmp_path / "a.tif", noise(3, 64, 64))
    with open_source(path):
        assert CLOSED.items() <= {key: str(value) for key, value in rasterio.env.getenv().items()}.items()
    shutil.copy(rasterio._err.__file__, tmp_path / "gdal_Evil.so")
    loaded = "print('gdal_Evil' in open('/proc/self/maps').read())"
    for options, expected in (("", "True"), ("**CLOSED", "False")):
        program = (
            "import rasterio; from fullyconv.data.images.neighbours import CLOSED\n"
            f"with rasterio.Env({options}), rasterio.open({str(path)!r}): {loaded}"
        )
        ended = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "GDAL_DRIVER_PATH": str(tmp_path)},
            capture_output=True,
            text=True,
        )
        assert ended.stdout.strip() == expected, ended.stderr
