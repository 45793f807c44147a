"""Small valid files of every kind that is opened, which are then damaged."""

import io
import shutil
import tarfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import safetensors.torch
import scipy.io
import torch
import yaml
from fuzz_annotation_seeds import make_annotations
from fuzz_damage import Random
from PIL import Image

from fullyconv.data import open_data
from fullyconv.exporting.formats import export
from fullyconv.model.backbones import paper
from fullyconv.model.fcn import FCN, build
from fullyconv.training.config import Config, load_config
from fullyconv.training.stages import train
from fullyconv.weights import run_folder
from tests.caffe import nets
from tests.caffe.model import Net, caffemodel
from tests.weights.test_keras import keras1, keras_vgg16

THIN = 64
STEPS = 2
CLASSES = ["ground", "figure", "edge"]


class Seeds(NamedTuple):
    """The folder of the valid files, and the file that nothing may make."""

    folder: Path
    canary: Path

    @cache  # noqa: B019
    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()


class Kind(NamedTuple):
    """``seeds``: valid files, by name. ``damage``: a seed's name and content to what is written in its place.

    ``open`` is given the path of the damaged file; ``beside`` it lie copies of these valid ones. ``watched``:
    whether what Python "reads" or "writes" elsewhere is a failure (see ``fuzz_watch``).
    """

    name: str
    seeds: list[str]
    damage: Callable[[str, bytes, Seeds, Random], bytes]
    open: Callable[[Path], object]
    beside: tuple[str, ...] = ()
    watched: tuple[str, ...] = ()


def thin() -> None:
    """The paper's networks, thinned; this process's alone."""
    paper.VGG16.widths = tuple(nets.thinned(width, THIN) for width in paper.VGG16.widths)
    paper.VGG16.hidden = nets.thinned(paper.VGG16.hidden, THIN)


def small_network() -> FCN:
    torch.manual_seed(0)
    return build("fcn16s-smallvgg", CLASSES, pretrained=False).eval()


def configuration(steps: int) -> Config:
    settings = {
        "model.name": "fcn32s-smallvgg",
        "model.pretrained": False,
        "training.steps": steps,
        "training.precision": "32",
        "data.batch_size": 1,
        "data.workers": 0,
        "data.resolutions": [{"crop": [32, 64]}],
        "data.augment.color": 0,
    }
    return load_config(None, settings)


def silent(_: str) -> None:
    pass


def make_seeds(folder: Path) -> None:
    """Write all valid files; in a process of its own, since what exports starts threads."""
    net = small_network()
    run_folder.save(net, folder / "net")
    thinnest = build("fcn32s-smallvgg", CLASSES, pretrained=False).eval()
    (folder / "weights").mkdir()
    for name, written in (("16.safetensors", net), ("32.safetensors", thinnest)):
        run_folder.save(written, folder / "weights" / name)
        (folder / "weights" / name / "model.safetensors").rename(folder / "weights" / f"of-{name}")
        shutil.rmtree(folder / "weights" / name)
    for suffix in ("onnx", "xml", "pt2"):
        (folder / suffix).mkdir()
        export(net, folder / suffix / f"net.{suffix}")
    _foreign_weights(folder / "foreign")
    _data(folder / "data")
    train(open_data(folder / "data"), configuration(STEPS), folder / "run", say=silent)
    shutil.rmtree(folder / "run" / "tensorboard", ignore_errors=True)
    (folder / "recipes").mkdir()
    for recipe in sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml")):
        shutil.copy(recipe, folder / "recipes")
    (folder / "recipes" / "whole.yaml").write_text(yaml.safe_dump(configuration(STEPS).model_dump(mode="json")))
    _archives(folder / "archives")
    _matrices(folder / "mat")
    _images(folder / "images")
    _tiffs(folder / "tiffs")
    make_annotations(folder / "annotations")


