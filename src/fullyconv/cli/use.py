"""``fullyconv evaluate``, ``predict`` and ``inspect``: use a network."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer

from fullyconv.cli.arguments import (
    AllowOption,
    DataOption,
    FoldOption,
    LayoutOption,
    ModelArgument,
    Size,
    WithOption,
    read_size,
)
from fullyconv.cli.terminal import fail, print_comparison, print_result, print_tables, progress_bar, say
from fullyconv.errors import ConfigError, FullyConvError, first_line, visible


def evaluate(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL",
            help="A run folder, a weights file, hub:org/name (Hugging Face), or an exported .onnx, .xml or .pt2; "
            "two of them with --compare.",
        ),
    ],
    data: DataOption,
    others: WithOption = None,
    split: Annotated[str, typer.Option(help="The split of the data to measure on.")] = "test",
    fold: FoldOption = None,
    out: Annotated[
        Path | None,
        typer.Option(help="JSON file of the measurements.  [default: evaluation-SPLIT.json in the run folder]"),
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Say which of two networks is better on the same images, and how sure.")
    ] = False,
    boundary: Annotated[
        bool, typer.Option("--boundary", help="Also measure boundaries: boundary IoU, boundary F1 and HD95.")
    ] = False,
    boundary_width: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="Of boundary IoU: in % of the image's diagonal, or in pixels.  [default: 2%]"
        ),
    ] = None,
    boundary_tolerance: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Of boundary F1, in % or pixels.  [default: 0.75%]")
    ] = None,
    spacing: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Size of a pixel, such as 0.5 or 0.5x0.7 (height x width): HD95 is given in its unit.  "
            "[default: metres, where all images are georeferenced, else pixels]",
        ),
    ] = None,
    calibration: Annotated[
        bool, typer.Option("--calibration", help="Also measure how often probabilities come true (ECE).")
    ] = False,
    threshold_curve: Annotated[
        bool,
        typer.Option(
            "--threshold-curve",
            help="Of two classes: also measure at every threshold; choose the best with --split val.",
        ),
    ] = False,
    valid: Annotated[
        Path | None,
        typer.Option(help="Folder with a mask of the area that counts for each image, such as its field of view."),
    ] = None,
    layout: LayoutOption = None,
    allow: AllowOption = None,
) -> None:
    """Measure a network, or the mean of several, on a data set.

    The results are the paper's four metrics, a table of the classes with 95% intervals, a table of the images, and a
    report; or, with --compare, the differences between two networks and a paired test.
    """
    if len(models) != (2 if compare else 1):
        raise ConfigError(
            f"evaluate was given {len(models)} networks: {', '.join(models)}. Expected one, or two with --compare; to "
            "average several, name the others by --with."
        )
    if compare and others:
        raise ConfigError(
            "--with cannot be had with --compare: it does not tell which of the two is the ensemble. In Python: "
            'fc.compare(["A", "B"], "C", "DATA").'
        )
    further = {
        "--boundary": boundary,
        "--boundary-width": boundary_width,
        "--boundary-tolerance": boundary_tolerance,
        "--spacing": spacing,
        "--calibration": calibration,
        "--threshold-curve": threshold_curve,
    }
    if compare and (given := [name for name, value in further.items() if value]):
        raise ConfigError(f"{', '.join(given)} cannot be had with --compare, which compares the IoU: leave one out.")
    from fullyconv import api

    allowed = allow or ()
    if compare:
        first, second = models
        print_comparison(
            api.compare(
                first,
                second,
                data,
                split,
                out,
                layout,
                valid=valid,
                fold=fold,
                allow=allowed,
                say=say,
                bar=progress_bar,
            )
        )
    else:
        print_tables(
            api.evaluate(
                [models[0], *(others or ())],
                data,
                split,
                out,
                layout,
                boundary=boundary,
                boundary_width=boundary_width,
                boundary_tolerance=boundary_tolerance,
                spacing=spacing,
                calibration=calibration,
                threshold_curve=threshold_curve,
                valid=valid,
                fold=fold,
                allow=allowed,
                say=say,
                bar=progress_bar,
            )
        )


def predict(
    model: ModelArgument,
    images: Annotated[list[Path], typer.Argument(help="Images, or folders of them.")],
    out: Annotated[Path, typer.Option(help="Folder of the masks.")],
    others: WithOption = None,
    overlay: Annotated[bool, typer.Option("--overlay", help="Also write the image under its coloured mask.")] = False,
    scores: Annotated[bool, typer.Option("--scores", help="Also write a heat map of each class.")] = False,
    scales: Annotated[str, typer.Option(help="Average over these scales, such as 0.75,1,1.25.")] = "1",
    flip: Annotated[bool, typer.Option("--flip", help="Also average over the mirrored image.")] = False,
    head: Annotated[
        str | None, typer.Option(help="The labeling, of a network with several.  [default: the first]")
    ] = None,
    tile: Annotated[
        str,
        typer.Option(
            metavar="auto|N|approximate",
            help="Label in tiles: auto, where memory requires it; N, of at most N pixels a side; or approximate, for "
            "networks whose cells see the whole image.",
        ),
    ] = "auto",
    level: Annotated[
        int, typer.Option(help="Level of a pyramid, such as a whole slide's; 0 is the finest.", min=0)
    ] = 0,
    values: Annotated[
        str | None,
        typer.Option(
            metavar="BENCHMARK",
            help="Write the values that a benchmark takes in place of the classes' numbers: cityscapes (labelIds).",
        ),
    ] = None,
) -> None:
    """Label every pixel of images.

    Masks are index PNG files with a palette, or TIFF files for large, tiled and georeferenced TIFF images.
    """
    factors, tiles = _numbers("--scales", scales), _tile(tile)
    from fullyconv import api

    done, failed = api.predict(
        [model, *(others or ())],
        images,
        out,
        overlay=overlay,
        scores=scores,
        scales=factors,
        flip=flip,
        head=head,
        tile=tiles,
        level=level,
        values=values,
        say=say,
        bar=progress_bar,
    )
    say(f"{len(done)} masks in {out}.")
    if failed:
        report_failures(done, failed)


def report_failures(done: Sequence[Path], failed: Sequence[tuple[Path, Exception]]) -> NoReturn:
    """List the images that failed and exit with code 2; raise an error that is not an image's fault, as a bug."""
    lines = [
        f"{len(failed)} of {len(done) + len(failed)} images failed; the others are done.",
        *(f"  {_named(image, error)}" for image, error in failed),
    ]
    expected = (FullyConvError, OSError, MemoryError, RuntimeError)  # the last is what torch raises
    bugs = [error for _, error in failed if not isinstance(error, expected)]
    if bugs:
        say(*lines)
        raise bugs[0]
    fail(*lines)


