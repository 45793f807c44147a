"""Recognize files of other programs by their suffix or first bytes, and say what can be done with each."""

from pathlib import Path

_BEGINNINGS = (
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes them"),
    (4, b"TFL3", "a TensorFlow Lite model"),
    (0, b"PK\x03\x04", "a zip archive, as torch.save writes them"),
    (0, b"\x80\x02", "a pickle, as torch.save wrote them before torch 1.6"),
)
_SUFFIXES = {
    ".onnx": "an ONNX model",
    ".pb": "a TensorFlow graph",
    ".tflite": "a TensorFlow Lite model",
    ".mlmodel": "a Core ML model",
    ".h5": "a Keras file",
    ".keras": "a Keras file",
    ".caffemodel": "a Caffe model",
    ".pth": "a file of torch.save",
    ".pt": "a file of torch.save",
    ".ckpt": "a training checkpoint",
}
CONVERTIBLE = (".caffemodel", ".pth", ".pt", ".h5")


def kind(path: Path) -> str | None:
    """Describe a file of another program; None if neither its suffix nor its first bytes are known."""
    if path.suffix.lower() in _SUFFIXES:
        return _SUFFIXES[path.suffix.lower()]
    with path.open("rb") as file:
        head = file.read(16)
    return next((name for at, mark, name in _BEGINNINGS if head[at:].startswith(mark)), None)


def remedy(path: Path) -> str:
    """Return what to do with a file of another program where a network of fullyconv is expected."""
    if path.suffix.lower() == ".ckpt":
        return "Give the run folder that it is in."
    if path.suffix.lower() in CONVERTIBLE:
        return f"Convert it: fullyconv convert {path} --model NAME --out RUN."
    return "Expected a run folder, a .safetensors file of fullyconv, or a file of fullyconv export."
