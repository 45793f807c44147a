"""Images per second of training on a CPU, loading included: ours, and segmentation_models.pytorch's FPN in Lightning.

    python benchmarks/training.py CAMVID [--steps 60] [--rounds 2]

All train on crops of 256×352, batches of 8, of CamVid's train split. The peer is what its documentation shows: FPN on
the same backbone, cross-entropy of its logits, AdamW, Lightning's defaults, two loader processes that decode, crop,
mirror and jitter with torchvision. The runs take turns; the first half of each is not counted. Writes
benchmarks/training.md.
"""

import argparse
import csv
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import lightning
import segmentation_models_pytorch as smp
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from fullyconv.data import open_data
from fullyconv.data.catalog import Data
from fullyconv.data.pairs import Pair
from fullyconv.training.config import load_config
from fullyconv.training.stages import train

CROP, BATCH = (256, 352), 8
PEER = "smp FPN-resnet18, Lightning, float32"
OURS: dict[str, dict[str, object]] = {
    "fcn8s-resnet18": {"model.name": "fcn8s-resnet18"},
    "fcn8s-resnet18, float32": {"model.name": "fcn8s-resnet18", "training.precision": "32"},
    "fcn4s-regnetx_002, width 64": {"model.name": "fcn4s-regnetx_002", "model.width": 64},
    "fcn4s-regnetx_002, width 64, float32": {
        "model.name": "fcn4s-regnetx_002",
        "model.width": 64,
        "training.precision": "32",
    },
}


class PeerData(Dataset[tuple[Tensor, Tensor]]):
    """CamVid's training frames, augmented as usual."""

    def __init__(self, pairs: list[Pair]):
        self.pairs = pairs
        self.transform = v2.Compose(
            [
                v2.RandomResizedCrop(CROP, scale=(0.3, 1.0)),
                v2.RandomHorizontalFlip(),
                v2.ColorJitter(0.3, 0.3, 0.3),
                v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True),
            ]
        )

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        pair = self.pairs[index]
        assert pair.mask is not None
        image = v2.functional.pil_to_tensor(Image.open(pair.image).convert("RGB"))
        mask = v2.functional.pil_to_tensor(Image.open(pair.mask))[0]
        image, mask = self.transform(tv_tensors.Image(image), tv_tensors.Mask(mask))
        return image, torch.where(mask < 11, mask, 255).long()


class Peer(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = smp.FPN("resnet18", encoder_weights=None, classes=11)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, masks = batch
        return torch.nn.functional.cross_entropy(self.net(images), masks, ignore_index=255)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


class Times(lightning.Callback):
    """When each step ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, *args: object) -> None:
        self.ends.append(time.perf_counter())


def peer(data: Data, steps: int) -> float:
    times = Times()
    trainer = lightning.Trainer(
        accelerator="cpu", max_steps=steps, callbacks=[times], logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    loader = DataLoader(
        PeerData(data.splits["train"]), BATCH, shuffle=True, drop_last=True, num_workers=2, persistent_workers=True
    )
    trainer.fit(Peer(), loader)
    half = steps // 2
    return (steps - half) * BATCH / (times.ends[-1] - times.ends[half - 1])


def ours(data: Data, steps: int, settings: dict[str, object]) -> float:
    half = steps // 2
    config = load_config(
        None,
        {
            "model.pretrained": False,
            "data.batch_size": BATCH,
            "data.resolutions": [{"crop": CROP, "scale": [0.6, 1.6]}],
            "training.steps": steps,
            "training.validate_every": half,
        }
        | settings,
    )
    no_validation = Data(**{**data.__dict__, "splits": {"train": data.splits["train"]}})
    with tempfile.TemporaryDirectory() as folder:
        train(no_validation, config, Path(folder) / "run", say=lambda _: None)
        with (Path(folder) / "run" / "metrics.csv").open(encoding="utf-8") as file:
            minutes = {int(row["step"]): float(row["minutes"]) for row in csv.DictReader(file)}
    return (steps - half) * BATCH / (minutes[steps] - minutes[half]) / 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    data = open_data(options.data)
    ways: dict[str, Callable[[], float]] = {PEER: lambda: peer(data, options.steps)}
    for name, settings in OURS.items():
        ways[name] = lambda settings=settings: ours(data, options.steps, settings)
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, measure in ways.items():
            rates[name].append(measure())
            print(f"{name}: {rates[name][-1]:.1f} images/s", flush=True)
    base = statistics.median(rates[PEER])
    lines = [
        "# Training on a CPU: images per second",
        "",
        f"`python benchmarks/training.py CAMVID`; torch {torch.__version__}, {torch.get_num_threads()} CPU threads "
        f"({platform.machine()}), segmentation_models.pytorch {smp.__version__}; crops of {CROP[0]}×{CROP[1]}, batches "
        f"of {BATCH}, loading included; medians of {options.rounds} runs in turn. Precision is auto unless named.",
        "",
        "| network | images/s | times the peer's |",
        "| --- | ---: | ---: |",
    ]
    for name, rate in rates.items():
        lines.append(f"| {name} | {statistics.median(rate):.1f} | {statistics.median(rate) / base:.2f} |")
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
