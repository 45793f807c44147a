"""Which files of a run folder hold a measurement and its report."""

import re
from pathlib import Path

from fullyconv.data import Data
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


def fold_of_both(runs: tuple[str, str], path: Path) -> str | None:
    """Return the fold that two runs were validated on. Raises ConfigError where it is not the same."""
    first, second = (own_fold(Path(run), path) for run in runs)
    if first != second:
        raise ConfigError(
            f"{runs[0]} was validated on fold {first or '-'}, {runs[1]} on fold {second or '-'}: one of them has seen "
            "what the other is measured on. Say with --fold which fold is val, or compare on other data."
        )
    return first


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
