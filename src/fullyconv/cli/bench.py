"""``fullyconv bench``."""

from typing import Annotated

import typer


def patchwise(
    size: Annotated[tuple[int, int], typer.Option(metavar="H W", min=355, help="Of the image, in pixels.")] = (
        500,
        500,
    ),
) -> None:
    """Slide AlexNet over an image patch by patch, and run it over all of it at once."""
    from fullyconv.inspection.patchwise import report

    for line in report(size):
        print(line, flush=True)
