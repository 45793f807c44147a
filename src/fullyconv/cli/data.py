"""``fullyconv data``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from fullyconv.cli.arguments import AllowOption, DataArgument, LayoutOption
from fullyconv.cli.terminal import progress_bar, say


def make(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder.")],
    train: Annotated[int, typer.Option(help="Scenes to train on.", min=1)] = 400,
    val: Annotated[int, typer.Option(help="Scenes to validate on.", min=1)] = 60,
    test: Annotated[int, typer.Option(help="Scenes to test on.", min=1)] = 100,
    seed: Annotated[int, typer.Option(help="The same seed gives the same files.", min=0)] = 0,
) -> None:
    """Write the built-in data set: drawn scenes with masks, and crops of single objects."""
    from fullyconv.demo.shapes import make

    with progress_bar("drawing") as step:
        make(folder, train=train, val=val, test=test, seed=seed, progress=step)
    say(f"{folder}: {train} + {val} + {test} scenes (train, val, test), and crops of single objects.")


def download(
    name: Annotated[str, typer.Argument(help="voc2010, voc2011, voc2012 or sbd; for others it says where they are.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where it goes; several may share a folder.")],
) -> None:
    """Fetch one of the paper's data sets, as its authors publish it."""
    from fullyconv.data.published.download import download

    say(f"{download(name, folder)}")


def check(
    data: DataArgument,
    layout: LayoutOption = None,
    allow: AllowOption = None,
    strict: Annotated[bool, typer.Option("--strict", help="Take warnings for errors.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON, every file listed.")] = False,
) -> None:
    """Find what is wrong with a data set, all of it, and how often each class occurs."""
    from fullyconv.data import check, open_data

    opened = open_data(data, layout)
    for note in opened.notes:
        say(note)
    with progress_bar("checking") as step:
        report = check(opened, progress=step, allow=allow or (), strict=strict)
    if as_json:
        print(json.dumps(report.as_json(), indent=2, ensure_ascii=False))
    else:
        print(report.format_frequencies())
        if report.problems:
            say(report.format_problems())
        else:
            print("No problems.")
    if report.errors:
        raise typer.Exit(2)


def show(
    data: DataArgument,
    out: Annotated[Path, typer.Option(help="The figure, a PNG file.")],
    layout: LayoutOption = None,
) -> None:
    """Draw images beside their masks."""
    from fullyconv.data import open_data
    from fullyconv.data.samples import show

    show(open_data(data, layout), out)
    say(f"{out}")
