"""The curves of a run as a picture in its folder, drawn while it trains."""

import io
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import lightning

from fullyconv.files import write_whole
from fullyconv.training.clock import Clock
from fullyconv.training.save_best import MEASURED, Rows, SaveBest
from fullyconv.weights.run_files import PICTURE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHARE = 0.01
"""The fraction of a run's time that drawing may take."""
FIRST = 2.0
"""Seconds that the first drawing is expected to take, matplotlib's import included."""
COLOURS = ("#1f5f99", "#b3541e", "#39733f", "#79479b")
"""As in the report."""


class DrawCurves(lightning.Callback):
    """Draw the curves after each validation for which there is time within ``SHARE`` of the run, and at its end."""

    def __init__(self, run: Path, saved: SaveBest, clock: Clock):
        self.run, self.saved, self.clock = run, saved, clock
        self.cost, self.spent = FIRST, 0.0
        self.drawn = 0
        """Rows in the picture."""

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        if trainer.is_global_zero and self.spent + self.cost <= SHARE * self.clock.elapsed():
            self._draw()

    def on_train_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        if trainer.is_global_zero and self.drawn < len(self.saved.rows):
            self._draw()

    def _draw(self) -> None:
        began = perf_counter()
        write_whole(self.run / PICTURE, draw(self.saved.rows))
        self.drawn = len(self.saved.rows)
        self.cost = perf_counter() - began
        self.spent += self.cost


def draw(rows: Rows) -> bytes:
    """Return a PNG picture of the training loss, of each head's mean IoU on val with its best, and of the rate.

    ``rows`` are those of metrics.csv, at least one.
    """
    from matplotlib.figure import Figure  # takes a second, which a run begins without

    figure = Figure(figsize=(12, 3.6), dpi=100, facecolor="#fbfbf9")
    figure.subplots_adjust(left=0.05, right=0.98, bottom=0.14, top=0.9, wspace=0.22)
    losses, measured, rates = figure.subplots(1, 3)
    _line(losses, rows, "train_loss", 0)
    _line(rates, rows, "lr", 0)
    columns = [name for name in dict.fromkeys(name for row in rows for name in row) if name.startswith(MEASURED)]
    for number, column in enumerate(columns):
        _line(measured, rows, column, number, column.removeprefix(MEASURED).removeprefix("_"))
    last, best_of_all = rows[-1], "none yet"
    if columns:
        best = max((row for row in rows if MEASURED in row), key=lambda row: row[MEASURED])
        measured.plot(best["step"], best[MEASURED], "o", color=COLOURS[0], markersize=5)
        best_of_all = f"best {best[MEASURED]:.3f}, step {best['step']:.0f}"
    titles = {
        losses: f"Training loss: {last['train_loss']:.3g}, step {last['step']:.0f}",
        measured: f"Mean IoU on val: {best_of_all}",
        rates: f"Learning rate: {last['lr']:.2g}, after {last['minutes']:.1f} minutes",
    }
    for axes, title in titles.items():
        axes.set_title(title, loc="left", fontsize=10.5)
        axes.set_xlabel("step")
        axes.set_xlim(0, 1.02 * last["step"])
        axes.grid(color="#dedcd5")
        axes.spines[["top", "right"]].set_visible(False)
    losses.set_ylim(bottom=0)
    rates.set_ylim(bottom=0)
    rates.yaxis.set_major_formatter("{x:.2g}")
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def _line(axes: "Axes", rows: Rows, column: str, number: int, head: str = "") -> None:
    """Draw the values of a column over the steps; the end of the line has the head's name."""
    points = [(row["step"], row[column]) for row in rows if column in row]
    axes.plot(*zip(*points, strict=True), "-" if len(points) > 1 else ".", color=COLOURS[number % len(COLOURS)])
    if head:
        from fullyconv.fonts import fonts_for  # loads matplotlib

        (text, font) = fonts_for([head])[0]
        axes.annotate(text, points[-1], xytext=(-4, 4), textcoords="offset points", ha="right", font=font)
