"""Layers that are not trained: all of the backbone's, or those up to the tap of a stride."""

import pytest
import torch

import fullyconv as fc
from fullyconv.errors import ConfigError
from fullyconv.training.freezing import freeze_layers
from fullyconv.training.stages import new_network, train
from fullyconv.weights import run_folder


def quiet(_):
    pass


def frozen(net: torch.nn.Module) -> set[str]:
    return {name for name, parameter in net.named_parameters() if not parameter.requires_grad}


def test_a_tap_depends_on_the_stem_and_the_blocks_before_it():
    net = fc.create("fcn4s-resnet18", num_classes=2, pretrained=False)
    norms = freeze_layers(net, 8)
    first = ("conv1.", "bn1.", "layer1.", "layer2.")
    before = {f"backbone.body.{name}" for name, _ in net.backbone.body.named_parameters() if name.startswith(first)}
    assert frozen(net) == before
    assert len(norms) == 1 + 2 * 2 + 2 * 2 + 1  # the stem's, two in each block, the downsampling's


def test_the_coarsest_tap_depends_on_all_layers_as_backbone_has_it():
    nets = [fc.create("fcn8s-resnet18", num_classes=2, pretrained=False) for _ in range(2)]
    norms = freeze_layers(nets[0], 32), freeze_layers(nets[1], "backbone")
    assert frozen(nets[0]) == frozen(nets[1]) == {name for name in frozen(nets[1]) if name.startswith("backbone.")}
    assert len(norms[0]) == len(norms[1]) == 20


def test_nothing_is_frozen_unless_asked():
    net = fc.create("fcn8s-resnet18", num_classes=2, pretrained=False)
    assert freeze_layers(net, "none") == []
    assert frozen(net) == set()


def test_the_mode_and_the_statistics_stay_as_they_are():
    net = fc.create("fcn8s-resnet18", num_classes=2, pretrained=False).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    freeze_layers(net, 8)
    assert all(module.training for module in net.modules())
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_a_stride_without_a_tap_is_refused():
    net = fc.create("fcn8s-resnet18", num_classes=2, pretrained=False)
    with pytest.raises(ConfigError, match=r"training.freeze is 4; the taps of fcn8s-resnet18 .* strides 8, 16, 32"):
        freeze_layers(net, 4)


def test_training_changes_neither_frozen_weights_nor_their_statistics(data, tiny, tmp_path):
    config = tiny(training__freeze=8)
    torch.manual_seed(0)
    start = new_network(data, config, quiet)
    freeze_layers(start, 8)
    kept = frozen(start)
    run_folder.save(start, tmp_path / "start")
    config.model.init = tmp_path / "start"
    net = train(data, config, tmp_path / "run", say=quiet)
    before, after = start.state_dict(), net.state_dict()
    parameters = {name for name, _ in start.named_parameters()}
    assert {name for name in parameters if torch.equal(before[name], after[name])} == kept
    stems = {name.rsplit(".", 1)[0] for name in kept}
    statistics = [name for name in before if name.endswith(("running_mean", "running_var"))]
    same = {name for name in statistics if torch.equal(before[name], after[name])}
    assert same == {name for name in statistics if name.rsplit(".", 1)[0] in stems}
    assert same
    assert same != set(statistics)
