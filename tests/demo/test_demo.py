"""The demo, in small: every part runs and lands where it says."""

from functools import partial

import pytest
import torch
from PIL import Image

from fullyconv.demo import story as demo
from fullyconv.errors import ConfigError


def test_the_story_from_data_to_pictures(tmp_path, monkeypatch, capsys):
    def few(root, **_):
        make(root, train=8, val=2, test=4, crops_per_class=4)

    make = demo.make
    monkeypatch.setattr(demo, "make", few)
    monkeypatch.setattr(demo, "train_classifier", partial(demo.train_classifier, steps=2))
    monkeypatch.setitem(demo.RECIPE, "training.epochs", 3)
    monkeypatch.setitem(demo.RECIPE, "data.resolutions", [{"crop": [64, 64]}])
    said = []
    for _ in range(2):  # the second replaces the first
        demo.run_demo(tmp_path / "demo", said.append)
    assert "differs by" in " ".join(said)
    assert [line.split("|")[1].strip() for line in capsys.readouterr().out.splitlines()[2:5]] == [
        "FCN-32s",
        "FCN-16s",
        "FCN-8s",
    ]
    for picture in ("heatmap.png", "segmentation.png"):
        assert Image.open(tmp_path / "demo" / picture).width > 1000
    assert (tmp_path / "demo" / "fcn" / "report.html").exists()


def test_what_is_not_a_demos_is_left_alone(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "README.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="not an earlier demo"):
        demo.run_demo(tmp_path, print)
    assert (tmp_path / "data").exists()


def test_the_coarsest_scores_start_as_the_classifiers(tmp_path):
    torch.manual_seed(0)
    classifier = demo.smallvgg.SmallVGG(4).eval()
    net = demo.fcn.create("fcn32s-smallvgg", num_classes=4).eval()
    demo.adopt(net, classifier)
    demo._score_as(net, classifier)
    images = torch.rand(1, 3, 32, 32) * 255
    with torch.no_grad():
        torch.testing.assert_close(net.scores(images)[..., 0, 0], classifier(net.normalize(images)))
