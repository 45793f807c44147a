"""The files of a run folder, by what they hold; those of a network alone are the first two."""

from pathlib import Path

WEIGHTS, ARCHITECTURE = "model.safetensors", "model.json"
CONFIG = "config.yaml"
"""Enough to repeat the run."""
LAST = Path("checkpoints") / "last.ckpt"
"""To resume from."""
CURVES = "metrics.csv"
EVALUATION = "evaluation.json"
REPORT = "report.html"
