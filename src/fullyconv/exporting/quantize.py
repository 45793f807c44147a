"""Export a network in 8-bit integers, calibrated on the user's images, and measure what that costs and gains."""

import logging
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import get_ident
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader

from fullyconv.data import Data
from fullyconv.data.dataset import SegmentationDataset
from fullyconv.data.parallel import Progress
from fullyconv.errors import DataError
from fullyconv.evaluation.metrics import ConfusionMatrix, joint_labels, metrics_of_heads
from fullyconv.exporting.formats import check_target, description, move, on_cpu, to_openvino, write
from fullyconv.exporting.verify import Agreement, verify
from fullyconv.extras import require
from fullyconv.inference.exported import Runner, open_runner
from fullyconv.model.fcn import FCN
from fullyconv.model.spec import KEY, ExportSpec

if TYPE_CHECKING:
    from onnx import GraphProto

IMAGES = 100
"""Number of images for calibration."""
TIMED = 20
"""Number of images that are timed, each on both networks in turn."""


class Cost(NamedTuple):
    """Mean IoU on ``images`` images of ``split``, and seconds per image, in floats and in integers.

    ``calibrated`` is the split used for calibration, and the number of its images.
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
            f"calibrated on {count} images of {seen}{', on which it is also measured' * (seen == self.split)}\n"
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
    """Write ``net`` as ``export`` does, to ``.onnx`` or ``.xml``, with convolutions in 8-bit integers.

    The ranges of their inputs are those on the first ``images`` of the data's ``split``; weights are scaled channel by
    channel; the layers that compute the scores stay in floats. The graph is verified before it is quantized. The cost
    is measured on ``measured_split``. Raises ConfigError and DataError.
    """
    path = Path(path)
    check_target(path, int8=True)
    if len(data.classes) != len(net.classes):
        raise DataError(f"{data.root} has {len(data.classes)} classes, {net.name} {len(net.classes)}.")
    net = on_cpu(net)
    data.require_inputs(net.inputs)
    examples = SegmentationDataset(data, split, channels=net.in_channels, value_range=net.value_range)
    calibrated = (split, min(images, len(examples)))
    about = description(net, probabilities, source)
    in_integers = about.model_copy(update={"int8": True})
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
        beside, floats, onnx = (Path(folder) / name for name in (f"new/{path.name}", "floats.onnx", "int8.onnx"))
        beside.parent.mkdir()
        write(net, floats, about)
        agreement = verify(net, open_runner(floats), probabilities)
        quantized = onnx if path.suffix == ".xml" else beside
        _quantize(floats, quantized, in_integers, _calibration(examples, calibrated[1], about.dtype))
        if path.suffix == ".xml":
            to_openvino(floats, floats.with_suffix(".xml"), about)
            to_openvino(onnx, beside, in_integers)
        runners = open_runner(floats.with_suffix(path.suffix)), open_runner(beside)
        cost = _cost(*runners, data, measured_split(data, split), calibrated, progress)
        move(beside, path)
    return agreement, cost


def measured_split(data: Data, calibrated: str) -> str:
    """Return the split to measure on: ``val``, ``test`` or another than ``calibrated``, if there is another."""
    others = [name for name in ("val", "test", *data.splits) if name in data.splits and name != calibrated]
    return [*others, calibrated][0]


def _calibration(examples: SegmentationDataset, count: int, dtype: str) -> Iterator[dict[str, np.ndarray]]:
    for index in range(count):
        yield {"images": examples[index][0][None].to(getattr(torch, dtype)).numpy()}


def _quantize(floats: Path, path: Path, about: ExportSpec, images: Iterator[dict[str, np.ndarray]]) -> None:
    require("onnxruntime", "export")
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Images(CalibrationDataReader):
        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(images, None)

    model = onnx.load(str(floats))
    with _without_advice():
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
    written = onnx.load(str(path))
    for entry in written.metadata_props:
        if entry.key == KEY:
            entry.value = about.model_dump_json()
    onnx.save(written, str(path))


@contextmanager
def _without_advice() -> Iterator[None]:
    """Silence ONNX Runtime, which advises on the root logger steps that the export has taken.

    Only this thread's messages are silenced.
    """
    thread = get_ident()

    def wanted(record: logging.LogRecord) -> bool:
        return record.levelno > logging.WARNING or record.thread != thread

    logging.root.addFilter(wanted)
    try:
        yield
    finally:
        logging.root.removeFilter(wanted)


def _kept(graph: "GraphProto") -> list[str]:
    """Return the nodes that stay in floats: those that compute the scores, and all that follow them."""
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
    """Measure both graphs on each image of ``split``, which is decoded once; time the first ``TIMED`` again."""
    dataset = SegmentationDataset(data, split, channels=floats.in_channels, value_range=floats.value_range)
    confusions = [ConfusionMatrix(len(floats.classes)) for _ in range(2)]
    seconds = [0.0, 0.0]
    timed = min(TIMED, len(dataset))
    for index, (image, mask, _) in enumerate(DataLoader(dataset, batch_size=None, num_workers=2)):
        images, truth = image[None], joint_labels(mask, floats.heads)
        for which, runner in enumerate((floats, integers)):
            try:
                confusions[which].update(joint_labels(runner.predict(images)[0], runner.heads), truth)
            except DataError as error:
                raise DataError(f"image {index} of {split}: {error}") from error
            if index < timed:
                start = time.perf_counter()
                runner.predict(images)
                seconds[which] += (time.perf_counter() - start) / timed
        if progress:
            progress(index + 1, len(dataset))
    ious = [
        metrics_of_heads(confusion.compute(), floats.classes, floats.heads)["mean_iou"] or 0.0
        for confusion in confusions
    ]
    return Cost(calibrated, split, len(dataset), (ious[0], ious[1]), (seconds[0], seconds[1]))
