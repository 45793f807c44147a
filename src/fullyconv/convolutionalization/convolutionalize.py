"""A classifier becomes a dense classifier: fully connected layers become convolutions with the same weights.

The classifier is traced and followed at its native size. Its *trunk*, everything that some map of the image
still depends on, is left as it is. The rest is its *head*: from the pooling or flattening that gives up the
image's two axes to the class scores. In the dense network every tensor of the head is a map (N, C, h, w).
How the classifier's own tensor, say a vector (N, C·h·w), lies in that map is noted beside it as a layout:
reshaping changes the layout only, and a linear layer reads its window from it.
"""

import copy
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, NoReturn, cast

import timm.layers
import torch
from torch import fx, nn
from torch.nn import functional as F

from fullyconv.convolutionalization import axes
from fullyconv.convolutionalization.graph import Follower, argument, describe, module, operation, trace
from fullyconv.errors import GeometryError

_RESHAPES = {"contiguous", "flatten", "identity", "reshape", "squeeze", "unflatten", "unsqueeze", "view"}
_AVERAGES = {"mean", "adaptiveavgpool2d"}
_MAXIMA = {"amax", "adaptivemaxpool2d"}
_SOFTMAX = {"softmax": torch.softmax, "logsoftmax": torch.log_softmax}
_OF_MAPS = (nn.Conv2d, nn.BatchNorm2d, nn.AvgPool2d, nn.MaxPool2d)
_POINTWISE = {
    *("add", "iadd", "sub", "isub", "mul", "imul", "div", "truediv", "itruediv", "neg", "clamp", "exp"),
    *("alphadropout", "dropout", "celu", "elu", "gelu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh"),
    *("leakyrelu", "logsigmoid", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "softplus", "softsign"),
    *("tanh", "to", "float"),
}


class _Map(NamedTuple):
    """A node of the dense network, (N, C, h, w), and the layout of the classifier's tensor in its place."""

    node: fx.Node
    layout: axes.Layout


def convolutionalize(classifier: nn.Module, image_size: int | tuple[int, int], channels: int = 3) -> fx.GraphModule:
    """Turn a classifier of images of one size into a network that slides it over images of any larger size.

    The first linear layer after flattening C×k×k features becomes a k×k convolution, later ones 1×1
    convolutions; pooling of the whole map becomes pooling of the native map's size with stride 1 (section 3.1
    of Long et al. 2015). At the native size the one cell of the result equals the classifier's output.

    At larger sizes each cell equals the classifier on the cell's window if no layer pads and none in the
    trunk sees the whole image. Otherwise only nearly: padding lies around the image, not around each window,
    and pooling of the whole image inside the trunk (squeeze-and-excitation) is left alone: it sees all of the
    larger image.

    Args:
        classifier: takes images (N, channels, H, W) to scores (N, classes). It is not changed; the result has
            copies of its parameters under the same names, those of linear layers reshaped to (out, C, k, k).
        image_size: the classifier's native size in pixels: one number, or height and width.
        channels: of the images.

    Returns:
        A network in evaluation mode, from images (N, channels, H, W) to scores (N, classes, h, w), which is
        (N, classes, 1, 1) at the native size. It can be trained; what the classifier does only in training
        and outside torch's layers (auxiliary heads, stochastic depth) is gone.

    Raises:
        GeometryError: naming the layer that cannot be traced, does not fit the image, or cannot slide.
    """
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    if min(channels, height, width) < 1:
        raise GeometryError(f"An image of {channels}×{height}×{width}: expected sizes of 1 or more.")
    network = trace(copy.deepcopy(classifier).eval())
    # Two images, so that no squeeze takes their axis.
    native = Follower(network, (2, channels, height, width))
    if native.failed:
        raise GeometryError(
            f"An image of {channels}×{height}×{width} does not fit the classifier: {native.failure}. "
            "Expected the channels and the image size that it was made for."
        )
    _unfix_global_pools(network, native)
    taller = Follower(network, (2, channels, 2 * height, width))
    wider = Follower(network, (2, channels, height, 2 * width))
    for larger in (taller, wider):
        if larger.failed and not _is_flat(larger.failed, native):
            raise GeometryError(
                f"The classifier is tied to images of {height}×{width}; on a larger one {larger.failure}. "
                "Expected layers that take maps of any size: position embeddings, for one, do not."
            )
    _convert_head(network, native, taller, wider)
    network.delete_all_unused_submodules()
    network.graph.lint()
    network.recompile()
    return network.eval()


