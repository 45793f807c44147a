"""The kinds of files that are damaged: small valid ones, how they are damaged, and the function that opens them.

What opens a file is what a command calls; each raises a FullyConvError, or does its work.
"""

import gzip
import io
import json
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import safetensors.torch
import scipy.io
import torch
import yaml
from fuzz_damage import (
    Random,
    damaged,
    hostile_pickle,
    hostile_tar,
    hostile_xml,
    hostile_yaml,
    odd_json,
    odd_numbers,
    odd_value,
    zipped,
)
from PIL import Image

from fullyconv.data import check, open_data
from fullyconv.data.published import download
from fullyconv.data.published.matlab import read_matrix
from fullyconv.exporting.formats import export
from fullyconv.inference.batch import predict_files
from fullyconv.inference.exported import open_model
from fullyconv.inference.predictor import Predictor
from fullyconv.model.backbones import paper
from fullyconv.model.fcn import FCN, build
from fullyconv.training.config import Config, load_config
from fullyconv.training.stages import train
from fullyconv.weights import run_folder
from fullyconv.weights.convert import convert
from tests.caffe import nets
from tests.caffe.model import Net, caffemodel

THIN = 64
PAPER = "fcn8s-atonce-vgg16"
STEPS = 2
CLASSES = ["ground", "figure", "edge"]


class Kind(NamedTuple):
    """``seeds``: valid files, by name. ``damage``: a seed's name and content to what is written in its place.

    ``open`` is given the path of the damaged file; ``beside`` it lie copies of these valid ones.
    """

    name: str
    seeds: list[str]
    damage: Callable[[str, bytes, "Seeds", Random], bytes]
    open: Callable[[Path], object]
    beside: tuple[str, ...] = ()


class Seeds(NamedTuple):
    """The folder of the valid files, and the file that nothing may make."""

    folder: Path
    canary: Path

    @cache  # noqa: B019
    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()


def thin() -> None:
    """The paper's networks, thinned; this process's alone."""
    paper.VGG16.widths = tuple(nets.thinned(width, THIN) for width in paper.VGG16.widths)
    paper.VGG16.hidden = nets.thinned(paper.VGG16.hidden, THIN)


def small_network() -> FCN:
    torch.manual_seed(0)
    return build("fcn16s-smallvgg", CLASSES, pretrained=False).eval()


# What opens the files.


def open_and_predict(path: Path) -> None:
    net = open_model(path)
    images = torch.zeros(1, net.in_channels, 40, 40) if net.in_channels != 3 else _IMAGE
    net.predict(images)


_IMAGE = torch.arange(3 * 40 * 40).reshape(1, 3, 40, 40).float() % 256


def open_folder(path: Path) -> None:
    open_and_predict(path.parent)


def open_for_conversion(path: Path) -> None:
    convert(str(path), PAPER, classes=3)


def resume(path: Path) -> None:
    run = path.parent.parent
    config = configuration(2 * STEPS)
    data = open_data(run.parent / "data")
    train(data, config, run, resume=True, say=_silent)


def configuration(steps: int) -> Config:
    settings = {
        "model.name": "fcn32s-smallvgg",
        "model.pretrained": False,
        "training.steps": steps,
        "training.precision": "32",
        "data.batch_size": 1,
        "data.workers": 0,
        "data.resolutions": [{"crop": [32, 64]}],
        "data.color": 0,
    }
    return load_config(None, settings)


def unpack(path: Path) -> None:
    download._unpack(path, "inner", path.parent / "target")


def open_data_and_check(path: Path) -> None:
    check(open_data(path))


def open_matrix(path: Path) -> None:
    read_matrix(path, "GTcls.Segmentation" if "struct" in path.name else "S")


def label(path: Path) -> None:
    """What is wrong with an image is told, not raised: it must be an error in words all the same."""
    _, failed = predict_files(_predictor(), [path], path.parent / "out")
    for _, error in failed:
        raise error


@lru_cache(maxsize=1)
def _predictor() -> Predictor:
    return Predictor(small_network(), device="cpu")


def _silent(_: str) -> None:
    pass


# How they are damaged.


def of_bytes(names: list[str]):
    def damage(name: str, content: bytes, seeds: Seeds, random: Random) -> bytes:
        if random.random() < 0.01:
            return hostile_pickle(seeds.canary, random)
        return damaged(content, [seeds.read(other) for other in names], random)

    return damage


def of_zip(name: str, content: bytes, seeds: Seeds, random: Random) -> bytes:
    if random.random() < 0.02:
        return hostile_pickle(seeds.canary, random)
    if random.random() < 0.6 and zipfile.is_zipfile(io.BytesIO(content)):
        return zipped(content, seeds.canary, random)
    return damaged(content, [content], random)


