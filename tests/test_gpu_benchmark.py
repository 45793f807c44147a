"""The GPU's benchmark runs from end to end, in small and on the CPU, and refuses what it cannot measure."""

import json
import runpy
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"


def run(monkeypatch, *options):
    monkeypatch.setattr("sys.argv", [str(SCRIPT), *options])
    monkeypatch.setattr("torch.backends.cudnn.benchmark", torch.backends.cudnn.benchmark)
    with torch.random.fork_rng():
        runpy.run_path(str(SCRIPT), run_name="__main__")


def test_the_quick_run_prints_tables_and_the_same_as_json(monkeypatch, capsys):
    run(monkeypatch, "--device", "cpu", "--quick", "--repeats", "1")
    tables, data = capsys.readouterr().out.split("```json")
    result = json.loads(data.rstrip("`\n"))
    assert {row["batch"] for row in result["networks"]} == {1}
    assert all(row["fraction_of_matrix_rate"] > 0 for row in result["networks"])
    assert all(row["network"] in tables for row in result["networks"])
    operations = [row["operations"] for row in result["networks"][:2]]
    assert operations[0] == operations[1]  # eager and compiled
    assert [row["what"] for row in result["readout"]] == ["labels", "loss and gradient"] * 2
    assert all(row["difference"] < 0.01 for row in result["readout"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_without_a_gpu_it_says_so(monkeypatch):
    with pytest.raises(SystemExit, match=r"No CUDA GPU.*--device cpu --quick"):
        run(monkeypatch)


def test_the_full_sizes_are_not_for_the_cpu(monkeypatch):
    with pytest.raises(SystemExit, match="--quick"):
        run(monkeypatch, "--device", "cpu")
