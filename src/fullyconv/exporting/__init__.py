"""Export networks to other runtimes, as ONNX, OpenVINO IR and torch.export: one graph from bytes to labels."""

from fullyconv.exporting.formats import export
from fullyconv.exporting.quantize import export_int8

__all__ = ["export", "export_int8"]
