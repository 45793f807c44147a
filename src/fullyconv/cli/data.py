"""``fullyconv data``: make, download, check and show data sets."""

import json
from pathlib import Path
from typing import Annotated

import typer

from fullyconv.cli.arguments import AllowOption, DataArgument, LayoutOption, SetOption
from fullyconv.cli.terminal import print_result, progress_bar, say
from fullyconv.errors import ConfigError, visible


def make(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder.")],
    train: Annotated[int, typer.Option(help="Number of training scenes.", min=1)] = 400,
    val: Annotated[int, typer.Option(help="Number of validation scenes.", min=1)] = 60,
    test: Annotated[int, typer.Option(help="Number of test scenes.", min=1)] = 100,
    seed: Annotated[int, typer.Option(help="Random seed; the same seed gives the same files.", min=0)] = 0,
) -> None:
    """Draw the built-in data set.

    It has scenes with masks, and crops of single objects.
    """
    from fullyconv.demo.shapes import make

    with progress_bar("drawing") as step:
        make(folder, train=train, val=val, test=test, seed=seed, progress=step)
    say(f"{folder}: {train} + {val} + {test} scenes (train, val, test), and crops of single objects.")


def download(
    name: Annotated[
        str,
        typer.Argument(
            help="voc2010, voc2011, voc2012 or sbd; for nyud, siftflow and pascal-context, it says where they are."
        ),
    ],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to unpack into; data sets may share one.")],
) -> None:
    """Download one of the paper's data sets, as published."""
    from fullyconv.data.published.download import download

    say(f"{download(name, folder)}")


def check(
    data: DataArgument,
    layout: LayoutOption = None,
    allow: AllowOption = None,
    strict: Annotated[bool, typer.Option("--strict", help="Treat warnings as errors.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print all problems, with every file, as JSON.")] = False,
) -> None:
    """Find everything that is wrong with a data set.

    Also print how often each class occurs.
    """
    from fullyconv.data import check, open_data

    opened = open_data(data, layout)
    for note in opened.notes:
        say(note)
    with progress_bar("checking") as step:
        report = check(opened, progress=step, allow=allow or (), strict=strict)
    if as_json:
        print_result(json.dumps(report.as_json(), indent=2))
    else:
        legend = "\n".join(f"  {line}" for line in opened.legend())
        remarks = "".join(f"\n{remark}" for remark in report.remarks)
        print_result(f"In the masks:\n{legend}\n\n{report.format_frequencies()}{remarks}")
        if report.problems:
            say(*report.problem_lines())
        else:
            print_result("No problems.")
    if report.errors:
        raise typer.Exit(2)


def split(
    data: DataArgument,
    group: Annotated[
        str | None,
        typer.Option(
            metavar="folder|REGEX",
            help="Keep images together: those in one folder, or those for whose paths the expression's first group (or "
            "whole match) is the same, such as 'patient_(\\d+)'.  [default: what the layout knows]",
        ),
    ] = None,
    block: Annotated[
        float | None,
        typer.Option(
            metavar="METRES",
            help="Keep georeferenced images together whose centres lie in one square of this side, such as 1000.",
        ),
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(
            metavar="exif|REGEX",
            help="Train on the first images, validate and test on later ones: by the time in EXIF, or by the number or "
            "date that the expression's first group (or whole match) finds in their paths.",
        ),
    ] = None,
    val: Annotated[float | None, typer.Option(help="Share of the images for validation.  [default: 0.1]")] = None,
    test: Annotated[float, typer.Option(help="Share of the images for the test.")] = 0.1,
    folds: Annotated[
        int | None, typer.Option(help="Divide what is not for the test into so many folds, for train --fold 0/5.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed; the same seed divides in the same way.", min=0)] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing splits.csv.")] = False,
    layout: LayoutOption = None,
    allow: AllowOption = None,
) -> None:
    """Divide a data set into train, val and test, or folds.

    Writes splits.csv into the data set's folder, which all commands then follow. Copies of an image and images of one
    group stay together, and each class has the same share in all splits, as far as groups allow.
    """
    from fullyconv.data.splits.command import split_data
    from fullyconv.data.splits.options import Options
    from fullyconv.data.splits.table import remarks, table

    options = Options.given(group=group, block=block, time=time, val=val, test=test, folds=folds, seed=seed)
    file, division = split_data(data, options, layout, allow=allow or (), force=force, say=say, bar=progress_bar)
    print_result("\n".join(map(visible, table(division))))
    say(*remarks(division), f"{file}: {len(division.splits)} images in {len(set(division.groups.values()))} groups.")


def convert(
    data: DataArgument,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder.")],
    to: Annotated[
        str,
        typer.Option(
            help="folders (index masks and a dataset.yaml), voc, nnunet, coco, yolo, cvat, labelme or label-studio."
        ),
    ] = "folders",
    model: Annotated[
        str | None,
        typer.Option(help="The network that predicted the masks: it names the classes, and people will correct them."),
    ] = None,
    tolerance: Annotated[
        float,
        typer.Option(help="How much outlines are simplified: 0 is exact; 2 leaves out corners of up to 2×2 pixels."),
    ] = 0.0,
    layout: LayoutOption = None,
    allow: AllowOption = None,
) -> None:
    """Write a data set in the format of another tool.

    From the annotations of a tool this makes masks; with --to, masks become annotations. The data are checked first.
    """
    from fullyconv.api import convert

    count = convert(
        data,
        folder,
        to,
        model=model,
        tolerance=tolerance,
        layout=layout,
        allow=allow or (),
        say=say,
        bar=progress_bar,
    )
    say(f"{folder}: {count} images with their labels ({to})")


def show(
    data: DataArgument,
    out: Annotated[Path, typer.Option(help="File of the figure, such as samples.png.")],
    layout: LayoutOption = None,
    augmented: Annotated[
        bool,
        typer.Option("--augmented", help="Draw what training makes of the images (data.augment in docs/training.md)."),
    ] = False,
    recipe: Annotated[Path | None, typer.Option(help="With --augmented: YAML file of settings, as for train.")] = None,
    settings: SetOption = None,
) -> None:
    """Draw sample images beside their masks, or as training augments them."""
    from fullyconv.data import open_data
    from fullyconv.data.samples import show

    if augmented:
        from fullyconv.training.augmented.show import show_augmented

        show_augmented(data, out, layout, recipe=recipe, settings=settings or [], say=say)
        say(f"{out}")
        return
    if recipe or settings:
        raise ConfigError("--recipe and --set are settings of --augmented: give that too")
    faults = show(open_data(data, layout), out)
    if faults:
        more = [f"  and {len(faults) - 10} more"] if len(faults) > 10 else []
        say(f"{len(faults)} images cannot be shown (`fullyconv data check` says more):", *faults[:10], *more)
    say(f"{out}")
