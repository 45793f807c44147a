"""Compile a network for images of one size on OpenVINO."""

from collections.abc import Callable

import torch
from torch import Tensor

from fullyconv.exporting.formats import on_cpu
from fullyconv.exporting.graph import Graph, input_dtype
from fullyconv.extras import require
from fullyconv.inference.exported import compiled
from fullyconv.model.border import for_inference
from fullyconv.model.fcn import FCN
from fullyconv.sharing import in_evaluation_mode


def on_openvino(net: FCN, size: tuple[int, int], batch: int = 1) -> Callable[[Tensor], Tensor]:
    """Return ``net.predict`` on OpenVINO, for images (``batch``, C, *size) only, with as many threads as torch has.

    What depends only on the size is computed once, here; the work on the border of the paper's VGG-16 networks is left
    out. Raises ConfigError where OpenVINO is not installed.
    """
    openvino = require("openvino", "export")
    net = in_evaluation_mode(for_inference(on_cpu(net)))
    images = torch.zeros(batch, net.in_channels, *size, dtype=input_dtype(net))
    with torch.no_grad():
        net.scores(images)  # computes the border's maps of this size, which are kept as constants
        program = torch.export.export(Graph(net).eval(), (images,))
    model = openvino.convert_model(program)
    model.reshape(list(images.shape))
    graph = compiled(model)

    def predict(images: Tensor) -> Tensor:
        return torch.from_numpy(graph([images.numpy()])[0].copy())

    return predict
