"""Dense and patchwise classification: where nothing is padded, they are the same function."""

import pytest
import torch

from fullyconv import geometry
from fullyconv.bench import patchwise
from fullyconv.model.backbones import paper


@pytest.fixture(autouse=True)
def thin(monkeypatch):
    monkeypatch.setattr(paper.AlexNet, "widths", (6, 8, 8, 8, 8))
    monkeypatch.setattr(paper.AlexNet, "hidden", 12)
    monkeypatch.setattr(patchwise, "CLASSES", 5)


def test_alexnet_has_the_papers_grid():
    network = patchwise.alexnet()
    assert geometry.trace(network, (227, 227)).outputs[0].size == (1, 1)
    assert geometry.trace(network, (500, 500)).outputs[0].size == (10, 10)


def test_a_cell_is_centred_on_its_window():
    for padded, window in ((True, 227), (False, 355)):
        output = geometry.trace(patchwise.alexnet(padded), (500, 500)).outputs[0]
        assert output.offset == ((window - 1) / 2, (window - 1) / 2)
        assert output.stride == (32, 32)


def test_windows_are_cut_where_cells_look_and_black_beyond_the_image():
    image = torch.arange(1.0, 1 + 40 * 50).reshape(1, 40, 50)
    patches = patchwise.windows(image, (2, 2), 16)
    assert patches.shape == (4, 1, 16, 16)
    assert torch.equal(patches[1, 0], image[0, :16, 32:48])
    assert torch.equal(patches[2, 0, :8], image[0, 32:40, :16])
    assert not patches[2, 0, 8:].any()


def test_without_padding_patches_and_one_pass_agree():
    image = torch.randn(3, 430, 400)
    unpadded = patchwise.compare(patchwise.alexnet(padded=False), 355, image, repeats=1)
    padded = patchwise.compare(patchwise.alexnet(), 227, image, repeats=1)
    assert unpadded.inside_cells == 3 * 2
    assert unpadded.inside < 1e-5
    assert padded.difference > 1e-3
    assert unpadded.saved > 1
