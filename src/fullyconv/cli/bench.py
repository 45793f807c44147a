"""``fullyconv bench``."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from fullyconv.cli.terminal import progress_bar


class ModelFirst(TyperGroup):
    """``bench MODEL`` is short for ``bench model MODEL``: a first word that is no command's name is a model."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["model", *args]
        if args[:1] == ["model"]:
            args = _paired(args)
        return super().parse_args(ctx, args)


def _paired(args: list[str]) -> list[str]:
    """``--size H W H W`` → ``--size HxW --size HxW``: typer has no option that takes pairs, and more than one."""
    text = re.sub(r"(?<=\0)--size((?:\0\d+\0\d+)+)(?=\0|$)", _pairs, "\0".join(args))
    return text.split("\0")


def _pairs(match: re.Match[str]) -> str:
    numbers = match[1].split("\0")[1:]
    return "\0".join(f"--size\0{h}x{w}" for h, w in zip(numbers[::2], numbers[1::2], strict=True))


def _size(text: str) -> tuple[int, int]:
    from fullyconv.errors import ConfigError

    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None or "0" in match.groups():
        raise ConfigError(f"--size {text}: expected heights and widths in pixels, as in --size 500 500.")
    return int(match[1]), int(match[2])


def model(
    model: Annotated[
        str, typer.Argument(help="A run folder, a weights or exported file, a hub id, or a network's name: untrained.")
    ],
    size: Annotated[
        list[str] | None,
        typer.Option(metavar="H W", help="Of the images, in pixels; may be several.  [default: 500 500]"),
    ] = None,
    runtime: Annotated[
        list[str] | None,
        typer.Option(help="torch, compile, onnxruntime, openvino ...; may be repeated.  [default: all installed]"),
    ] = None,
    batch: Annotated[int, typer.Option(help="Images at once.", min=1)] = 1,
    json: Annotated[Path | None, typer.Option(help="Write the measurements, layer by layer, to this file.")] = None,
    md: Annotated[Path | None, typer.Option(help="Write the tables, as Markdown, to this file.")] = None,
) -> None:
    """Measure a network, from bytes to labels: latency, throughput, memory, operations. "model" may be left out."""
    sizes = [_size(text) for text in size or ["500x500"]]
    from json import dumps

    from fullyconv.bench import bench, markdown
    from fullyconv.files import write_whole

    with progress_bar("measuring") as step:
        measured = bench(model, sizes, runtime, batch, progress=step)
    text = markdown(measured)
    print(text, end="")
    if json:
        write_whole(json, dumps(measured, indent=1) + "\n")
    if md:
        write_whole(md, text)


def patchwise(
    size: Annotated[tuple[int, int], typer.Option(metavar="H W", min=355, help="Of the image, in pixels.")] = (
        500,
        500,
    ),
) -> None:
    """Slide AlexNet over an image patch by patch, and run it over all of it at once."""
    from fullyconv.bench.patchwise import report

    for line in report(size):
        print(line, flush=True)
