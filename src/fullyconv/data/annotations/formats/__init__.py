"""The files of annotation tools, one format in each module."""
