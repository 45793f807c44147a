"""Write checkpoints atomically, and validate a checkpoint before a run resumes from it.

A checkpoint may come from an untrusted source, and Lightning restores whatever it contains, so everything is checked
here first.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.plugins.io import TorchCheckpointIO

from fullyconv.errors import WeightsError
from fullyconv.files import whole_file
from fullyconv.training.clock import Clock
from fullyconv.training.module import AVERAGES, Module
from fullyconv.training.save_best import COLUMNS, SaveBest
from fullyconv.weights.tensors import is_plain, load_as_data

EPOCHS = ("epoch_progress", "current")
STEPS = ("epoch_loop.automatic_optimization.optim_progress", "optimizer", "step", "total", "completed")
"""The keys of the counts in the state of Lightning's fit loop."""
METRICS = "its metrics are not numbers"


class AtomicCheckpoints(TorchCheckpointIO):
    """Write checkpoints whole or not at all, even if the run is killed, and read them without executing code."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: object = None) -> None:
        with whole_file(path) as beside, beside.open("wb") as file:
            torch.save(checkpoint, file)

    def load_checkpoint(
        self, path: str | Path, map_location: object = None, weights_only: bool | None = True
    ) -> dict[str, Any]:
        return read_checkpoint(Path(path))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint that ``AtomicCheckpoints`` wrote; nothing in the file is executed.

    Raises WeightsError if the file is damaged, or contains anything but the tensors, numbers and text of a run.
    """
    try:
        content = load_as_data(path)
    except Exception as error:  # torch's message advises to execute the pickle
        raise _refusal(
            path, "it is damaged, or contains more than tensors, numbers and text, which is never executed"
        ) from error
    if not isinstance(content, dict):
        raise _refusal(path, f"it contains a {type(content).__name__}, expected a dictionary")
    if not isinstance(content.get("state_dict"), dict) or not isinstance(content.get("loops"), dict):
        raise _refusal(path, "it lacks the state of a run (state_dict, loops)")
    clock = _at(content, "callbacks", Clock.__qualname__)
    if not isinstance(clock, dict) or not _is_count(clock.get("step")) or not _is_duration(clock.get("trained")):
        raise _refusal(path, "it lacks the progress of the run")
    if not all(_is_duration(clock.get(name, 0)) for name in ("step_seconds", "validation_seconds")):
        raise _refusal(path, "its durations of a step and a validation are not in seconds")
    return content


def recorded_rows(path: Path, checkpoint: Mapping[str, Any]) -> list[dict[str, float]]:
    """Return the rows of metrics.csv in ``checkpoint``, which was read from ``path``. Raises WeightsError."""
    rows = _at(checkpoint, "callbacks", SaveBest.__qualname__, "rows")
    if not isinstance(rows, list) or not all(_is_row(row) and row.keys() >= COLUMNS for row in rows):
        raise _refusal(path, METRICS)
    return rows


def refuse_other_run(path: Path, checkpoint: Mapping[str, Any], module: Module, trainer: lightning.Trainer) -> None:
    """Raise WeightsError if ``checkpoint``, read from ``path``, does not belong to a run like that of ``module``."""
    best = _at(checkpoint, "callbacks", SaveBest.__qualname__, "best")
    if not _is_row({} if best is None else {"best": best}):
        raise _refusal(path, METRICS)
    version = checkpoint.get("pytorch-lightning_version")
    if not isinstance(version, str) or not re.fullmatch(r"2(\.\d{1,9})+((a|b|rc|\.post|\.dev)\d{1,9})*", version):
        raise _refusal(path, f"it was written by Lightning {str(version)[:40]!r}, expected version 2")
    _refuse_other_network(path, checkpoint["state_dict"], module)
    _refuse_other_optimizer(path, checkpoint, module)
    counts = checkpoint["loops"].get("fit_loop")
    epochs = [_at(counts, *EPOCHS, name) for name in ("ready", "started", "processed")]
    if not _is_like(counts, trainer.fit_loop.state_dict()) or epochs != epochs[:1] * 3:
        raise _refusal(path, "its loop state is not that of Lightning between two epochs")
    steps, step = _at(counts, *STEPS), checkpoint["callbacks"][Clock.__qualname__]["step"]
    if steps != step:
        raise _refusal(path, f"it contradicts itself: the run is at step {step:,} and at step {steps:,}")
    scaling = trainer.precision_plugin.state_dict()
    for name in (type(trainer.precision_plugin).__qualname__, "native_amp_scaling_state"):
        if scaling and name in checkpoint and not _is_like(checkpoint[name], scaling):
            raise _refusal(path, f"its {name} does not fit the configured precision")


