"""Networks as files for other runtimes: ONNX, OpenVINO IR and torch.export, from bytes to labels in one graph."""

from fullyconv.exporting.formats import export
from fullyconv.exporting.quantize import export_int8

__all__ = ["export", "export_int8"]
