"""A whole run: one network, or FCN-32s → 16s → 8s with weights handed on (paper, section 4.3)."""

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from shlex import quote

import lightning
import torch
import yaml
from lightning.pytorch.utilities import rank_zero_only

from fullyconv.classes import difference
from fullyconv.data.catalog import Data
from fullyconv.data.dataset import SegmentationDataset
from fullyconv.data.loaders import killed_loaders_explained
from fullyconv.errors import ConfigError, DataError
from fullyconv.files import write_whole
from fullyconv.model import fcn
from fullyconv.training import precision
from fullyconv.training.checkpoints import read_checkpoint
from fullyconv.training.clock import seconds_trained
from fullyconv.training.config import Config, load_config
from fullyconv.training.inputs import input_settings, with_input_settings
from fullyconv.training.precision import Precision, refuse_impossible
from fullyconv.training.run import train_network, weights_by_hand
from fullyconv.weights import run_folder
from fullyconv.weights.initialize import initialize
from fullyconv.weights.run_files import CONFIG, LAST, WEIGHTS

WAIT = 300
"""Seconds that the other processes of a run wait for the first to decide."""


def train(
    data: Data, config: Config, run: Path, resume: bool = False, say: Callable[[str], None] = print
) -> fcn.FCN | None:
    """Train as configured, in stages where there are any; the result is in ``run``, and the first process's to return.

    Each stage before the last has a run folder of its own in ``run``, and an equal share of its length.
    Raises ConfigError where ``run`` holds a run already and ``resume`` is not asked, DataError where the run to resume
    is for other classes, LoaderError where the system kills a process that loads images; else as ``train_network``.
    """
    first = rank_zero_only.rank == 0  # the other processes of a run start when the first has written
    refuse_impossible(config)
    config = config.model_copy(deep=True)
    if first and not resume and (run / CONFIG).exists():
        raise ConfigError(f"{run} holds a run already. Go on with it by --resume, or name another folder with --out.")
    if "train" not in data.splits:
        raise ConfigError(f"{data.root} has no split named train; it has {', '.join(data.splits)}.")
    if "val" not in data.splits and config.training.patience is not None:
        raise ConfigError(
            f"training.patience is {config.training.patience}: it counts validations, and {data.root} has no split "
            f"named val, only {', '.join(data.splits)}. Leave it out, or divide the data with fullyconv data split."
        )
    if "val" not in data.splits and first:
        kept = "last network" if config.training.keep == "last" else "network of the lowest training loss"
        say(
            f"There is no split named val, only {', '.join(data.splits)}: the {kept} is kept, and measured on the "
            "images it was trained on."
        )
    if not isinstance(config.training.class_weights, str):
        weights_by_hand(data.classes, config.training.class_weights)  # refused now, not after the data are read
    config = with_input_settings(data, config, say if first else _silent)
    strides: Sequence[int | None] = config.training.stages or [None]
    stages = [_stage(config, stride, len(strides)) for stride in strides]
    folders = [*(run / options.model.name for options in stages[:-1]), run]
    for options in stages[1:]:
        new_network(data, options, _silent, untrained=True)  # a stage that cannot be built is refused now, not hours on
    remedy = (
        "The last checkpoint, if there was one yet, is kept. To go on: "
        f"fullyconv train --resume --out {quote(str(run))}. Fewer of these processes need less memory: "
        f"--set data.workers=N, which was {config.data.workers}."
    )
    net: fcn.FCN | None = None
    for number, (options, folder) in enumerate(zip(stages, folders, strict=True), 1):
        begun = resume and (folder / LAST).exists()
        if begun:
            _refuse_other_classes(data, folder)
        if number < len(stages) and resume and (folders[number] / LAST).exists():  # a later stage has begun
            net = run_folder.load(folder)
            continue
        lightning.seed_everything(config.training.seed, verbose=False)
        following = new_network(data, options, say if first else _silent, untrained=begun or net is not None)
        if config.training.precision == "auto":
            config.training.precision = _decided(following, data, config, run, say)
        options.training.precision = config.training.precision
        if config.training.max_minutes:
            options.training.max_minutes = _minutes_left(config.training.max_minutes, folders, number)
        if first:
            write_whole(run / CONFIG, yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
        if net is not None:
            _hand_on(net, following)
        if len(stages) > 1 and first:
            say(f"{options.model.name} ({number} of {len(stages)})")
        with killed_loaders_explained(remedy):
            net = train_network(following, data, options, folder, begun, say)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    return net if first else None


def _decided(net: fcn.FCN, data: Data, config: Config, run: Path, say: Callable[[str], None]) -> Precision:
    """Return the precision for ``auto``: the first process decides, the others read it in the run's configuration."""
    if rank_zero_only.rank == 0:
        dataset = SegmentationDataset(data, "train", channels=net.in_channels, value_range=net.value_range)
        return precision.choose(net, dataset, config, say)
    began = time.monotonic()
    while time.monotonic() - began < WAIT:
        if (run / CONFIG).exists() and (decided := load_config(run / CONFIG).training.precision) != "auto":
            return decided
        time.sleep(0.1)
    raise ConfigError(
        f"The first process of the run wrote no {run / CONFIG} within {WAIT} s, where the others read the precision. "
        "Give training.precision as 32, bf16 or 16."
    )


def _minutes_left(minutes: float, folders: Sequence[Path], number: int) -> float:
    """Return an even share of what the stages before ``number`` (from 1) have left of ``minutes``.

    At least a twentieth of an even share of all: a stage that ran long, in its last validation, takes from the others.
    """
    spent = sum(seconds_trained(read_checkpoint(folder / LAST)) for folder in folders[: number - 1]) / 60
    stages = len(folders)
    return max((minutes - spent) / (stages - number + 1), minutes / stages / 20)


def _hand_on(net: fcn.FCN, following: fcn.FCN) -> None:
    """Give ``following`` all that ``net`` has; what is new starts without a say: scores, or skips' scales, at zero."""
    new = following.load_state_dict(net.state_dict(), strict=False).missing_keys
    for name, parameter in following.named_parameters():
        if name in new and name.startswith("score.") and parameter.dim() == 1:
            torch.nn.init.zeros_(parameter)


def _refuse_other_classes(data: Data, run: Path) -> None:
    if differs := difference(data.classes, run_folder.read_spec(run / WEIGHTS).classes):
        raise DataError(
            f"--resume: the classes of {data.root} are not those of {run}: {differs}. A run goes on with its own data; "
            f"to start from its weights, train with --init {run}"
        )


def _silent(_: str) -> None:
    pass


def _stage(config: Config, stride: int | None, stages: int) -> Config:
    """The configuration of one stage of ``stages``."""
    config = config.model_copy(deep=True)
    if stride is not None:
        config.model.name = re.sub(r"^fcn\d+s", f"fcn{stride}s", config.model.name)
        config.training.epochs = max(1, config.training.epochs // stages)
        if config.training.steps:
            config.training.steps = max(1, config.training.steps // stages)
    return config


def new_network(data: Data, config: Config, say: Callable[[str], None], untrained: bool = False) -> fcn.FCN:
    """The configured network for the data's classes, from ImageNet weights, from ``init``, or untrained."""
    options = config.model
    given = input_settings(data, config)
    net = fcn.build(
        options.name,
        data.classes,
        data.palette,
        in_channels=given.channels,
        inputs=data.inputs,
        value_range=given.value_range,
        width=options.width,
        upsample=options.upsample,
        dropout=options.dropout,
        padding=options.padding,
        mean=given.mean,
        std=given.std,
        heads=data.heads,
        pretrained=options.pretrained and options.init is None and not untrained,
    )
    if options.init is not None and not untrained:
        sources = options.init if isinstance(options.init, list) else [options.init]
        fresh = initialize(net, sources, keep_mean=options.mean is not None, say=say)
        named = " and ".join(map(str, sources))
        say(f"Weights from {named}." + (f" New: {', '.join(fresh)}." if fresh else ""))
    return net
