"""The paper's networks with a sixteenth of their channels."""

import pytest
from caffe import nets

from fullyconv.backbones import paper

THIN = 16


@pytest.fixture
def thin(monkeypatch):
    for trunk in (paper.VGG16, paper.AlexNet):
        monkeypatch.setattr(trunk, "widths", tuple(nets.thinned(width, THIN) for width in trunk.widths))
        monkeypatch.setattr(trunk, "hidden", nets.thinned(trunk.hidden, THIN))
    google = paper.GoogLeNet
    monkeypatch.setattr(google, "stem", tuple(nets.thinned(width, THIN) for width in google.stem))
    inceptions = {
        name: tuple(nets.thinned(width, THIN) for width in widths) for name, widths in google.inceptions.items()
    }
    monkeypatch.setattr(google, "inceptions", inceptions)
    return THIN
