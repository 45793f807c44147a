"""Which files of a run folder hold a measurement and its report."""

import re
from pathlib import Path

from fullyconv.data import Data
from fullyconv.weights.run_files import CONFIG, EVALUATION, REPORT
from fullyconv.yaml_data import read_yaml


def own_split(data: Data) -> str:
    """Return the split that training measures its result on."""
    return "val" if "val" in data.splits else "train"


def places(run: Path, data: Data, path: Path, split: str) -> tuple[Path, Path]:
    """Return the files for the measurements and for the report of a split of ``data``, which was opened at ``path``.

    ``evaluation.json`` and ``report.html`` belong to the data that the run was trained on, and to its own split. The
    names of another split's files end in the split, those of another data set's in the data set and the split: no
    measurement overwrites that of other images.
    """
    trained_on = _trained_on(run / CONFIG)
    own = trained_on is not None and _folder(trained_on) == _folder(path)
    if own and split == own_split(data):
        return run / EVALUATION, run / REPORT
    ending = "-".join(re.sub(r"[^\w.]+", "_", part) for part in ([] if own else [_folder(path).name]) + [split])
    measurements, report = Path(EVALUATION), Path(REPORT)
    return run / f"{measurements.stem}-{ending}{measurements.suffix}", run / f"{report.stem}-{ending}{report.suffix}"


def _trained_on(config: Path) -> Path | None:
    """Return the path of the training data; None if there is no configuration that can be read."""
    try:
        return Path(read_yaml(config)["data"]["path"])  # type: ignore[index]
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _folder(path: Path) -> Path:
    """Return the folder of a data set that is given as a folder or by its descriptor."""
    path = path.resolve()
    return path.parent if path.is_file() else path
