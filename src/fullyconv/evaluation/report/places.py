"""Which files of a run folder hold a measurement and its report."""

import re
from collections.abc import Sequence
from pathlib import Path

from fullyconv.data import Data
from fullyconv.data.splits.names import canonical
from fullyconv.errors import ConfigError
from fullyconv.weights.run_files import CONFIG, EVALUATION, REPORT
from fullyconv.yaml_data import read_yaml


def own_split(data: Data) -> str:
    """Return the split that training measures its result on."""
    return "val" if "val" in data.splits else "train"


def own_fold(run: Path | None, path: Path) -> str | None:
    """Return the fold that a run was validated on, such as 0/5, if ``path`` is the data that it was trained on."""
    trained_on, fold = _trained_on(run)
    return fold if trained_on is not None and _folder(trained_on) == _folder(path) else None


def common_fold(runs: Sequence[Path], path: Path, split: str) -> str | None:
    """Return the fold that all runs were validated on; None where they differ and ``split`` is test, in no fold.

    Raises ConfigError where they differ and another split is measured.
    """
    folds = [own_fold(run, path) for run in runs]
    others = [(run, fold) for run, fold in zip(runs, folds, strict=True) if fold != folds[0]]
    if not others:
        return folds[0]
    if canonical(split) == "test":
        return None
    run, fold = others[0]
    raise ConfigError(
        f"{runs[0]} was validated on fold {folds[0] or '-'}, {run} on fold {fold or '-'}: one of them has seen what "
        "the other is measured on. Measure on the split test, which is in no fold, or on other data; or say with "
        "--fold which fold is val."
    )


def places(run: Path, data: Data, path: Path, split: str, fold: str | None = None) -> tuple[Path, Path]:
    """Return the files for the measurements and for the report of a split of ``data``, which was opened at ``path``.

    ``evaluation.json`` and ``report.html`` belong to the data that the run was trained on, and to its own split and
    ``fold``. The names of another split's files end in the split, those of another fold in the fold and the split,
    those of another data set's in the data set and these: no measurement overwrites that of other images.
    """
    trained_on, fold_of_run = _trained_on(run)
    own = trained_on is not None and _folder(trained_on) == _folder(path)
    folds = [f"fold_{fold}"] if fold is not None and not (own and fold == fold_of_run) else []
    if own and not folds and split == own_split(data):
        return run / EVALUATION, run / REPORT
    names = [*([] if own else [_folder(path).name]), *folds, split]
    ending = "-".join(re.sub(r"[^\w.]+", "_", name) for name in names)
    measurements, report = Path(EVALUATION), Path(REPORT)
    return run / f"{measurements.stem}-{ending}{measurements.suffix}", run / f"{report.stem}-{ending}{report.suffix}"


def images_file(measurements: Path) -> Path:
    """Return the file for the table of images beside that for the measurements."""
    return measurements.with_name(f"{measurements.stem}-images.csv")


def _trained_on(run: Path | None) -> tuple[Path | None, str | None]:
    """Return the path of a run's training data and its fold; None if there is no configuration that can be read."""
    try:
        settings = read_yaml(run / CONFIG)["data"]  # type: ignore[index,operator]
        fold = settings.get("fold")
        return Path(settings["path"]), fold if isinstance(fold, str) else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None, None


def _folder(path: Path) -> Path:
    """Return the folder of a data set that is given as a folder or by its descriptor."""
    path = path.resolve()
    return path.parent if path.is_file() else path
