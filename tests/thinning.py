"""The paper's networks with a sixteenth of their channels: the same layers, in milliseconds."""

import pytest

from fullyconv.model.backbones import paper
from tests.caffe import nets

THIN = 16


def make_thin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours; Caffe's are thin with ``thin=THIN``."""

    def thinned(widths: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(nets.thinned(width, THIN) for width in widths)

    for trunk in (paper.VGG16, paper.AlexNet):
        monkeypatch.setattr(trunk, "widths", thinned(trunk.widths))
        monkeypatch.setattr(trunk, "hidden", nets.thinned(trunk.hidden, THIN))
    google = paper.GoogLeNet
    monkeypatch.setattr(google, "stem", thinned(google.stem))
    monkeypatch.setattr(google, "inceptions", {name: thinned(widths) for name, widths in google.inceptions.items()})
