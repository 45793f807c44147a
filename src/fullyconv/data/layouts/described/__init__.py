"""The layout of data sets that a ``dataset.yaml`` describes."""
