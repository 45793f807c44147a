"""Give the backbone of an FCN the weights of a trained classifier (paper, section 4.1)."""

from torch import Tensor, nn

from fullyconv.errors import WeightsError
from fullyconv.model.fcn import FCN


def adopt(net: FCN, classifier: nn.Module) -> None:
    """Give ``net``'s backbone the weights of ``classifier``, the timm network of the same name.

    Raises WeightsError, naming the first layer of the backbone that the classifier does not have.
    """
    source = {_plain(name): tensor for name, tensor in classifier.state_dict().items()}
    adopted: dict[str, Tensor] = {}
    for name, own in net.backbone.body.state_dict().items():
        found = source.get(_plain(name))
        if found is None or found.shape != own.shape:
            has = "has no such layer" if found is None else f"has {tuple(found.shape)}"
            raise WeightsError(
                f"The classifier is not the backbone of {net.name}: {name} is {tuple(own.shape)}, the classifier {has}."
            )
        adopted[name] = found
    net.backbone.body.load_state_dict(adopted)


def _plain(name: str) -> str:
    """Return a name in which dots do not matter: timm's ``stages.0.conv`` is ``stages_0.conv`` in its backbones."""
    return name.replace(".", "_")
