"""``fullyconv convert`` and ``push``: weights that others published, and yours for others."""

from pathlib import Path
from typing import Annotated, Any

import typer

from fullyconv.cli.terminal import say
from fullyconv.errors import ConfigError
from fullyconv.weights.run_files import WEIGHTS


def convert(
    source: Annotated[str, typer.Argument(help="A .caffemodel, .pth or .safetensors file, or torchvision.")],
    model: Annotated[str, typer.Option(help="The network in the file, as fcn8s-vgg16.")],
    out: Annotated[Path, typer.Option(help="The run folder.")],
    padding: Annotated[
        str | None, typer.Option(help="Of the paper's networks: paper, or same (no border).  [default: paper]")
    ] = None,
    classes: Annotated[
        int | None, typer.Option(help="Where the source is a classifier: how many to score.  [default: 21]", min=1)
    ] = None,
) -> None:
    """Turn weights of Caffe, pytorch-fcn or torchvision into a run folder."""
    from fullyconv.weights import run_folder
    from fullyconv.weights.convert import convert as run_conversion

    if (out / WEIGHTS).exists():
        raise ConfigError(f"--out {out}: a network is there already. Give a new folder, or remove it.")
    options: dict[str, Any] = {"padding": padding, "classes": classes}
    net = run_conversion(source, model, **options)
    run_folder.save(net, out)
    parameters = sum(parameter.numel() for parameter in net.parameters())
    names = ", ".join([*net.classes[:3], "..."] if len(net.classes) > 4 else net.classes)
    say(f"{out}: {net.name}, {parameters:,} parameters, {len(net.classes)} classes ({names}).")


def push(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    repo: Annotated[str, typer.Argument(metavar="ORG/NAME", help="Where it goes on the Hugging Face hub.")],
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    license: Annotated[str | None, typer.Option(help="The hub's name of a licence, as mit.")] = None,
) -> None:
    """Publish a run on the Hugging Face hub, with a model card written from it."""
    from fullyconv.publish import push_to_hub

    say(push_to_hub(run, repo, private=private, license=license))
