"""Networks that others use, for the benchmarks that put ours beside them."""

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fullyconv.model.fcn import FCN, create

DEPTHS = {1: 2, 2: 2, 3: 3, 4: 3, 5: 3}


class FCN8s(nn.Module):
    """pytorch-fcn's ``torchfcn.models.FCN8s``, layer by layer: (N, 3, H, W), less the mean → logits (N, C, H, W).

    ``net``: an ``fcn8s-vgg16`` of ours, whose weights it takes, not copies.
    """

    def __init__(self, net: FCN):
        super().__init__()
        body, classes = net.backbone.body, net.num_classes
        for block, depth in DEPTHS.items():
            for number in range(1, depth + 1):
                self.add_module(f"conv{block}_{number}", body.get_submodule(f"conv{block}_{number}"))
        self.fc6, self.fc7 = body.fc6, body.fc7
        self.score_fr, self.score_pool4, self.score_pool3 = (net.score[stride] for stride in ("32", "16", "8"))
        self.upscore2 = nn.ConvTranspose2d(classes, classes, 4, stride=2, bias=False)
        self.upscore_pool4 = nn.ConvTranspose2d(classes, classes, 4, stride=2, bias=False)
        self.upscore8 = nn.ConvTranspose2d(classes, classes, 16, stride=8, bias=False)
        for step in (self.upscore2, self.upscore_pool4, self.upscore8):
            step.weight.data = bilinear(classes, step.kernel_size[0])

    def forward(self, x: Tensor) -> Tensor:
        h, pools = x, {}
        for block, depth in DEPTHS.items():
            for number in range(1, depth + 1):
                h = F.relu(self.get_submodule(f"conv{block}_{number}")(h), inplace=True)
            h = pools[block] = F.max_pool2d(h, 2, 2, ceil_mode=True)
        h = F.relu(self.fc6(h), inplace=True)
        h = F.relu(self.fc7(h), inplace=True)
        h = upscore2 = self.upscore2(self.score_fr(h))
        h = self.score_pool4(pools[4])
        h = upscore2 + h[:, :, 5 : 5 + upscore2.size(2), 5 : 5 + upscore2.size(3)]
        h = upscore_pool4 = self.upscore_pool4(h)
        h = self.score_pool3(pools[3])
        h = upscore_pool4 + h[:, :, 9 : 9 + upscore_pool4.size(2), 9 : 9 + upscore_pool4.size(3)]
        h = self.upscore8(h)
        return h[:, :, 31 : 31 + x.size(2), 31 : 31 + x.size(3)].contiguous()


def pytorch_fcn(net: FCN, form: torch.memory_format) -> FCN8s:
    """With the weights of ``net``, which lie in channels_last, or with a copy of them in another form."""
    if form == torch.channels_last:
        return FCN8s(net).eval()
    peer: FCN8s = FCN8s(copy.deepcopy(net)).eval().to(memory_format=form)
    return peer


def bilinear(classes: int, size: int) -> Tensor:
    """The kernel that the transposed convolutions start from, (C, C, size, size)."""
    factor = (size + 1) // 2
    tent = 1 - (torch.arange(size) - (size - 1) / 2).abs() / factor
    return torch.eye(classes)[:, :, None, None] * (tent[:, None] * tent)


def scored(name: str, classes: int, **options) -> FCN:
    """An untrained network of ours whose classes differ: new ones score every class the same."""
    torch.manual_seed(0)
    net = create(name, classes, **options)
    for module in net.score.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=module.in_channels**-0.5)
    return net.eval()


class Labels(nn.Module):
    """Logits' argmax."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x).argmax(1)


def openvino_labels(network: nn.Module, shape: tuple[int, ...]) -> Callable[[Tensor], Tensor]:
    """``network`` and argmax on OpenVINO, for inputs of one ``shape``, with as many threads as torch has."""
    import openvino

    with torch.no_grad():
        program = torch.export.export(Labels(network).eval(), (torch.zeros(shape),))
    model = openvino.convert_model(program)
    model.reshape(list(shape))
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = openvino.Core().compile_model(model, "CPU", options)
    return lambda x: torch.from_numpy(compiled([x.numpy()])[0])
