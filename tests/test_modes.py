import contextlib

import torch
from torch import nn

import fullyconv as fc
from fullyconv.evaluation.evaluate import evaluate
from fullyconv.inspection.heat import contributions
from fullyconv.modes import evaluating


def frozen_in_training() -> nn.Module:
    net = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout()).train()
    net[0].eval()
    return net


def test_each_module_is_in_its_own_mode_again_after_an_error_too() -> None:
    net = frozen_in_training()
    modes = []
    with contextlib.suppress(KeyError), evaluating(net):
        modes += [module.training for module in net.modules()]
        raise KeyError
    assert modes == [False, False, False]
    assert [module.training for module in net.modules()] == [True, False, True]


def test_a_frozen_backbone_stays_so_while_its_network_is_looked_at() -> None:
    net = fc.create("fcn8s-test_resnet", 3).train()
    net.backbone.eval()
    evaluate(net, [(torch.zeros(3, 40, 40, dtype=torch.uint8), torch.zeros(40, 40, dtype=torch.uint8))])
    contributions(net, torch.zeros(1, 3, 40, 40))
    assert net.training
    assert not net.backbone.training
