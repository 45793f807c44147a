"""Files of any size, read and labelled by window; what reads and writes them is imported where there is one."""

SUFFIXES = frozenset((".tif", ".tiff", ".btf", ".tf8", ".svs"))
"""Of the files that may be read by window."""
