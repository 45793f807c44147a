"""The kinds of files that are damaged: their valid ones, how they are damaged, and what opens them.

What opens a file is what a command calls; each raises a FullyConvError, or does its work.
"""

from functools import lru_cache
from pathlib import Path

import torch
from fuzz_annotations import ANNOTATIONS
from fuzz_damage import odd_json
from fuzz_formats import (
    of_archive,
    of_bytes,
    of_onnx,
    of_pt2,
    of_safetensors,
    of_torch,
    of_xml,
    of_yaml,
)
from fuzz_seeds import STEPS, Kind, configuration, silent, small_network

from fullyconv.data import check, open_data
from fullyconv.data.published import download
from fullyconv.data.published.matlab import read_matrix
from fullyconv.inference.batch import predict_files
from fullyconv.inference.exported import open_model
from fullyconv.inference.predictor import Predictor
from fullyconv.training.config import load_config
from fullyconv.training.stages import train
from fullyconv.weights.convert import convert

PAPER = "fcn8s-atonce-vgg16"


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
    train(data, config, run, resume=True, say=silent)


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
    Kind("pth", ["foreign/zip.pth", "foreign/before.pth"], of_torch, open_for_conversion),
    Kind("Keras h5", ["foreign/keras.h5"], of_bytes(["foreign/keras.h5"]), open_for_conversion),
    Kind("safetensors of others", ["foreign/plain.safetensors"], of_safetensors, open_for_conversion),
    Kind("onnx", ["onnx/net.onnx"], of_onnx, open_and_predict),
    Kind("OpenVINO xml", ["xml/net.xml"], of_xml, open_and_predict, ("xml/net.bin",)),
    Kind(
        "OpenVINO bin",
        ["xml/net.bin"],
        of_xml,
        lambda path: open_and_predict(path.with_suffix(".xml")),
        ("xml/net.xml",),
    ),
    Kind("pt2", ["pt2/net.pt2"], of_pt2, open_and_predict),
    Kind(
        "checkpoint",
        ["run/checkpoints/last.ckpt"],
        of_torch,
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
    *ANNOTATIONS,
]
