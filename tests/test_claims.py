"""The benchmark of the paper's claims on CamVid trains what is not finished, and compares networks of one seed."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import claims  # noqa: E402
import claims_camvid  # noqa: E402


@pytest.fixture
def camvid(tmp_path):
    random = np.random.default_rng(0)
    for split in ("train", "test"):
        for kind, shape, most in (("images", (192, 256, 3), 256), ("masks", (192, 256), 2)):
            (tmp_path / "camvid" / kind / split).mkdir(parents=True)
            pixels = random.integers(0, most, shape, np.uint8)
            Image.fromarray(pixels).save(tmp_path / "camvid" / kind / split / "a.png")
    return tmp_path / "camvid"


def test_a_second_call_trains_only_what_is_not_finished(camvid, tmp_path, monkeypatch):
    def train(*seeds: int, only: list[str]) -> claims_camvid.Results:
        return claims_camvid.train_all(camvid, tmp_path / "out", "smallvgg", 1, seeds, only)

    monkeypatch.setitem(claims_camvid.RECIPE, "model.pretrained", False)
    monkeypatch.setitem(claims_camvid.RECIPE, "data.batch_size", 1)
    first = train(0, only=["staged"])
    assert [*first["0"]] == ["FCN-32s", "FCN-16s from that", "FCN-8s from that"]
    assert all(0 <= rows["mean_iou"] <= 1 for rows in first["0"].values())
    trained = []
    monkeypatch.setattr(claims_camvid, "train", lambda data, config, run, resume: trained.append(run.name))
    monkeypatch.setattr(claims_camvid, "_measured", lambda folder, data: {"mean_iou": 0.5})
    second = train(0, 1, only=["staged", "8s"])
    assert trained == ["8s", "staged", "8s"]
    assert second["0"]["FCN-32s"] == first["0"]["FCN-32s"]
    assert train(0, 1, only=["8s"]) == second


def test_the_table_has_means_over_seeds_and_differences_within_a_seed():
    def row(iou: float) -> dict[str, float]:
        return {"pixel_accuracy": 0.9, "mean_accuracy": 0.6, "mean_iou": iou}

    results = {
        "0": {"FCN-8s at once, last layers only": row(0.2), "FCN-32s": row(0.4), "FCN-8s at once": row(0.5)},
        "1": {"FCN-16s at once": row(0.4), "FCN-8s at once": row(0.7)},
        "2": {"FCN-16s at once": row(0.8), "FCN-8s at once": row(0.6)},
    }
    text = claims_camvid.section(results, "vgg16", 100, "how")
    assert "| FCN-32s | 100 | 0.900 | 0.600 | 0.400 | 0.400 |" in text
    assert "| FCN-8s at once | 300 | 0.900 | 0.600 | 0.600 ± 0.100 | 0.500 0.700 0.600 |" in text
    assert "last layers alone reaches 40% of all of FCN-8s" in text
    assert "- 8s against 16s, equally long: +0.050 ± 0.354 mean IoU; better in 1 of 2." in text
    assert "Staged" not in text


def test_a_section_of_the_page_is_replaced_and_a_new_one_comes_last():
    page = claims.with_section("# A\n\nold\n\n# B\n\nkept\n", "# A\n\nnew\n")
    assert page == "# A\n\nnew\n\n# B\n\nkept\n"
    assert claims.with_section(page, "# C\n\nlast\n") == page + "\n# C\n\nlast\n"
