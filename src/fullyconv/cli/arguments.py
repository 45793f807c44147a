"""Arguments that several commands take."""

import re
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from fullyconv.data.checks.kinds import KINDS
from fullyconv.errors import visible


class Size(NamedTuple):
    """The size of an image in pixels."""

    height: int
    width: int


def read_size(text: str) -> Size:
    """Read ``HxW``, such as 480x640. Raises BadParameter."""
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if match is None:
        raise typer.BadParameter(
            f"{visible(text)} is not a size; expected height and width in pixels, such as 480x640."
        )
    return Size(int(match[1]), int(match[2]))


SizesOption = Annotated[
    list[Size] | None,
    typer.Option(
        "--size",
        parser=read_size,
        metavar="HxW",
        help="Size of the images, such as 480x640; repeatable.  [default: 500x500]",
    ),
]
DataArgument = Annotated[
    Path, typer.Argument(help="A data set: a folder, an annotation file, or a descriptor (dataset.yaml).")
]
DataOption = Annotated[
    Path, typer.Option(help="A data set: a folder, an annotation file, or a descriptor (dataset.yaml).")
]
LayoutOption = Annotated[str | None, typer.Option(help="Layout of the data (see docs/data.md).  [default: detected]")]
AllowOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow",
        metavar="KIND",
        help=f"Go on with data that have problems of this kind; repeatable. Kinds: {', '.join(KINDS)}.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Any setting of a recipe, such as optimizer.lr=0.001; repeatable (docs/training.md)."),
]
FoldOption = Annotated[
    str | None,
    typer.Option(
        metavar="FOLD/FOLDS",
        help="The fold that is the split val, such as 0/5; the other folds are train. See data split --folds.",
    ),
]
ModelArgument = Annotated[
    str,
    typer.Argument(
        help="A run folder, a weights file, hub:org/name (Hugging Face), or an exported .onnx, .xml or .pt2."
    ),
]
WithOption = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        metavar="MODEL",
        help="Average the class probabilities with those of this network, too; repeatable.",
    ),
]
