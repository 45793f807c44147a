"""``fullyconv demo`` and ``fullyconv train``."""

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from fullyconv.cli.arguments import AllowOption, FoldOption, SetOption
from fullyconv.cli.terminal import print_tables, progress_bar, say


def demo(out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("runs/demo")) -> None:
    """Show the whole story on built-in data.

    It takes minutes on a CPU.
    """
    from fullyconv.demo.story import run_demo

    run_demo(out, say)


def train(
    data: Annotated[Path | None, typer.Option(help="A data set: a folder, or a descriptor (dataset.yaml).")] = None,
    fold: FoldOption = None,
    model: Annotated[
        str | None,
        typer.Option(help="Name of the network, such as fcn8s-vgg16 (docs/models.md).  [default: fcn8s-resnet18]"),
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="YAML file of settings; options given here take precedence.")
    ] = None,
    settings: SetOption = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.  [default: 50]")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimizer steps, in place of epochs.")] = None,
    max_minutes: Annotated[float | None, typer.Option(help="Minutes to train, in place of epochs.")] = None,
    pretrained: Annotated[
        bool | None,
        typer.Option(
            "--pretrained/--no-pretrained",
            help="Start from ImageNet weights, or from random ones.  [default: pretrained]",
        ),
    ] = None,
    init: Annotated[
        list[Path] | None,
        typer.Option(
            help="Start from the weights of a run folder or a file, also a classifier's of timm or torchvision; given "
            "twice, colour then HHA, for late fusion."
        ),
    ] = None,
    freeze: Annotated[
        str | None, typer.Option(help="backbone: train only the layers after it; or none.  [default: none]")
    ] = None,
    allow: AllowOption = None,
    out: Annotated[Path, typer.Option(help="The run folder.")] = Path("runs/train"),
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Resume the run in --out; with a greater --steps, --epochs or --max-minutes, make it longer.",
        ),
    ] = False,
) -> None:
    """Train a network; the result is a run folder."""
    from fullyconv import api

    try:
        api.train(
            data,
            model,
            out,
            fold=fold,
            recipe=recipe,
            settings=settings or [],
            epochs=epochs,
            steps=steps,
            max_minutes=max_minutes,
            pretrained=pretrained,
            init=init[0] if init and len(init) == 1 else init or None,
            freeze=freeze,
            allow=allow,
            resume=resume,
            say=say,
            show=print_tables,
            bar=progress_bar,
        )
    except KeyboardInterrupt:
        say(f"Stopped. To go on: fullyconv train --resume --out {quote(str(out))}")
        raise typer.Exit(130) from None