def _unfix_global_pools(network: fx.GraphModule, native: Follower) -> None:
    """Average pooling with the native map's size as its kernel is global pooling, written for one size."""
    for node in list(network.graph.nodes):
        if operation(node) == "avgpool2d":
            layer, options = module(node), ((1, "kernel_size"), (3, "padding"), (6, "divisor_override"))
            kernel, padding, divisor = (
                getattr(layer, name) if layer else argument(node, position, name, None) for position, name in options
            )
            (source,) = node.all_input_nodes
            size = native.shapes[source][-2:]
            whole = size in (kernel, (kernel, kernel)) and padding in (None, 0, (0, 0)) and not divisor
            if whole and size != (1, 1):
                with network.graph.inserting_before(node):
                    pool = network.graph.call_function(F.adaptive_avg_pool2d, (source, 1))
                native.shapes[pool] = native.shapes[node]
                node.replace_all_uses_with(pool)
                network.graph.erase_node(node)


def _is_flat(node: fx.Node, native: Follower) -> bool:
    """Whether a node fails on a larger image because of flattened features, which conversion resolves."""
    return isinstance(module(node), nn.Linear) or (operation(node) in _RESHAPES and len(native.shapes[node]) == 2)


def _convert_head(network: fx.GraphModule, native: Follower, taller: Follower, wider: Follower) -> None:
    """Rewrite the head in place: beside each node its dense counterpart, then without the old nodes."""
    graph, nodes = network.graph, list(network.graph.nodes)
    images = {node: letters for node in nodes if (letters := _image_axes(node, native, taller, wider))}
    trunk: set[fx.Node] = set()
    for node in reversed(nodes):
        if node in images or not trunk.isdisjoint(node.users):
            trunk.add(node)
    for node in nodes:  # sizes of the trunk's maps, and what is asserted of them, belong to the trunk
        if node not in native.shapes and node.op != "output" and trunk.issuperset(node.all_input_nodes):
            trunk.add(node)
    maps: dict[fx.Node, _Map] = {}
    for node in nodes:
        with graph.inserting_before(node.next):
            if node in images and not trunk.issuperset(node.users):
                maps[node] = _channels_first(node, images[node], native.shapes[node])
            elif node.op == "output":
                node.args = (_scores(node, maps),)
            elif node in native.shapes and node not in trunk:
                dense = _convert(node, maps, native.shapes)
                maps |= {node: dense} if dense else {}
    for node in reversed(nodes):
        if node not in trunk and node.op != "output":
            graph.erase_node(node)


def _image_axes(node: fx.Node, native: Follower, taller: Follower, wider: Follower) -> str:
    """The axes of a map of the image, "NCHW" or "NHWC" for two; "" for any other tensor."""
    size, tall, wide = (follower.shapes.get(node, ()) for follower in (native, taller, wider))
    if not len(size) == len(tall) == len(wide) == 4:
        return ""
    kinds = {(True, True): "C", (False, True): "H", (True, False): "W", (False, False): "-"}
    letters = "".join(kinds[a == b, a == c] for a, b, c in zip(size, tall, wide, strict=True))
    letters = letters.replace("C", "N", 1)
    return letters if letters[0] == "N" and set(letters) == set("NCHW") else ""


def _channels_first(node: fx.Node, letters: str, shape: tuple[int, ...]) -> _Map:
    layout = axes.layout_of(letters, shape)
    if letters == "NCHW":
        return _Map(node, layout)
    return _Map(node.graph.call_method("permute", (node, *map(letters.index, "NCHW"))), layout)


def _scores(output: fx.Node, maps: dict[fx.Node, _Map]) -> fx.Node:
    """The dense class scores, if the classifier returns one tensor with one score per image and class."""
    result = output.args[0]
    if not isinstance(result, fx.Node) or result not in maps:
        raise GeometryError(f"The classifier returns {result}; expected one tensor of scores of the image.")
    node, layout = maps[result]
    if not axes.is_nchw(layout) or any(layout[2:]):
        _refuse(result, layout, "one score per image and class as the classifier's result")
    return node


