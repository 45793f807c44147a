"""Networks that others use, for the benchmarks that put ours beside them."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fullyconv.fcn import FCN, create

DEPTHS = {1: 2, 2: 2, 3: 3, 4: 3, 5: 3}


class FCN8s(nn.Module):
    """pytorch-fcn's ``torchfcn.models.FCN8s``, line by line: (N, 3, H, W), less the mean → logits (N, C, H, W).

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
