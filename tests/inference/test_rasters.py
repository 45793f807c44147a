"""Files that are read by window, against rasterio's and tifffile's reading of them and against one whole pass."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fullyconv.errors import ConfigError, DataError
from fullyconv.fcn import build
from fullyconv.inference.batch import predict_files
from fullyconv.inference.parts import parts
from fullyconv.inference.predictor import Predictor
from fullyconv.inference.rasters.output import LabelFile
from fullyconv.inference.rasters.predict import predict_raster
from fullyconv.inference.rasters.source import by_window, open_raster
from fullyconv.weights import run_folder

rasterio = pytest.importorskip("rasterio")
tifffile = pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")

PLACE = {"crs": "EPSG:32633", "transform": rasterio.Affine(0.5, 0, 500_000, 0, -0.5, 4_100_000)}
CLASSES = ["sea & <ice>", 'the "dry"', "Straße"]


def noise(*shape: int, dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def geotiff(path: Path, pixels: np.ndarray, **options) -> Path:
    """(bands, h, w) as a file in tiles of 64 pixels, at a place on earth."""
    profile = {"tiled": True, "blockxsize": 64, "blockysize": 64, **PLACE, **options}
    bands, height, width = pixels.shape
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=bands, dtype=pixels.dtype, **profile
    ) as file:
        file.write(pixels)
    return path


def labels_of(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read(1)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    net = build("fcn8s-smallvgg", CLASSES).eval()
    for score in net.score.values():
        torch.nn.init.normal_(score.weight)
    return net


@pytest.fixture
def predictor(net):
    return Predictor(net)


def whole(net, pixels: np.ndarray) -> np.ndarray:
    """(3, h, w) in one pass."""
    return net.predict(torch.from_numpy(np.ascontiguousarray(pixels))[None])[0].numpy()


@pytest.mark.parametrize("tile", [48, 100, 256, 300, "auto"])
def test_tiles_of_a_geotiff_give_the_labels_of_one_pass(net, predictor, tmp_path, tile):
    pixels = noise(3, 270, 333)
    predict_raster(predictor, geotiff(tmp_path / "a.tif", pixels), tmp_path / "out" / "a.tif", tile)
    assert np.array_equal(labels_of(tmp_path / "out" / "a.tif"), whole(net, pixels))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.tif"]


def test_the_file_of_labels_has_the_place_the_palette_and_the_names(net, predictor, tmp_path):
    predict_raster(predictor, geotiff(tmp_path / "a.tif", noise(3, 80, 90)), tmp_path / "labels.tif", 32)
    with rasterio.open(tmp_path / "labels.tif") as file:
        assert file.crs == "EPSG:32633"
        assert file.transform == PLACE["transform"]
        assert file.nodata is None
        assert (file.dtypes, file.profile["compress"], file.block_shapes) == (("uint8",), "deflate", [(32, 32)])
        assert [file.colormap(1)[i][:3] for i in range(3)] == net.palette
        assert json.loads(file.tags()["CLASSES"]) == CLASSES
    assert Image.open(tmp_path / "labels.tif").mode == "P"


def test_pixel_corners_or_centres_and_ground_control_points_are_kept(predictor, tmp_path):
    centred = geotiff(tmp_path / "centred.tif", noise(3, 40, 40))
    with rasterio.open(centred, "r+") as file:
        file.update_tags(AREA_OR_POINT="Point")
    points = [
        rasterio.control.GroundControlPoint(row, col, 10 + col / 9, 50 - row / 9)
        for row, col in [(0, 0), (0, 39), (39, 5)]
    ]
    free = geotiff(tmp_path / "points.tif", noise(3, 40, 40), crs=None, transform=None)
    with rasterio.open(free, "r+") as file:
        file.gcps = (points, rasterio.CRS.from_epsg(4326))
    for image in (centred, free):
        predict_raster(predictor, image, tmp_path / "out" / image.name, 32)
        with rasterio.open(image) as file, rasterio.open(tmp_path / "out" / image.name) as labels:
            assert labels.transform == file.transform
            assert labels.crs == file.crs
            assert labels.tags().get("AREA_OR_POINT") == file.tags().get("AREA_OR_POINT")
            places = [[(p.row, p.col, p.x, p.y) for p in each.gcps[0]] for each in (file, labels)]
            assert places[0] == places[1]


@pytest.mark.parametrize("how", ["nodata", "alpha"])
def test_pixels_without_data_are_nodata(net, predictor, tmp_path, how):
    pixels = noise(3, 100, 120) // 2 + 1
    pixels[:, 10:90, 20:110] = 0
    missing = (pixels == 0).all(0)
    if how == "nodata":
        image = geotiff(tmp_path / "a.tif", pixels, nodata=0)
    else:
        image = geotiff(
            tmp_path / "a.tif",
            np.concatenate([pixels, 255 * ~missing[None]]).astype(np.uint8),
            photometric="rgb",
            alpha="yes",
        )
    predict_raster(predictor, image, tmp_path / "labels.tif", 32)
    with rasterio.open(tmp_path / "labels.tif") as file:
        labels = file.read(1)
        assert file.nodata == 255
        assert np.array_equal(file.dataset_mask() == 0, missing)
    assert (labels[missing] == 255).all()
    assert np.array_equal(labels[~missing], whole(net, pixels)[~missing])


def test_grey_palette_and_16_bit_files_are_what_they_are_as_pictures(net, predictor, tmp_path):
    grey, deep = noise(1, 50, 60), noise(3, 50, 60, dtype=np.uint16)
    predict_raster(predictor, geotiff(tmp_path / "grey.tif", grey), tmp_path / "labels.tif", 32)
    assert np.array_equal(labels_of(tmp_path / "labels.tif"), whole(net, grey.repeat(3, 0)))
    predict_raster(predictor, geotiff(tmp_path / "deep.tif", deep), tmp_path / "labels.tif", 32)
    assert np.array_equal(labels_of(tmp_path / "labels.tif"), whole(net, np.rint(deep / 257).astype(np.uint8)))
    colours = noise(256, 3, seed=1)
    index = geotiff(tmp_path / "index.tif", grey, photometric="palette")
    with rasterio.open(index, "r+") as file:
        file.write_colormap(1, dict(enumerate(map(tuple, colours.tolist()))))
    predict_raster(predictor, index, tmp_path / "labels.tif", 32)
    assert np.array_equal(labels_of(tmp_path / "labels.tif"), whole(net, colours[grey[0]].transpose(2, 0, 1)))


@pytest.mark.parametrize("kind", ["ome", "svs"])
def test_levels_of_a_whole_slide(net, predictor, tmp_path, kind):
    picture, path = noise(300, 420, 3), tmp_path / f"slide.{kind}.tif"
    options = {"tile": (64, 64), "photometric": "rgb", "compression": "jpeg", "metadata": None}
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        if kind == "ome":
            file.write(picture, subifds=1, **{**options, "metadata": {"axes": "YXS"}})
            file.write(picture[::2, ::2], subfiletype=1, **options)
        else:
            text = "Aperio Image Library v10.0.51"
            file.write(picture, description=text, **options)
            file.write(picture[::8, ::8], description=text, photometric="rgb", metadata=None)  # a thumbnail
            file.write(picture[::2, ::2], description=text, **options)
    for level in (0, 1):
        predict_raster(predictor, path, tmp_path / "labels.tif", 128, level)
        with tifffile.TiffFile(path) as file:
            stored = file.series[0].levels[level].asarray()
        assert stored.shape[:2] == ((300, 420), (150, 210))[level]
        assert np.array_equal(tifffile.imread(tmp_path / "labels.tif"), whole(net, stored.transpose(2, 0, 1)))
    with pytest.raises(ConfigError, match=r"has no level 2; its levels are 0 to 1"):
        predict_raster(predictor, path, tmp_path / "labels.tif", 128, 2)


def test_an_overview_of_a_geotiff_lies_where_the_image_lies(predictor, tmp_path):
    image = geotiff(tmp_path / "a.tif", noise(3, 200, 300))
    with rasterio.open(image, "r+") as file:
        file.build_overviews([2])
    predict_raster(predictor, image, tmp_path / "labels.tif", 64, level=1)
    with rasterio.open(image) as file, rasterio.open(tmp_path / "labels.tif") as labels:
        assert labels.shape == (100, 150)
        assert labels.bounds == file.bounds
    with pytest.raises(ConfigError, match="has no level 2"):
        predict_raster(predictor, image, tmp_path / "labels.tif", 64, level=2)


def test_files_that_do_not_fit_are_refused_by_name_with_the_remedy(predictor, tmp_path):
    several = tmp_path / "several.tif"
    with tifffile.TiffWriter(several) as file:
        for seed in range(2):
            file.write(noise(64, 64, 3, seed=seed), tile=(64, 64), photometric="rgb", metadata=None)
    turned = tmp_path / "turned.tif"
    tifffile.imwrite(turned, noise(64, 64, 3), tile=(64, 64), photometric="rgb", extratags=[(274, "H", 1, 6, True)])
    (tmp_path / "text.tif").write_text("not an image")
    for image, message in {
        turned: r"turned or mirrored \(orientation 6\).*Store it upright",
        geotiff(tmp_path / "five.tif", noise(5, 20, 20)): "holds 5 bands; the network takes 3.*in_channels=5",
        geotiff(tmp_path / "infrared.tif", noise(4, 20, 20), photometric="minisblack"): "holds 4 bands.*gdal_translate",
        geotiff(tmp_path / "float.tif", np.zeros((3, 20, 20), np.float32)): "values of type float32",
        several: "holds 2 images",
        tmp_path / "text.tif": "cannot be read as a TIFF",
        tmp_path / "absent.tif": "there is no such file",
    }.items():
        with pytest.raises(DataError, match=message) as caught:
            predict_raster(predictor, image, tmp_path / "labels.tif", 32)
        assert str(image) in str(caught.value)
    assert not (tmp_path / "labels.tif").exists()


def test_a_file_that_breaks_off_leaves_no_labels(predictor, tmp_path):
    image = geotiff(tmp_path / "a.tif", noise(3, 300, 300))
    image.write_bytes(image.read_bytes()[:150_000])
    with pytest.raises(DataError, match=r"a\.tif: rows .* cannot be read"):
        predict_raster(predictor, image, tmp_path / "labels.tif", 64)
    assert not (tmp_path / "labels.tif").exists()


def test_without_the_extra_the_remedy_is_said(tmp_path, monkeypatch):
    image = geotiff(tmp_path / "a.tif", noise(3, 20, 20))

    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(ConfigError, match=r"pip install 'fullyconv\[raster\]'"), open_raster(image, 3):
        pass


class Stop(BaseException):
    pass


def stop_after(tiles: int):
    def progress(done: int, _: int) -> None:
        if done == tiles:
            raise Stop

    return progress


@pytest.mark.parametrize("torn", [0, 1, 40])
def test_a_run_that_was_stopped_is_gone_on_with(net, predictor, tmp_path, torn):
    """``torn``: so many of the last bytes are missing."""
    image, target = geotiff(tmp_path / "a.tif", noise(3, 200, 200)), tmp_path / "labels.tif"
    predict_raster(predictor, image, tmp_path / "at once.tif", 64)
    partial = tmp_path / "labels.tif.partial"
    with pytest.raises(Stop):
        predict_raster(predictor, image, target, 64, progress=stop_after(7))
    assert not target.exists()
    content = partial.read_bytes()
    partial.write_bytes(content[: len(content) - torn])
    with pytest.raises(Stop):
        predict_raster(predictor, image, target, 64, progress=stop_after(8))
    seen = []
    predict_raster(predictor, image, target, 64, progress=lambda *at: seen.append(at))
    assert seen == [(done, 16) for done in range(9, 17)]
    assert target.read_bytes() == (tmp_path / "at once.tif").read_bytes()
    assert not partial.exists()


def test_a_run_is_gone_on_with_in_tiles_of_another_size(predictor, tmp_path):
    image, target = geotiff(tmp_path / "a.tif", noise(3, 600, 700)), tmp_path / "labels.tif"
    predict_raster(predictor, image, tmp_path / "at once.tif", "auto")
    with pytest.raises(Stop):
        predict_raster(predictor, image, target, 256, progress=stop_after(5))
    seen = []
    predict_raster(predictor, image, target, 512, progress=lambda *at: seen.append(at))
    assert seen == [(2, 4), (3, 4), (4, 4)]
    assert target.read_bytes() == (tmp_path / "at once.tif").read_bytes()


def test_another_networks_or_images_unfinished_labels_are_not_gone_on_with(net, predictor, tmp_path):
    image, target = geotiff(tmp_path / "a.tif", noise(3, 200, 200)), tmp_path / "labels.tif"
    other = build("fcn8s-smallvgg", CLASSES).eval()
    with pytest.raises(Stop):
        predict_raster(Predictor(other), image, target, 64, progress=stop_after(7))
    seen = []
    with pytest.raises(Stop):
        predict_raster(predictor, image, target, 64, progress=lambda *at: (seen.append(at), stop_after(7)(*at)))
    assert seen[0] == (1, 16)
    pixels = noise(3, 200, 200, seed=1)
    predict_raster(predictor, geotiff(image, pixels), target, 64)
    assert np.array_equal(labels_of(target), whole(net, pixels))


def test_a_file_that_another_run_is_writing_is_left_alone(predictor, tmp_path):
    image, target = geotiff(tmp_path / "a.tif", noise(3, 200, 200)), tmp_path / "labels.tif"
    with LabelFile(target, (200, 200), 64, {}):
        before = (tmp_path / "labels.tif.partial").read_bytes()
        with pytest.raises(ConfigError, match=r"labels\.tif: another run is writing it"):
            predict_raster(predictor, image, target, 64)
        assert (tmp_path / "labels.tif.partial").read_bytes() == before
        assert not target.exists()
    predict_raster(predictor, image, target, 64)  # its run has ended
    assert target.exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from fullyconv.inference.predictor import Predictor
from fullyconv.inference.rasters.predict import predict_raster
from fullyconv.weights import run_folder

def progress(done, of):
    if done == 5:
        os.kill(os.getpid(), signal.SIGKILL)

model, image, target = map(Path, sys.argv[1:])
predict_raster(Predictor(run_folder.load(model)), image, target, 64, progress=progress)
"""


