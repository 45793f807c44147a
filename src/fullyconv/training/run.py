"""One training run: data → network → trainer → run folder."""

import logging
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import lightning
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from fullyconv.classes import unknown_class
from fullyconv.data.catalog import Data
from fullyconv.data.dataset import SegmentationDataset
from fullyconv.data.frequencies import ClassPixels, class_pixels
from fullyconv.errors import ConfigError
from fullyconv.hardware import best_device
from fullyconv.model import fcn
from fullyconv.training.augmented.samples import training_set
from fullyconv.training.batches import Batches, TrainingSet, collate
from fullyconv.training.checkpoints import AtomicCheckpoints, read_checkpoint, recorded_rows, refuse_other_run
from fullyconv.training.clock import Clock
from fullyconv.training.config import Config
from fullyconv.training.curves import DrawCurves
from fullyconv.training.display import Display
from fullyconv.training.early_stopping import EarlyStopping, describe_stall, has_stalled
from fullyconv.training.module import Module
from fullyconv.training.save_best import SaveBest
from fullyconv.weights import run_folder
from fullyconv.weights.run_files import LAST

LIGHTNING = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}
"""Lightning's names of the precisions."""


def train_network(
    net: fcn.FCN,
    data: Data,
    config: Config,
    run: Path,
    resume: bool = False,
    say: Callable[[str], None] = print,
) -> fcn.FCN:
    """Train ``net`` on ``data``'s train split, validating on val; the best network is kept in ``run`` and returned.

    ``config`` names a precision: ``auto`` has been decided before.
    With ``resume`` the run goes on from its last checkpoint (if it has one), as if it had not stopped. Raises DataError
    for a file that breaks on the way or a loss that is not finite, WeightsError for a checkpoint that is none of this
    run, ConfigError.
    """
    _quiet()
    device = best_device()
    dataset = SegmentationDataset(data, "train", channels=net.in_channels, value_range=net.value_range)
    images_a_step = config.data.batch_size * config.optimizer.accumulate
    per_epoch = math.ceil(len(dataset) / images_a_step)
    steps, chunk = plan(per_epoch, config)
    clock = Clock(config, steps)
    checkpoint = run / LAST if resume and (run / LAST).exists() else None
    begun = read_checkpoint(checkpoint) if checkpoint else None
    patience = config.training.patience
    if checkpoint and begun:
        clock.load_state_dict(begun["callbacks"][Clock.__qualname__])
        rows = recorded_rows(checkpoint, begun)
        if has_stalled(rows, patience):
            say(
                f"{run} has stopped early, at step {clock.step}: {describe_stall(rows)}. It trains on by "
                "--resume with a larger patience or none, as --set training.patience=none."
            )
            return run_folder.load(run)
        if clock.is_over():
            say(
                f"{run} has reached its length ({clock.step} steps, {clock.elapsed() / 60:.1f} minutes). "
                "It trains on by --resume with more --steps, --epochs or --max-minutes."
            )
            return run_folder.load(run)
    saved = SaveBest(run, clock, config.training.keep)
    trainer = lightning.Trainer(
        accelerator=device.type,
        devices=config.training.devices,
        strategy="ddp" if config.training.devices > 1 else "auto",
        precision=LIGHTNING[config.training.precision],
        min_epochs=0,
        max_epochs=-1,  # the clock ends the run; Lightning's epochs are the stretches between validations
        accumulate_grad_batches=config.optimizer.accumulate,
        gradient_clip_val=config.optimizer.clip or None,
        sync_batchnorm=device.type == "cuda" and config.training.devices > 1,
        use_distributed_sampler=False,
        callbacks=[
            clock,
            saved,
            EarlyStopping(saved, patience),
            DrawCurves(run, saved, clock),
            Display(clock, images_a_step, say),
        ],
        plugins=[AtomicCheckpoints()],
        logger=TensorBoardLogger(run, name="", version="tensorboard"),
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    names = [data.name(pair.image) for pair in dataset.pairs]
    module = Module(net, config, class_weights(data, config), names)
    if checkpoint and begun:
        refuse_other_run(checkpoint, begun, module, trainer)
    del begun  # Lightning reads it again
    training = training_loader(training_set(data, dataset, config), config, chunk, trainer, clock)
    validation = validation_loader(data, config, net, trainer)
    try:
        trainer.fit(module, training, validation, ckpt_path=checkpoint, weights_only=True)
    except SystemExit:  # what Lightning makes of Ctrl-C
        raise KeyboardInterrupt from None
    if trainer.is_global_zero and not clock.is_over() and has_stalled(saved.rows, patience):
        say(f"Stopped early, at step {clock.step}: {describe_stall(saved.rows)}.")
    return run_folder.load(run)


def plan(per_epoch: int, config: Config) -> tuple[int, int]:
    """Steps in all, and between validations. The former is rounded up to a multiple of the latter."""
    options = config.training
    chunk = options.validate_every or min(max(per_epoch, 100), 1000)
    if options.max_minutes:
        return 0, chunk
    steps = options.steps or options.epochs * per_epoch
    chunks = math.ceil(steps / chunk)
    chunk = math.ceil(steps / chunks)
    return chunks * chunk, chunk


def training_loader(
    samples: TrainingSet, config: Config, chunk: int, trainer: lightning.Trainer, clock: Clock
) -> DataLoader:
    options, accumulate = config.data, config.optimizer.accumulate
    resolutions = options.resolutions

    def resolution(batch: int) -> int:
        progress = clock.progress(batch // accumulate)
        return next((i for i, r in enumerate(resolutions) if progress < r.until), len(resolutions) - 1)

    batches = Batches(
        len(samples),
        options.batch_size,
        chunk * accumulate,
        config.training.seed,
        position=lambda: trainer.global_step * accumulate,
        transform=resolution,
        rank=trainer.global_rank,
        world_size=trainer.world_size,
    )
    return DataLoader(
        samples,
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=options.workers,
        persistent_workers=options.workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


def validation_loader(data: Data, config: Config, net: fcn.FCN, trainer: lightning.Trainer) -> DataLoader | None:
    """Whole images, one at a time; each process takes its share."""
    if "val" not in data.splits:
        return None
    dataset = SegmentationDataset(data, "val", channels=net.in_channels, value_range=net.value_range)
    share = Subset(dataset, range(trainer.global_rank, len(dataset), trainer.world_size))
    return DataLoader(share, batch_size=1, num_workers=config.data.workers)


def class_weights(data: Data, config: Config) -> Tensor | None:
    """Median-frequency weights (Eigen and Fergus, ICCV 2015, section 6.3.2), their square roots, or those by hand.

    The former are scaled so that the mean weight of a labelled pixel is 1; a class that the train split lacks has
    weight 0. Raises ConfigError for weights by hand of other classes.
    """
    kind = config.training.class_weights
    if kind == "none":
        return None
    if not isinstance(kind, str):
        return weights_by_hand(data.classes, kind)
    counts = class_pixels(data, "train")
    weights = median_frequency(counts)
    if kind == "root_median_frequency":
        weights = weights.sqrt()
    pixels = torch.from_numpy(counts.pixels).double()
    return (weights * pixels.sum() / (weights * pixels).sum()).float()


def weights_by_hand(classes: Sequence[str], given: Mapping[str, float] | Sequence[float]) -> Tensor:
    """One weight for each class, as given; a class that a mapping does not name has 1. Raises ConfigError."""
    if isinstance(given, Mapping):
        for name in given:
            if name not in classes:
                raise ConfigError(f"training.class_weights: {unknown_class(name, classes)}")
        given = [given.get(name, 1.0) for name in classes]
    if len(given) != len(classes):
        raise ConfigError(
            f"training.class_weights has {len(given)} weights, the data have {len(classes)} classes: give one for "
            f"each, in the order {', '.join(classes)}; or name some, as {{{classes[-1]}: 3}}."
        )
    if not any(given):
        raise ConfigError("training.class_weights are all 0: nothing would be learnt. Give at least one above 0.")
    return torch.tensor(given, dtype=torch.float32)


def median_frequency(counts: ClassPixels) -> Tensor:
    """median(frequency) / frequency, per class; the median is over the classes that occur."""
    pixels, of_images = (torch.from_numpy(values).double() for values in (counts.pixels, counts.image_pixels))
    occurs = pixels > 0
    frequency = pixels / of_images.clamp(min=1)
    return torch.where(occurs, frequency[occurs].quantile(0.5) / frequency.clamp(min=1e-12), 0.0)


def _quiet() -> None:
    """Lightning's remarks are for those who call it; what a user should know is said here."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
