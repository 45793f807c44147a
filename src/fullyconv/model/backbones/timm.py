"""Any timm network with ``features_only`` as a backbone."""

import difflib
import threading
from collections import OrderedDict

import timm
import torch
from timm.models import FeatureHookNet, FeatureInfo, PretrainedCfg, get_pretrained_cfg
from torch import Tensor, nn

from fullyconv.errors import ConfigError, WeightsError
from fullyconv.model.backbones import published
from fullyconv.model.backbones.backbone import COARSEST, Backbone
from fullyconv.model.backbones.imagenet import for_channels
from fullyconv.model.backbones.same_padding import pad_constantly


def timm_backbone(name: str, finest: int, in_channels: int = 3, pretrained: bool = False) -> Backbone:
    """The taps of ``name`` from stride ``finest`` to 32. Raises ConfigError, WeightsError or GeometryError."""
    config = _pretrained_config(name)
    with torch.device("meta"):
        info: FeatureInfo = _create(name, in_channels).feature_info
    maps = list(zip(info.out_indices, info.reduction(), info.channels(), strict=True))
    last_of_stride = {stride: (i, channels) for i, stride, channels in maps if finest <= stride <= COARSEST}
    if finest not in last_of_stride:
        strides = ", ".join(str(stride) for stride in sorted(set(info.reduction())))
        raise ConfigError(
            f"{name} has no feature map of stride {finest}: its strides are {strides}. Name the network fcnNs with "
            "one of them."
        )
    taps, channels = zip(*last_of_stride.values(), strict=True)
    packaged = published.packaged(name) if pretrained else None
    if packaged is not None:
        body = _create(name, in_channels, out_indices=list(taps))
        first, weight = next((key, tensor) for key, tensor in packaged.items() if tensor.dim() == 4)
        packaged[first] = for_channels(weight, in_channels)
        own = body.state_dict()
        body.load_state_dict({key: packaged.get(key, tensor) for key, tensor in own.items()})
    else:
        if pretrained and not config.has_weights:
            raise WeightsError(f"{name} has no published ImageNet weights. Train it from scratch: --no-pretrained.")
        file = published.downloaded(name, config) if pretrained else None
        body = _create(name, in_channels, out_indices=list(taps), pretrained=pretrained, file=file)
    pad_constantly(body)
    if isinstance(body, FeatureHookNet):
        body.hooks._feature_outputs = _OfThread()
    channels_last = getattr(body, "output_fmt", "NCHW") == "NHWC"
    return Backbone(
        name,
        body,
        list(last_of_stride),
        channels,
        in_channels,
        config.mean,
        config.std,
        channels_last=channels_last,
    )


class _OfThread:
    """What the hooks of a ``FeatureHookNet`` have seen, by device: of each thread its own."""

    def __init__(self) -> None:
        self.of_thread = threading.local()

    def __getitem__(self, device: torch.device) -> OrderedDict[str, Tensor]:
        return self.of_thread.__dict__.setdefault(str(device), OrderedDict())

    def __setitem__(self, device: torch.device, outputs: OrderedDict[str, Tensor]) -> None:
        self.of_thread.__dict__[str(device)] = outputs

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return _OfThread, ()  # between runs of the network there is nothing to keep


def _pretrained_config(name: str) -> PretrainedCfg:
    config = get_pretrained_cfg(name) if name.split(".")[0] in timm.list_models() else None
    if config is None:
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise ConfigError(f"timm {timm.__version__} has no network named {name!r}.{hint}")
    return config


def _create(
    name: str,
    in_channels: int,
    out_indices: list[int] | None = None,
    pretrained: bool = False,
    file: str | None = None,
) -> nn.Module:
    """Create a timm network; ``file`` holds its ``pretrained`` weights (None: timm fetches them).

    Networks whose size is fixed unless asked (ViT, Swin) are asked; others refuse the word with a TypeError.
    """
    overlay = {"pretrained_cfg_overlay": {"file": file}} if file else {}
    for any_size in ({"dynamic_img_size": True}, {"strict_img_size": False}, {}):
        try:
            return timm.create_model(
                name,
                pretrained,
                features_only=True,
                in_chans=in_channels,
                out_indices=out_indices,
                **any_size,
                **overlay,
            )
        except TypeError as error:
            if not any_size:
                raise
            refused = error
        except RuntimeError as error:
            raise ConfigError(f"{name} cannot be a backbone: timm says {error}") from error
        except OSError as error:
            repo = _pretrained_config(name).hf_hub_id
            raise WeightsError(published.unreachable(name, repo, published.HUB_FILE, error)) from error
    raise AssertionError(refused)
