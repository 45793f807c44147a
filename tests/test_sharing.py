"""Copies that share a network's weights, and threads that use one network at a time."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

import fullyconv as fc
from fullyconv import geometry
from fullyconv.evaluation.evaluate import evaluate
from fullyconv.inference.bands import predict_bands
from fullyconv.inference.memory import needs
from fullyconv.inference.tape import record
from fullyconv.inference.tiles import predict_tiled
from fullyconv.inspection.heat import contributions
from fullyconv.model.fcn import FCN
from fullyconv.sharing import Remembered, in_evaluation_mode, shared_copy


def modes(network: nn.Module) -> list[bool]:
    return [module.training for module in network.modules()]


def new(name: str = "fcn8s-test_resnet") -> FCN:
    torch.manual_seed(0)
    net = fc.create(name, 3)
    for parameter in net.score.parameters():
        nn.init.normal_(parameter)
    return net.double().train()


def image(seed: int = 0, height: int = 75, width: int = 50) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.rand(1, 3, height, width, generator=random, dtype=torch.float64) * 255


def state(net: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


USES: dict[str, Callable[[FCN], object]] = {
    "predict": lambda net: net.predict(image()),
    "probabilities": lambda net: net.probabilities(image()),
    "tiles": lambda net: predict_tiled(net, image(), 32),
    "bands": lambda net: predict_bands(net, image(height=300), 64),
    "trace": lambda net: geometry.trace(net, (75, 50)),
    "tape": lambda net: record(net, (3, 50), (64, 96), torch.float64),
    "memory": needs,
    "heat": lambda net: contributions(net, image()),
    "evaluate": lambda net: evaluate(net, [(image()[0], torch.zeros(75, 50, dtype=torch.uint8), 0)]),
    "Predictor": lambda net: fc.Predictor(net)(image()[0].permute(1, 2, 0).numpy()),
}


@pytest.mark.parametrize("use", USES)
def test_no_use_changes_the_mode_or_a_number_of_the_network(use: str) -> None:
    net = new()
    net.backbone.eval()  # frozen
    before, numbers = modes(net), state(net)
    USES[use](net)
    assert modes(net) == before
    assert all(torch.equal(tensor, numbers[name]) for name, tensor in net.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


@pytest.mark.parametrize("use", ["predict", "probabilities", "tiles", "bands", "heat"])
def test_a_network_in_training_mode_gives_what_it_gives_in_evaluation_mode(use: str) -> None:
    net = new()
    trained = USES[use](net)
    expected = USES[use](net.eval())
    torch.testing.assert_close(trained, expected, rtol=0, atol=0)


def test_probabilities_have_no_graph() -> None:
    assert not new().probabilities(image()).requires_grad


def test_a_copy_has_the_weights_of_its_network_also_when_they_change_or_move() -> None:
    net = new().eval()
    copy = shared_copy(net)
    assert all(own is other for own, other in zip(net.parameters(), copy.parameters(), strict=True))
    with torch.no_grad():
        net.score["8"].get_parameter("bias").add_(1)
    net.float()
    assert torch.equal(net(image()), copy(image()))


def test_a_copy_has_a_mode_and_hooks_of_its_own() -> None:
    net = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout()).train()
    copy = in_evaluation_mode(net)
    ran = []
    copy[0].register_forward_hook(lambda *_: ran.append("copy"))
    assert (modes(net), modes(copy)) == ([True] * 3, [False] * 3)
    net(torch.rand(2, 3, 4, 4))
    assert ran == []
    copy(torch.rand(2, 3, 4, 4))
    assert ran == ["copy"]


class Dressed(nn.Module):
    """Whose forward is set on the instance, and whose one layer is there twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = self.second = nn.Dropout(0.9)
        self.forward = self.twice

    def twice(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


def test_methods_set_on_an_instance_and_layers_used_twice_are_the_copys() -> None:
    net, x = Dressed().train(), torch.ones(100)
    copy = in_evaluation_mode(net)
    assert copy.first is copy.second
    assert torch.equal(copy(x), x)
    assert not torch.equal(net(x), x)


def test_traced_and_compiled_networks_are_copied_too() -> None:
    traced = torch.fx.symbolic_trace(nn.Sequential(nn.Conv2d(3, 3, 1), nn.Dropout(0.9))).train()
    compiled = nn.Sequential(nn.Dropout(0.9))
    compiled.compile(backend="eager")
    x = torch.ones(1, 3, 2, 2)
    assert torch.equal(in_evaluation_mode(traced)(x), traced.get_submodule("0")(x))
    assert torch.equal(in_evaluation_mode(compiled)(x), x)


def test_a_replaced_module_must_exist() -> None:
    net = nn.Sequential(nn.ReLU())
    assert isinstance(shared_copy(net, {"0": nn.Tanh()})[0], nn.Tanh)
    with pytest.raises(KeyError, match="no modules named"):
        shared_copy(net, {"1": nn.Tanh()})


def test_what_is_remembered_is_found_once_and_goes_with_its_network() -> None:
    remembered: Remembered[int] = Remembered(most=2)
    net, asked = nn.ReLU(), []
    for key in (1, 1, 2, 3, 1):
        assert remembered.get(net, key, lambda key=key: asked.append(key) or -key) == -key  # type: ignore[misc]
    assert asked == [1, 2, 3, 1]
    del net
    assert len(remembered.values) == 0


def together(works: list[Callable[[], object]]) -> list[object]:
    """Each in a thread of its own, all from the same moment on."""
    start = threading.Barrier(len(works))

    def run(work: Callable[[], object]) -> object:
        start.wait()
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


def label(net: FCN, seeds: range) -> list[Tensor]:
    """By ever other means, at sizes at which the network was not followed before."""
    found = []
    for seed in seeds:
        x = image(seed, 160 + seed, 40 + seed)
        ways = (net.predict, lambda x: predict_tiled(net, x, 80), lambda x: predict_bands(net, x, 64))
        found.append(ways[seed % 3](x))
    geometry.trace(net, (33 + seeds.start, 40))
    return found


@pytest.mark.no_cover  # its lines are run by others; much of its time would be the tracer's
@pytest.mark.parametrize("networks", [1, 2])
def test_threads_label_as_one_does(networks: int) -> None:
    nets = [new() for _ in range(networks)]
    starts = [0, 4, 2]
    expected = label(new(), range(10))
    found = together([lambda i=i: label(nets[i % networks], range(starts[i], starts[i] + 6)) for i in range(3)])  # type: ignore[misc]
    for start, labels in zip(starts, found, strict=True):
        assert all(map(torch.equal, expected[start : start + 6], labels))


def test_networks_whose_features_are_hooked_are_threads_own_too() -> None:
    """timm keeps what its hooks have seen with the network."""
    net = new("fcn4s-xception41").float()
    images = [image(seed, 40, 60 + seed).float() for seed in range(4)]
    expected = [net.predict(x) for x in images]
    found = together([lambda x=x: [net.predict(x) for _ in range(4)] for x in images])  # type: ignore[misc]
    assert all(torch.equal(one, label) for one, labels in zip(expected, found, strict=True) for label in labels)  # type: ignore[attr-defined]


def test_a_network_is_in_training_mode_while_others_predict() -> None:
    """Training steps see their own mode throughout: the statistics are those of training alone."""
    net, alone = new(), new()
    batch = torch.cat([image(seed) for seed in range(2)])

    def train(net: FCN) -> None:
        for _ in range(20):
            with torch.no_grad():
                net(batch)
                assert all(modes(net))

    train(alone)
    together([lambda: train(net), lambda: label(net, range(5)), lambda: label(net, range(4, 9))])
    assert all(torch.equal(tensor, state(alone)[name]) for name, tensor in net.state_dict().items())
