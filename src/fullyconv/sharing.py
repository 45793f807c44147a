"""Copies of a network that share its weights but have their own mode, hooks or submodules.

Other threads may be using the network, for instance training it. It is therefore never changed for one caller; the
caller gets a copy of its modules, which takes little time and no memory for weights.
"""

from collections.abc import Callable, Hashable, Mapping
from threading import RLock
from types import MethodType
from typing import Generic, TypeVar, cast
from weakref import WeakKeyDictionary

import torch
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
    """Return a copy of the modules of ``network`` that shares its parameters and buffers.

    Mode and hooks are the copy's own, and start as the network's. TorchScript modules, which cannot be copied in this
    way, are shared whole. ``replaced`` maps qualified names to modules to use in place of the network's. Raises
    KeyError for a name that the network does not have.
    """
    if replaced and (missing := set(replaced) - {name for name, _ in network.named_modules(remove_duplicate=False)}):
        raise KeyError(f"there are no modules named {sorted(missing)} in {type(network).__name__}")
    copies: dict[int, nn.Module] = {}
    return cast(M, _copied(network, "", dict(replaced or {}), copies))


def in_evaluation_mode(network: M, replaced: Mapping[str, nn.Module] | None = None) -> M:
    """Return a ``shared_copy`` of ``network`` with all modules, also ``replaced`` ones, in evaluation mode."""
    copy = shared_copy(network, replaced)
    for module in copy.modules():
        if not isinstance(module, ScriptModule):
            module.training = False
    return copy


def evaluating(network: M) -> M:
    """Return ``in_evaluation_mode(network)``, or, where it is being compiled, the network itself.

    Raises RuntimeError if that is in training mode then.
    """
    if not torch.compiler.is_compiling():
        return in_evaluation_mode(network)
    if any(module.training for module in network.modules()):
        raise RuntimeError("what is compiled computes in the network's own mode: call net.eval() before")
    return network


def _copied(module: nn.Module, name: str, replaced: dict[str, nn.Module], copies: dict[int, nn.Module]) -> nn.Module:
    if name in replaced:
        return replaced[name]
    if isinstance(module, ScriptModule):
        return module
    if id(module) in copies:
        return copies[id(module)]
    # Not copy.copy: modules that define their own copying, such as torch.fx's, would copy more, or less.
    copy = copies[id(module)] = object.__new__(type(module))
    copy.__dict__.update(module.__dict__)
    for hooks in _HOOKS:
        if (held := module.__dict__.get(hooks)) is not None:
            copy.__dict__[hooks] = held.copy() if held else type(held)()  # most are empty, and copying takes far longer
    copy.__dict__["_compiled_call_impl"] = None  # a compiled call would run the module that was compiled
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
    """A cache of values by network and key, which threads may share; each value is computed once.

    The ``most`` latest values of each network are kept, as long as the network exists.
    """

    finding = RLock()
    """One lock for all caches: only one thread at a time may trace networks on fake tensors."""

    def __init__(self, most: int = 256):
        self.most = most
        self.values: WeakKeyDictionary[nn.Module, dict[Hashable, V]] = WeakKeyDictionary()

    def get(self, network: nn.Module, key: Hashable, find: Callable[[], V]) -> V:
        """Return the value for ``key``, computed by ``find`` if it is not known yet."""
        with self.finding:
            known = self.values.setdefault(network, {})
            if key not in known:
                known[key] = find()
                for oldest in list(known)[: -self.most]:
                    del known[oldest]
            return known[key]
