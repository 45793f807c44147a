"""A network as a `torch.fx` graph: traced, followed at an image size without computing, its nodes named."""

import copy
import re
from collections.abc import Callable
from typing import TypeVar, cast

import timm.layers
import torch
from torch import fx, nn

from fullyconv.errors import GeometryError

T = TypeVar("T")


def trace(network: nn.Module) -> fx.GraphModule:
    """The graph of a network, in the mode it is in (training or evaluation); it shares the network's layers.

    Raises:
        GeometryError: where the network's own forward cannot be traced.
    """
    tracer, name = _Tracer(), type(network).__name__
    try:
        graph = tracer.trace(network)
    except Exception as error:  # whatever a forward does that symbolic values cannot
        raise GeometryError(
            f"torch.fx cannot trace {name}.forward: {error}. "
            "Expected a forward without control flow on tensors or their sizes."
        ) from error
    return fx.GraphModule(tracer.root, graph, name)


class _Tracer(fx.Tracer):
    """Keeps whole: torch's layers and their subclasses, and modules whose forward cannot be traced."""

    def __init__(self) -> None:
        super().__init__(autowrap_functions=tuple(timm.layers.get_notrace_functions()))

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        containers = (nn.Module, nn.Sequential, nn.ModuleList, nn.ModuleDict)
        torch_layers = (base for base in type(m).__mro__ if base.__module__.startswith("torch.nn."))
        return timm.layers.is_notrace_module(type(m)) or any(base not in containers for base in torch_layers)

    def call_module(
        self, m: nn.Module, forward: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]
    ) -> object:
        known, stack = len(self.graph.nodes), self.module_stack.copy()
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception:  # as in `trace`
            for node in reversed(list(self.graph.nodes)[known:]):
                self.graph.erase_node(node)
            self.module_stack = stack
            return self.create_proxy("call_module", self.path_of_module(m), args, kwargs)


class Follower(fx.Interpreter):
    """Follows images of one size through a traced network on the meta device: shapes without memory or time.

    A failure does not stop it; what depends on the failure has no shape.

    Attributes:
        shapes: of each node that gives a tensor.
        failed: the first node that fails, None if none does.
        failure: what failed, by name, and why.
    """

    def __init__(self, network: fx.GraphModule, images: tuple[int, int, int, int]) -> None:
        tensors = [*network.parameters(), *network.buffers()]
        without_data = {id(tensor): tensor.detach().to("meta") for tensor in tensors}
        super().__init__(copy.deepcopy(network, without_data), graph=network.graph)
        self.shapes: dict[fx.Node, tuple[int, ...]] = {}
        self.failed: fx.Node | None = None
        self.failure = ""
        with torch.no_grad():
            dtype = next((parameter.dtype for parameter in network.parameters()), None)
            self.run(torch.empty(images, device="meta", dtype=dtype))

    def run_node(self, n: fx.Node) -> object:
        try:
            result = super().run_node(n)
        except Exception as error:  # each layer has its own way to say that a map does not fit it
            if self.failed is None:
                reason = re.sub(r"Proxy\(\w+\)", "another", str(error)).strip().partition("\n")[0]
                self.failed, self.failure = n, f"{describe(n)} fails ({reason})"
            return None
        if isinstance(result, torch.Tensor) and n.op != "output":
            self.shapes[n] = tuple(result.shape)
        return result


def module(node: fx.Node) -> nn.Module | None:
    """The layer that a node calls, if it calls one."""
    owner = node.graph.owning_module
    return owner.get_submodule(str(node.target)) if node.op == "call_module" and owner else None


def operation(node: fx.Node) -> str:
    """One name for layer, function and method: nn.LogSoftmax and F.log_softmax are both `logsoftmax`."""
    layer = module(node)
    name = type(layer).__name__ if layer else getattr(node.target, "__name__", str(node.target))
    return name.lower().replace("_", "")


def argument(node: fx.Node, position: int, name: str, default: T) -> T:
    """An argument given by position or by name, of the type that the operation expects there, as ``default`` is."""
    return cast(T, node.args[position] if len(node.args) > position else node.kwargs.get(name, default))


def describe(node: fx.Node) -> str:
    """What a message calls a node: a layer's qualified name, or the operation and the layer it is in."""
    if node.op == "call_module":
        return f"layer '{node.target}' ({type(module(node)).__name__})"
    if node.op == "get_attr":
        return f"parameter '{node.target}'"
    within = [path for path, _ in node.meta.get("nn_module_stack", {}).values()]
    return f"'{operation(node)}' in " + (f"layer '{within[-1]}'" if within else "the network's forward")
