"""Networks as they are best used for inference: the paper's VGG-16 networks without the work on their border."""

from typing import TypeGuard, TypeVar

from fullyconv.errors import ConfigError
from fullyconv.model.fcn import FCN
from fullyconv.sharing import in_evaluation_mode

N = TypeVar("N")


def has_border(net: object) -> TypeGuard[FCN]:
    """Whether ``without_border`` takes this network."""
    if not isinstance(net, FCN) or net.backbone.alignment != "crop":
        return False
    from fullyconv.model.backbones.paper import VGG16  # no other network has to load it

    return isinstance(net.backbone.body, VGG16)


def without_border(net: FCN) -> FCN:
    """A network with the same weights, in evaluation mode, that skips the work on the border.

    ``net`` stays as it is. Either may be moved, and ``net`` trained further: the other follows. What is written through
    a parameter's ``data`` goes unnoticed.
    Raises ConfigError for networks other than the paper's VGG-16 with ``padding="paper"``.
    """
    if not has_border(net):
        raise ConfigError(f"{net.name} has no border to leave out: that is for the paper's VGG-16 networks.")
    from fullyconv.model.backbones.border import Borderless
    from fullyconv.model.backbones.paper import VGG16

    trunk = in_evaluation_mode(net.backbone.body)
    assert isinstance(trunk, VGG16)
    return in_evaluation_mode(net, {"backbone.body": Borderless(trunk)})


def for_inference(net: N) -> N:
    """``without_border(net)`` where the network has a border, else the network itself."""
    return without_border(net) if has_border(net) else net  # type: ignore[return-value]
