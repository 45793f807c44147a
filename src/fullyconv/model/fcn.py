"""The fully convolutional network: taps of a backbone → scores → fused from coarse to fine (paper, section 4).

With the class count as its width this is the paper's FCN-32s, 16s and 8s: each tap is scored by a 1×1 convolution, the
coarse scores are upsampled, aligned, and the finer ones added. With a wider one the skips carry features, which are
fused the same way and scored once, at the end. Everything after the finest map is the readout.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fullyconv.channels import Inputs
from fullyconv.classes import numbered
from fullyconv.errors import ConfigError
from fullyconv.geometry import Lattice, Scorer
from fullyconv.model import readout
from fullyconv.model.backbones import Backbone, Padding, backbone, release, torchvision
from fullyconv.model.backbones.backbone import per_channel
from fullyconv.model.fusion import Fusion, cropped, cropped_fusion, head_of, interpolated_fusion, scored_by
from fullyconv.model.readout import Border, Interpolation
from fullyconv.model.spec import ModelSpec, checked
from fullyconv.model.upsample import Method
from fullyconv.objective import Objective
from fullyconv.palettes import Colour, default_palette
from fullyconv.sharing import evaluating


class FCN(Scorer):
    """Images (N, C, H, W), uint8 or float in 0..255, of any size → a class for every pixel.

    ``classes`` and ``palette`` (RGB 0..255) name and colour the C_out outputs. ``width`` is None for score fusion, else
    the channels of feature fusion. ``method`` upsamples between taps and at the readout (``transposed``: learnt between
    taps, bilinear at the readout, as the paper's section 4.3 has it). Images are normalized by ``mean`` and ``std``, in
    0..255, channel by channel (None: the backbone's). ``inputs`` and ``value_range`` say what the channels are, and
    which values of image files become 0 and 255 (None: bytes as they are). With ``heads``, a number of classes for each
    name, each pixel has a label for each (the paper's section 5, SIFT Flow), and ``classes`` runs through all heads.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        name: str,
        backbone: Backbone,
        classes: Sequence[str],
        palette: Sequence[Colour],
        *,
        in_channels: int = 3,
        inputs: Inputs = "image",
        width: int | None = None,
        method: Method = "bilinear",
        dropout: float | None = None,
        padding: Padding | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        value_range: Sequence[tuple[float, float]] | None = None,
        heads: Mapping[str, int] | None = None,
    ):
        super().__init__()
        self.name, self.classes, self.palette = name, list(classes), list(palette)
        self.in_channels, self.width, self.method, self.dropout = in_channels, width, method, dropout
        self.inputs, self.value_range = inputs, list(value_range) if value_range else None
        self.backbone, self.padding, self.heads = backbone, padding, dict(heads) if heads else None
        taps = zip(backbone.strides, backbone.channels, strict=True)
        self.score = nn.ModuleDict({str(stride): scored_by(c, width, len(classes)) for stride, c in taps})
        fuse = cropped_fusion if backbone.alignment == "crop" else interpolated_fusion
        self.fusion: Fusion = fuse(backbone, width or len(classes), method)
        self.upsample = nn.ModuleDict(self.fusion.upsample)
        self.head = head_of(width, len(classes)) if width else nn.Identity()
        depths = release.DEPTHS.get(inputs, ((), ()))
        own = ("mean", mean, backbone.mean, depths[0]), ("std", std, backbone.std, depths[1])
        for key, given, published, further in own:
            values = per_channel(published, in_channels, further) if given is None else torch.tensor(given)
            self.register_buffer(key, values.view(1, -1, 1, 1))
        self.to(memory_format=torch.channels_last)

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.mean.device

    @property
    def spec(self) -> ModelSpec:
        """The architecture, classes and palette: ``from_spec(net.spec)`` makes the same network, untrained."""
        return ModelSpec(
            name=self.name,
            classes=self.classes,
            palette=self.palette,
            in_channels=self.in_channels,
            inputs=self.inputs,
            width=self.width,
            upsample=self.method,
            dropout=self.dropout,
            padding=self.padding,
            mean=[round(value, 5) for value in self.mean.flatten().tolist()],
            std=[round(value, 5) for value in self.std.flatten().tolist()],
            value_range=self.value_range,
            heads=self.heads,
        )

    @property
    def interpolation(self) -> Interpolation:
        """The readout's."""
        return "bilinear" if self.method == "transposed" else self.method

    @property
    def border(self) -> Border:
        """What the readout finds beyond the scores' border."""
        return "zero" if self.backbone.alignment == "crop" else "repeat"

    def lattice_for(self, size: tuple[int, int], cells: tuple[int, int]) -> Lattice:
        """Where the ``cells`` (rows, columns) of the scores of an image of ``size`` look."""
        return Lattice.stretched(cells, size) if self.backbone.alignment == "half-pixel" else self.fusion.lattice

    def normalize(self, images: Tensor) -> Tensor:
        """0..255 → normalized for the backbone.

        Unless the backbone pads by itself, also extended below and to the right, by the last pixel, to whole cells.
        """
        if images.dim() != 4 or images.shape[1] != self.in_channels:
            raise ValueError(f"images must be (N, {self.in_channels}, H, W), got {tuple(images.shape)}")
        x = (images.to(self.mean.dtype) - self.mean) / self.std
        if self.backbone.alignment == "cells":
            cell, least = self.backbone.strides[-1], self.backbone.minimum
            height, width = (max(least, -(-side // cell) * cell) for side in images.shape[2:])
            x = F.pad(x, (0, width - images.shape[3], 0, height - images.shape[2]), mode="replicate")
        return x.contiguous(memory_format=torch.channels_last)

    def fuse(self, taps: Sequence[Tensor]) -> Tensor:
        """Taps from fine to coarse → scores (N, classes, h, w)."""
        strides = [str(stride) for stride in self.backbone.strides]
        coarsest = taps[-1]
        if self.dropout and not self.backbone.drops:
            coarsest = F.dropout2d(coarsest, self.dropout, self.training)
        fused = self.score[strides[-1]](coarsest)
        for stride, tap in zip(reversed(strides[:-1]), reversed(taps[:-1]), strict=True):
            coarse = F.relu(fused) if self.width else fused
            if stride in self.fusion.crops:
                fused = self.upsample[stride](coarse)
                tap = cropped(tap, self.fusion.crops[stride], fused)
            else:
                fused = self.upsample[stride](coarse, tap.shape[2:])
            fused = fused + self.score[stride](tap)
        return self.head(fused)

    def scores(self, images: Tensor) -> Tensor:
        """(N, C, H, W) → coarse scores (N, classes, h, w); ``lattice_for`` says where they look."""
        return self.fuse(self.backbone(self.normalize(images)))

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) → logits (N, classes, H, W)."""
        scores = self.scores(images)
        return readout.logits(scores, *self._reading(images, scores))

    @torch.no_grad()
    def predict(self, images: Tensor) -> Tensor:
        """(N, C, H, W) → labels (N, H, W), uint8; with heads (N, heads, H, W), each counting from its first class.

        In evaluation mode, whatever the network's mode is; that and its statistics stay as they are.
        """
        scores = evaluating(self).scores(images)
        return self.labels_on(scores, *self._reading(images, scores)[:2])

    def labels_on(self, scores: Tensor, lattice: Lattice, size: tuple[int, int]) -> Tensor:
        """The labels, as ``predict`` gives them, of scores on a lattice of their own."""
        labels = [readout.labels(part, lattice, size, self.interpolation, self.border) for part in self.by_head(scores)]
        return self.stacked(labels)

    @torch.no_grad()
    def labels_and_confidence(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) → the labels, as ``predict`` gives them, and the probability of each, float32."""
        scores = evaluating(self).scores(images)
        reading = self._reading(images, scores)
        confidence = self.stacked([readout.confidence(part, *reading) for part in self.by_head(scores)])
        return self.labels_on(scores, *reading[:2]), confidence

    @torch.no_grad()
    def probabilities(self, images: Tensor) -> Tensor:
        """(N, C, H, W) → softmax over classes, or over each head's, (N, classes, H, W); computed as ``predict``."""
        return torch.cat([part.softmax(1) for part in self.by_head(evaluating(self)(images))], 1)

    def loss(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        objective: str | Objective = "cross_entropy",
        weight: Tensor | None = None,
        pixel_weight: Tensor | None = None,
        ignore_index: int = 255,
        label_smoothing: float = 0.0,
        reduction: Literal["mean", "sum"] = "mean",
    ) -> Tensor:
        """Cross-entropy, or another ``Objective``, of labels as ``predict`` gives them, a scalar; no logits are held.

        Heads' pixels count alike: ``mean`` divides the sum over all of them by their ``mass``. ``weight`` has one for
        each class, ``pixel_weight`` one for each label, as ``readout.boundary_weights`` of them. Raises ValueError for
        labels that do not fit the images or classes (see ``check_labels``) and an objective that does not exist.
        """
        objective = Objective(objective) if isinstance(objective, str) else objective
        readout.check_labels(labels, images, self.num_classes, self.heads, ignore_index)
        scores = self.scores(images)
        lattice, _, method, border = self._reading(images, scores)
        return readout.loss_of_heads(
            scores,
            labels,
            self.heads,
            lattice,
            method,
            border,
            objective=objective,
            weight=weight,
            pixel_weight=pixel_weight,
            ignore_index=ignore_index,
            label_smoothing=label_smoothing,
            reduction=reduction,
        )

    def mass(
        self, labels: Tensor, weight: Tensor | None = None, pixel_weight: Tensor | None = None, ignore_index: int = 255
    ) -> Tensor:
        """What the mean loss divides by: the pixels that count, of all heads, or the sum of their weights."""
        return readout.mass_of_heads(labels, self.heads, weight, pixel_weight, ignore_index)

    def by_head(self, of_classes: Tensor) -> Sequence[Tensor]:
        """(N, classes, …) head by head."""
        return readout.by_head(of_classes, self.heads)

    def stacked(self, planes: Sequence[Tensor]) -> Tensor:
        """A plane (N, H, W) of each head → (N, heads, H, W); without heads the only one."""
        return readout.stacked(planes, self.heads)

    def _reading(self, images: Tensor, scores: Tensor) -> tuple[Lattice, tuple[int, int], Interpolation, Border]:
        size, cells = ((x.shape[2], x.shape[3]) for x in (images, scores))
        return self.lattice_for(size, cells), size, self.interpolation, self.border


def build(
    name: str,
    classes: Sequence[str],
    palette: Sequence[Sequence[int]] | None = None,
    *,
    in_channels: int = 3,
    inputs: Inputs | None = None,
    width: int | None = None,
    upsample: Method = "bilinear",
    dropout: float | None = None,
    padding: Padding | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    value_range: Sequence[tuple[float, float]] | None = None,
    heads: Mapping[str, int] | None = None,
    pretrained: bool = False,
) -> FCN:
    """The network of this name for these classes; see ``FCN`` for the options.

    ``inputs`` says what the ``in_channels`` are; None: colour and HHA in late fusion, else an image's.
    The paper's are ``fcn{32,16,8}s-vgg16``, ``fcn8s-atonce-vgg16``, ``fcn32s-alexnet``, ``fcn32s-googlenet`` and
    ``fcn32s-latefusion-vgg16``, with ``padding`` "paper" (None means this) or "same"; torchvision's are
    ``fcn_resnet50`` and ``fcn_resnet101``; others ``fcn{32,16,8,4,2}s-{timm backbone}``.
    Raises ConfigError for a name or an option that does not exist, WeightsError where weights cannot be fetched.
    """
    late_fusion = release.trunk_of(name) == release.LATE_FUSION
    values = {
        "name": name,
        "classes": list(classes),
        "palette": default_palette(len(classes)) if palette is None else [tuple(colour) for colour in palette],
        "in_channels": in_channels,
        "inputs": inputs or ("rgb+hha" if late_fusion and in_channels == 6 else "image"),
        "width": width,
        "upsample": upsample,
        "dropout": dropout,
        "padding": padding,
        "mean": None if mean is None else list(mean),
        "std": None if std is None else list(std),
        "value_range": None if value_range is None else [tuple(pair) for pair in value_range],
        "heads": dict(heads) if heads else None,
    }
    return from_spec(checked(ModelSpec, values), pretrained)


def from_spec(spec: ModelSpec, pretrained: bool = False) -> FCN:
    """The network that ``spec`` describes, with random weights or a pretrained backbone. Raises as ``build`` does."""
    match = re.fullmatch(r"fcn(32|16|8|4|2)s-(.+)", spec.name)
    if match is None and spec.name not in torchvision.NETWORKS:
        raise ConfigError(
            f"Unknown network {spec.name!r}: expected fcn32s, 16s, 8s, 4s or 2s and a backbone, as in fcn8s-resnet50."
        )
    trunk, finest = (match[2], int(match[1])) if match else (spec.name, 8)
    return FCN(
        spec.name,
        backbone(trunk, finest, spec.in_channels, pretrained, spec.padding, spec.dropout),
        spec.classes,
        spec.palette,
        in_channels=spec.in_channels,
        inputs=spec.inputs,
        width=spec.width,
        method=spec.upsample,
        dropout=spec.dropout,
        padding=spec.padding,
        mean=spec.mean,
        std=spec.std,
        value_range=spec.value_range,
        heads=spec.heads,
    )


def create(
    name: str,
    num_classes: int,
    *,
    pretrained: bool = False,
    in_channels: int = 3,
    inputs: Inputs | None = None,
    width: int | None = None,
    upsample: Method = "bilinear",
    dropout: float | None = None,
    padding: Padding | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    value_range: Sequence[tuple[float, float]] | None = None,
    heads: Mapping[str, int] | None = None,
) -> FCN:
    """As ``build``, for classes without names: ``create("fcn8s-resnet50", num_classes=12, pretrained=True)``."""
    return build(
        name,
        numbered(num_classes),
        in_channels=in_channels,
        inputs=inputs,
        width=width,
        upsample=upsample,
        dropout=dropout,
        padding=padding,
        mean=mean,
        std=std,
        value_range=value_range,
        heads=heads,
        pretrained=pretrained,
    )
