"""Measure a network on a data set, or compare two: what ``fullyconv evaluate`` does."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from fullyconv.data.checks.checked import ProgressBar, checked, warn_of_faint
from fullyconv.live import notebook_bar
from fullyconv.weights.run_files import CONFIG

if TYPE_CHECKING:
    from fullyconv.evaluation.compare import PairedResult
    from fullyconv.evaluation.result import Result
    from fullyconv.inference.ensemble import Models


def evaluate(
    model: Models,
    data: str | Path,
    split: str = "test",
    out: str | Path | None = None,
    layout: str | None = None,
    *,
    boundary: bool = False,
    boundary_width: str | float | None = None,
    boundary_tolerance: str | float | None = None,
    spacing: str | float | tuple[float, float] | None = None,
    calibration: bool = False,
    threshold_curve: bool = False,
    valid: str | Path | None = None,
    fold: str | None = None,
    allow: Sequence[str] = (),
    say: Callable[[str], None] | None = None,
    bar: ProgressBar = notebook_bar,
) -> Result:
    """Measure a network on a split of a data set, as ``fullyconv evaluate`` does, and return the measurements.

    - ``model``: what ``open_model`` takes; of several networks the probabilities are averaged. Of a run folder the
      measurements and a report are written into it (see ``places``).
    - ``out``: another file for the measurements.
    - ``boundary``: also measure boundaries: boundary IoU in areas of ``boundary_width`` ("2%" of the image's diagonal),
      F1 within ``boundary_tolerance`` ("0.75%"), either also in pixels, such as 3, and HD95. Its unit is that of
      ``spacing``, the size of a pixel, or its (height, width); None: metres, where all images are georeferenced, else
      pixels.
    - ``calibration``: also measure how often probabilities come true (see ``docs/metrics.md``).
    - ``threshold_curve``: also measure a network of two classes at every threshold of its probability; of a run folder
      also at the threshold that its measurements of the split val found the best.
    - ``valid``: a folder with a mask of the area that counts for each image; 0 is outside.
    - ``fold``: the fold that is the split val, such as 0/5; by default, for run folders and their own data, the one
      that they were validated on.
    - ``allow``: kinds of problems with the data that do not stop it.
    - ``say``: is told where the measurements are, and of problems that are warnings.

    Raises DataError for problems with the data that are errors; ConfigError for options that do not go together or do
    not fit the network, and for several runs that were validated on different folds, unless ``split`` is test.
    """
    from fullyconv.evaluation.further import asked
    from fullyconv.evaluation.measure import said_of_lacking
    from fullyconv.evaluation.report.places import common_fold, places
    from fullyconv.evaluation.report.report import evaluate_and_report
    from fullyconv.evaluation.report.shown import Measurements
    from fullyconv.evaluation.thresholds import best_threshold
    from fullyconv.inference.ensemble import listed, opened
    from fullyconv.model.border import for_inference

    further = asked(boundary, boundary_width, boundary_tolerance, spacing, calibration, threshold_curve)
    net, models = for_inference(opened(model)), [Path(one) for one in listed(model)]
    further.require_fit(net)
    run = models[0] if len(models) == 1 and models[0].is_dir() else None
    fold = fold or common_fold(models, Path(data), split)
    data_set = checked(
        data, layout or _layout_of(models[0], Path(data)), split, allow, say, bar, fold=fold, valid=valid
    )
    if say is not None:
        warn_of_faint(data_set, split, net, say)
        if lacking := said_of_lacking(data_set, net):
            say(lacking)
    file, report = (None, None) if run is None else places(run, data_set, Path(data), split, fold)
    if run is not None and threshold_curve and split != "val":
        chosen = best_threshold(places(run, data_set, Path(data), "val", fold)[0])
        further = replace(further, chosen_threshold=chosen)
        if chosen is None and say is not None:
            say(
                "The best threshold is to be chosen on other images than these: run evaluate with --split val "
                "--threshold-curve first, and its best is measured here too."
            )
    file = file if out is None else Path(out)
    with bar(f"evaluating on {split}") as step:
        result = evaluate_and_report(net, data_set, split, run, file, report, progress=step, further=further)
    if say is not None and run is not None:
        say(f"Measurements: {file}. Report: {report}.")
    return cast("Result", Measurements(result, net.palette, " + ".join(model.name for model in models)))


def compare(
    first: Models,
    second: Models,
    data: str | Path,
    split: str = "test",
    out: str | Path | None = None,
    layout: str | None = None,
    *,
    valid: str | Path | None = None,
    fold: str | None = None,
    allow: Sequence[str] = (),
    say: Callable[[str], None] | None = None,
    bar: ProgressBar = notebook_bar,
) -> PairedResult:
    """Compare two networks on a split of a data set, as ``fullyconv evaluate FIRST SECOND --compare`` does.

    Either may be several networks, whose probabilities are averaged. ``out`` is a JSON file for the comparison; the
    other options are those of ``evaluate``. Raises ConfigError for networks with different classes or several
    labelings, and for runs that were validated on different folds, unless ``split`` is test.
    """
    from fullyconv.evaluation.compare import compare_networks, require_comparable
    from fullyconv.evaluation.measure import said_of_lacking
    from fullyconv.evaluation.report.places import common_fold
    from fullyconv.files import write_whole
    from fullyconv.inference.ensemble import listed, opened
    from fullyconv.model.border import for_inference

    runs = [Path(one) for one in (*listed(first), *listed(second))]
    models = (" + ".join(map(str, listed(first))), " + ".join(map(str, listed(second))))
    nets = (for_inference(opened(first)), for_inference(opened(second)))
    require_comparable(nets, models)
    fold = fold or common_fold(runs, Path(data), split)
    data_set = checked(data, layout or _layout_of(runs[0], Path(data)), split, allow, say, bar, fold=fold, valid=valid)
    if say is not None and (lacking := said_of_lacking(data_set, nets[0])):
        say(lacking)
    with bar(f"evaluating on {split}") as step:
        result = compare_networks(nets, models, data_set, split, step)
    if out is not None:
        write_whole(out, json.dumps(result, indent=2))
    return result


def _layout_of(run: Path | None, data: Path) -> str | None:
    """Return the layout of the run's own data if ``data`` fits it too: a folder of NYUDv2 has four layouts."""
    config = run / CONFIG if run else None
    if config is None or not config.is_file():
        return None
    from fullyconv.data.layouts.detect import LAYOUTS
    from fullyconv.training.config import load_config

    layout = load_config(config).data.layout
    return layout if layout in LAYOUTS and LAYOUTS[layout].fits(data) else None