def _convert(node: fx.Node, maps: dict[fx.Node, _Map], shapes: dict[fx.Node, tuple[int, ...]]) -> _Map | None:
    """The dense counterpart of a node of the head; None for a tensor that does not come from the image."""
    op, layer, graph, after = operation(node), module(node), node.graph, shapes[node]
    if node.op == "get_attr" and math.prod(after) == 1:
        return _Map(graph.node_copy(node), ())  # one number goes with any layout
    tensors = [n for n in node.all_input_nodes if n in shapes]
    if not any(n in maps for n in tensors):
        return None
    for n in tensors:
        if n not in maps:
            raise GeometryError(
                f"{describe(node)} cannot slide over an image: it combines a map with {describe(n)}, "
                "which is none; expected maps of the image alone."
            )
    source, layout = maps[tensors[0]]

    if op in _RESHAPES:
        return _Map(source, _regroup(node, layout, after))
    if op in {"permute", "transpose"}:
        return _Map(source, _permute(node, layout))
    if op in _AVERAGES | _MAXIMA:
        return _convert_pool(node, maps[tensors[0]], shapes[tensors[0]], after)
    if op in {"cat", "concat"}:
        joined: Sequence[fx.Node] = argument(node, 0, "tensors", ())
        return _convert_cat(node, [maps[n] for n in joined])
    if op in _SOFTMAX:
        return _convert_softmax(node, maps[tensors[0]])
    if isinstance(layer, nn.Linear):
        return _convert_linear(node, layer, maps[tensors[0]])
    if (
        isinstance(layer, nn.LayerNorm | nn.RMSNorm)
        and axes.is_channels(layout[-1])
        and len(layer.normalized_shape) == 1
    ):
        return _convert_channel_norm(node, maps[tensors[0]])
    return _convert_unchanged(node, maps, tensors, after)


def _convert_linear(node: fx.Node, linear: nn.Linear, source: _Map) -> _Map:
    """A convolution whose kernel is the window that the linear layer sees: the H and W of its last axis."""
    *others, axis = source.layout
    sizes = dict(axis)
    if type(linear).forward not in (nn.Linear.forward, timm.layers.Linear.forward):
        _refuse(node, source.layout, "a linear layer with nn.Linear's own forward")
    if "N" in sizes or ("C" not in sizes and any(letter == "C" for other in others for letter, _ in other)):
        _refuse(node, source.layout, "channels on the last axis, not positions alone")
    if sum(other.target == node.target for other in node.graph.nodes) > 1:
        _refuse(node, source.layout, "a linear layer that is used once")
    kernel = (sizes.get("H", 1), sizes.get("W", 1))
    convolution = nn.Conv2d(sizes.get("C", 1), linear.out_features, kernel, device="meta")
    to_chw = sorted(range(len(axis)), key=lambda i: "CHW".index(axis[i][0]))
    weight = linear.weight.detach().reshape(-1, *sizes.values()).permute(0, *(1 + i for i in to_chw))
    weight = weight.reshape(convolution.weight.shape).contiguous()
    convolution.weight = nn.Parameter(weight, requires_grad=linear.weight.requires_grad)
    convolution.bias = linear.bias
    assert node.graph.owning_module is not None
    node.graph.owning_module.set_submodule(str(node.target), convolution)
    dense = node.graph.call_module(str(node.target), (source.node,))
    return _Map(dense, (*others, axes.axis_of("C", linear.out_features)))


