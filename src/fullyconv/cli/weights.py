"""``fullyconv convert`` and ``push``: use published weights, and publish your own."""

from pathlib import Path
from typing import Annotated, Any

import typer

from fullyconv.cli.terminal import say
from fullyconv.errors import ConfigError
from fullyconv.weights.run_files import WEIGHTS


def convert(
    source: Annotated[str, typer.Argument(help="A .caffemodel, .pth, .safetensors or .h5 file, or: torchvision.")],
    model: Annotated[str, typer.Option(help="Name of the network in the file, such as fcn8s-vgg16.")],
    out: Annotated[Path, typer.Option(help="The run folder to write.")],
    padding: Annotated[
        str | None,
        typer.Option(help="Padding of the paper's networks: paper, or same (no border).  [default: paper]"),
    ] = None,
    classes: Annotated[
        int | None, typer.Option(help="Number of classes, where the source is a classifier.  [default: 21]", min=1)
    ] = None,
) -> None:
    """Convert published weights to a run folder.

    Weights may be those of Caffe, pytorch-fcn, torchvision or Keras.
    """
    from fullyconv.weights import run_folder
    from fullyconv.weights.convert import convert as run_conversion

    if (out / WEIGHTS).exists():
        raise ConfigError(f"--out {out}: the folder holds a network already. Give a new folder, or remove this one.")
    options: dict[str, Any] = {"padding": padding, "classes": classes}
    net = run_conversion(source, model, **options, say=say)
    run_folder.save(net, out)
    parameters = sum(parameter.numel() for parameter in net.parameters())
    names = ", ".join([*net.classes[:3], "..."] if len(net.classes) > 4 else net.classes)
    say(f"{out}: {net.name}, {parameters:,} parameters, {len(net.classes)} classes ({names}).")


def push(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    repo: Annotated[str, typer.Argument(metavar="ORG/NAME", help="The repository on the Hugging Face hub.")],
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    license: Annotated[str | None, typer.Option(help="The hub's name of a licence, such as mit.")] = None,
) -> None:
    """Publish a run on the Hugging Face hub.

    The model card is written from the run.
    """
    from fullyconv.publish import push_to_hub

    say(push_to_hub(run, repo, private=private, license=license))
