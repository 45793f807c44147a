"""The graph of a torch.export file (``.pt2``) as steps that are run one after the other.

A graph may hold the operations of ``OPERATIONS`` and ``ARITHMETIC``, which compute and do nothing else; what they are
given are tensors, numbers and options. Nothing in a file becomes code.
"""

import math
import operator
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from fullyconv.errors import WeightsError
from fullyconv.inference.graphs import pt2
from fullyconv.inference.graphs.pt2 import DTYPES, MAX_SIZE, STRIDED, Graph, Module

# fmt: off
OPERATIONS = frozenset((
    "abs", "absolute", "acos", "acosh", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d",
    "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d", "add", "addbmm", "addcdiv", "addcmul",
    "addmm", "addmv", "affine_grid_generator", "alias", "all", "alpha_dropout", "amax", "amin", "aminmax", "any",
    "arange", "arctan", "argmax", "argmin", "argsort", "asin", "asinh", "atan", "atan2", "atanh", "avg_pool1d",
    "avg_pool2d", "avg_pool3d", "baddbmm", "batch_norm", "bilinear", "bitwise_and", "bitwise_not", "bitwise_or",
    "bitwise_xor", "bmm", "broadcast_tensors", "broadcast_to", "bucketize", "cat", "cdist", "ceil", "celu",
    "chain_matmul", "channel_shuffle", "chunk", "clamp", "clamp_max", "clamp_min", "clip", "clone", "col2im",
    "column_stack", "conj", "constant_pad_nd", "contiguous", "conv1d", "conv2d", "conv3d", "conv_transpose1d",
    "conv_transpose2d", "conv_transpose3d", "convolution", "copysign", "cos", "cosh", "cosine_similarity",
    "count_nonzero", "cumprod", "cumsum", "detach", "detach_", "diag_embed", "diagonal", "diff", "div", "divide",
    "dot", "dropout", "dstack", "einsum", "elu", "embedding", "eq", "erf", "erfc", "exp", "exp2", "expand",
    "expand_as", "expand_copy", "expm1", "eye", "feature_alpha_dropout", "feature_dropout", "fill", "flatten",
    "flip", "float_power", "floor", "floor_divide", "fmod", "frac", "full", "full_like", "gather", "ge", "gelu",
    "glu", "greater", "grid_sampler", "grid_sampler_2d", "grid_sampler_3d", "group_norm", "gt", "hardshrink",
    "hardsigmoid", "hardswish", "hardtanh", "heaviside", "hstack", "hypot", "im2col", "index", "index_add",
    "index_copy", "index_fill", "index_put", "index_select", "instance_norm", "isfinite", "isinf", "isnan",
    "isneginf", "isposinf", "kron", "l1_loss", "layer_norm", "le", "leaky_relu", "lerp", "less", "lift_fresh_copy",
    "linalg_cross", "linalg_matmul", "linalg_multi_dot", "linalg_norm", "linalg_vector_norm", "linear", "linspace",
    "log", "log1p", "log2", "log_sigmoid", "log_softmax", "logaddexp", "logical_and", "logical_not", "logical_or",
    "logical_xor", "logit", "logsumexp", "lt", "masked_fill", "masked_scatter", "matmul", "max", "max_pool1d",
    "max_pool2d", "max_pool2d_with_indices", "max_pool3d", "max_pool3d_with_indices", "maximum", "mean", "median",
    "meshgrid", "min", "minimum", "mish", "mm", "moveaxis", "movedim", "mul", "multiply", "mv", "nan_to_num",
    "narrow", "narrow_copy", "native_batch_norm", "native_channel_shuffle", "native_group_norm",
    "native_layer_norm", "ne", "neg", "negative", "new_full", "new_ones", "new_zeros", "norm", "not_equal",
    "one_hot", "ones", "ones_like", "outer", "pad", "pairwise_distance", "permute", "pixel_shuffle",
    "pixel_unshuffle", "positive", "pow", "prelu", "prod", "ravel", "reciprocal", "reflection_pad1d",
    "reflection_pad2d", "reflection_pad3d", "relu", "relu6", "remainder", "repeat", "repeat_interleave",
    "replication_pad1d", "replication_pad2d", "replication_pad3d", "reshape", "resolve_conj", "resolve_neg",
    "rms_norm", "roll", "rot90", "round", "rrelu", "rsqrt", "rsub", "scalar_tensor", "scaled_dot_product_attention",
    "scatter", "scatter_add", "searchsorted", "select", "select_scatter", "selu", "sigmoid", "sign", "signbit",
    "silu", "sin", "sinh", "slice", "slice_scatter", "softmax", "softplus", "sort", "special_erf", "special_expit",
    "split", "split_copy", "split_with_sizes", "sqrt", "square", "squeeze", "stack", "std", "std_mean", "sub",
    "subtract", "sum", "swapaxes", "swapdims", "sym_numel", "sym_size", "sym_stride", "t", "take_along_dim", "tan",
    "tanh", "tensor_split", "tensordot", "threshold", "tile", "to", "topk", "transpose", "tril", "triu",
    "true_divide", "trunc", "type_as", "unbind", "unflatten", "unfold", "unsafe_chunk", "unsafe_split", "unsqueeze",
    "upsample_bicubic2d", "upsample_bilinear2d", "upsample_linear1d", "upsample_nearest1d", "upsample_nearest2d",
    "upsample_nearest3d", "upsample_trilinear3d", "var", "var_mean", "view", "view_as", "vstack", "where", "xlogy",
    "zeros", "zeros_like", "_assert_tensor_metadata", "_log_softmax", "_softmax", "_to_copy", "_unsafe_view",
    "_upsample_bicubic2d_aa", "_upsample_bilinear2d_aa", "_upsample_nearest_exact1d", "_upsample_nearest_exact2d",
))
"""ATen's operations (and, with an underscore after them, their forms in place) that a graph may hold."""
# fmt: on
ARITHMETIC: dict[str, Callable[..., object]] = {
    **{f"_operator.{name}": getattr(operator, name) for name in ("add", "sub", "mul", "floordiv", "mod", "neg")},
    **{f"_operator.{name}": getattr(operator, name) for name in ("truediv", "eq", "ne", "lt", "le", "gt", "ge")},
    **{f"_operator.{name}": getattr(operator, name) for name in ("and_", "or_", "not_", "getitem")},
    **{f"math.{name}": getattr(math, name) for name in ("ceil", "floor", "trunc")},
    **{f"torch.sym_{name}": getattr(torch, f"sym_{name}") for name in ("max", "min", "int", "float", "not", "ite")},
}
"""On sizes, which are Python's numbers."""
MEMORY_FORMATS = {1: torch.contiguous_format, 2: torch.channels_last, 4: torch.preserve_format}
Value = object
"""Of an argument or a result: tensors, numbers, options, and lists of them."""


