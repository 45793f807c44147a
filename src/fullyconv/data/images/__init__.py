"""Image files, whatever their kind: which there are, what they hold, and how that becomes what a network takes.

Training, ``data check``, evaluation and prediction read through ``read.read_pixels`` or, window by window, through the
``Source`` that it opens, so that none of them can see other pixels than the others.
"""