def _foreign_weights(folder: Path) -> None:
    folder.mkdir()
    new, old = nets.vgg16(8, 3, thin=THIN, scaled=True), nets.vgg16_classifier(thin=THIN, classes=10)
    weights, first = nets.random_weights(new), nets.random_weights(old)
    files = {
        "new.caffemodel": caffemodel(new, weights),
        "unpacked.caffemodel": caffemodel(new, weights, double=True, packed=False),
        "legacy.caffemodel": caffemodel(new, weights, legacy=True),
        "old.caffemodel": caffemodel(old, first, old=True, legacy=True),
        "zip.pth": _pth(new),
        "before.pth": _pth(new, zip_archive=False),
        "plain.safetensors": safetensors.torch.save(_state_dict(new)),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    with h5py.File(folder / "keras.h5", "w") as file:
        keras1(file, keras_vgg16())


def _state_dict(net: Net) -> dict[str, torch.Tensor]:
    return {
        f"{layer}.{kind}": torch.from_numpy(blob)
        for layer, blobs in nets.random_weights(net).items()
        for kind, blob in zip(("weight", "bias"), blobs, strict=False)
        if not layer.startswith("scale")
    }


def _pth(net: Net, zip_archive: bool = True) -> bytes:
    file = io.BytesIO()
    content = {"model_state_dict": _state_dict(net), "epoch": 1}
    torch.save(content, file, _use_new_zipfile_serialization=zip_archive)
    return file.getvalue()


def _picture(seed: int, shape: tuple[int, ...] = (40, 48, 3), most: int = 256) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, most, shape, np.uint8)


def _data(folder: Path) -> None:
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            (folder / kind / split).mkdir(parents=True)
        picture, mask = _picture(len(split)), _picture(len(split), (40, 48), 3)
        Image.fromarray(picture).save(folder / "images" / split / "a.png")
        Image.fromarray(mask).save(folder / "masks" / split / "a.png")
    splits = {split: {"images": f"images/{split}", "masks": f"masks/{split}"} for split in ("train", "val")}
    palette = [[0, 0, 0], [255, 0, 0], [0, 255, 0]]
    tree = {"classes": CLASSES, "splits": splits, "ignore_index": 255, "palette": palette}
    (folder / "dataset.yaml").write_text(yaml.safe_dump(tree))


def _archives(folder: Path) -> None:
    folder.mkdir()
    files = {f"inner/{name}.txt": bytes(_picture(i, (300,))) for i, name in enumerate("abc")}
    for name, mode in (("a.tar", "w"), ("a.tgz", "w:gz")):
        with tarfile.open(folder / name, mode) as archive:
            for entry, content in files.items():
                info = tarfile.TarInfo(entry)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))


def _matrices(folder: Path) -> None:
    folder.mkdir()
    labels = _picture(0, (30, 40), 20)
    for compressed in (False, True):
        suffix = "z.mat" if compressed else ".mat"
        scipy.io.savemat(folder / f"plain{suffix}", {"S": labels.astype(np.uint16)}, do_compression=compressed)
        struct_ = {"GTcls": {"Segmentation": labels, "Boundaries": np.eye(4)}}
        scipy.io.savemat(folder / f"struct{suffix}", struct_, do_compression=compressed)


def _images(folder: Path) -> None:
    folder.mkdir()
    image = Image.fromarray(_picture(0))
    for suffix in ("png", "jpg", "bmp", "gif", "webp", "tif"):
        image.save(folder / f"a.{suffix}")
    image.convert("P").save(folder / "palette.png")
    Image.fromarray(_picture(1, (40, 48)).astype(np.uint16) * 257).save(folder / "deep.png")
    image.save(folder / "progressive.jpg", progressive=True)
    image.save(folder / "lzw.tif", compression="tiff_lzw")


def _tiffs(folder: Path) -> None:
    import rasterio
    import tifffile

    folder.mkdir()
    pixels = _picture(0, (3, 80, 96))
    where = {"crs": "EPSG:32633", "transform": rasterio.Affine(0.5, 0, 500_000, 0, -0.5, 4_100_000)}
    shape = {"driver": "GTiff", "width": 96, "height": 80, "count": 3, "dtype": "uint8", "nodata": 0}
    for name, options in {
        "plain": {},
        "deflate": {"compress": "deflate", "predictor": 2},
        "jpeg": {"compress": "jpeg"},
    }.items():
        tiles = {"tiled": True, "blockxsize": 32, "blockysize": 32}
        with rasterio.open(folder / f"{name}.tif", "w", **shape, **where, **tiles, **options) as file:
            file.write(pixels)
    image = pixels.transpose(1, 2, 0)
    with tifffile.TiffWriter(folder / "pyramid.tif", bigtiff=True) as file:
        file.write(image, tile=(32, 32), subifds=1, photometric="rgb")
        file.write(image[::2, ::2], tile=(32, 32), subfiletype=1, photometric="rgb")
