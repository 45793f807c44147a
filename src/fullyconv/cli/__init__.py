"""The command line: it parses, calls and prints. It imports what it calls where it is used, so that help is quick."""

import errno
import sys
import warnings
from collections.abc import Callable
from typing import Annotated

import typer

from fullyconv.cli import bench, data, export, training, use, weights
from fullyconv.cli.terminal import fail, warning_line
from fullyconv.errors import FullyConvError


def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Declare ``--debug`` for the help; ``main`` removes it from the arguments, wherever it is among them."""


def group(description: str, *commands: Callable[..., None]) -> typer.Typer:
    """Group commands that have the names of these functions."""
    commanded = typer.Typer(
        help=description,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    for command in commands:
        commanded.command()(command)
    return commanded


app = group(
    "Semantic segmentation with fully convolutional networks: from images and masks to a trained, measured model.",
    training.demo,
    training.train,
    use.evaluate,
    use.predict,
    use.inspect,
    weights.convert,
    export.export,
    bench.bench,
    bench.bench_patchwise,
    weights.push,
)
app.callback()(options)
app.add_typer(
    group("Make, download, check and show data sets.", data.make, data.download, data.check, data.show), name="data"
)


def main() -> None:
    """Run a command. Errors that the user can fix end with one message and exit code 2, bugs of ours with 1."""
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    warnings.formatwarning = warning_line
    try:
        app(standalone_mode=True)
    except FullyConvError as error:
        if debug:
            raise
        fail(str(error))
    except OSError as error:
        if debug or (error.filename is None and error.errno != errno.ENOSPC):
            raise
        fail(f"{error.filename}: {error.strerror}." if error.filename else f"{error.strerror}.")