def _refuse_other_network(path: Path, found: Mapping[Any, Any], module: Module) -> None:
    expected = module.state_dict()
    for name in sorted({*expected, *found}, key=str):
        ours, theirs = expected.get(name), found.get(name)
        if not isinstance(ours, torch.Tensor):
            fits = (name in expected) == (name in found)
        else:
            fits = _is_tensor(theirs, ours.shape)
        if not fits:
            shape = "nothing" if ours is None else f"a tensor {tuple(getattr(ours, 'shape', ()))}"
            held = tuple(theirs.shape) if isinstance(theirs, torch.Tensor) else type(theirs).__name__
            raise _refusal(path, f"its {str(name)[:80]!r} is {held}, but the configured network has {shape}")


def _refuse_other_optimizer(path: Path, checkpoint: Mapping[str, Any], module: Module) -> None:
    optimizer = module.configure_optimizers()
    groups, name = optimizer.state_dict()["param_groups"], module.config.optimizer.name
    states, schedulers = checkpoint.get("optimizer_states"), checkpoint.get("lr_schedulers")
    found = states[0] if isinstance(states, list) and len(states) == 1 else None
    averages, trained = _at(found, "state"), _at(found, "param_groups")
    if not isinstance(averages, dict) or not isinstance(trained, list) or not isinstance(schedulers, list):
        raise _refusal(path, "it lacks the state of the optimizer")
    if [_numbers(_at(group, "params")) for group in trained] != [group["params"] for group in groups]:
        raise _refusal(path, "its optimizer trains different weights than the configured one")
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for index, kept in averages.items():
        known = _is_count(index) and index < len(weights)
        if not known or not isinstance(kept, dict) or set(kept) != AVERAGES[name]:
            raise _refusal(path, f"its optimizer is not {name} as configured")
        shapes = dict.fromkeys(kept, weights[index].shape) | {"step": torch.Size()}
        if not all(_is_tensor(kept[average], shapes[average]) for average in kept) or not kept.get("step", 0) >= 0:
            raise _refusal(path, f"its optimizer state of weight {index} does not have the shape of the weight")


def _is_tensor(value: object, shape: torch.Size) -> bool:
    return isinstance(value, torch.Tensor) and value.shape == shape and is_plain(value)


def _is_like(found: object, expected: object) -> bool:
    """Whether ``found`` has the keys and types of ``expected``, nested dictionaries of numbers."""
    if isinstance(expected, dict):
        if not isinstance(found, dict) or set(found) != set(expected):
            return False
        return all(_is_like(found[name], expected[name]) for name in expected)
    if isinstance(expected, bool):
        return isinstance(found, bool)
    return _is_count(found) if isinstance(expected, int) else _is_duration(found)


def _refusal(path: Path, reason: str) -> WeightsError:
    run = path.parent.parent
    return WeightsError(
        f"{path}: this run cannot resume from this checkpoint: {reason}. Start a new run in another folder with --out; "
        f"--init {run} starts from the best network of the old run."
    )


def _at(tree: object, *keys: str) -> object:
    for key in keys:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _numbers(value: object) -> list[int]:
    return [number for number in value if _is_count(number)] if isinstance(value, list) else []


def _is_duration(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value < 2**53


def _is_row(value: object) -> bool:
    """Whether ``value`` is a row of metrics: numbers by name."""
    return isinstance(value, dict) and all(
        isinstance(name, str) and isinstance(number, int | float) for name, number in value.items()
    )
