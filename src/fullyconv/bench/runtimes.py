"""Ways to run a network: what each needs, and how it is made ready for images of one size."""

import importlib.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from fullyconv.errors import ConfigError
from fullyconv.exporting.fixed import on_openvino
from fullyconv.extras import how_to_install
from fullyconv.inference.exported import OPENERS, open_runner
from fullyconv.model.border import has_border, without_border
from fullyconv.model.fcn import FCN
from fullyconv.weights import run_folder
from fullyconv.weights.named import is_name, untrained

FILES = {"onnxruntime": ".onnx", "openvino": ".xml"}
"""What a runtime runs is exported first."""
BORDERLESS = "-borderless"
RUNTIMES = ("torch", "compile", "onnxruntime", "openvino", "openvino-fixed")
WITHOUT_BORDER = tuple(name + BORDERLESS for name in ("torch", "compile", "openvino-fixed"))
"""Of the paper's VGG-16 networks; ``openvino-fixed`` leaves their border out in any case."""
Labels = Callable[[Tensor], Tensor]


def is_exported(model: str) -> bool:
    return Path(model).suffix in OPENERS and not Path(model).is_dir()


def network(model: str) -> FCN:
    """A run folder, a weights file or a hub id; else a network's name: random weights."""
    return untrained(model) if is_name(model) else run_folder.load(model)


def runtimes_of(model: str, net: FCN | None) -> list[str]:
    """The names of all that could run it, installed or not; ``net`` is None for an exported file."""
    if net is None:
        return [{".onnx": "onnxruntime", ".xml": "openvino", ".pt2": "torch.export"}[Path(model).suffix]]
    if has_border(net):
        return [*RUNTIMES[:-1], *WITHOUT_BORDER]
    return list(RUNTIMES)


def device_of(runtime: str) -> str:
    """Where it computes; what runs files is given images on the CPU."""
    on_gpu = torch.cuda.is_available() and runtime.removesuffix(BORDERLESS) in ("torch", "compile")
    return "cuda" if on_gpu else "cpu"


def missing(runtime: str, exported: bool) -> str | None:
    """Why ``runtime`` cannot run here, None if it can. What is ``exported`` needs nothing that writes files."""
    module, *_ = runtime.split("-")
    if module in ("onnxruntime", "openvino"):
        writers = ("onnx", "onnxscript") if runtime in FILES and not exported else ()
        needed = (*writers, module)
        absent = [name for name in needed if importlib.util.find_spec(name) is None]
        return f"{' and '.join(absent)} not installed. {how_to_install('export')}" if absent else None
    if module == "compile" and not torch.cuda.is_available():
        found = any(shutil.which(name) for name in (os.environ.get("CXX"), "g++", "clang++") if name)
        return None if found else "torch.compile needs a C++ compiler, g++ or clang++: none was found"
    return None


def prepare(runtime: str, model: str, file: str | None, images: Tensor) -> Labels:
    """Images of the shape of ``images`` → labels. ``file``: what was exported for this runtime."""
    if is_exported(model) or file:
        return open_runner(file or model).predict
    net = network(model)
    if runtime.startswith("openvino-fixed"):
        return on_openvino(net, (images.shape[2], images.shape[3]), len(images))
    net = net.to(images.device)
    if runtime.endswith(BORDERLESS):
        net = without_border(net)
        net.scores(images)  # makes the maps that it keeps
    if runtime.startswith("compile"):
        option = "triton.cudagraphs" if images.is_cuda else "freezing"
        vars(net)["scores"] = torch.compile(net.scores, dynamic=False, options={option: True})
    elif not runtime.startswith("torch"):
        raise ConfigError(f"Unknown runtime {runtime!r}.")
    return net.predict
