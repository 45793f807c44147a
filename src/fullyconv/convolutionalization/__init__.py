"""A classifier becomes a dense classifier (section 3.1 of the paper)."""

from fullyconv.convolutionalization.convolutionalize import convolutionalize

__all__ = ["convolutionalize"]
