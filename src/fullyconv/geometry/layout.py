"""What ATen operations that move, take or join cells do to rows and columns: slices, views, sums."""

from dataclasses import replace
from itertools import accumulate

from torch import Tensor

from fullyconv.geometry import steps
from fullyconv.geometry.call import Call, Rule
from fullyconv.geometry.signal import Signal, meet


def _sliced(call: Call, x: Tensor, signal: Signal, dim: int, start: int, size: int, step: int = 1) -> Signal:
    """Cells ``start``, ``start + step``, ... of dimension ``dim``, ``size`` of them."""
    if dim not in signal.dims or size == x.shape[dim]:
        return signal
    if not isinstance(signal.where, tuple):
        return signal.at(None)
    cut = steps.slicing(start, size, step)
    if dim == signal.where[0]:
        result = replace(signal, rows=signal.rows.through(cut))
    else:
        result = replace(signal, cols=signal.cols.through(cut))
    call.show("crop" if step == 1 else "subsampling", result)
    return result


def slicing(call: Call) -> Signal:
    x, signal = call.only()
    dim = call.args["dim"] % x.dim()
    n = x.shape[dim]
    start, _, step = slice(call.args["start"], call.args["end"], call.args["step"]).indices(n)
    return _sliced(call, x, signal, dim, start, call.out.shape[dim], step)


def splitting(call: Call) -> list[Signal]:
    x, signal = call.only()
    dim = call.args["dim"] % x.dim()
    sizes = [out.shape[dim] for out in call.outputs]
    starts = accumulate(sizes, initial=0)
    return [_sliced(call, x, signal, dim, start, size) for start, size in zip(starts, sizes, strict=False)]


def selecting(call: Call) -> Signal:
    x, signal = call.only()
    dim = call.args["dim"] % x.dim()
    return signal.moved([None if d == dim else d - (d > dim) for d in range(x.dim())])


def permuting(call: Call) -> Signal:
    x, signal = call.only()
    order = list(range(x.dim()))
    if call.op == "permute":
        order = [d % x.dim() for d in call.args["dims"]]
    else:
        first, second = (call.args["dim0"], call.args["dim1"]) if call.op == "transpose" else (0, x.dim() - 1)
        first, second = first % x.dim(), second % x.dim()
        order[first], order[second] = second, first
    return call.recognized(signal.moved([order.index(d) for d in range(x.dim())]), call.out.shape)


def reshaping(call: Call) -> Signal:
    x, signal = call.only()
    return call.recognized(signal.reshaped(x.shape, call.out.shape), call.out.shape)


def expanding(call: Call) -> Signal:
    return _expanded(call, *call.only())


def copying(call: Call) -> Signal:
    x = call.args["src"]
    signal = call.signal(x)
    return call.only()[1] if signal is None else _expanded(call, x, signal)


def _expanded(call: Call, x: Tensor, signal: Signal) -> Signal:
    shift = call.out.dim() - x.dim()
    kept = all(x.shape[d] == call.out.shape[d + shift] for d in signal.dims)
    return signal.moved([d + shift for d in range(x.dim())]) if kept else signal.at(None)


def joining(call: Call) -> Signal:
    """Sums, products, concatenations, and all else that works cell by cell on any number of tensors."""
    out = call.out
    new = call.args["dim"] % out.dim() if call.op in ("cat", "stack") else None
    parts = []
    for x, signal in call.inputs():
        shift = out.dim() - x.dim()
        places = [d + shift if new is None or d >= new else d for d in range(x.dim())]
        parts.append(signal.moved(places))
    if call.op == "cat" and (longer := [part for part in parts if new in part.dims]):
        return longer[0].at(None)  # a class token before the tokens, say
    maps = [part for part in parts if not part.pools]
    pools = frozenset[int]() if maps else frozenset[int]().union(*(part.pools for part in parts))
    placed = [part for part in maps or parts if part.where is not None]
    if not placed or any(part.where != placed[0].where for part in placed):
        first = max(maps or parts, key=lambda part: part.whole)
        return Signal(first.rows, first.cols, None, pools)
    others = [part for part in parts if part not in placed]
    if any(not other.whole for other in others):
        call.note("rearrangement")
    if call.op == "mul":
        call.gate(frozenset[int]().union(*(other.pools for other in others)))
    result = replace(meet(placed, others), pools=pools)
    if any(part.rows is not result.rows or part.cols is not result.cols for part in parts):
        call.show({"mul": "multiply", "cat": "concatenate"}.get(call.op, call.op), result)
    return result


def unchanged(call: Call) -> Signal:
    return call.only()[1]


def scrambling(call: Call) -> Signal:
    return call.only()[1].at(None)


RULES: dict[str, Rule] = {
    "slice": slicing,
    **dict.fromkeys(("split", "split_with_sizes"), splitting),
    **dict.fromkeys(("select", "unbind"), selecting),
    **dict.fromkeys(("permute", "transpose", "t"), permuting),
    **dict.fromkeys(("view", "_unsafe_view", "squeeze", "unsqueeze"), reshaping),
    "expand": expanding,
    "copy": copying,
    **dict.fromkeys(("cat", "stack"), joining),
    **dict.fromkeys(("clone", "alias", "detach", "_to_copy", "hardswish", "hardtanh"), unchanged),
    **dict.fromkeys(("channel_shuffle", "native_channel_shuffle"), unchanged),
    **dict.fromkeys(("roll", "flip", "index", "repeat", "unfold", "im2col", "col2im"), scrambling),
}