def test_a_killed_process_leaves_nothing_half_valid_and_the_next_gives_the_same_file(net, predictor, tmp_path):
    run_folder.save(net, tmp_path / "model")
    image, target = geotiff(tmp_path / "a.tif", noise(3, 200, 200)), tmp_path / "out" / "labels.tif"
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "model", image, target], check=False)
    assert killed.returncode == -9
    assert [path.name for path in target.parent.iterdir()] == ["labels.tif.partial"]
    seen = []
    predict_raster(predictor, image, target, 64, progress=lambda *at: seen.append(at))
    assert seen[0] == (6, 16)
    predict_raster(predictor, image, tmp_path / "at once.tif", 64)
    assert target.read_bytes() == (tmp_path / "at once.tif").read_bytes()


@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([16, 32]), st.integers(1, 3), st.randoms())
def test_windows_written_in_any_order_make_up_the_image(tmp_path_factory, height, width, block, blocks, random):
    folder = tmp_path_factory.mktemp("labels")
    labels, side = noise(height, width), block * blocks
    windows = [
        (slice(top, min(top + side, height)), slice(left, min(left + side, width)))
        for top in range(0, height, side)
        for left in range(0, width, side)
    ]
    random.shuffle(windows)
    with LabelFile(folder / "labels.tif", (height, width), block, {}) as file:
        for window in windows:
            assert not file.has(*window)
            file.write(*window, labels[window])
            assert file.has(*window)
        file.finish(["a"], [(1, 2, 3)], [])
    assert np.array_equal(tifffile.imread(folder / "labels.tif"), labels)


