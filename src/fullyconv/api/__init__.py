"""The functions behind the commands and for Python users: train, evaluate, compare, predict and export.

Data are checked first. Each function imports what it needs, so that labelling an image loads neither data layouts nor
metrics nor training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fullyconv.api.measuring import compare as compare
from fullyconv.api.measuring import evaluate as evaluate
from fullyconv.data.checks.checked import ProgressBar, checked
from fullyconv.errors import ConfigError
from fullyconv.live import notebook_bar
from fullyconv.weights.run_files import EVALUATION

if TYPE_CHECKING:
    from fullyconv.evaluation.result import Result
    from fullyconv.exporting.quantize import Cost
    from fullyconv.exporting.verify import Agreement
    from fullyconv.inference.ensemble import Models
    from fullyconv.inference.predictor import TileOption


def train(
    data: str | Path | None = None,
    model: str | None = None,
    out: str | Path = "runs/train",
    *,
    fold: str | None = None,
    recipe: str | Path | None = None,
    settings: Sequence[str] = (),
    epochs: int | None = None,
    steps: int | None = None,
    max_minutes: float | None = None,
    pretrained: bool | None = None,
    init: str | Path | Sequence[str | Path] | None = None,
    freeze: str | None = None,
    allow: Sequence[str] | None = None,
    resume: bool = False,
    say: Callable[[str], None] = print,
    show: Callable[[Result], None] | None = None,
    bar: ProgressBar = notebook_bar,
) -> Path:
    """Train a network on a data set, measure it, and return the run folder ``out``: what ``fullyconv train`` does.

    The options are the command's; ``settings`` are its ``--set``, as ``["optimizer.lr=0.001"]``. ``say`` is given
    messages, ``show`` the measurements (in the first of several processes). Raises DataError for what is wrong with
    the data (``allow`` names kinds of problems to go on with) and ConfigError for options that do not go together.
    """
    from fullyconv.training.requested import announcement, is_first_process, requested

    options = {
        "data.path": data,
        "data.fold": fold,
        "model.name": model,
        "training.epochs": epochs,
        "training.steps": steps,
        "training.max_minutes": max_minutes,
        "model.pretrained": pretrained,
        "model.init": init if init is None or isinstance(init, str | Path) else list(init),
        "training.freeze": freeze,
        "data.allow": None if allow is None else list(allow),
    }
    config, given = requested(options, settings, recipe, Path(out), resume)
    if config.data.path is None:
        raise ConfigError("--data is missing: a folder of images and masks, or a descriptor (dataset.yaml).")
    told = say if is_first_process() else None  # once, where several processes train
    if told is not None:
        told(announcement(config, given, Path(out), resume))
    from fullyconv.evaluation.report.places import own_split
    from fullyconv.evaluation.report.report import evaluate_and_report
    from fullyconv.evaluation.report.shown import Run
    from fullyconv.hardware import best_device
    from fullyconv.model.border import for_inference
    from fullyconv.training import stages  # loads torch and Lightning, which takes seconds
    from fullyconv.training.chosen import with_chosen_settings

    out = Run(out)
    data_set = checked(config.data.path, config.data.layout, None, config.data.allow, told, bar, fold=config.data.fold)
    if given is not None:
        config = with_chosen_settings(data_set, config, given, told)
    net = stages.train(data_set, config, out, resume, say)
    if net is None:  # one of several processes; the first has the last word
        return out
    split = own_split(data_set)
    with bar(f"evaluating on {split}") as step:
        placed = for_inference(net.to(best_device()))
        result = evaluate_and_report(placed, data_set, split, out, out / EVALUATION, progress=step)
    if show is not None:
        show(result)
    return out


def predict(
    model: Models,
    images: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    overlay: bool = False,
    scores: bool = False,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    head: str | None = None,
    tile: TileOption = "auto",
    level: int = 0,
    values: str | None = None,
    say: Callable[[str], None] = lambda _: None,
    bar: ProgressBar = notebook_bar,
) -> tuple[list[Path], list[tuple[Path, Exception]]]:
    """Label images, or folders of them, into files in ``out``, as ``fullyconv predict`` does; see ``predict_files``.

    Of several networks the probabilities are averaged.
    """
    from fullyconv.inference.batch import predict_files
    from fullyconv.inference.ensemble import opened
    from fullyconv.inference.predictor import Predictor

    given = [images] if isinstance(images, str | Path) else images
    predictor = Predictor(opened(model), scales=scales, flip=flip, head=head)
    with bar("predicting") as step:
        return predict_files(
            predictor,
            given,
            out,
            overlay=overlay,
            scores=scores,
            tile=tile,
            level=level,
            values=values,
            progress=step,
            say=say,
        )


class Export(NamedTuple):
    """An exported network: its name, its agreement with the file, and, with int8, the cost of 8-bit integers."""

    name: str
    agreement: Agreement
    cost: Cost | None


def convert(
    data: str | Path,
    folder: str | Path,
    to: str = "folders",
    *,
    model: str | Path | None = None,
    tolerance: float = 0.0,
    layout: str | None = None,
    allow: Sequence[str] = (),
    say: Callable[[str], None] = lambda _: None,
    bar: ProgressBar = notebook_bar,
) -> int:
    """Check a data set and write it in the format of another tool, as the command does; return the number of images.

    ``model`` is the network that predicted the masks: it names the classes, and Label Studio and CVAT are told that no
    person drew them. For the others see ``conversion.convert``. Raises ConfigError and DataError.
    """
    from fullyconv.data.conversion.convert import convert, require_new
    from fullyconv.inference.exported import open_model

    require_new(Path(folder), to, tolerance)
    net = None if model is None else open_model(model)
    data_set = checked(data, layout, None, allow, say, bar, net)
    with bar("converting") as step:
        return convert(data_set, folder, to, tolerance=tolerance, predicted=net is not None, progress=step)


def export(
    model: str | Path,
    out: str | Path,
    *,
    probabilities: bool = False,
    int8: bool = False,
    data: str | Path | None = None,
    split: str | None = None,
    images: int | None = None,
    allow: Sequence[str] = (),
    say: Callable[[str], None] | None = None,
    bar: ProgressBar = notebook_bar,
) -> Export:
    """Write a network to a file ``.onnx``, ``.xml`` (OpenVINO) or ``.pt2``, and verify it there: ``fullyconv export``.

    ``model`` is a run folder, a weights file or ``hub:org/name``. With ``int8`` convolutions compute in 8-bit integers,
    whose ranges are those seen on ``images`` (100) images of ``split`` ("train") of ``data``. Raises ConfigError for
    options that do not go together, a suffix that is unknown or a runtime that is not installed, and where the labels
    differ; DataError for what is wrong with the data (``allow`` and ``say``: see ``checked``).
    """
    if int8 and data is None:
        raise ConfigError("--int8 needs --data: the ranges of 8-bit integers are taken from your images.")
    if not int8 and (data or split or images):
        raise ConfigError("--data, --split and --images are for --int8: without it nothing is calibrated.")
    from fullyconv import exporting  # loads the exporters, which prediction does without
    from fullyconv.evaluation.report.places import own_fold
    from fullyconv.exporting.formats import check_target
    from fullyconv.exporting.quantize import IMAGES, measured_split
    from fullyconv.weights import run_folder

    check_target(Path(out), int8)
    net, source = run_folder.load(model), Path(model).resolve().stem
    if data is None:
        return Export(net.name, exporting.export(net, out, probabilities=probabilities, source=source), None)
    calibrated = split or "train"
    fold = own_fold(Path(model), Path(data))
    data_set = checked(data, None, calibrated, allow, say, bar, fold=fold)
    measured = measured_split(data_set, calibrated)
    if measured != calibrated:
        checked(data, None, measured, allow, say, bar, fold=fold)
    with bar("measuring") as step:
        agreement, cost = exporting.export_int8(
            net,
            out,
            data_set,
            calibrated,
            images or IMAGES,
            probabilities=probabilities,
            source=source,
            progress=step,
        )
    return Export(net.name, agreement, cost)
