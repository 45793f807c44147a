"""The precision that a network is trained in: as configured, or decided by the hardware and a short measurement."""

import sys
from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from statistics import median
from time import perf_counter
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from fullyconv.data.dataset import SegmentationDataset
from fullyconv.errors import ConfigError
from fullyconv.hardware import best_device, count_devices, multiplies_bf16, trains_in_fp16
from fullyconv.model.fcn import FCN
from fullyconv.training.config import Config
from fullyconv.training.freezing import freeze_layers
from fullyconv.training.module import summed_loss

Precision = Literal["32", "bf16", "16"]
NAMES: dict[Precision, str] = {"32": "float32", "bf16": "bf16", "16": "fp16"}
WORTH = 0.9
"""bf16 is chosen where a step takes less than this fraction of its time in float32: it rounds more coarsely."""
SECONDS = 3.0
"""What a measurement may take, unless a single pair of steps takes longer."""
MOST_STEPS = 7


class Timings(NamedTuple):
    """Seconds that a training step takes, forward and back."""

    float32: float
    bf16: float


def decide(device: torch.device, bf16: bool, timings: Timings | None) -> Precision:
    """Return the precision to train in on a device that multiplies bf16 in hardware or does not (``bf16``).

    On CUDA GPUs half precision is faster: bf16 where they have it, else fp16. CPUs depend on the network: bf16 where
    the ``timings`` say so. Everything else trains in float32.
    """
    if device.type == "cuda":
        return "bf16" if bf16 else "16"
    if timings is not None and timings.bf16 < WORTH * timings.float32:
        return "bf16"
    return "32"


def choose(net: FCN, dataset: SegmentationDataset, config: Config, say: Callable[[str], None]) -> Precision:
    """Return the precision for ``auto``, and say it in one line. Neither ``net`` nor a random state is changed."""
    device = best_device()
    bf16 = multiplies_bf16(device)
    timings = measure(_training_loss(net, dataset, config)) if device.type == "cpu" and bf16 else None
    chosen = decide(device, bf16, timings)
    if timings is not None:
        why = f"a step takes {_rounded(timings.float32)} s in float32, {_rounded(timings.bf16)} s in bf16"
    else:
        why = {"cuda": "a GPU", "mps": "an Apple GPU"}.get(device.type, "a CPU without bf16")
    say(f"Precision: {NAMES[chosen]} ({why}).")
    return chosen


def _rounded(seconds: float) -> str:
    """Return seconds with two digits, or all those before the point: 0.069, 1.5, 113."""
    return f"{seconds:.2g}" if seconds < 10 else f"{seconds:.0f}"


def refuse_impossible(config: Config) -> None:
    """Raise ConfigError for a precision that the device cannot train in, or more devices than there are or can be had.

    A notebook, and Python that is typed line by line, cannot start the further processes.
    """
    device = best_device()
    found = count_devices(device)
    if found is not None and config.training.devices > found:
        raise ConfigError(
            f"training.devices is {config.training.devices}; this machine has {found}: give at most that."
        )
    if config.training.devices > 1 and hasattr(sys, "ps1"):
        raise ConfigError(
            f"training.devices is {config.training.devices}: a notebook is one process, and cannot start others. Give "
            "1, or run the command: fullyconv train."
        )
    if config.training.precision == "16" and not trains_in_fp16(device):
        raise ConfigError(
            "training.precision is 16, and there is no GPU: a CPU cannot train in fp16. Give 32 or bf16, or auto, "
            "which takes the faster of the two."
        )


def measure(loss: Callable[[], Tensor]) -> Timings:
    """Time ``loss()`` and its gradients on the CPU in float32 and in bf16, by turns: the median after a warm-up.

    Stops after MOST_STEPS of each, or at the first pair that ends after SECONDS; where that is the warm-up, it counts.
    """
    taken: dict[bool, list[float]] = {False: [], True: []}
    began = perf_counter()
    with torch.random.fork_rng(devices=[]):
        while perf_counter() - began < SECONDS and len(taken[True]) <= MOST_STEPS:
            for half, times in taken.items():
                start = perf_counter()
                with torch.autocast("cpu", torch.bfloat16) if half else nullcontext():
                    total = loss()
                total.backward()
                times.append(perf_counter() - start)
    return Timings(*(median(times[1:] or times) for times in taken.values()))


def seconds_a_step(net: FCN, dataset: SegmentationDataset, config: Config) -> float:
    """Return the seconds that a training step takes on the CPU in the precision that ``choose`` would choose."""
    bf16 = multiplies_bf16(torch.device("cpu"))
    timings = measure(_training_loss(net, dataset, config))
    return timings.bf16 if decide(torch.device("cpu"), bf16, timings if bf16 else None) == "bf16" else timings.float32


def _training_loss(net: FCN, dataset: SegmentationDataset, config: Config) -> Callable[[], Tensor]:
    """Return the loss of a copy of ``net`` on random images of the size that most of the training is done on.

    As many as one process has in a batch, or fewer (at least two) where they are so large that the whole batch would
    take much longer than a measurement may.
    """
    copy = deepcopy(net).train()
    for norm in freeze_layers(copy, config.training.freeze):
        norm.eval()
    sample = dataset[0][0]
    height, width = _most_trained_size(config, (sample.shape[1], sample.shape[2]))
    share = config.data.batch_size // config.training.devices
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (share, net.in_channels, height, width), generator=generator).to(sample.dtype)
    heads = (len(net.heads),) if net.heads else ()
    masks = torch.zeros(share, *heads, height, width, dtype=torch.uint8)

    def loss(count: int = share) -> Tensor:
        return summed_loss(copy, images[:count], masks[:count], config)

    few = min(2, share)
    start = perf_counter()
    with torch.random.fork_rng(devices=[]):
        loss(few).backward()
    room = SECONDS / 4 / (perf_counter() - start)
    return lambda: loss(max(few, min(share, int(few * room))))


def _most_trained_size(config: Config, whole: tuple[int, int]) -> tuple[int, int]:
    """Return the height and width, in pixels, of the crops (or of ``whole`` images) that most pixels are trained in."""
    pixels: dict[tuple[int, int], float] = defaultdict(float)
    began = 0.0
    for resolution in config.data.resolutions:
        height, width = resolution.crop or whole
        pixels[height, width] += (resolution.until - began) * height * width
        began = resolution.until
    return max(pixels, key=lambda size: pixels[size])
