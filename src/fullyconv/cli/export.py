"""``fullyconv export``: write a network for another runtime."""

from pathlib import Path
from typing import Annotated

import typer

from fullyconv.cli.arguments import AllowOption, ModelArgument
from fullyconv.cli.terminal import print_result, progress_bar, say


def export(
    model: ModelArgument,
    out: Annotated[Path, typer.Option(help="A file .onnx, .xml (OpenVINO IR) or .pt2 (torch.export).")],
    probabilities: Annotated[bool, typer.Option("--probabilities", help="Also give each class's probability.")] = False,
    int8: Annotated[bool, typer.Option("--int8", help="Convolutions in 8-bit integers, calibrated on --data.")] = False,
    data: Annotated[
        Path | None, typer.Option(help="With --int8: a data set, a folder or a descriptor (dataset.yaml).")
    ] = None,
    split: Annotated[str | None, typer.Option(help="With --int8: the split to calibrate on.  [default: train]")] = None,
    images: Annotated[
        int | None, typer.Option(help="With --int8: the number of images to calibrate on.  [default: 100]", min=1)
    ] = None,
    allow: AllowOption = None,
) -> None:
    """Write a network for another runtime.

    The file holds one graph from bytes to labels, and is verified on its runtime.
    """
    from fullyconv.api import export

    done = export(
        model,
        out,
        probabilities=probabilities,
        int8=int8,
        data=data,
        split=split,
        images=images,
        allow=allow or (),
        say=say,
        bar=progress_bar,
    )
    if done.cost is not None:
        print_result(str(done.cost))
    say(f"{out}: {done.name}{', in floats' if int8 else ''}, {done.agreement}")
