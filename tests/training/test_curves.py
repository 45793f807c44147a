"""The picture of a run's curves: what it shows, and that it costs a run no more than a hundredth of its time."""

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fullyconv.training import curves
from fullyconv.training.curves import SHARE, DrawCurves, draw
from fullyconv.training.stages import train


def row(step, loss=1.0, iou=None, **further):
    measured = {} if iou is None else {"val_mean_iou": iou}
    return {"step": step, "minutes": step / 10, "lr": 0.001, "train_loss": loss} | measured | further


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def inked(picture):
    """Where a picture has the colour of the first line, in thirds: its pixels from the top, by panel."""
    near = (abs(picture - np.array([0x1F, 0x5F, 0x99])).sum(-1) < 30)[40:]
    return np.array_split(near, 3, axis=1)


def test_each_panel_has_its_line():
    panels = inked(pixels(draw([row(50, 2.0), row(100, 1.0, 0.2), row(150, 0.5), row(200, 0.25, 0.4)])))
    assert all(panel.any() for panel in panels)
    loss, iou, _ = (np.argwhere(panel) for panel in panels)
    assert loss[loss[:, 1].argmin()][0] < loss[loss[:, 1].argmax()][0]  # falls: its end is below its beginning
    assert iou[iou[:, 1].argmin()][0] > iou[iou[:, 1].argmax()][0]  # rises


def test_a_run_without_a_validation_has_an_empty_panel():
    loss, iou, rate = inked(pixels(draw([row(50), row(100)])))
    assert loss.any()
    assert rate.any()
    assert not iou.any()


def test_each_head_has_a_line_of_its_own():
    one = pixels(draw([row(50, iou=0.5), row(100, iou=0.6)]))
    two = pixels(draw([row(50, iou=0.5, val_mean_iou_geometry=0.2), row(100, iou=0.6, val_mean_iou_geometry=0.3)]))
    brown = [(abs(picture - np.array([0xB3, 0x54, 0x1E])).sum(-1) < 30).any() for picture in (one, two)]
    assert brown == [False, True]


class Time:
    """A clock, and drawings that take a given time: the first one longer."""

    def __init__(self, monkeypatch, tmp_path, first, later):
        self.now, self.took, self.drawn_at = 0.0, iter([first, *[later] * 1000]), []
        monkeypatch.setattr(curves, "perf_counter", lambda: self.now)
        monkeypatch.setattr(curves, "draw", self.draw)
        self.rows: list[dict[str, float]] = []
        saved: Any = SimpleNamespace(rows=self.rows)
        clock: Any = SimpleNamespace(elapsed=lambda: self.now)
        self.callback = DrawCurves(tmp_path, saved, clock)

    def draw(self, rows):
        self.drawn_at.append(self.now)
        self.now += next(self.took)
        return b"picture"

    def pass_validations(self, count, seconds):
        for _ in range(count):
            self.now += seconds
            self.rows.append(row(len(self.rows)))
            self.callback.on_train_epoch_end(SimpleNamespace(is_global_zero=True), None)


@pytest.mark.parametrize(
    ("first", "later", "between"), [(2.0, 0.2, 60), (2.0, 0.2, 5), (30.0, 1.0, 60), (0.5, 0.1, 600)]
)
def test_drawing_takes_a_hundredth_of_the_time_at_most(monkeypatch, tmp_path, first, later, between):
    """But for what the first drawing takes above its estimate, which is made up for before the second."""
    time = Time(monkeypatch, tmp_path, first, later)
    time.pass_validations(1000, between)
    drawings = len(time.drawn_at)
    spent = first + later * (drawings - 1)
    assert spent <= SHARE * time.now
    assert time.drawn_at[0] >= curves.FIRST / SHARE
    assert drawings > 5
    if between >= 100 * later:
        assert drawings >= 900 - 100 * first / between


def test_the_last_state_is_drawn_at_the_end_whatever_it_costs(monkeypatch, tmp_path):
    time = Time(monkeypatch, tmp_path, 2.0, 0.2)
    time.pass_validations(3, 1.0)
    assert time.drawn_at == []
    for _ in range(2):
        time.callback.on_train_end(SimpleNamespace(is_global_zero=True), None)
    assert len(time.drawn_at) == 1
    assert (tmp_path / "curves.png").read_bytes() == b"picture"


def test_a_run_leaves_its_curves_in_its_folder(data, tiny, tmp_path):
    train(data, tiny(training__steps=3), tmp_path / "run", say=lambda _: None)
    assert pixels((tmp_path / "run" / "curves.png").read_bytes()).shape == (360, 1200, 3)
