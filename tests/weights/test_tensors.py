"""A state dict is read as it was saved; whatever else a file holds is refused, and never run."""

import io
import zipfile

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from fullyconv.errors import WeightsError
from fullyconv.weights.tensors import is_safetensors, is_torch, read_tensors

STATE = {"conv.weight": torch.arange(24.0).view(2, 3, 2, 2), "conv.bias": torch.tensor([1.0, -1.0])}


def saved(content, **options) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


FORMS = {
    "zip": saved(STATE),
    "pickle": saved(STATE, _use_new_zipfile_serialization=False),
    "checkpoint": saved({"epoch": 3, "model_state_dict": STATE}),
    "safetensors": safetensors.torch.save(STATE),
}


@pytest.mark.parametrize("form", list(FORMS))
def test_what_was_saved_is_read_whatever_the_file_is_called(form, tmp_path):
    path = tmp_path / "weights.caffemodel"
    path.write_bytes(FORMS[form])
    tensors = read_tensors(path)
    assert list(tensors) == list(STATE) or form == "safetensors"
    assert all(torch.equal(tensors[name], STATE[name]) for name in STATE)
    assert is_torch(path) != is_safetensors(path)


def compressed() -> bytes:
    """Of a thousandth of its size."""
    file = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(saved({"x": torch.zeros(10**6)}))) as stored,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for entry in stored.infolist():
            archive.writestr(entry.filename, stored.read(entry))
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (saved([torch.zeros(2)]), "holds a list; expected a state dict"),
        (saved({"conv.weight": [1, 2]}), "'conv.weight' is a list; expected names and tensors"),
        (saved({3: torch.zeros(2)}), "'3' is a Tensor; expected names and tensors"),
        (saved({"x": torch.zeros(1).expand(10**12)}), "not a plain tensor of numbers"),
        (saved({"x": torch.zeros(2, 2).to_sparse()}), "not a plain tensor of numbers"),
        (saved({"x": torch.zeros(2, dtype=torch.complex64)}), "not a plain tensor of numbers"),
        (saved({"x": torch.zeros(2, device="meta")}), "not a plain tensor of numbers"),
        (saved({"x": io.BytesIO}), "never executed"),
        (compressed(), "compressed"),
        (FORMS["zip"][:-30], "damaged"),
        (FORMS["safetensors"][:-30], "no file of safetensors or torch.save, or is damaged"),
        (b"", "no file of safetensors or torch.save, or is damaged"),
    ],
)
def test_anything_else_is_refused(content, message, tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        read_tensors(path)


@given(data=st.data())
def test_a_damaged_file_is_read_or_refused(tmp_path_factory, data):
    content = bytearray(FORMS[data.draw(st.sampled_from(list(FORMS)))])
    content = content[: data.draw(st.integers(0, len(content)))]
    for _ in range(data.draw(st.integers(0, 4)) if content else 0):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "weights.pth"
    path.write_bytes(content)
    try:
        found = isinstance(read_tensors(path), dict)
    except WeightsError as error:
        found = str(path) in str(error)
    assert found
