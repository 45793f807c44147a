"""What a call of ``train`` asks for: the configuration, from a recipe or an earlier run, and options over it.

Loads no torch, so that a wrong option is refused, and the first line printed, at once.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from fullyconv.errors import ConfigError
from fullyconv.training.config import Config, load_config, parse_settings
from fullyconv.weights.run_files import CONFIG
from fullyconv.written import as_expected

LENGTHS = ("training.epochs", "training.steps", "training.max_minutes")
CHANGED_ON_RESUME = (
    *("data.path", "data.allow", "data.workers", "training.precision", "training.patience"),
    *LENGTHS,
)


class Request(NamedTuple):
    """The configuration of a run, and the keys of the settings that were given; None where a recipe gave all."""

    config: Config
    given: frozenset[str] | None


def requested(
    options: Mapping[str, object], settings: Sequence[str], recipe: str | Path | None, out: Path, resume: bool
) -> Request:
    """Return what is asked for a run in ``out``.

    ``options`` are settings by dotted key, of which None is none, and go before ``settings``, as
    ``["optimizer.lr=0.001"]``, and these before the recipe. Raises ConfigError for settings that are wrong or do not go
    together, and for a run to resume that is not there.
    """
    overrides = parse_settings(list(settings)) | {key: value for key, value in options.items() if value is not None}
    lengths = [key for key in LENGTHS if as_expected(overrides.get(key), float | None)]
    if len(lengths) > 1:
        raise ConfigError(f"{' and '.join(lengths)} are two lengths of one run: give one of them.")
    if resume:
        recipe = _recipe_to_resume(out, recipe, overrides)
    if lengths:  # over whichever length the recipe has
        overrides = {"training.steps": None, "training.max_minutes": None} | overrides
    config = load_config(None if recipe is None else Path(recipe), overrides)
    return Request(config, frozenset(overrides) if recipe is None else None)


def _recipe_to_resume(out: Path, recipe: str | Path | None, overrides: Mapping[str, object]) -> Path:
    """Return the run's own configuration, with which it goes on.

    Raises ConfigError where ``overrides`` hold anything but ``CHANGED_ON_RESUME``, or there is no run.
    """
    config = out / CONFIG
    given = [f"--recipe {recipe}"] if recipe else []
    given += [key for key in overrides if key not in CHANGED_ON_RESUME]
    if given:
        raise ConfigError(
            f"--resume goes on with {config}; leave out {', '.join(given)}. What may change: --data, "
            "the length (--steps, --epochs or --max-minutes), data.allow, data.workers, training.precision and "
            "training.patience."
        )
    if not config.is_file():
        raise ConfigError(
            f"--resume: {out} holds no run ({config} is missing). Expected the --out of an earlier train."
        )
    return config


def announcement(config: Config, given: frozenset[str] | None, out: Path, resume: bool) -> str:
    """Say in one line what is going to be done. A network that was not ``given`` is chosen later."""
    options = config.training
    if options.max_minutes:
        length = f"{options.max_minutes:g} minute{'s' * (options.max_minutes != 1)}"
    elif options.steps:
        length = f"{options.steps} step{'s' * (options.steps != 1)}"
    else:
        length = f"{options.epochs} epoch{'s' * (options.epochs != 1)}"
    network = f"{config.model.name} " if given is None or "model.name" in given else ""
    what = f"{network}on {config.data.path}, {length}"
    return f"Resuming {out}: {what}." if resume else f"Training {what}; the run folder is {out}."


def is_first_process() -> bool:
    """Return whether this process is the only one of its run, or the first, by the numbers that launchers give."""
    numbers = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")  # the order in which Lightning asks
    return next((os.environ[name] for name in numbers if name in os.environ), "0") == "0"