class _Result(NamedTuple):
    """An argument that a step takes from an earlier one, by name."""

    name: str


class _Step(NamedTuple):
    call: Callable[..., object]
    args: list[Value]
    options: dict[str, Value]
    names: list[str]
    several: bool
    last: list[str]
    """Results that no later step takes."""


class Program(NamedTuple):
    """A graph that can be run.

    ``weights`` are keyed by the names that ``steps`` know them by; ``image`` is the name of the images, ``outputs``
    are the names of the results.
    """

    weights: dict[str, Tensor]
    image: str
    steps: list[_Step]
    outputs: list[str]

    @torch.no_grad()
    def __call__(self, images: Tensor) -> list[Tensor]:
        """The graph's outputs for images (N, C, H, W)."""
        values: dict[str, Value] = {**self.weights, self.image: images}
        for step in self.steps:
            options = {name: _filled(value, values) for name, value in step.options.items()}
            result = step.call(*(_filled(value, values) for value in step.args), **options)
            if isinstance(result, int) and abs(result) > MAX_SIZE:
                raise ValueError(f"a size became {result.bit_length()} bits long")
            found = list(result) if step.several and isinstance(result, list | tuple) else [result]
            values.update(zip(step.names, found, strict=True))
            for name in step.last:
                del values[name]
        return [output for name in self.outputs if isinstance(output := values[name], Tensor)]


def load(path: Path, key: str) -> tuple[Program, str | None]:
    """The program in a ``.pt2`` file, and the text of its extra entry ``key`` (None: it has none).

    Raises WeightsError where the file is damaged, or holds anything but weights and known operations.
    """
    contents = pt2.read(path, key)
    return _program(contents.module, contents.weights, path), contents.extra


def _program(module: Module, tensors: dict[str, Tensor], path: Path) -> Program:
    graph, signature = module.graph, module.signature
    weights: dict[str, Tensor] = {}
    images: list[str] = []
    for spec in signature.input_specs:
        (kind, content), *_ = spec.items()
        arg = content.get("arg")
        if kind == "user_input" and isinstance(arg, dict):
            images.append(_name(arg.get("as_tensor"), path))
        elif kind in ("parameter", "buffer", "tensor_constant"):
            own = content.get(f"{kind}_name")
            if not isinstance(own, str) or own not in tensors:
                raise WeightsError(f"{path}: its graph takes {str(own)[:80]!r}, which it does not hold.")
            weights[_name(arg, path)] = tensors[own]
        else:
            raise WeightsError(f"{path}: its graph takes a {kind[:80]}; expected images and weights.")
    if len(images) != 1 or any("user_output" not in spec for spec in signature.output_specs):
        raise WeightsError(f"{path}: its graph is not one of fullyconv export: one input, images, and labels out.")
    outputs = [_name(output.get("as_tensor"), path) for output in graph.outputs]
    return Program(weights, images[0], _steps(graph, {*weights, *images}, outputs, path), outputs)