def of_safetensors(name: str, content: bytes, seeds: Seeds, random: Random) -> bytes:
    """The header, or the architecture in it, or any byte."""
    if random.random() < 0.4:
        return damaged(content, [content], random)
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    if random.random() < 0.6 and "fullyconv" in header.get("__metadata__", {}):
        text = odd_json(header["__metadata__"]["fullyconv"].encode(), random)
        header["__metadata__"]["fullyconv"] = text.decode(errors="replace")
        changed = json.dumps(header).encode()
    else:
        changed = odd_json(content[8 : 8 + size], random)
    return struct.pack("<Q", len(changed)) + changed + content[8 + size :]


def of_archive(name: str, content: bytes, seeds: Seeds, random: Random) -> bytes:
    if random.random() < 0.5:
        return damaged(content, [content], random)
    if name.endswith("z"):
        return gzip.compress(hostile_tar(gzip.decompress(content), seeds.canary, random), 1)
    return hostile_tar(content, seeds.canary, random)


def of_yaml(name: str, content: bytes, seeds: Seeds, random: Random) -> bytes:
    choice = random.random()
    if choice < 0.1:
        return hostile_yaml(seeds.canary, random)
    if choice < 0.35:
        return damaged(content, [content], random)
    try:
        return yaml.safe_dump(odd_value(yaml.safe_load(content), random), allow_unicode=True).encode()
    except (ValueError, RecursionError):
        return b"[]"


def of_xml(name: str, content: bytes, seeds: Seeds, random: Random) -> bytes:
    choice = random.random()
    if name.endswith(".bin") or choice < 0.4:
        return damaged(content, [content], random)
    return hostile_xml(seeds.canary, random) if choice < 0.45 else odd_numbers(content, random)


# The valid files.


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
    train(open_data(folder / "data"), configuration(STEPS), folder / "run", say=_silent)
    shutil.rmtree(folder / "run" / "tensorboard", ignore_errors=True)
    (folder / "recipes").mkdir()
    for recipe in sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml")):
        shutil.copy(recipe, folder / "recipes")
    (folder / "recipes" / "whole.yaml").write_text(yaml.safe_dump(configuration(STEPS).model_dump(mode="json")))
    _archives(folder / "archives")
    _matrices(folder / "mat")
    _images(folder / "images")
    _tiffs(folder / "tiffs")


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


KINDS = [
    Kind(
        "weights of ours", ["weights/of-16.safetensors", "weights/of-32.safetensors"], of_safetensors, open_and_predict
    ),
    Kind(
        "model.json",
        ["net/model.json"],
        lambda name, content, seeds, random: odd_json(content, random),
        open_folder,
        ("net/model.safetensors",),
    ),
    Kind(
        "caffemodel",
        [f"foreign/{name}.caffemodel" for name in ("new", "unpacked", "legacy", "old")],
        of_bytes(["foreign/new.caffemodel", "foreign/old.caffemodel"]),
        open_for_conversion,
    ),
    Kind("pth", ["foreign/zip.pth", "foreign/before.pth"], of_zip, open_for_conversion),
    Kind("safetensors of others", ["foreign/plain.safetensors"], of_safetensors, open_for_conversion),
    Kind("onnx", ["onnx/net.onnx"], of_bytes(["onnx/net.onnx", "pt2/net.pt2"]), open_and_predict),
    Kind("OpenVINO xml", ["xml/net.xml"], of_xml, open_and_predict, ("xml/net.bin",)),
    Kind(
        "OpenVINO bin",
        ["xml/net.bin"],
        of_xml,
        lambda path: open_and_predict(path.with_suffix(".xml")),
        ("xml/net.xml",),
    ),
    Kind("pt2", ["pt2/net.pt2"], of_zip, open_and_predict),
    Kind(
        "checkpoint",
        ["run/checkpoints/last.ckpt"],
        of_zip,
        resume,
        ("run/config.yaml", "run/model.safetensors", "run/model.json", "run/metrics.csv", "data"),
    ),
    Kind("archive", ["archives/a.tar", "archives/a.tgz"], of_archive, unpack),
    Kind("recipe", ["recipes/*"], of_yaml, load_config),
    Kind("dataset.yaml", ["data/dataset.yaml"], of_yaml, open_data_and_check, ("data/images", "data/masks")),
    Kind("mat", ["mat/*"], of_bytes(["mat/plain.mat", "mat/structz.mat"]), open_matrix),
    Kind("image", ["images/*"], of_bytes(["images/a.png", "images/a.jpg", "images/a.tif"]), label),
    Kind(
        "mask",
        ["data/masks/train/a.png"],
        of_bytes(["images/a.png"]),
        lambda path: open_data_and_check(path.parents[2] / "dataset.yaml"),
        ("data",),
    ),
    Kind("TIFF by window", ["tiffs/*"], of_bytes(["tiffs/plain.tif", "tiffs/jpeg.tif"]), label),
]
