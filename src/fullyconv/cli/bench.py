"""``fullyconv bench`` and ``fullyconv bench-patchwise``."""

from pathlib import Path
from typing import Annotated

import typer

from fullyconv.cli.arguments import Size, SizesOption, read_size
from fullyconv.cli.terminal import print_result, progress_bar


def bench(
    model: Annotated[
        str,
        typer.Argument(help="A run folder, a weights or exported file, a hub id, or the name of an untrained network."),
    ],
    size: SizesOption = None,
    runtime: Annotated[
        list[str] | None,
        typer.Option(
            help="A runtime, such as torch, compile, onnxruntime or openvino; repeatable.  [default: all installed]"
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help="Number of images at once.", min=1)] = 1,
    json: Annotated[Path | None, typer.Option(help="Write the measurements, layer by layer, to this file.")] = None,
    md: Annotated[Path | None, typer.Option(help="Write the tables, as Markdown, to this file.")] = None,
) -> None:
    """Measure how fast a network labels images.

    From bytes to labels: latency, throughput, memory and operations, on each runtime.
    """
    from json import dumps

    from fullyconv.bench import bench, markdown
    from fullyconv.files import write_whole

    with progress_bar("measuring") as step:
        measured = bench(model, size or [(500, 500)], runtime, batch, progress=step)
    text = markdown(measured)
    print_result(text.rstrip("\n"))
    if json:
        write_whole(json, dumps(measured, indent=1) + "\n")
    if md:
        write_whole(md, text)


def bench_patchwise(
    size: Annotated[
        Size | None, typer.Option(parser=read_size, metavar="HxW", help="Size of the image.  [default: 500x500]")
    ] = None,
) -> None:
    """Compare AlexNet on patches and on a whole image.

    Its scores are computed patch by patch, then for all of the image at once (CVPR paper, section 3.1).
    """
    from fullyconv.bench.patchwise import report

    for line in report(size or (500, 500)):
        print_result(line)
