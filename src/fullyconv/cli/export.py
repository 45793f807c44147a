"""``fullyconv export``: a network for another runtime."""

from pathlib import Path
from typing import Annotated, Any

import typer

from fullyconv.cli.arguments import ModelArgument
from fullyconv.cli.terminal import progress_bar, say
from fullyconv.errors import ConfigError


def export(
    model: ModelArgument,
    out: Annotated[Path, typer.Option(help="A file .onnx, .xml (OpenVINO IR) or .pt2 (torch.export).")],
    probabilities: Annotated[bool, typer.Option("--probabilities", help="Also give each class's probability.")] = False,
    int8: Annotated[bool, typer.Option("--int8", help="Convolutions in 8-bit integers, calibrated on --data.")] = False,
    data: Annotated[Path | None, typer.Option(help="With --int8: a data set, a folder or a descriptor.")] = None,
    split: Annotated[str | None, typer.Option(help="With --int8: what to calibrate on.  [default: train]")] = None,
    images: Annotated[
        int | None, typer.Option(help="With --int8: how many images to calibrate on.  [default: 100]", min=1)
    ] = None,
) -> None:
    """Write a network for another runtime, from bytes to labels in one graph, and verify it there."""
    if int8 and data is None:
        raise ConfigError("--int8 needs --data: the ranges of 8-bit integers are taken from your images.")
    if not int8 and (data or split or images):
        raise ConfigError("--data, --split and --images are for --int8: without it nothing is calibrated.")
    from fullyconv.api import checked
    from fullyconv.export import export as run_export
    from fullyconv.export import export_int8
    from fullyconv.export.export import check_target
    from fullyconv.export.quantize import measured_split
    from fullyconv.weights import run_folder

    check_target(out, int8)
    net = run_folder.load(model)
    options: dict[str, Any] = {"probabilities": probabilities, "source": Path(model).resolve().stem}
    if data is None:
        agreement = run_export(net, out, **options)
    else:
        calibrated = split or "train"
        data_set = checked(data, None, calibrated, progress_bar)
        measured = measured_split(data_set, calibrated)
        if measured != calibrated:
            checked(data, None, measured, progress_bar)
        with progress_bar("measuring") as step:
            agreement, cost = export_int8(net, out, data_set, calibrated, images or 100, **options, progress=step)
        print(cost)
    say(f"{out}: {net.name}{', in floats' if int8 else ''}, {agreement}")
