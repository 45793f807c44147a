"""The names of the files in a run folder. A network without a run has only the first two."""

from pathlib import Path

WEIGHTS, ARCHITECTURE = "model.safetensors", "model.json"
CONFIG = "config.yaml"
"""The configuration, with which the run can be repeated."""
LAST = Path("checkpoints") / "last.ckpt"
"""The checkpoint from which the run can be resumed."""
CURVES = "metrics.csv"
EVALUATION = "evaluation.json"
REPORT = "report.html"