def test_labels_beyond_four_gigabytes_are_bigtiff(tmp_path, monkeypatch):
    for large, expected in ((False, False), (True, True)):
        with LabelFile(tmp_path / "labels.tif", (16, 16), 16, {}) as file:
            file.write(slice(0, 16), slice(0, 16), noise(16, 16))
            if large:
                monkeypatch.setattr("fullyconv.inference.rasters.output.CLASSIC", 100)
            file.finish(["a"], [(1, 2, 3)], [])
        with tifffile.TiffFile(tmp_path / "labels.tif") as written:
            assert written.is_bigtiff == expected
            assert np.array_equal(written.asarray(), noise(16, 16))


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_tiles_that_are_not_exact_lie_side_by_side_within_what_is_read_for_them(height, width):
    labelled = [np.zeros(side, int) for side in (height, width)]
    image = torch.zeros(3, 1, 1)
    for part in parts(Recorder(), (height, width), "approximate"):
        for axis, (window, crop) in enumerate(zip(part.window, part.crop, strict=True)):
            side = (height, width)[axis]
            assert max(0, window.start - 256) == crop.start
            assert min(side, window.stop + 256) == crop.stop
            labelled[axis][window] += 1
        size = tuple(crop.stop - crop.start for crop in part.crop)
        assert part.label(image.expand(3, *size)).shape == tuple(w.stop - w.start for w in part.window)
    assert labelled[0].min() > 0
    assert labelled[1].min() > 0


