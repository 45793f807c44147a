"""Measure a network: latency, throughput, memory and operations, beside the machine's matrix-product rates."""

import os
import platform
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from fullyconv import __version__, geometry
from fullyconv.bench.process import in_own_process
from fullyconv.bench.runtimes import FILES, device_of, is_exported, missing, network, runtimes_of
from fullyconv.data.parallel import Progress
from fullyconv.errors import ConfigError
from fullyconv.exporting.graph import input_dtype
from fullyconv.inference.exported import open_runner
from fullyconv.model.border import has_border, without_border
from fullyconv.model.fcn import FCN

SIZE = (500, 500)
SIDE = {"cpu": 3072, "cuda": 8192}
"""Rows and columns of the matrices whose product is timed."""


def bench(
    model: str,
    sizes: Sequence[tuple[int, int]] = (SIZE,),
    runtimes: Sequence[str] | None = None,
    batch: int = 1,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure ``model``, anything that can be opened for prediction or a network's name, from bytes to labels.

    - ``sizes``: heights and widths of the images, in pixels.
    - ``runtimes``: by default all that are installed.
    - ``batch``: images at once.
    - ``progress``: called with the measurements done and their total.

    Returns, as JSON-able values, the machine with the matrix-product rate of each device used; for each size the
    operations, layer by layer; and for each runtime:

    - ``median`` and ``p90``: latency in seconds.
    - ``images_per_second``.
    - ``peak_memory``: bytes that the network and running it take, beyond Python and torch.
    - ``operations``, and the ``fraction`` of the rate of its ``device`` at which they ran.
    - ``error``: a message in place of all these, where the runtime failed.

    Every measurement runs in a process of its own, after one run that does not count.
    Raises ConfigError for a runtime that is unknown or not installed, and where none could be measured.
    """
    net = None if is_exported(model) else network(model)
    about: Any = open_runner(model) if net is None else net
    name = about.description.name if net is None else net.name
    dtype = about.dtype if net is None else input_dtype(about)
    channels = about.in_channels
    chosen, left_out = _choose(runtimes_of(model, net), runtimes, exported=net is None)
    del about
    if net is not None:
        net = net.to("meta")  # here only its operations are counted; it runs in other processes
    job = {"model": model, "batch": batch, "channels": channels, "dtype": str(dtype).removeprefix("torch.")}
    machine = _machine(chosen)
    steps, done = len(chosen) * len(sizes), 0
    results = []
    with tempfile.TemporaryDirectory() as folder:
        files = {} if net is None else _export(model, chosen, Path(folder))
        for size in sizes:
            counted = operations(net, size, channels) if net is not None else {}
            rows = []
            for runtime in chosen:
                file = files.get(runtime, {})
                device = device_of(runtime)
                one = {**job, "job": "measure", "runtime": runtime, "device": device, "size": size, **file}
                row = file if "error" in file else in_own_process(one)
                count = counted.get("without_border" if runtime.endswith("borderless") else "operations")
                rows.append(
                    {"runtime": runtime, "device": device, **_rated(row, count, batch, machine["matrix_rates"][device])}
                )
                done += 1
                if progress:
                    progress(done, steps)
            results.append({"size": list(size), **counted, "runtimes": rows})
    if not steps:
        raise ConfigError(f"{model} could not be measured: {'; '.join(left_out.values())}")
    errors = [row["error"] for result in results for row in result["runtimes"] if "error" in row]
    if len(errors) == steps:
        raise ConfigError(f"{model} could not be measured: {errors[0]}")
    return {
        "model": Path(model).name,
        "network": name,
        "batch": batch,
        "machine": machine,
        "results": results,
        "not_measured": left_out,
    }


def _choose(possible: list[str], asked: Sequence[str] | None, exported: bool) -> tuple[list[str], dict[str, str]]:
    """Return the runtimes to measure, and the reasons why others are not."""
    if asked is None:
        absent = {name: reason for name in possible if (reason := missing(name, exported))}
        return [name for name in possible if name not in absent], absent
    for name in asked:
        if name not in possible:
            raise ConfigError(f"--runtime {name}: expected one of {', '.join(possible)}.")
        if reason := missing(name, exported):
            raise ConfigError(f"--runtime {name}: {reason}.")
    return list(dict.fromkeys(asked)), {}


def _machine(runtimes: Sequence[str]) -> dict[str, Any]:
    packages = ["torch", *(name for name in ("onnxruntime", "openvino") if any(r.startswith(name) for r in runtimes))]
    rates = {}
    for device in sorted({device_of(runtime) for runtime in runtimes}):
        measured = in_own_process({"job": "matrix_rate", "device": device, "side": SIDE[device]})
        if "error" in measured:
            raise ConfigError(f"The machine's matrix-product rate could not be measured: {measured['error']}")
        rates[device] = measured["rate"]
    return {
        "processors": {name: torch.cuda.get_device_name() if name == "cuda" else platform.machine() for name in rates},
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "matrix_rates": rates,
        "versions": {"fullyconv": __version__, **{package: metadata.version(package) for package in packages}},
    }


def _export(model: str, runtimes: Sequence[str], folder: Path) -> dict[str, dict[str, Any]]:
    """Export the network for each runtime that runs a file; return the ``file`` or the ``error`` of each."""
    files: dict[str, dict[str, Any]] = {}
    for runtime in runtimes:
        if runtime in FILES:
            file = folder / runtime / f"model{FILES[runtime]}"
            file.parent.mkdir()
            files[runtime] = in_own_process({"job": "export", "model": model, "file": str(file)}) or {"file": str(file)}
    return files


def operations(net: FCN, size: tuple[int, int], channels: int) -> dict[str, Any]:
    """Count the operations for one image: in all, layer by layer, and without the border.

    A multiplication and an addition count as two.
    """
    traced = geometry.trace(net, size, channels)
    layers = [
        {"name": layer.name, "op": layer.op, "size": list(layer.size), "operations": layer.operations}
        for layer in traced.layers
        if layer.operations
    ]
    counted = {"operations": traced.operations, "layers": layers}
    if has_border(net):
        lean = without_border(net)
        with FakeTensorMode(allow_non_fake_inputs=True):  # computes shapes only
            image = torch.empty(1, channels, *size, device=net.mean.device)
            lean.scores(image)  # computes the border's maps once, which then are kept
            with FlopCounterMode(display=False) as counter:
                lean.scores(image)
        counted["without_border"] = counter.get_total_flops()
    return counted


def _rated(row: dict[str, Any], operations: int | None, batch: int, rate: float) -> dict[str, Any]:
    """Return ``row`` with the throughput, the batch's operations, and the fraction of ``rate`` at which they ran."""
    if "error" in row:
        return row
    whole = operations and operations * batch
    return {
        **row,
        "images_per_second": batch / row["median"],
        "operations": whole,
        "fraction": whole and whole / row["median"] / rate,
    }
