"""Classifiers and images that convolutionalization refuses, and what it says of them."""

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fullyconv.convolutionalization import convolutionalize
from fullyconv.errors import GeometryError
from tests.convolutionalization.classifiers import Net, worked_example


class Cosine(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return F.linear(F.normalize(input), self.weight)


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


REFUSED: dict[str, tuple[nn.Module, str]] = {
    "a forward that branches on values": (Branching(), "cannot trace Branching.forward"),
    "features of another size": (
        Net(lambda n, x: n.fc(x.flatten(1))),
        r"does not fit.*layer 'fc' \(Linear\)",
    ),
    "cells of different windows": (
        Net(lambda n, x: n.four(x).flatten(1), four=nn.AdaptiveAvgPool2d(4)),
        r"layer 'four' \(AdaptiveAvgPool2d\).*H 6, W 6.*equal windows for 4×4",
    ),
    "a map smaller than its pooling": (
        Net(lambda n, x: n.seven(x).flatten(1), seven=nn.AdaptiveAvgPool2d(7)),
        "layer 'seven'.*equal windows for 7×7",
    ),
    "positions mixed by channel": (
        Net(lambda n, x: n.tokens(x.flatten(2)).mean(-1), tokens=nn.Linear(36, 4)),
        r"layer 'tokens' \(Linear\).*C 6, H 6·W 6.*channels on the last axis",
    ),
    "a linear layer used twice": (
        Net(lambda n, x: n.square(n.square(x.mean((2, 3)))), square=nn.Linear(6, 6)),
        r"layer 'square' \(Linear\).*used once",
    ),
    "a linear layer of its own kind": (
        Net(lambda n, x: n.cosine(x.mean((2, 3))), cosine=Cosine(6, 5)),
        r"layer 'cosine' \(Cosine\).*nn.Linear's own forward",
    ),
    "batch norm of flattened positions": (
        Net(lambda n, x: n.flat_fc(n.bn(x.flatten(1))), bn=nn.BatchNorm1d(216)),
        r"layer 'bn' \(BatchNorm1d\)",
    ),
    "layer norm of the whole map": (
        Net(lambda n, x: n.fc(n.ln(x).mean((2, 3))), ln=nn.LayerNorm((6, 6, 6))),
        r"layer 'ln' \(LayerNorm\)",
    ),
    "group norm of a vector": (
        Net(lambda n, x: n.fc(n.gn(n.pool(x)).flatten(1)), gn=nn.GroupNorm(2, 6)),
        r"layer 'gn' \(GroupNorm\)",
    ),
    "an operation across channels": (
        Net(lambda n, x: n.fc(x.mean((2, 3)).cumsum(1))),
        "'cumsum' in the network's forward",
    ),
    "a mean of channels": (Net(lambda n, x: x.mean((1, 2))), "'mean'.*rows and columns alone"),
    "softmax over positions": (
        Net(lambda n, x: n.fc(x.flatten(2).softmax(2).mean(2))),
        "'softmax'.*softmax over channels",
    ),
    "a parameter beside the map": (
        Net(lambda n, x: n.fc(x.mean((2, 3)) + n.vector)),
        "'add'.*combines a map with parameter 'vector'",
    ),
    "channels split": (Net(lambda n, x: x.mean((2, 3)).view(-1, 2, 3).mean(1)), "'view'.*keeps them whole"),
    "two results": (Net(lambda n, x: (x.mean((2, 3)), x)), "returns .*one tensor of scores"),
    "a map as the result": (Net(lambda n, x: x.relu()), "one score per image and class"),
    "a result without the image": (Net(lambda n, x: n.fc(n.vector)), "returns .*scores of the image"),
    "position embeddings": (
        timm.create_model("vit_tiny_patch16_224", img_size=8, patch_size=4, depth=1),
        "tied to images of 8×8; on a larger one 'assert' in layer 'patch_embed'.*position embeddings",
    ),
    "an embedding added to the map": (
        Net(lambda n, x: n.fc((x + n.place).mean((2, 3))), place=nn.ParameterList()),
        "tied to images of 8×8; on a larger one 'add'",
    ),
}
REFUSED["an embedding added to the map"][0].place = nn.Parameter(torch.randn(6, 6, 6))


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_slide_is_refused_by_name(case: str) -> None:
    classifier, message = REFUSED[case]
    with pytest.raises(GeometryError, match=message):
        convolutionalize(classifier, 8)


@pytest.mark.parametrize(
    ("image_size", "channels", "message"),
    [
        (14, 1, r"1×14×14 does not fit the classifier: layer '0' \(Conv2d\)"),
        (16, 3, r"3×16×16 does not fit the classifier: layer '6' \(Linear\)"),
        (8, 3, r"3×8×8 does not fit the classifier: layer '3' \(Conv2d\)"),
        (0, 3, r"3×0×0: expected sizes of 1 or more"),
        ((14, -1), 3, r"3×14×-1: expected sizes of 1 or more"),
    ],
)
def test_an_image_that_does_not_fit_is_refused(image_size: int | tuple[int, int], channels: int, message: str) -> None:
    with pytest.raises(GeometryError, match=message):
        convolutionalize(worked_example(), image_size, channels)
