"""Arguments that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

DataArgument = Annotated[Path, typer.Argument(help="A data set: a folder, or a descriptor (dataset.yaml).")]
DataOption = Annotated[Path, typer.Option(help="A data set: a folder, or a descriptor (dataset.yaml).")]
LayoutOption = Annotated[
    str | None, typer.Option(help="How the files lie, where detection is not wanted (see docs/data.md).")
]
ModelArgument = Annotated[
    str, typer.Argument(help="A run folder, a weights file, a hub id (org/name), or an exported .onnx, .xml or .pt2.")
]