class Recorder:
    """A predictor whose labels are shapes alone."""

    def segment(self, image):
        self.labels = np.broadcast_to(np.uint8(0), image.shape[1:])
        return self


def test_which_files_are_read_by_window(tmp_path):
    Image.fromarray(noise(20, 20, 3)).save(tmp_path / "picture.tif")
    tifffile.imwrite(tmp_path / "bigtiff.tif", noise(40, 40, 3), bigtiff=True, photometric="rgb")
    tifffile.imwrite(tmp_path / "tiled.btf", noise(40, 40, 3), bigtiff=True, photometric="rgb", tile=(16, 16))
    tifffile.imwrite(tmp_path / "motorola.tif", noise(40, 40, 3), byteorder=">", photometric="rgb", tile=(16, 16))
    geotiff(tmp_path / "strips.tif", noise(3, 20, 20), tiled=False, blockxsize=20)
    geotiff(tmp_path / "spectral.tif", noise(7, 20, 20), tiled=False, blockxsize=20, crs=None, transform=None)
    (tmp_path / "text.tif").write_text("not an image")
    (tmp_path / "empty.tif").touch()
    found = {path.stem for path in tmp_path.iterdir() if by_window(path)}
    assert found == {"tiled", "motorola", "strips", "spectral"}


@pytest.mark.parametrize("tile", ["auto", 64])
def test_pictures_and_rasters_of_one_folder(net, predictor, tmp_path, tile):
    picture, folder, out = noise(150, 140, 3), tmp_path / "in", tmp_path / "out"
    geotiff(folder / "map.tif", picture.transpose(2, 0, 1))
    geotiff(folder / "wrong.tif", noise(5, 90, 90))
    Image.fromarray(picture).save(folder / "picture.png")
    Image.fromarray(picture).save(folder / "picture too.tif")
    steps = []
    done, failed = predict_files(predictor, [folder], out, tile=tile, progress=lambda *at: steps.append(at))
    assert [path.name for path, _ in failed] == ["wrong.tif"]
    assert len(done) == 3
    too = "picture too.png" if tile == "auto" else "picture too.tif"
    assert sorted(path.name for path in out.iterdir()) == ["map.tif", too, "picture.png"]
    for path in out.iterdir():
        assert np.array_equal(np.asarray(Image.open(path)), whole(net, picture.transpose(2, 0, 1))), path.name
    assert steps == sorted(steps)
    assert steps[-1] == ((4, 4) if tile == "auto" else (20, 20))  # two rasters of 3 × 3 tiles


