"""What a notebook shows of a run and of a measurement: the report's figures, tables and curves, without its images."""

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import cast

from fullyconv.errors import FullyConvError
from fullyconv.evaluation.metrics import Result
from fullyconv.evaluation.report.report import summary
from fullyconv.palettes import Colour
from fullyconv.weights.run_files import EVALUATION, REPORT, WEIGHTS
from fullyconv.weights.run_folder import read_spec


class Measurements(dict[str, object]):
    """A ``Result``, which a notebook shows as figures and a table of the classes."""

    def __init__(self, result: Result, palette: Sequence[Colour], name: str) -> None:
        super().__init__(result)
        self.palette, self.name = palette, name

    def _repr_html_(self) -> str:
        return _framed(summary(cast(Result, self), self.palette, self.name))


class Run(type(Path())):  # type: ignore[misc]  # PosixPath or WindowsPath
    """The path of a run folder, which a notebook shows as what the run has measured and its curves."""

    def _repr_html_(self) -> str | None:
        """Return a page, or None, for which the path is shown, where the folder holds no measurement of a run."""
        try:
            result = json.loads((self / EVALUATION).read_text(encoding="utf-8"))
            spec = read_spec(self / WEIGHTS)
        except (OSError, ValueError, FullyConvError):
            return None
        page = summary(result, spec.palette, f"{self.name}: {spec.name}", self)
        return f"{_framed(page)}<p>{escape(f'{self / REPORT} also has the best and the worst images.')}</p>"


def _framed(page: str) -> str:
    """Return a page within a notebook, of its own height, and untouched by the notebook's styles."""
    return (
        f'<iframe srcdoc="{escape(page)}" style="width: 100%; height: 36rem; border: 0" '
        "onload=\"this.style.height = this.contentDocument.body.offsetHeight + 'px'\"></iframe>"
    )
