"""Run each measurement in a process of its own, so that runtimes share neither memory nor threads.

``python -m fullyconv.bench.process`` reads a job as JSON from standard input; the last line that it prints is the
result, or ``{"error": message}``.
"""

import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from fullyconv.errors import FullyConvError

LEAST, MOST, SECONDS = 5, 100, 3.0
"""Fewest and most runs of a measurement, and the seconds after which it needs no more than the fewest."""


def in_own_process(job: dict[str, Any]) -> dict[str, Any]:
    """Run ``job`` and return its result; where it failed, a message under ``error``."""
    command = [sys.executable, "-m", "fullyconv.bench.process"]
    env = os.environ | {"TORCHINDUCTOR_COMPILE_THREADS": "1"}  # else its workers outlive the measurement
    done = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, env=env)
    lines = done.stdout.strip().splitlines()
    if done.returncode == 0 and lines:
        return json.loads(lines[-1])
    reason = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
    return {"error": "killed, perhaps because memory ran out" if done.returncode < 0 else reason}


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Measure latency, in seconds, and memory, in bytes, of ``runtime`` on a batch of noise of ``size``."""
    from fullyconv.bench.runtimes import prepare

    device = job["device"]
    shape = (job["batch"], job["channels"], *job["size"])
    images = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0)).to(device, torch.uint8)
    images = images.to(getattr(torch, job["dtype"]))
    before = _memory(device)
    labels = prepare(job["runtime"], job["model"], job.get("file"), images)
    labels(images)
    _forget_peak(device)
    seconds = timed(lambda: labels(images), device)
    return {
        "median": statistics.median(seconds),
        "p90": statistics.quantiles(seconds, n=10, method="inclusive")[-1],
        "runs": len(seconds),
        "peak_memory": _memory(device, peak=True) - before,
    }


def matrix_rate(job: dict[str, Any]) -> dict[str, Any]:
    """Measure the operations per second of the fastest product of square matrices in 32-bit floats."""
    side = job["side"]
    a, b = (torch.randn(side, side, device=job["device"]) for _ in range(2))
    a @ b
    return {"rate": 2 * side**3 / min(timed(lambda: a @ b, job["device"]))}


def export(job: dict[str, Any]) -> dict[str, Any]:
    """Write the network as a file for another runtime, without verifying it as ``fullyconv export`` does."""
    from fullyconv.bench.runtimes import network
    from fullyconv.exporting.formats import description, write

    net = network(job["model"])
    write(net, Path(job["file"]), description(net, False, ""))
    return {}


JOBS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "measure": measure,
    "matrix_rate": matrix_rate,
    "export": export,
}


def timed(run: Callable[[], object], device: str) -> list[float]:
    """Run until ``LEAST``, ``MOST`` or ``SECONDS`` say enough, and return the seconds of each run."""
    taken: list[float] = []
    while len(taken) < LEAST or (sum(taken) < SECONDS and len(taken) < MOST):
        start = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
    return taken


def _memory(device: str, peak: bool = False) -> int:
    """Return the bytes that the process, or torch on the GPU, holds now, or held at its peak."""
    gc.collect()
    if device == "cuda":
        return torch.cuda.max_memory_allocated() if peak else torch.cuda.memory_allocated()
    status = Path("/proc/self/status")
    if status.exists():
        name = "VmHWM:" if peak else "VmRSS:"
        return int(status.read_text().split(name)[1].split()[0]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _forget_peak(device: str) -> None:
    """Reset the peak, so that memory of the preparation does not count; elsewhere than on Linux it does."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    elif Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")


def main() -> None:
    job = json.load(sys.stdin)
    try:
        print(json.dumps(JOBS[job["job"]](job)))
    except FullyConvError as error:
        print(json.dumps({"error": str(error)}))


if __name__ == "__main__":
    main()
