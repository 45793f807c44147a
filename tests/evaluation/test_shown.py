"""What a notebook shows of a run and of a measurement."""

import json
import re
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from fullyconv.evaluation.metrics import metrics
from fullyconv.evaluation.report.shown import Measurements, Run
from fullyconv.model.fcn import build
from fullyconv.weights import run_folder
from tests.evaluation.test_report import CURVES, Page

CLASSES = ["sky & <sea>", "land"]


@pytest.fixture
def result():
    return metrics(np.array([[6, 2], [1, 3]]), CLASSES, images=2, split="test")


def framed(html):
    """The page within the frame, whose tags are whole."""
    (page,) = re.findall(r'srcdoc="([^"]*)"', html)
    return Page(unescape(page)) and unescape(page)


def test_a_measurement_is_a_dictionary_that_shows_itself(result):
    shown = Measurements(result, [(200, 10, 10), (10, 10, 200)], "runs <a>")
    assert shown == result
    assert json.loads(json.dumps(shown)) == result
    page = framed(shown._repr_html_())
    assert "runs &lt;a&gt;" in page
    assert "sky &amp; &lt;sea&gt;" in page
    assert "Measured on 2 images of the split “test”, 2 classes" in page
    assert "66.7%" in page  # 6 / 9
    assert "<svg" not in page


def test_a_run_is_a_path_that_shows_its_measurement_and_its_curves(result, tmp_path):
    run = Run(tmp_path / "a & b")
    assert isinstance(run, Path)
    assert (run, str(run), Path(run)) == (tmp_path / "a & b", str(tmp_path / "a & b"), tmp_path / "a & b")
    assert run._repr_html_() is None
    run_folder.save(build("fcn8s-test_resnet", CLASSES), run)
    assert run._repr_html_() is None
    (run / "evaluation.json").write_text(json.dumps(result), encoding="utf-8")
    (run / "metrics.csv").write_text(CURVES, encoding="utf-8")
    html = run._repr_html_()
    page = framed(html)
    assert "a &amp; b: fcn8s-test_resnet" in page
    assert "val mean iou" in page
    assert "a &amp; b/report.html also has the best and the worst images" in html.replace("\\", "/")
    assert (run / "checkpoints")._repr_html_() is None


def test_a_run_whose_measurement_is_damaged_is_shown_as_a_path(tmp_path):
    (tmp_path / "evaluation.json").write_text("{", encoding="utf-8")
    assert Run(tmp_path)._repr_html_() is None
