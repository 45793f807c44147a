"""Draw the figures of docs/how-fcn-works.md, every one with the library's own functions.

python docs/figures/draw.py [--out docs/images] [NAMES ...]
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import alignment
import convolutions
import dense
import learning
from looks import picture
from matplotlib.figure import Figure

FIGURES: dict[str, Callable[[], Figure]] = {
    "arithmetic": convolutions.arithmetic,
    "interpolation": convolutions.interpolation,
    "checkerboard": convolutions.checkerboard,
    "lattices": alignment.lattices,
    "sliding": dense.sliding,
    "heatmaps": dense.heatmaps,
    "fields": dense.fields,
    "rarefaction": dense.rarefaction,
    "crops": alignment.crops,
    "bounds": alignment.bounds,
    "momentum": learning.momentum,
    "metrics": learning.four_metrics,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAMES", help=f"of {', '.join(FIGURES)}; default: all")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "images")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.names or FIGURES:
        path = options.out / f"how-{name}.png"
        picture(FIGURES[name]).save(path, optimize=True)
        print(f"{path}: {path.stat().st_size // 1024} KB")


if __name__ == "__main__":
    main()
