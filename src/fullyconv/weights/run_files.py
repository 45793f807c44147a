"""The names of the files in a run folder. A network without a run has only the first two."""

from pathlib import Path

WEIGHTS, ARCHITECTURE = "model.safetensors", "model.json"
CONFIG = "config.yaml"
"""The configuration, with which the run can be repeated."""
LAST = Path("checkpoints") / "last.ckpt"
"""The checkpoint from which the run can be resumed."""
CURVES, PICTURE = "metrics.csv", "curves.png"
"""The curves of training as a table, and drawn."""
EVALUATION = "evaluation.json"
REPORT = "report.html"
