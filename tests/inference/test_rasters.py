"""Files that are read by window, against rasterio's and tifffile's reading of them and against one whole pass."""

import importlib
import json

import numpy as np
import pytest
from PIL import Image

from fullyconv.data.images import gdal
from fullyconv.data.images.headers import read_by_window
from fullyconv.data.images.read import open_source
from fullyconv.errors import ConfigError, DataError
from fullyconv.inference.batch import predict_files
from fullyconv.inference.predictor import Predictor
from fullyconv.inference.rasters import predict
from fullyconv.inference.rasters.predict import predict_raster
from tests.inference.geotiffs import CLASSES, PLACE, geotiff, labels_of, network, noise, rasterio, tifffile, whole


@pytest.fixture(scope="module")
def net():
    return network()


@pytest.fixture
def predictor(net):
    return Predictor(net)


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
        turned: r"rotated or mirrored \(orientation 6\).*store it upright",
        geotiff(tmp_path / "five.tif", noise(5, 20, 20)): "has 5 bands.*takes 3 channels.*model.in_channels",
        geotiff(tmp_path / "infrared.tif", noise(4, 20, 20), photometric="minisblack"): "has 4 bands.*gdal_translate",
        geotiff(tmp_path / "float.tif", np.zeros((3, 20, 20), np.float32)): "values of type float32",
        several: "holds 2 images",
        tmp_path / "text.tif": "cannot be read as an image",
        tmp_path / "absent.tif": "there is no such file",
    }.items():
        with pytest.raises(DataError, match=message) as caught:
            predict_raster(predictor, image, tmp_path / "labels.tif", 32)
        assert str(image) in str(caught.value)
    assert not list(tmp_path.glob("labels.tif*"))


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
    with pytest.raises(ConfigError, match=r"pip install -e '\.\[raster\]'"), open_source(image):
        pass


def test_which_files_are_read_by_window(tmp_path):
    Image.fromarray(noise(20, 20, 3)).save(tmp_path / "picture.tif")
    tifffile.imwrite(tmp_path / "bigtiff.tif", noise(40, 40, 3), bigtiff=True, photometric="rgb")
    tifffile.imwrite(tmp_path / "tiled.btf", noise(40, 40, 3), bigtiff=True, photometric="rgb", tile=(16, 16))
    tifffile.imwrite(tmp_path / "motorola.tif", noise(40, 40, 3), byteorder=">", photometric="rgb", tile=(16, 16))
    geotiff(tmp_path / "strips.tif", noise(3, 20, 20), tiled=False, blockxsize=20)
    geotiff(tmp_path / "spectral.tif", noise(7, 20, 20), tiled=False, blockxsize=20, crs=None, transform=None)
    (tmp_path / "text.tif").write_text("not an image")
    (tmp_path / "empty.tif").touch()
    found = {path.stem for path in tmp_path.iterdir() if read_by_window(path)}
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
    assert "labelled whole, not in tiles" in str(failed[0][1])


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
    assert "Save it as a tiled TIFF, which is read by window" in str(failed[0][1])


@pytest.mark.parametrize("place", ["open_source", "mask"])
def test_a_decoders_error_of_any_kind_is_its_images(predictor, tmp_path, monkeypatch, place):
    """GDAL's CPLE_AppDefinedError is no OSError, as others are not."""

    def broken(*arguments):
        raise rasterio._err.CPLE_AppDefinedError(1, 1, "bad block")

    for name in ("a.tif", "b.tif"):
        geotiff(tmp_path / "in" / name, noise(3, 60, 60))
    if place == "mask":
        monkeypatch.setattr(gdal.GdalFile, "mask", broken)
        monkeypatch.setattr(gdal.GdalFile, "has_gaps", True)
    else:
        monkeypatch.setattr(predict, "open_source", broken)
    done, failed = predict_files(predictor, [tmp_path / "in"], tmp_path / "out")
    assert (done, [type(error) for _, error in failed]) == ([], [DataError, DataError])
    assert all(str(image) in str(error) for image, error in failed)
