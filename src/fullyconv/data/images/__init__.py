"""Read image files of any format as the input of a network.

Training, ``data check``, evaluation and prediction all read images through ``read.read_pixels``, or window by window
through the ``Source`` that it opens, so that all of them see the same pixels.
"""
