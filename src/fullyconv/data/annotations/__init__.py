"""Annotations of many tools, read as shapes and painted into masks.

A reader, such as ``formats.coco``, turns files of a tool into ``annotated.Annotations``: for each image its shapes, in
the order in which they are painted, and the rule for that. ``painter`` paints them; ``drawing`` keeps the masks.
"""
