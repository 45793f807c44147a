"""`train --fold 0/5` trains on the other folds, and `evaluate` measures on the images that the run has not seen."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
import yaml

from fullyconv import api, cli
from fullyconv.data import open_data
from fullyconv.data.splits.command import split_data
from fullyconv.data.splits.options import Options
from fullyconv.errors import ConfigError
from fullyconv.evaluation.measure import measure
from fullyconv.evaluation.report.places import own_fold, places
from fullyconv.inference.ensemble import Ensemble
from fullyconv.model.fcn import build
from fullyconv.training.config import load_config
from fullyconv.weights import run_folder

QUICK = (
    *("training.epochs=1", "training.precision=32", "data.workers=0", "data.batch_size=4"),
    "data.resolutions=[{crop: [32, 32]}]",
)


@pytest.fixture
def folded(pictures, tmp_path):
    root = tmp_path / "pictures"
    shutil.copytree(pictures, root)
    split_data(root, Options(test=0.25, folds=3))
    return root


def test_a_run_is_measured_on_its_own_fold_unless_another_is_asked_for(folded, tmp_path):
    out = tmp_path / "run"
    settings = [*QUICK, "data.fold=1/3"]
    api.train(folded, "fcn8s-test_resnet", out, pretrained=False, settings=settings, say=lambda _: None)
    assert yaml.safe_load((out / "config.yaml").read_text())["data"]["fold"] == "1/3"
    own, other = (json.dumps([p.image.name for p in open_data(folded, fold=f).splits["val"]]) for f in ("1/3", "2/3"))
    assert own != other
    measured = api.evaluate(out, folded, "val")
    assert measured["images"] == 4
    assert measured == json.loads((out / "evaluation.json").read_text())
    seen = api.evaluate(out, folded, "val", fold="2/3")
    assert seen == json.loads((out / "evaluation-fold_2_3-val.json").read_text())
    assert seen != measured


def test_the_command_takes_a_fold(folded, tmp_path, monkeypatch, capsys):
    arguments = ["train", "--data", str(folded), "--fold", "2/3", "--model", "fcn8s-test_resnet", "--no-pretrained"]
    arguments += ["--out", str(tmp_path / "run"), *(word for setting in QUICK for word in ("--set", setting))]
    monkeypatch.setattr(sys, "argv", ["fullyconv", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    assert "splits.csv divides the images (fold 2/3): train 8, val 4, test 4" in capsys.readouterr().err
    assert own_fold(tmp_path / "run", folded) == "2/3"
    assert own_fold(tmp_path / "run", tmp_path) is None


@pytest.mark.parametrize("fold", ["5/5", "half", 3])
def test_what_is_no_fold_is_refused_as_a_setting(fold):
    with pytest.raises(ConfigError, match=r"data\.fold"):
        load_config(None, {"data.fold": fold})


def test_measurements_of_different_images_are_different_files(folded, tmp_path):
    data, run = open_data(folded), tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text(yaml.safe_dump({"data": {"path": str(folded), "fold": "1/3"}}))
    asked = [("val", "1/3"), ("val", "0/3"), ("val", "2/3"), ("test", "1/3"), ("test", None), ("train", "1/3")]
    names = [places(run, data, path, *split)[0].name for path in (folded, Path("other")) for split in asked]
    assert names[0] == "evaluation.json"
    assert names[1] == "evaluation-fold_0_3-val.json"
    assert names[6] == "evaluation-other-fold_1_3-val.json"
    assert len(set(names) - {"evaluation-test.json"}) == len(names) - 2


@pytest.fixture
def runs_of_folds(folded, tmp_path):
    """Networks of two folds, untrained."""
    runs = [tmp_path / f"fold{fold}" for fold in (0, 1)]
    for fold, run in enumerate(runs):
        net = build("fcn8s-test_resnet", ["blue", "red", "green"])
        torch.nn.init.normal_(net.get_submodule("score.32").get_parameter("weight"))
        run_folder.save(net, run)
        settings = {"data": {"path": str(folded), "fold": f"{fold}/3"}}
        (run / "config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    return runs


def test_networks_of_folds_are_measured_together_on_test_which_none_has_seen(folded, runs_of_folds, tmp_path):
    nets = [run_folder.load(run) for run in runs_of_folds]
    together = api.evaluate(runs_of_folds, folded, out=tmp_path / "measured.json")
    assert together == measure(Ensemble(nets), open_data(folded), "test").result
    assert together == json.loads((tmp_path / "measured.json").read_text())
    compared = api.compare(runs_of_folds, runs_of_folds[0], folded)
    assert compared["mean_iou"]["first"] == pytest.approx(together["mean_iou"])
    assert compared["models"][0] == f"{runs_of_folds[0]} + {runs_of_folds[1]}"


def test_what_one_of_the_networks_was_trained_on_is_not_measured(folded, runs_of_folds):
    for measured in (api.evaluate, lambda runs, *given: api.compare(*runs, *given)):
        with pytest.raises(ConfigError, match=r"fold0 was validated on fold 0/3, .*fold1 on fold 1/3: one of them has"):
            measured(runs_of_folds, folded, "val")
    assert api.evaluate(runs_of_folds, folded, "val", fold="2/3")["images"] == 4
