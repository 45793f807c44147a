"""Traced networks: which modules stay whole, and shapes against a real run."""

import timm
import torch
from torch import Tensor, nn

from fullyconv.convolutionalization.graph import Follower, describe, operation, trace


class Branching(nn.Module):
    """Cannot be traced into: what it does depends on the size of its input."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x.relu() if x.shape[2] > 4 else x


def test_a_module_that_cannot_be_traced_stays_whole_and_leaves_nothing_behind() -> None:
    network = trace(nn.Sequential(Branching(), nn.Flatten(), nn.Linear(36, 2)))
    assert [str(node.target) for node in network.graph.nodes] == ["input", "0", "1", "2", "output"]
    images = torch.randn(2, 3, 5, 5)
    assert torch.equal(network(images), network.get_submodule("2")(network.get_submodule("0")(images).flatten(1)))


def test_shapes_are_those_of_a_real_run() -> None:
    network = trace(timm.create_model("lcnet_050", num_classes=10).eval())
    follower = Follower(network, (2, 3, 40, 56))
    seen: dict[str, tuple[int, ...]] = {}
    for name, layer in network.named_modules():
        layer.register_forward_hook(lambda _, __, out, name=name: seen.update({name: tuple(out.shape)}))
    network(torch.randn(2, 3, 40, 56))
    layers = [node for node in follower.shapes if node.op == "call_module"]
    assert follower.failed is None
    assert len(layers) > 50
    assert all(follower.shapes[node] == seen[str(node.target)] for node in layers)


def test_a_failure_is_named_and_what_depends_on_it_has_no_shape() -> None:
    network = trace(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(36, 2), nn.ReLU()))
    follower = Follower(network, (2, 3, 6, 6))
    assert follower.failed is not None
    assert describe(follower.failed) == "layer '2' (Linear)"
    assert "layer '2' (Linear) fails (" in follower.failure
    assert [operation(node) for node in follower.shapes] == ["input", "conv2d", "flatten"]


def test_following_leaves_the_network_as_it_is() -> None:
    network = trace(nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3)))
    Follower(network, (2, 3, 6, 6))
    assert network.get_submodule("0").num_batches_tracked == 0
    assert {tensor.device.type for tensor in network.state_dict().values()} == {"cpu"}
