"""What labels images satisfies the contract: mypy reads the assignments, and what it reads is there."""

from pathlib import Path

import pytest

from fullyconv.inference.exported import Runner
from fullyconv.model.fcn import FCN, create
from fullyconv.model.segmenter import Segmenter
from fullyconv.model.spec import ExportSpec


def of_a_network(net: FCN) -> Segmenter:
    return net


def of_an_exported_file(net: Runner) -> Segmenter:
    return net


MEMBERS = sorted(name for name in vars(Segmenter) if not name.startswith("_"))


@pytest.mark.parametrize("member", MEMBERS)
def test_a_network_and_an_exported_file_have_every_member(member: str) -> None:
    palette = [(0, 0, 0), (1, 1, 1)]
    description = ExportSpec(
        name="fcn32s-smallvgg", classes=["a", "b"], palette=palette, dtype="uint8", probabilities=False
    )
    net = create("fcn32s-smallvgg", num_classes=2)
    runner = Runner(Path("a.onnx"), description, lambda images: [images[:, 0]])
    for segmenter in (net, runner):
        assert hasattr(segmenter, member)
    assert runner.name == net.name
