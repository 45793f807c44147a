"""A whole run: one network, or FCN-32s → 16s → 8s with weights handed on (paper, section 4.3)."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import lightning
import torch
import yaml
from lightning.pytorch.utilities import rank_zero_only

from fullyconv.classes import difference
from fullyconv.data.catalog import Data
from fullyconv.errors import ConfigError, DataError
from fullyconv.files import write_whole
from fullyconv.model import fcn
from fullyconv.training.config import Config
from fullyconv.training.run import train_network
from fullyconv.weights import run_folder
from fullyconv.weights.initialize import initialize
from fullyconv.weights.run_files import CONFIG, LAST, WEIGHTS


def train(
    data: Data, config: Config, run: Path, resume: bool = False, say: Callable[[str], None] = print
) -> fcn.FCN | None:
    """Train as configured, in stages where there are any; the result is in ``run``, and the first process's to return.

    Each stage before the last has a run folder of its own in ``run``, and an equal share of its length.
    Raises ConfigError where ``run`` holds a run already and ``resume`` is not asked, DataError where the run to resume
    is for other classes; else as ``train_network``.
    """
    first = rank_zero_only.rank == 0  # the other processes of a run start when the first has written
    if first and not resume and (run / CONFIG).exists():
        raise ConfigError(f"{run} holds a run already. Go on with it by --resume, or name another folder with --out.")
    if "train" not in data.splits:
        raise ConfigError(f"{data.root} has no split named train; it has {', '.join(data.splits)}.")
    if "val" not in data.splits and first:
        kept = "last network" if config.training.keep == "last" else "network of the lowest training loss"
        say(
            f"There is no split named val, only {', '.join(data.splits)}: the {kept} is kept, and measured on the "
            "images it was trained on."
        )
    strides: Sequence[int | None] = config.training.stages or [None]
    stages = [_stage(config, stride, len(strides)) for stride in strides]
    for options in stages[1:]:
        new_network(data, options, _silent, untrained=True)  # a stage that cannot be built is refused now, not hours on
    net: fcn.FCN | None = None
    for number, options in enumerate(stages, 1):
        folder = run if number == len(stages) else run / options.model.name
        begun = resume and (folder / LAST).exists()
        if begun:
            _refuse_other_classes(data, folder)
        lightning.seed_everything(config.training.seed, verbose=False)
        following = new_network(data, options, say if first else _silent, untrained=begun or net is not None)
        if net is None and first:
            write_whole(run / CONFIG, yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
        if net is not None:
            _hand_on(net, following)
        if len(stages) > 1 and first:
            say(f"{options.model.name} ({number} of {len(stages)})")
        net = train_network(following, data, options, folder, begun, say)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    return net if first else None


def _hand_on(net: fcn.FCN, following: fcn.FCN) -> None:
    """Give ``following`` all that ``net`` has; what is new starts without a say: scores, or skips' scales, at zero."""
    new = following.load_state_dict(net.state_dict(), strict=False).missing_keys
    for name, parameter in following.named_parameters():
        if name in new and name.startswith("score.") and parameter.dim() == 1:
            torch.nn.init.zeros_(parameter)


def _refuse_other_classes(data: Data, run: Path) -> None:
    spec = run_folder.read(run / WEIGHTS)[0]
    if differs := difference(data.classes, spec.classes):
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
        if config.training.max_minutes:
            config.training.max_minutes /= stages
    return config


def new_network(data: Data, config: Config, say: Callable[[str], None], untrained: bool = False) -> fcn.FCN:
    """The configured network for the data's classes, from ImageNet weights, from ``init``, or untrained."""
    options = config.model
    net = fcn.build(
        options.name,
        data.classes,
        data.palette,
        in_channels=options.in_channels,
        width=options.width,
        upsample=options.upsample,
        dropout=options.dropout,
        padding=options.padding,
        mean=options.mean,
        heads=data.heads,
        pretrained=options.pretrained and options.init is None and not untrained,
    )
    if options.init is not None and not untrained:
        sources = options.init if isinstance(options.init, list) else [options.init]
        fresh = initialize(net, sources, keep_mean=options.mean is not None, say=say)
        named = " and ".join(map(str, sources))
        say(f"Weights from {named}." + (f" New: {', '.join(fresh)}." if fresh else ""))
    return net
