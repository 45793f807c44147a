"""``fullyconv demo`` and ``fullyconv train``."""

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from fullyconv.cli.networks import checked, measure, placed
from fullyconv.cli.terminal import say
from fullyconv.errors import ConfigError
from fullyconv.weights.run_files import CONFIG, EVALUATION

LENGTHS = ("training.epochs", "training.steps", "training.max_minutes")
CHANGED_ON_RESUME = ("data.path", "data.workers", "training.precision", *LENGTHS)

SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Any setting of the recipe, as optimizer.lr=0.001; repeatable."),
]


def demo(out: Annotated[Path, typer.Option(help="Where everything goes.")] = Path("runs/demo")) -> None:
    """The whole story on built-in data, in minutes, on a CPU."""
    from fullyconv.demo.story import run_demo

    run_demo(out, say)


def train(
    data: Annotated[Path | None, typer.Option(help="A data set: a folder, or a descriptor (dataset.yaml).")] = None,
    model: Annotated[
        str | None, typer.Option(help="The network, as fcn8s-vgg16 (docs/models.md).  [default: fcn8s-resnet18]")
    ] = None,
    recipe: Annotated[Path | None, typer.Option(help="Settings in YAML; the options here go over it.")] = None,
    settings: SetOption = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.  [default: 50]")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of the optimizer, instead of epochs.")] = None,
    max_minutes: Annotated[float | None, typer.Option(help="Minutes to train, instead of epochs.")] = None,
    pretrained: Annotated[
        bool | None,
        typer.Option(
            "--pretrained/--no-pretrained",
            help="Start from ImageNet weights, or from none.  [default: pretrained]",
        ),
    ] = None,
    init: Annotated[
        list[Path] | None,
        typer.Option(help="Start from these weights: a run folder or a file; twice for late fusion: colour, HHA."),
    ] = None,
    freeze: Annotated[
        str | None, typer.Option(help="none, or backbone: train only what follows it.  [default: none]")
    ] = None,
    out: Annotated[Path, typer.Option(help="The run folder.")] = Path("runs/train"),
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with the run in --out; train on with --steps, --epochs or --max-minutes of more."
        ),
    ] = False,
) -> None:
    """Train a network; what comes out is a run folder."""
    from fullyconv.training.config import load_config, parse_settings
    from fullyconv.training.written import as_expected

    options = {
        "data.path": data,
        "model.name": model,
        "training.epochs": epochs,
        "training.steps": steps,
        "training.max_minutes": max_minutes,
        "model.pretrained": pretrained,
        "model.init": init[0] if init and len(init) == 1 else init or None,
        "training.freeze": freeze,
    }
    overrides = parse_settings(settings or []) | {key: v for key, v in options.items() if v is not None}
    lengths = [key for key in LENGTHS if as_expected(overrides.get(key), float | None)]
    if len(lengths) > 1:
        raise ConfigError(f"{' and '.join(lengths)} are two lengths of one run: give one of them.")
    if resume:
        recipe = _recipe_to_resume(out, recipe, overrides)
    if lengths:  # over whichever length the recipe has
        overrides = {"training.steps": None, "training.max_minutes": None} | overrides
    config = load_config(recipe, overrides)
    if config.data.path is None:
        raise ConfigError("--data is missing: a folder of images and masks, or a descriptor (dataset.yaml).")
    from fullyconv.training.stages import train as run_training

    data_set = checked(config.data.path, config.data.layout)
    try:
        net = run_training(data_set, config, out, resume, say)
    except KeyboardInterrupt:
        say(f"Stopped. To go on: fullyconv train --resume --out {quote(str(out))}")
        raise typer.Exit(130) from None
    if net is None:  # one of several processes; the first has the last word
        return
    split = "val" if "val" in data_set.splits else "train"
    measure(placed(net), data_set, split, out, out / EVALUATION)


def _recipe_to_resume(out: Path, recipe: Path | None, overrides: dict[str, object]) -> Path:
    """A run goes on with its own configuration, but for what the machine and the wish to go on longer may change."""
    config = out / CONFIG
    given = [f"--recipe {recipe}"] if recipe else []
    given += [key for key in overrides if key not in CHANGED_ON_RESUME]
    if given:
        raise ConfigError(
            f"--resume goes on with {config}; leave out {', '.join(given)}. What may change: --data, "
            "the length (--steps, --epochs or --max-minutes), data.workers and training.precision."
        )
    if not config.is_file():
        raise ConfigError(
            f"--resume: {out} holds no run ({config} is missing). Expected the --out of an earlier train."
        )
    return config
