"""Copies of a network that share its weights: another mode, other hooks or other submodules, the network untouched.

A network may be in use by other threads, in training for instance. So nothing here is done to the network itself: what
has to differ for one caller differs in a copy of its modules, which takes little time and no memory for weights.
"""

from collections.abc import Callable, Hashable, Mapping
from threading import RLock
from types import MethodType
from typing import Generic, TypeVar, cast
from weakref import WeakKeyDictionary

from torch import nn
from torch.jit import ScriptModule

M = TypeVar("M", bound=nn.Module)
V = TypeVar("V")
_HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
)


def shared_copy(network: M, replaced: Mapping[str, nn.Module] | None = None) -> M:
    """Copy the modules of ``network``, sharing parameters and buffers: what is written to those of one, both have.

    Mode and hooks are the copy's own, and start as the network's. TorchScript modules, which cannot be copied so, are
    shared whole. ``replaced``: modules by their qualified names, which stand as they are in place of the network's.
    Raises KeyError for a name that the network does not have.
    """
    if replaced and (missing := set(replaced) - {name for name, _ in network.named_modules(remove_duplicate=False)}):
        raise KeyError(f"there are no modules named {sorted(missing)} in {type(network).__name__}")
    copies: dict[int, nn.Module] = {}
    return cast(M, _copied(network, "", dict(replaced or {}), copies))


def in_evaluation_mode(network: M, replaced: Mapping[str, nn.Module] | None = None) -> M:
    """A shared copy of ``network`` with all of its modules, ``replaced`` ones too, in evaluation mode.

    See ``shared_copy``.
    """
    copy = shared_copy(network, replaced)
    for module in copy.modules():
        if not isinstance(module, ScriptModule):
            module.training = False
    return copy


def _copied(module: nn.Module, name: str, replaced: dict[str, nn.Module], copies: dict[int, nn.Module]) -> nn.Module:
    if name in replaced:
        return replaced[name]
    if isinstance(module, ScriptModule):
        return module
    if id(module) in copies:
        return copies[id(module)]
    # Not copy.copy: modules whose copying is their own, as torch.fx's, would copy more, or less.
    copy = copies[id(module)] = object.__new__(type(module))
    copy.__dict__.update(module.__dict__)
    for hooks in _HOOKS:
        if (held := module.__dict__.get(hooks)) is not None:
            copy.__dict__[hooks] = held.copy() if held else type(held)()  # most are empty, and copying takes far longer
    copy.__dict__["_compiled_call_impl"] = None  # what Module.compile made runs the module that it was made of
    prefix = f"{name}." if name else ""
    copy.__dict__["_modules"] = {
        key: child if child is None else _copied(child, prefix + key, replaced, copies)
        for key, child in module._modules.items()
    }
    for key, value in module.__dict__.items():
        if isinstance(value, MethodType) and value.__self__ is module:  # a method that was set on the instance
            copy.__dict__[key] = MethodType(value.__func__, copy)
    return copy


class Remembered(Generic[V]):
    """What was found out about networks: values by network and key, each found once, whichever thread asks first.

    Kept as long as the network exists; of each network the ``most`` latest.
    """

    finding = RLock()
    """One for all: networks are followed on fake tensors, by one thread at a time."""

    def __init__(self, most: int = 256):
        self.most = most
        self.values: WeakKeyDictionary[nn.Module, dict[Hashable, V]] = WeakKeyDictionary()

    def get(self, network: nn.Module, key: Hashable, find: Callable[[], V]) -> V:
        """The value for ``key``, from ``find`` where it is not known yet."""
        with self.finding:
            known = self.values.setdefault(network, {})
            if key not in known:
                known[key] = find()
                for oldest in list(known)[: -self.most]:
                    del known[oldest]
            return known[key]