def _steps(graph: Graph, known: set[str], outputs: list[str], path: Path) -> list[_Step]:
    steps: list[_Step] = []
    taken: list[set[str]] = []
    for node in graph.nodes:
        call = _operation(node.target, path)
        args: list[Value] = []
        options: dict[str, Value] = {}
        for given in node.inputs:
            value = _argument(given.arg, path)
            if given.kind == 2 and node.target not in ARITHMETIC:
                options[given.name] = value
            else:
                args.append(value)
        used = {result.name for value in (*args, *options.values()) for result in _results(value)}
        names = [name for output in node.outputs for name in _made(output, path)]
        if unknown := sorted(used - known):
            raise WeightsError(f"{path}: {node.target} takes {unknown[0][:80]!r}, which nothing gives.")
        known |= set(names)
        several = len(node.outputs) > 1 or (bool(node.outputs) and "as_tensors" in node.outputs[0])
        steps.append(_Step(call, args, options, names, several, []))
        taken.append(used)
    if missing := sorted(set(outputs) - known):
        raise WeightsError(f"{path}: it gives {missing[0][:80]!r}, which nothing makes.")
    later = set(outputs)
    for step, used in zip(reversed(steps), reversed(taken), strict=True):
        step.last.extend((used | set(step.names)) - later)
        later |= used | set(step.names)
    return [step._replace(names=step.names or [""]) for step in steps]


def _operation(target: str, path: Path) -> Callable[..., object]:
    if target in ARITHMETIC:
        return ARITHMETIC[target]
    prefix, _, rest = target.partition("aten.")
    name, _, overload = rest.partition(".")
    packet = getattr(torch.ops.aten, name, None) if prefix == "torch.ops." and name.isidentifier() else None
    plain = name in OPERATIONS or (name.endswith("_") and name.removesuffix("_") in OPERATIONS)
    if packet is None or not plain or overload not in packet.overloads():
        raise WeightsError(
            f"{path}: {target[:80]!r} is none of the operations that a .pt2 file may hold: those that compute, and do "
            "nothing else. Export the network as .onnx."
        )
    return getattr(packet, overload)


def _argument(argument: dict[str, object], path: Path) -> Value:
    """What a step is given: a value, or where it comes from. Raises WeightsError for anything else."""
    (kind, value), *more = argument.items() or [("nothing", None)]
    match kind, value:
        case _ if more:
            pass
        case "as_none", _:
            return None
        case (("as_int" | "as_float" | "as_bool" | "as_string"), (int() | float() | bool() | str())):
            return value
        case (("as_ints" | "as_floats" | "as_bools"), list()) if all(isinstance(one, int | float) for one in value):
            return value
        case (("as_tensor" | "as_sym_int" | "as_sym_float" | "as_sym_bool"), dict()):
            return _taken(value, path)
        case (("as_tensors" | "as_sym_ints" | "as_sym_floats" | "as_optional_tensors"), list()):
            return [_taken(one, path) for one in value]
        case "as_optional_tensor", dict():
            return _taken(value, path)
        case "as_scalar_type", int() if value in DTYPES:
            return DTYPES[value]
        case "as_memory_format", int() if value in MEMORY_FORMATS:
            return MEMORY_FORMATS[value]
        case "as_layout", int() if value == STRIDED:
            return torch.strided
        case "as_device", dict() if value.get("type") == "cpu":
            return torch.device("cpu")
    raise WeightsError(f"{path}: an operation takes {kind[:40]} {str(value)[:80]!r}, which is no number or tensor.")


def _taken(value: object, path: Path) -> Value:
    match value:
        case {"as_none": _}:
            return None
        case {"as_int": int() as number} | {"as_float": float() as number} | {"as_bool": bool() as number}:
            return number
        case {"as_tensor": dict() as named}:
            return _Result(_name(named, path))
        case {"as_name": str() as name} | {"name": str() as name}:
            return _Result(name)
    raise WeightsError(f"{path}: an operation takes {str(value)[:80]!r}, which is no number or tensor.")


def _made(output: dict[str, object], path: Path) -> Iterable[str]:
    """The names that a step's result, or the parts of it, go by."""
    value = next(iter(output.values()), None)
    for one in value if isinstance(value, list) else [value]:
        yield "" if isinstance(one, dict) and "as_int" in one else _name(one, path)


def _name(value: object, path: Path) -> str:
    match value:
        case {"name": str() as name} | {"as_name": str() as name}:
            return name
    raise WeightsError(f"{path}: its graph names {str(value)[:80]!r}, where a tensor or a size is expected.")


def _results(value: Value) -> Iterable[_Result]:
    if isinstance(value, _Result):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _results(one)


def _filled(value: Value, values: dict[str, Value]) -> Value:
    if isinstance(value, _Result):
        return values[value.name]
    return [_filled(one, values) for one in value] if isinstance(value, list) else value
