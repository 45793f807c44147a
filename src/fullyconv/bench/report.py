"""Format a measurement as Markdown."""

from collections.abc import Sequence
from typing import Any

COLUMNS = ("runtime", "on", "median, ms", "p90, ms", "images/s", "peak memory, MiB", "GFLOP", "of the matrix rate")
COSTLIEST = 5
"""The number of costliest layers that are named."""


def markdown(measured: dict[str, Any]) -> str:
    """Format what ``bench`` returns as text and tables."""
    machine = measured["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    rates = []
    for device, name in machine["processors"].items():
        threads = f", {machine['threads']} threads" if device == "cpu" else ""
        rates.append(
            f"{device}: {name}{threads}, large matrices at {machine['matrix_rates'][device] / 1e9:.0f} GFLOP/s"
        )
    load = "" if machine["load"] is None else f" Load before: {machine['load']:.1f}."
    lines = [
        f"# {measured['model']}: from bytes to labels",
        "",
        f"{measured['network']}, batch {measured['batch']}, 32-bit floats. {'; '.join(rates)}. {versions}.{load}",
    ]
    for result in measured["results"]:
        height, width = result["size"]
        lines += ["", f"## {height} × {width} pixels", ""]
        if "operations" in result:
            lines += [_operations(result), ""]
        lines += [
            _line(COLUMNS),
            _line(["---"] * 2 + ["---:"] * (len(COLUMNS) - 2)),
            *map(_row, result["runtimes"]),
        ]
    if measured["not_measured"]:
        lines += ["", *(f"- {name} was not measured: {why}." for name, why in measured["not_measured"].items())]
    return "\n".join(lines) + "\n"


def _operations(result: dict[str, Any]) -> str:
    costliest = sorted(result["layers"], key=lambda layer: -layer["operations"])[:COSTLIEST]
    total = result["operations"]
    names = ", ".join(
        f"{layer['name'].removeprefix('backbone.body.')} {layer['operations'] / total:.0%}" for layer in costliest
    )
    text = f"{total / 1e9:.1f} GFLOP an image (a multiplication and an addition are two); most in {names}."
    if "without_border" in result:
        lean = result["without_border"]
        text += f" Without the work on the border {lean / 1e9:.1f}, {lean / total:.3f} of it."
    return text


def _row(row: dict[str, Any]) -> str:
    if "error" in row:
        cells = [row["runtime"], "", f"failed: {row['error']}".replace("|", "\\|"), *[""] * (len(COLUMNS) - 3)]
    else:
        cells = [
            row["runtime"],
            row["device"],
            f"{row['median'] * 1e3:.1f}",
            f"{row['p90'] * 1e3:.1f}",
            f"{row['images_per_second']:.2f}",
            f"{row['peak_memory'] / 2**20:.0f}",
            "" if row["operations"] is None else f"{row['operations'] / 1e9:.1f}",
            "" if row["fraction"] is None else f"{row['fraction']:.0%}",
        ]
    return _line(cells)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
