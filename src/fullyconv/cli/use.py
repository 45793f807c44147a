"""``fullyconv evaluate``, ``predict`` and ``inspect``: what a network is used for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer

from fullyconv.cli.arguments import AllowOption, DataOption, LayoutOption, ModelArgument, Size, read_size
from fullyconv.cli.terminal import fail, print_tables, progress_bar, say
from fullyconv.errors import ConfigError, FullyConvError, first_line


def evaluate(
    model: ModelArgument,
    data: DataOption,
    split: Annotated[str, typer.Option(help="Which part of the data.")] = "test",
    out: Annotated[
        Path | None,
        typer.Option(help="The measurements, as JSON.  [default: evaluation-SPLIT.json in the run]"),
    ] = None,
    layout: LayoutOption = None,
    allow: AllowOption = None,
) -> None:
    """Measure a network: the paper's four metrics, a table per class, and a report."""
    from fullyconv import api

    print_tables(api.evaluate(model, data, split, out, layout, allow=allow or (), say=say, bar=progress_bar))


def predict(
    model: ModelArgument,
    images: Annotated[list[Path], typer.Argument(help="Images, or folders of them.")],
    out: Annotated[Path, typer.Option(help="Where the masks go.")],
    overlay: Annotated[bool, typer.Option("--overlay", help="Also the image under the coloured mask.")] = False,
    scores: Annotated[bool, typer.Option("--scores", help="Also a heat map of each class.")] = False,
    scales: Annotated[str, typer.Option(help="Average over these scales, as 0.75,1,1.25.")] = "1",
    flip: Annotated[bool, typer.Option("--flip", help="Average over the mirrored image, too.")] = False,
    head: Annotated[str | None, typer.Option(help="Which of several labelings.  [default: the first]")] = None,
    tile: Annotated[
        str,
        typer.Option(
            metavar="auto|N|approximate",
            help="Label in tiles: where memory asks for them, of N pixels, or, for networks that see the whole image, "
            "not exact ones.",
        ),
    ] = "auto",
    level: Annotated[int, typer.Option(help="Of a pyramid, as of a whole slide; 0 is the finest.", min=0)] = 0,
) -> None:
    """Label every pixel of images: index PNG files with a palette; large, tiled and georeferenced TIFF into TIFF."""
    factors, tiles = _numbers("--scales", scales), _tile(tile)
    from fullyconv import api

    done, failed = api.predict(
        model,
        images,
        out,
        overlay=overlay,
        scores=scores,
        scales=factors,
        flip=flip,
        head=head,
        tile=tiles,
        level=level,
        bar=progress_bar,
    )
    say(f"{len(done)} masks in {out}.")
    if failed:
        report_failures(done, failed)


def report_failures(done: Sequence[Path], failed: Sequence[tuple[Path, Exception]]) -> NoReturn:
    """List the images that failed and end with exit code 2; an error that images do not cause is raised, as a bug."""
    lines = "\n".join(f"  {_named(image, error)}" for image, error in failed)
    message = f"{len(failed)} of {len(done) + len(failed)} images failed; the others are done.\n{lines}"
    expected = (FullyConvError, OSError, MemoryError, RuntimeError)  # the last is what torch raises
    bugs = [error for _, error in failed if not isinstance(error, expected)]
    if bugs:
        say(message)
        raise bugs[0]
    fail(message)


def _named(image: Path, error: Exception) -> str:
    """What failed and why. Messages of ours name the file."""
    reason = first_line(error)
    return reason if isinstance(error, FullyConvError) and str(image) in reason else f"{image}: {reason}"


def inspect(
    model: Annotated[str, typer.Argument(help="A run folder, a .safetensors file, or a network's name: untrained.")],
    size: Annotated[
        Size | None, typer.Option(parser=read_size, metavar="HxW", help="Of the image.  [default: 500x500]")
    ] = None,
    image: Annotated[Path | None, typer.Option(help="Look at this image, in its own size.")] = None,
    cell: Annotated[
        tuple[int, int] | None, typer.Option(metavar="ROW COL", min=0, help="What this cell of the scores sees.")
    ] = None,
    heat: Annotated[str | None, typer.Option(help="The scores of this class, stage by stage, in a figure.")] = None,
    upsampling: Annotated[
        bool, typer.Option("--upsampling", help="The four ways of upsampling side by side, in a figure.")
    ] = False,
    figure: Annotated[Path | None, typer.Option(help="Where the figure goes, a PNG file.")] = None,
    classes: Annotated[int | None, typer.Option(help="Of an untrained network.  [default: 21]", min=1)] = None,
    padding: Annotated[str | None, typer.Option(help="Of an untrained network of the paper's: paper or same.")] = None,
) -> None:
    """Show a network: the paper's Table 1, each layer, and what cells see; class scores and upsampling as figures."""
    from fullyconv.inspection.inspect import inspect_model

    for line in inspect_model(model, size, image, cell, heat, upsampling, figure, classes, padding):
        print(line, flush=True)


def _tile(text: str) -> int | Literal["auto", "approximate"]:
    if text == "auto":
        return "auto"
    if text == "approximate":
        return "approximate"
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise ConfigError(f"--tile {text}: expected auto, approximate, or the side of tiles in pixels, as 2048.")


def _numbers(option: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"{option} {text}: expected numbers with commas between, as 0.75,1,1.25.") from None