def _convert_pool(node: fx.Node, source: _Map, before: tuple[int, ...], after: tuple[int, ...]) -> _Map:
    """Pooling with the windows of the native size."""
    windows = {"H": (1, 1), "W": (1, 1)}  # size, stride
    if operation(node).startswith("adaptive"):
        if not _is_map(source.layout):
            _refuse(node, source.layout, "a map (N, C, H, W)")
        for letter, size, cells in zip("HW", before[2:], after[2:], strict=True):
            starts = [i * size // cells for i in range(cells)]
            extents = {-(-(i + 1) * size // cells) - start for i, start in enumerate(starts)}
            strides = {b - a for a, b in pairwise(starts)} or {1}
            if len(extents) > 1 or len(strides) > 1 or 0 in strides:
                _refuse(node, source.layout, f"a map with equal windows for {after[2]}×{after[3]} cells")
            windows[letter] = (extents.pop(), strides.pop())
    else:
        given: int | Sequence[int] | None = argument(node, 1, "dim", None)
        dims = range(len(before)) if given is None else (given,) if isinstance(given, int) else given
        for letter, size in (factor for dim in dims for factor in source.layout[dim]):
            if letter not in windows:
                _refuse(node, source.layout, "a mean or maximum over rows and columns alone")
            windows[letter] = (size, 1)
    factors = ((letter, n, *windows.get(letter, (1, 1))) for axis in source.layout for letter, n in axis)
    pooled = tuple(axes.axis_of(letter, (n - size) // stride + 1) for letter, n, size, stride in factors)
    layout = _regroup(node, pooled, after)
    kernel, stride = zip(windows["H"], windows["W"], strict=True)
    if kernel == (1, 1):
        return _Map(source.node, layout)
    pool = F.avg_pool2d if operation(node) in _AVERAGES else F.max_pool2d
    return _Map(node.graph.call_function(pool, (source.node, kernel, stride)), layout)


def _convert_cat(node: fx.Node, sources: list[_Map]) -> _Map:
    """Concatenation of channels."""
    layouts = [list(source.layout) for source in sources]
    axis = argument(node, 1, "dim", 0)
    joined = [layout.pop(axis) for layout in layouts]
    if not all(map(axes.is_channels, joined)) or any(layout != layouts[0] for layout in layouts):
        _refuse(node, sources[0].layout, "channels to concatenate")
    layouts[0].insert(axis % len(sources[0].layout), axes.axis_of("C", sum(n for ((_, n),) in joined)))
    dense = node.graph.call_function(torch.cat, ([source.node for source in sources], 1))
    return _Map(dense, tuple(layouts[0]))


def _convert_softmax(node: fx.Node, source: _Map) -> _Map:
    """Softmax over the classes of each cell."""
    axis: int | None = (
        getattr(module(node), "dim", None) if node.op == "call_module" else argument(node, 1, "dim", None)
    )
    if not axes.is_channels(source.layout[1 if axis is None else axis]):
        _refuse(node, source.layout, "a softmax over channels")
    return _Map(node.graph.call_function(_SOFTMAX[operation(node)], (source.node, 1)), source.layout)


def _convert_channel_norm(node: fx.Node, source: _Map) -> _Map:
    """The norm of a last axis of channels, on a map whose channels are not last."""
    last = node.graph.call_method("permute", (source.node, 0, 2, 3, 1))
    normalized = node.graph.call_module(str(node.target), (last,))
    return _Map(node.graph.call_method("permute", (normalized, 0, 3, 1, 2)), source.layout)


def _convert_unchanged(
    node: fx.Node, maps: dict[fx.Node, _Map], tensors: list[fx.Node], after: tuple[int, ...]
) -> _Map:
    """An operation that does to a map what it does to the classifier's tensor."""
    op, layer = operation(node), module(node)
    layouts = {maps[n].layout for n in tensors} - {()} or {()}  # () is a number's
    layout = next(iter(layouts))
    pointwise = op in _POINTWISE and len(layouts) == 1 and tensors == node.all_input_nodes
    of_channels = isinstance(layer, nn.PReLU) and axes.is_nchw(layout)
    of_maps = (isinstance(layer, _OF_MAPS) or op == "layernorm2d") and _is_map(layout)
    of_vectors = type(layer) is nn.BatchNorm1d and axes.is_nchw(layout) and len(layout) == 2
    if not (pointwise or of_channels or of_maps or of_vectors):
        _refuse(node, layout, "a linear layer, pooling, a norm of channels or a pointwise operation")
    if layer and of_vectors:
        layer.__class__ = nn.BatchNorm2d  # which differs only in the axes it accepts
    if of_maps:
        layout = axes.layout_of("NCHW", after)
    return _Map(node.graph.node_copy(node, lambda n: maps[n].node), layout)


def _is_map(layout: axes.Layout) -> bool:
    return axes.is_nchw(layout) and len(layout) == 4


def _regroup(node: fx.Node, layout: axes.Layout, shape: tuple[int, ...]) -> axes.Layout:
    grouped = axes.regroup(layout, shape)
    if grouped is None:
        _refuse(node, layout, f"a shape that keeps them whole, not {shape}")
    return grouped


def _permute(node: fx.Node, layout: axes.Layout) -> axes.Layout:
    if operation(node) == "transpose":
        order = list(range(len(layout)))
        a, b = argument(node, 1, "dim0", 0), argument(node, 2, "dim1", 1)
        order[a], order[b] = order[b], order[a]
        return tuple(layout[axis] for axis in order)
    dims: int | Sequence[int] = argument(node, 1, "dims", ())
    order = list(cast(Sequence[int], node.args[1:]) if isinstance(dims, int) else dims)
    return tuple(layout[axis] for axis in order)


def _refuse(node: fx.Node, layout: axes.Layout, expected: str) -> NoReturn:
    raise GeometryError(
        f"{describe(node)} cannot slide over an image: found axes {axes.describe(layout)}, expected {expected}."
    )
