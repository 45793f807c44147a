"""Measure how fast a network labels images, on the runtimes that are installed."""

from fullyconv.bench.bench import bench
from fullyconv.bench.report import markdown

__all__ = ["bench", "markdown"]