def test_overlays_are_for_images_that_are_labelled_whole(predictor, tmp_path):
    image = geotiff(tmp_path / "map.tif", noise(3, 60, 60))
    done, _ = predict_files(predictor, [image], tmp_path / "whole", overlay=True, scores=True)
    assert done == [image]
    assert {p.name for p in (tmp_path / "whole").iterdir()} == {"map.tif", "map_overlay.jpg", "map_scores"}
    _, failed = predict_files(predictor, [image], tmp_path / "tiled", overlay=True, tile=32)
    assert "labelled whole, not in tiles" in failed[0][1]


def test_what_cannot_be_tiled_exactly_says_so(net, colour_net, tmp_path):
    image = geotiff(tmp_path / "map.tif", noise(3, 60, 60))
    for predictor, message in (
        (Predictor(colour_net), "an exported network"),
        (Predictor(net, flip=True), "--tile approximate"),
    ):
        with pytest.raises(ConfigError, match=message):
            predict_raster(predictor, image, tmp_path / "labels.tif", 32)
        predict_raster(predictor, image, tmp_path / "labels.tif", "approximate")


def test_a_picture_too_large_for_pillow_is_to_be_saved_as_tiff(predictor, tmp_path, monkeypatch):
    Image.fromarray(noise(20, 20, 3)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    _, failed = predict_files(predictor, [tmp_path / "a.png"], tmp_path / "out")
    assert "Save it as a tiled TIFF, which is read by window" in failed[0][1]
