"""What ATen operations that may mix all cells do to rows and columns: global pooling, norms, attention."""

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from fullyconv.geometry.call import Call, Rule
from fullyconv.geometry.signal import Signal


def reduced(call: Call, x: Tensor, signal: Signal, dims: Sequence[int], keep: bool, kind: str) -> Signal:
    gone = [d % x.dim() for d in dims]
    hit = [d for d in signal.dims if d in gone]
    places = [d if keep else None if d in gone else d - sum(g < d for g in gone) for d in range(x.dim())]
    if not hit:
        return signal.moved(places)
    both = not isinstance(signal.where, tuple)
    result = signal.pooled(both or signal.dims[0] in hit, both or signal.dims[1] in hit)
    if not signal.pools:
        entry = call.note(kind)
        result = replace(result, pools=frozenset([entry]) if both or len(hit) == 2 else frozenset())
        call.show(kind, result)
    return result.at(None) if both else result.moved(places)


def reduction(call: Call) -> Signal:
    x, signal = call.only()
    dims = call.args.get("dim")
    dims = [dims] if isinstance(dims, int) else list(dims or range(x.dim()))
    kind = "global pooling"
    if "norm" in call.op:  # a norm of tokens is what the cross-covariance attention of XCiT begins with
        kind = "global response norm" if isinstance(signal.where, tuple) else "attention"
    return reduced(call, x, signal, dims, call.args.get("keepdim", False), kind)


def normalization(call: Call) -> Signal:
    """Batch norm with fixed statistics and layer norm over channels leave cells apart; other norms do not."""
    x, signal = call.only()
    if "batch_norm" in call.op:
        mixes = bool(call.args.get("training", call.args.get("train", "no_training" not in call.op)))
        kind = "instance norm"
    elif "layer_norm" in call.op or "rms_norm" in call.op:
        mixes = any(d >= x.dim() - len(call.args["normalized_shape"]) for d in signal.dims)
        kind = "layer norm over cells"
    else:
        mixes, kind = True, "group norm"
    return call.mixed(signal, kind, signal.where) if mixes and not signal.pools else signal


def softmax(call: Call) -> Signal:
    x, signal = call.only()
    over_cells = call.args["dim"] % x.dim() in signal.dims
    scrambled = signal.where is None and not signal.pools
    return call.mixed(signal, "attention", signal.where) if over_cells or scrambled else signal


def attention(call: Call) -> Signal:
    _, signal = call.only()
    return call.mixed(signal, "attention", signal.where)


def product(call: Call) -> Signal:
    """A matrix product: a linear layer on each cell, one over all cells, or (of two maps) attention."""
    inputs = call.inputs()
    if len(inputs) > 1 and not all(signal.pools for _, signal in inputs):
        return call.mixed(inputs[0][1], "attention")
    x, signal = inputs[0]
    left = x is call.args.get("mat1", call.args.get("batch1", call.args.get("self")))
    summed = x.dim() - (1 if left else 2)
    if summed in signal.dims:
        return call.mixed(signal, "token mixing")
    if signal.where is None and not signal.whole and x.dim() == 2 and x.shape[0] == 1:
        return call.mixed(signal, "fully connected")
    return signal


RULES: dict[str, Rule] = {
    **dict.fromkeys(("mean", "sum", "amax", "amin", "max", "min", "argmax", "argmin", "logsumexp"), reduction),
    **dict.fromkeys(("var", "std", "var_mean", "std_mean", "linalg_vector_norm", "norm"), reduction),
    **dict.fromkeys(("native_batch_norm", "cudnn_batch_norm", "_native_batch_norm_legit"), normalization),
    **dict.fromkeys(("_native_batch_norm_legit_no_training", "native_group_norm"), normalization),
    **dict.fromkeys(("native_layer_norm", "_fused_rms_norm"), normalization),
    **dict.fromkeys(("_softmax", "_log_softmax", "_safe_softmax"), softmax),
    **dict.fromkeys(("mm", "addmm", "bmm", "baddbmm"), product),
}
