"""A network in 8-bit integers, calibrated on the user's images, and what that costs and gains."""

import itertools
import json
import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from fullyconv.data import Data
from fullyconv.data.dataset import SegmentationDataset
from fullyconv.data.parallel import Progress
from fullyconv.errors import DataError
from fullyconv.evaluation.evaluate import evaluate
from fullyconv.export.export import check_target, description, move, to_openvino, write
from fullyconv.export.verify import Agreement, verify
from fullyconv.extras import require
from fullyconv.inference.exported import KEY, Runner, open_runner
from fullyconv.model.fcn import FCN

IMAGES = 100
"""That calibration looks at."""
TIMED = 20
"""Images whose time is taken, one after the other on both networks."""


class Cost(NamedTuple):
    """Mean IoU on ``images`` images of ``split``, and seconds per image, in floats and in integers.

    ``calibrated``: on which split, and on how many of its images.
    """

    calibrated: tuple[str, int]
    split: str
    images: int
    mean_iou: tuple[float, float]
    seconds: tuple[float, float]

    def __str__(self) -> str:
        (before, after), (slow, fast) = self.mean_iou, self.seconds
        seen, count = self.calibrated
        return (
            f"calibrated on {count} images of {seen}{', which it is measured on, too' * (seen == self.split)}\n"
            f"on {self.images} images of {self.split}   floats   8-bit integers\n"
            f"mean IoU  {before:.4f}  {after:.4f}  {after - before:+.4f}\n"
            f"ms per image  {1000 * slow:.1f}  {1000 * fast:.1f}  {slow / fast:.2f}× as fast"
        )


def export_int8(
    net: FCN,
    path: str | Path,
    data: Data,
    split: str = "train",
    images: int = IMAGES,
    *,
    probabilities: bool = False,
    source: str = "",
    progress: Progress | None = None,
) -> tuple[Agreement, Cost]:
    """As ``export``, to ``.onnx`` or ``.xml``, with convolutions in 8-bit integers.

    The ranges of their inputs are those seen on the first ``images`` of the data's ``split``; weights are scaled
    channel by channel; what gives the scores stays in floats. The graph is verified before it is quantized. The cost is
    measured on ``measured_split``. Raises ConfigError and DataError.
    """
    path = Path(path)
    check_target(path, int8=True)
    if len(data.classes) != len(net.classes):
        raise DataError(f"{data.root} has {len(data.classes)} classes, {net.name} {len(net.classes)}.")
    examples = SegmentationDataset(data, split, channels=net.in_channels)
    calibrated = (split, min(images, len(examples)))
    about = description(net, probabilities, source)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
        beside, floats, onnx = (Path(folder) / name for name in (f"new/{path.name}", "floats.onnx", "int8.onnx"))
        beside.parent.mkdir()
        write(net, floats, about)
        agreement = verify(net, open_runner(floats), probabilities)
        quantized = onnx if path.suffix == ".xml" else beside
        _quantize(floats, quantized, {**about, "int8": True}, _calibration(examples, calibrated[1], about["dtype"]))
        if path.suffix == ".xml":
            to_openvino(floats, floats.with_suffix(".xml"), about)
            to_openvino(onnx, beside, {**about, "int8": True})
        runners = open_runner(floats.with_suffix(path.suffix)), open_runner(beside)
        cost = _cost(*runners, data, measured_split(data, split), calibrated, progress)
        move(beside, path)
    return agreement, cost


def measured_split(data: Data, calibrated: str) -> str:
    """``val``, ``test`` or any other than was calibrated on, as far as there are others."""
    others = [name for name in ("val", "test", *data.splits) if name in data.splits and name != calibrated]
    return [*others, calibrated][0]


def _calibration(examples: SegmentationDataset, count: int, dtype: str) -> Iterator[dict[str, np.ndarray]]:
    for index in range(count):
        yield {"images": examples[index][0][None].to(getattr(torch, dtype)).numpy()}


def _quantize(floats: Path, path: Path, about: dict[str, Any], images: Iterator[dict[str, np.ndarray]]) -> None:
    require("onnxruntime", "export")
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Images(CalibrationDataReader):
        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(images, None)

    model = onnx.load(str(floats))
    logging.disable(logging.WARNING)  # it advises steps that the export has taken
    try:
        quantize_static(
            model,
            str(path),
            Images(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "MaxPool", "Add", "Concat"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=_kept(model.graph),
        )
    finally:
        logging.disable(logging.NOTSET)
    written = onnx.load(str(path))
    for entry in written.metadata_props:
        if entry.key == KEY:
            entry.value = json.dumps(about, ensure_ascii=False)
    onnx.save(written, str(path))


def _kept(graph: Any) -> list[str]:
    """Nodes that stay in floats: those that make the scores, and all that follows them."""
    scores: set[str] = set()
    kept = []
    for node in graph.node:  # in the order of their work
        if any(name.startswith("net.score.") or name in scores for name in node.input):
            scores.update(node.output)
            kept.append(node.name)
    return kept


def _cost(
    floats: Runner, integers: Runner, data: Data, split: str, calibrated: tuple[str, int], progress: Progress | None
) -> Cost:
    dataset = SegmentationDataset(data, split, channels=floats.in_channels)
    ious = []
    total = 2 * len(dataset)
    for turn, runner in enumerate((floats, integers)):
        step = _offset(progress, turn * len(dataset), total)
        ious.append(evaluate(runner, dataset, split, progress=step)[0]["mean_iou"] or 0.0)
    seconds = [0.0, 0.0]
    timed = [dataset[index][0][None] for index in range(min(TIMED, len(dataset)))]
    for images, (which, runner) in itertools.product(timed, enumerate((floats, integers))):
        runner.predict(images)
        start = time.perf_counter()
        runner.predict(images)
        seconds[which] += (time.perf_counter() - start) / len(timed)
    return Cost(calibrated, split, len(dataset), (ious[0], ious[1]), (seconds[0], seconds[1]))


def _offset(progress: Progress | None, first: int, total: int) -> Callable[[int, int | None], None] | None:
    return None if progress is None else lambda done, _: progress(first + done, total)
