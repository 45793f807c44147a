"""Networks exported to files, opened on the runtime of each: ONNX Runtime, OpenVINO, torch.export.

A runner is a ``Segmenter``, as a network is. It has no gradients and no training mode.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from torch import Tensor

from fullyconv.errors import ConfigError, DataError, WeightsError, first_line
from fullyconv.extras import require
from fullyconv.model.fcn import FCN
from fullyconv.model.readout import by_head, stacked
from fullyconv.model.spec import KEY, ExportSpec, parsed

if TYPE_CHECKING:
    from openvino import CompiledModel, Model

Run = Callable[[Tensor], list[Tensor]]


class Runner:
    """A file's graph: ``predict`` and ``probabilities`` as the network gives them.

    ``description`` is what the export wrote. Images that are not of the graph's ``dtype``, as resized ones are, are
    rounded to it.
    """

    device = torch.device("cpu")
    """Where it takes images."""

    def __init__(self, path: Path, description: ExportSpec, run: Run):
        self.path, self.description, self.run = path, description, run
        self.name, self.classes, self.palette = description.name, description.classes, description.palette
        self.heads, self.in_channels = description.heads, description.in_channels
        self.inputs = description.inputs
        self.value_range = description.value_range
        self.dtype: torch.dtype = {"uint8": torch.uint8, "float32": torch.float32}[description.dtype]

    def predict(self, images: Tensor) -> Tensor:
        """(N, C, H, W) → labels (N, H, W), or (N, heads, H, W). Raises DataError where the runtime fails."""
        return self._run(images)[0]

    def labels_and_confidence(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) → the labels, as ``predict`` gives them, and the probability of each.

        The runtime holds the probabilities of all classes at all pixels. Raises as ``probabilities``.
        """
        labels, probabilities = self._with_probabilities(images)
        return labels, stacked([part.amax(1) for part in by_head(probabilities, self.heads)], self.heads)

    def probabilities(self, images: Tensor) -> Tensor:
        """(N, C, H, W) → (N, classes, H, W). Raises ConfigError where the file was exported without, else as above."""
        return self._with_probabilities(images)[1]

    def _with_probabilities(self, images: Tensor) -> list[Tensor]:
        if not self.description.probabilities:
            raise ConfigError(
                f"{self.path} gives labels alone. For probabilities (heat maps, several scales, flips, calibration and "
                "thresholds) export the network with --probabilities."
            )
        return self._run(images)

    def _run(self, images: Tensor) -> list[Tensor]:
        if images.dim() != 4 or images.shape[1] != self.in_channels:
            raise ValueError(f"images must be (N, {self.in_channels}, H, W), got {tuple(images.shape)}")
        if self.dtype == torch.uint8 and images.is_floating_point():
            images = images.round().clamp(0, 255)
        try:
            outputs = self.run(images.to(self.dtype))
        except Exception as error:  # each runtime has errors of its own
            reason = first_line(error).rstrip(".")
            raise DataError(
                f"{self.path} fails on images {tuple(images.shape)}: {reason}. Where memory is short, use "
                "--tile approximate, smaller images, or the run that it was exported from, which needs less."
            ) from error
        return [output.to(images.device) for output in outputs]

    def to(self, device: str | torch.device) -> Self:
        """Itself: the runtime chose its device when the file was opened."""
        return self


def open_model(source: str | Path) -> FCN | Runner:
    """A network for prediction, whatever it is kept in: a run folder, ``.safetensors``, a hub id, or an exported file.

    Raises WeightsError, and ConfigError where a runtime is not installed.
    """
    path = Path(source)
    if path.suffix in OPENERS and not path.is_dir():
        return open_runner(path)
    from fullyconv.weights import run_folder

    return run_folder.load(source)


def open_runner(path: str | Path) -> Runner:
    """An exported file on its runtime, with as many threads as torch has.

    Raises WeightsError for a file that is not there, is damaged or was not exported by fullyconv; ConfigError where
    the runtime is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such file.")
    try:
        text, run = OPENERS[path.suffix](path)
        description = parsed(ExportSpec, text, str(path))
    except (ConfigError, WeightsError):
        raise
    except Exception as error:  # each runtime has errors of its own
        raise WeightsError(f"{path} cannot be opened: {first_line(error).rstrip('.')}") from error
    return Runner(path, description, run)


def _open_onnx(path: Path) -> tuple[str, Run]:
    from fullyconv.inference.graphs.checks import check_onnx

    ort = require("onnxruntime", "export")
    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # what fails is raised
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    providers = [name for name in wanted if name in ort.get_available_providers()]
    check_onnx(path)
    options.add_session_config_entry("session.load_model_format", "ONNX")
    # A few bytes can ask for a constant of any size: nothing is computed while a file is opened.
    session = ort.InferenceSession(path, options, providers=providers, disabled_optimizers=["ConstantFolding"])
    (given,) = session.get_inputs()

    def run(images: Tensor) -> list[Tensor]:
        return [torch.from_numpy(output) for output in session.run(None, {given.name: _array(images)})]

    return _text(session.get_modelmeta().custom_metadata_map.get(KEY), path), run


def _open_openvino(path: Path) -> tuple[str, Run]:
    from fullyconv.inference.graphs.checks import check_openvino
    from fullyconv.inference.graphs.constants import check_constants

    openvino = require("openvino", "export")
    check_openvino(path)
    model = openvino.Core().read_model(path)
    check_constants(path, model, path.with_suffix(".bin").stat().st_size)
    graph = compiled(model)

    def run(images: Tensor) -> list[Tensor]:
        return [torch.from_numpy(output.copy()) for output in graph([_array(images)]).values()]

    text = model.get_rt_info(KEY).astype(str) if model.has_rt_info(KEY) else None
    return _text(text, path), run


def compiled(model: "Model") -> "CompiledModel":
    """An OpenVINO model made ready for the CPU, with as many threads as torch has."""
    # Without the hint some processors compute in bfloat16, which moves the borders between labels.
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    return require("openvino", "export").Core().compile_model(model, "CPU", options)


def _open_program(path: Path) -> tuple[str, Run]:
    from fullyconv.inference.graphs.program import load

    program, text = load(path, KEY)
    return _text(text, path), lambda images: program(images.cpu())


OPENERS: dict[str, Callable[[Path], tuple[str, Run]]] = {
    ".onnx": _open_onnx,
    ".xml": _open_openvino,
    ".pt2": _open_program,
}


def _array(images: Tensor) -> np.ndarray:
    return images.cpu().contiguous().numpy()


def _text(description: str | None, path: Path) -> str:
    if not description:
        raise WeightsError(f"{path} was not written by fullyconv export: it holds no description of its classes.")
    return description
