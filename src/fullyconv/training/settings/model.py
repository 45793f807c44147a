"""Settings of the network."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from fullyconv.channels import MAX_CHANNELS
from fullyconv.written import Count, Fraction01, Section


class Model(Section):
    """The network, by the options of ``fullyconv.create``."""

    name: str = "fcn8s-resnet18"
    width: Count | None = None
    """Channels of the fused maps; none: the class count, as in the paper."""
    upsample: Literal["bilinear", "nearest", "bicubic", "transposed"] = "bilinear"
    padding: Literal["paper", "same"] | None = None
    """Of the paper's networks: none is theirs, 100 pixels around the image."""
    in_channels: Annotated[int, Field(ge=1, le=MAX_CHANNELS)] | None = None
    """None: three for grey and colour images, else as many as the images have bands."""
    mean: list[Annotated[float, Field(allow_inf_nan=False)]] | None = None
    """Of each input channel, in 0..255, in the order of the input; none: the backbone's own."""
    dropout: Fraction01 | None = None
    """None: the backbone's own (0.5 in the paper's networks)."""
    pretrained: bool = True
    """Start from the backbone's ImageNet weights."""
    init: Path | list[Path] | None = None
    """Start from these weights instead: a run folder, or a .safetensors or .pth file, of ours, a classifier or another
    network with this backbone; late fusion from two run folders, colour and HHA."""
