"""What ATen operations on neighbouring cells do to rows and columns: convolution, pooling, padding, ..."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Literal

from torch import Tensor

from fullyconv.errors import GeometryError
from fullyconv.geometry import steps
from fullyconv.geometry.axis import Step
from fullyconv.geometry.call import Call, Rule
from fullyconv.geometry.mixing import reduced
from fullyconv.geometry.signal import Signal


def along(call: Call, x: Tensor, signal: Signal, spatial: int, step: Callable[[int, int], Step], label: str) -> Signal:
    """Pass rows and columns through ``step(k, n)``, of an operation on the last ``spatial`` dimensions.

    ``k`` counts these from 0; ``n`` is the size of the k-th. Dimensions before them are left alone.
    """
    if spatial == 2 and not signal.pools:
        signal = call.recognized(signal, x.shape, surely=True)
    if not isinstance(signal.where, tuple):
        return signal if all(d < x.dim() - spatial for d in signal.dims) else signal.at(None)
    axes = []
    for dim, axis in zip(signal.where, (signal.rows, signal.cols), strict=True):
        k = dim - (x.dim() - spatial)
        axes.append(axis if k < 0 else axis.through(step(k, x.shape[dim])))
        if axes[-1].size != call.out.shape[dim]:
            raise GeometryError(f"gives {call.out.shape[dim]} cells where {axes[-1].size} were expected")
    result = replace(signal, rows=axes[0], cols=axes[1])
    call.show(label, result)
    return result


def _at(values: Sequence[int] | int, k: int) -> int:
    return values if isinstance(values, int) else values[k] if len(values) > 1 else values[0]


def convolution(call: Call) -> Signal:
    a = call.args
    x, signal = call.only()
    spatial = a["weight"].dim() - 2
    if any(dim < x.dim() - spatial for dim in signal.dims):  # its channels are cells: it mixes all of them
        return call.mixed(signal, "token mixing")

    def step(k: int, n: int) -> Step:
        kernel, stride = a["weight"].shape[2 + k], _at(a["stride"], k)
        padding, dilation = _at(a["padding"], k), _at(a["dilation"], k)
        if a["transposed"]:
            extra = _at(a["output_padding"], k)
            return steps.transposed_convolution(kernel, stride, padding, extra, dilation)
        return steps.convolution(kernel, stride, padding, dilation)

    return along(call, x, signal, spatial, step, "transposed convolution" if a["transposed"] else "convolution")


def pooling(call: Call) -> Signal:
    a = call.args
    x, signal = call.only()

    def step(k: int, n: int) -> Step:
        stride = _at(a["stride"] or a["kernel_size"], k)
        dilation = _at(a.get("dilation", 1), k)
        return steps.pooling(_at(a["kernel_size"], k), stride, _at(a["padding"], k), dilation, a["ceil_mode"])

    label = "max pooling" if "max" in call.op else "average pooling"
    if call.op == "avg_pool3d" and a["kernel_size"][1:] == [1, 1]:
        label = "local response normalization"  # torch's is an average over neighbouring channels
    return along(call, x, signal, int(call.op.split("pool")[1][0]), step, label)


def adaptive_pooling(call: Call) -> Signal:
    x, signal = call.only()
    size = call.args["output_size"]
    if signal.dims and set(size) == {1}:
        return reduced(call, x, signal, signal.dims, True, "global pooling")
    return along(call, x, signal, len(size), lambda k, n: steps.adaptive_pooling(n, size[k]), "adaptive pooling")


def interpolation(call: Call) -> Signal:
    a = call.args
    x, signal = call.only()
    size = call.out.shape[2:]
    scales = a.get("scale_factors") or [a[name] for name in ("scales_d", "scales_h", "scales_w", "scales") if name in a]

    def step(k: int, n: int) -> Step:
        scale = scales[k] if scales else None
        factor = Fraction(scale).limit_denominator(1 << 16) if scale else None
        if "nearest" in call.op:
            return steps.nearest(n, size[k], "exact" in call.op, factor)
        return steps.interpolation(n, size[k], a["align_corners"], "cubic" in call.op, factor)

    return along(call, x, signal, len(size), step, "interpolation")


PADDING: dict[str, Literal["constant", "reflect", "replicate"]] = {
    "constant_pad_nd": "constant",
    "reflection_pad2d": "reflect",
    "replication_pad2d": "replicate",
}


def padding(call: Call) -> Signal:
    x, signal = call.only()
    pad = call.args["pad" if call.op == "constant_pad_nd" else "padding"]
    spatial = len(pad) // 2
    mode = PADDING[call.op]
    signal = call.recognized(signal, x.shape)
    if not any(any(pad[2 * (x.dim() - 1 - dim) :][:2]) for dim in signal.dims):
        return signal  # channels are padded, not rows or columns

    def step(k: int, n: int) -> Step:
        before, after = pad[2 * (spatial - 1 - k) :][:2]
        return steps.padding(before, after, mode)

    return along(call, x, signal, spatial, step, "padding")


def pixel_shuffle(call: Call) -> Signal:
    x, signal = call.only()
    factor = call.args["upscale_factor"]
    return along(call, x, signal, 2, lambda k, n: steps.nearest(n, n * factor), "pixel shuffle")


def pixel_unshuffle(call: Call) -> Signal:
    x, signal = call.only()
    return along(call, x, signal, 2, lambda k, n: steps.pooling(call.args["downscale_factor"]), "pixel unshuffle")


RULES: dict[str, Rule] = {
    "convolution": convolution,
    **dict.fromkeys((f"max_pool{d}d_with_indices" for d in (1, 2, 3)), pooling),
    **dict.fromkeys((f"avg_pool{d}d" for d in (1, 2, 3)), pooling),
    **dict.fromkeys((f"_adaptive_avg_pool{d}d" for d in (2, 3)), adaptive_pooling),
    **dict.fromkeys((f"adaptive_max_pool{d}d" for d in (2, 3)), adaptive_pooling),
    **dict.fromkeys(("upsample_nearest2d", "_upsample_nearest_exact2d"), interpolation),
    **dict.fromkeys(("upsample_bilinear2d", "upsample_bicubic2d"), interpolation),
    **dict.fromkeys(PADDING, padding),
    "pixel_shuffle": pixel_shuffle,
    "pixel_unshuffle": pixel_unshuffle,
}