def _named(image: Path, error: Exception) -> str:
    """Return what failed and why. Our own messages already name the file."""
    reason = first_line(error)
    return reason if isinstance(error, FullyConvError) and visible(str(image)) in reason else f"{image}: {reason}"


def inspect(
    model: Annotated[
        str, typer.Argument(help="A run folder, a weights file, a hub id, or the name of an untrained network.")
    ],
    size: Annotated[
        Size | None, typer.Option(parser=read_size, metavar="HxW", help="Size of the image.  [default: 500x500]")
    ] = None,
    image: Annotated[Path | None, typer.Option(help="Look at this image, at its own size.")] = None,
    cell: Annotated[
        tuple[int, int] | None, typer.Option(metavar="ROW COL", min=0, help="Show what this cell of the scores sees.")
    ] = None,
    heat: Annotated[str | None, typer.Option(help="Draw the scores of this class at every stage.")] = None,
    upsampling: Annotated[
        bool, typer.Option("--upsampling", help="Draw four ways of upsampling side by side.")
    ] = False,
    figure: Annotated[Path | None, typer.Option(help="PNG file of the figure.")] = None,
    classes: Annotated[
        int | None, typer.Option(help="Number of classes of an untrained network.  [default: 21]", min=1)
    ] = None,
    padding: Annotated[
        str | None, typer.Option(help="Padding of an untrained network of the paper's: paper or same.")
    ] = None,
) -> None:
    """Show what a network is and sees.

    Prints the paper's Table 1 and each layer, or what a cell sees; draws cells, class scores and upsampling.
    """
    from fullyconv.inspection.inspect import inspect_model

    for line in inspect_model(model, size, image, cell, heat, upsampling, figure, classes, padding):
        print_result(line)


def _tile(text: str) -> int | Literal["auto", "approximate"]:
    if text == "auto":
        return "auto"
    if text == "approximate":
        return "approximate"
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise ConfigError(f"--tile {text}: expected auto, approximate, or the side of tiles in pixels, such as 2048.")


def _numbers(option: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"{option} {text}: expected numbers with commas between, such as 0.75,1,1.25.") from None
