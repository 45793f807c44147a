"""The runtimes on which a network can run: what each needs, and how it is prepared for images of one size."""

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
"""The format to which a network is exported for each runtime that runs files."""
BORDERLESS = "-borderless"
RUNTIMES = ("torch", "compile", "onnxruntime", "openvino", "openvino-fixed")
WITHOUT_BORDER = tuple(name + BORDERLESS for name in ("torch", "compile", "openvino-fixed"))
"""Runtimes that leave out the work on the border of the paper's VGG-16 networks, as ``openvino-fixed`` always does."""
Labels = Callable[[Tensor], Tensor]


def is_exported(model: str) -> bool:
    return Path(model).suffix in OPENERS and not Path(model).is_dir()


def network(model: str) -> FCN:
    """Load a run folder, a weights file or a hub id, or build a network from its name, with random weights."""
    return untrained(model) if is_name(model) else run_folder.load(model)


def runtimes_of(model: str, net: FCN | None) -> list[str]:
    """Return the runtimes that could run the model, installed or not; ``net`` is None for an exported file."""
    if net is None:
        return [{".onnx": "onnxruntime", ".xml": "openvino", ".pt2": "torch.export"}[Path(model).suffix]]
    if has_border(net):
        return [*RUNTIMES[:-1], *WITHOUT_BORDER]
    return list(RUNTIMES)


def device_of(runtime: str) -> str:
    """Return the device on which a runtime computes: the GPU, if there is one, only for torch and torch.compile."""
    on_gpu = torch.cuda.is_available() and runtime.removesuffix(BORDERLESS) in ("torch", "compile")
    return "cuda" if on_gpu else "cpu"


def missing(runtime: str, exported: bool) -> str | None:
    """Return why ``runtime`` cannot run here, or None if it can.

    For an ``exported`` file the packages that would write one are not needed.
    """
    module, *_ = runtime.split("-")
    if module in ("onnxruntime", "openvino"):
        writers = ("onnx", "onnxscript") if runtime in FILES and not exported else ()
        needed = (*writers, module)
        absent = [name for name in needed if importlib.util.find_spec(name) is None]
        return f"{' and '.join(absent)} not installed. {how_to_install('export')}" if absent else None
    if module == "compile" and not torch.cuda.is_available():
        found = any(shutil.which(name) for name in (os.environ.get("CXX"), "g++", "clang++") if name)
        return None if found else "torch.compile needs a C++ compiler, and neither g++ nor clang++ was found"
    return None


def prepare(runtime: str, model: str, file: str | None, images: Tensor) -> Labels:
    """Return the function that labels images of the shape of ``images`` on ``runtime``.

    ``file`` is the network as exported for this runtime.
    """
    if is_exported(model) or file:
        return open_runner(file or model).predict
    net = network(model)
    if runtime.startswith("openvino-fixed"):
        return on_openvino(net, (images.shape[2], images.shape[3]), len(images))
    net = net.to(images.device)
    if runtime.endswith(BORDERLESS):
        net = without_border(net)
        net.scores(images)  # computes the border's maps once, which then are kept
    if runtime.startswith("compile"):
        option = "triton.cudagraphs" if images.is_cuda else "freezing"
        vars(net)["scores"] = torch.compile(net.scores, dynamic=False, options={option: True})
    elif not runtime.startswith("torch"):
        raise ConfigError(f"Unknown runtime {runtime!r}.")
    return net.predict
