"""The command line: it parses, calls and prints. It imports what it calls where it is used, so that help is quick."""

import errno
import sys
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer

from fullyconv.cli import bench, data, export, training, use, weights
from fullyconv.cli.terminal import fail, guard, say, show_traceback
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
    group(
        "Make, download, check, divide, show and convert data sets.",
        data.make,
        data.download,
        data.check,
        data.split,
        data.show,
        data.convert,
    ),
    name="data",
)


UsageError: type[typer.BadParameter] = typer.BadParameter.__mro__[1]
"""A command line that typer cannot parse; typer has no public name for it."""


def main() -> None:
    """Run a command. Errors that the user can fix end with one message and exit code 2, bugs of ours with 1."""
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    guard()
    try:
        ended = app(standalone_mode=False)
    except typer.Abort:
        raise SystemExit(130) from None
    except Exception as error:
        if isinstance(error, UsageError):
            _explain_usage(error)
        if not debug:
            _end_if_the_users(error)
        sys.excepthook = show_traceback  # typer sets its own
        raise
    raise SystemExit(ended or 0)


def _explain_usage(error: typer.BadParameter) -> NoReturn:
    """Print how a command is called, and what is wrong with how it was."""
    message, context = error.format_message(), error.ctx
    if context is None:
        fail(message)
    if message == context.get_help():  # what a group without a command is answered
        print(message, file=sys.stderr)
        raise SystemExit(2)
    say(context.get_usage())
    say(f"Try '{context.command_path} --help' for help.")
    fail(message)


def _end_if_the_users(error: Exception) -> None:
    """End with one message where the user can fix what is wrong."""
    if isinstance(error, FullyConvError):
        fail(*map(str, error.args))
    if isinstance(error, OSError) and (error.filename is not None or error.errno == errno.ENOSPC):
        fail(f"{error.filename}: {error.strerror}." if error.filename else f"{error.strerror}.")
