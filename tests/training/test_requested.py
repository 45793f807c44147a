"""What is done is said at once: in the first line, before libraries are loaded that take seconds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fullyconv.errors import ConfigError
from fullyconv.training.config import load_config
from fullyconv.training.requested import announcement, is_first_process, requested


@pytest.mark.parametrize(
    ("arguments", "first"),
    [
        (["--data", "photos"], "Training on photos, 50 epochs; the run folder is runs"),
        (["--data", "photos", "--set", "optimizer.lr=off"], "fullyconv: optimizer.lr"),
    ],
)
def test_the_first_line_or_a_wrong_option_is_said_before_torch_is_loaded(tmp_path, arguments, first):
    command = [sys.executable, "-X", "importtime", "-m", "fullyconv", "train", *arguments, "--out", "runs"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stderr.splitlines()
    lines = [line.rpartition("|")[2].strip() if line.startswith("import time:") else line for line in said]
    place = next(place for place, line in enumerate(lines) if line.startswith(first))
    assert not {"torch", "lightning", "numpy"} & {line.partition(".")[0] for line in lines[:place]}
    assert not any(line.startswith("fullyconv") and " " in line for line in lines[:place])


@pytest.mark.parametrize(
    ("settings", "given", "resume", "said"),
    [
        ({"training.steps": 1}, {"training.steps"}, False, "Training on photos, 1 step; the run folder is runs."),
        ({"model.name": "fcn8s-a"}, {"model.name"}, False, "Training fcn8s-a on photos, 50 epochs; the run folder is"),
        ({"training.max_minutes": 2.5}, None, False, "Training fcn8s-resnet18 on photos, 2.5 minutes; the run folder"),
        ({"training.epochs": 3}, None, True, "Resuming runs: fcn8s-resnet18 on photos, 3 epochs."),
    ],
)
def test_the_first_line_names_what_how_long_and_where(settings, given, resume, said):
    config = load_config(None, {"data.path": "photos"} | settings)
    assert announcement(config, given, Path("runs"), resume).startswith(said)


@pytest.mark.parametrize(
    ("environment", "first"),
    [({}, True), ({"LOCAL_RANK": "0"}, True), ({"LOCAL_RANK": "1"}, False), ({"RANK": "4", "LOCAL_RANK": "0"}, False)],
)
def test_of_several_processes_the_first_speaks(monkeypatch, environment, first):
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "environ", dict(os.environ) | environment)
    assert is_first_process() == first


def test_options_go_before_settings_and_these_before_the_recipe(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("model: {name: a, width: 8}\noptimizer: {lr: 0.5}\ntraining: {steps: 9}\n")
    options = {"model.name": "c", "training.epochs": 4, "data.fold": None}
    config, given = requested(options, ["model.name=b", "model.width=16"], recipe, tmp_path, False)
    assert (config.model.name, config.model.width, config.optimizer.lr) == ("c", 16, 0.5)
    assert (config.training.epochs, config.training.steps) == (4, None)  # one length, over the recipe's
    assert given is None
    assert requested(options, ["model.width=16"], None, tmp_path, False).given >= {"model.name", "model.width"}


def test_two_lengths_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"training\.steps and training\.max_minutes are two lengths of one run"):
        requested({"training.steps": 3}, ["training.max_minutes=1"], None, tmp_path, False)


def test_a_run_goes_on_with_its_own_settings_but_for_some(tmp_path):
    (tmp_path / "config.yaml").write_text("training: {steps: 9, patience: 2}\noptimizer: {lr: 0.5}\n")
    config, given = requested({"training.steps": 12}, ["training.patience=none"], None, tmp_path, True)
    assert (config.optimizer.lr, config.training.steps, config.training.patience) == (0.5, 12, None)
    assert given is None
    with pytest.raises(ConfigError, match=r"leave out optimizer\.lr\. What may change: .* training\.patience"):
        requested({"optimizer.lr": 0.1}, [], None, tmp_path, True)
    with pytest.raises(ConfigError, match="holds no run"):
        requested({}, [], None, tmp_path / "none", True)
