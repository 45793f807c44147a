"""A network on disk is the network in memory; anything else is refused, by name."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

import fullyconv as fc
from fullyconv.errors import WeightsError
from fullyconv.model import fcn
from fullyconv.model.fcn import build
from fullyconv.weights import run_folder
from fullyconv.weights.convert import convert


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return build("fcn8s-test_resnet", ["sky", "road"], [(1, 2, 3), (4, 5, 6)], width=8, upsample="transposed").eval()


@pytest.fixture
def saved(net, tmp_path):
    run_folder.save(net, tmp_path)
    return tmp_path


@pytest.mark.parametrize("source", [".", "model.safetensors"])
def test_what_was_saved_is_loaded(net, saved, source):
    twin = fc.load(saved / source)
    images = torch.randint(0, 256, (1, 3, 45, 37), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(twin(images), net(images))
    assert (twin.classes, twin.palette, twin.training) == (net.classes, net.palette, False)


def details(net):
    named = (*net.named_parameters(), *net.named_buffers())
    return {name: (t.stride(), t.dtype, t.requires_grad, t.is_meta, t.detach().numpy().tobytes()) for name, t in named}


@pytest.mark.parametrize(("upsample", "further"), [("bilinear", False), ("transposed", False), ("bilinear", True)])
def test_a_network_is_laid_out_once_and_is_as_one_that_was_built(tmp_path, monkeypatch, upsample, further):
    """Twice where a backbone computes buffers that no file holds: such have values only where there is memory."""
    built, from_spec = [], fcn.from_spec

    def counted(spec, pretrained=False):
        built.append(spec)
        net = from_spec(spec, pretrained)
        if further:
            net.register_buffer("places", torch.arange(3.0), persistent=False)
        return net

    monkeypatch.setattr(fcn, "from_spec", counted)
    net = fcn.build("fcn8s-test_resnet", ["sky", "road"], upsample=upsample).half().float()
    run_folder.save(net, tmp_path)
    built.clear()
    assert details(run_folder.load(tmp_path)) == details(net)
    assert len(built) == 1 + further


def test_the_weights_file_stands_alone(saved, tmp_path_factory):
    alone = tmp_path_factory.mktemp("alone") / "weights.safetensors"
    alone.write_bytes((saved / "model.safetensors").read_bytes())
    assert fc.load(alone).classes == ["sky", "road"]


def test_the_architecture_is_readable(saved):
    spec = json.loads((saved / "model.json").read_text())
    assert (spec["name"], spec["classes"], spec["palette"]) == (
        "fcn8s-test_resnet",
        ["sky", "road"],
        [[1, 2, 3], [4, 5, 6]],
    )


def rewrite(folder, change, metadata=True):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, {"fullyconv": (folder / "model.json").read_text()} if metadata else None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("score.8.0.weight"), r"score\.8\.0\.weight is missing"),
        (lambda t: t.update({"more": torch.ones(1)}), "more is no part of fcn8s-test_resnet"),
        (lambda t: t.update({"head.4.bias": torch.ones(7)}), r"head\.4\.bias has shape \(7,\), .* expects \(2,\)"),
    ],
)
def test_weights_that_do_not_fit_are_refused(saved, change, message):
    rewrite(saved, change)
    with pytest.raises(WeightsError, match=message):
        fc.load(saved)


def respell(folder, **changes):
    """Another architecture in the header and beside it."""
    (folder / "model.json").write_text(json.dumps(json.loads((folder / "model.json").read_text()) | changes))
    rewrite(folder, lambda tensors: None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 10**9}, r"model\.safetensors: .*width: .*1000000000"),
        ({"width": 16384}, r"has shape \(8, .*expects \(16384, "),
        ({"in_channels": 4096, "mean": [0.0] * 4096, "std": [1.0] * 4096}, r"expects \(.*4096"),
        ({"name": "fcn32s-convnext_xxlarge"}, "is missing; fcn32s-convnext_xxlarge needs it"),
        ({"name": "fcn8s-none_such"}, "its network cannot be built: .*no network named"),
        ({"name": "fcn8s-hf_hub:someone/else"}, "its network cannot be built: .*no network named"),
        ({"name": "fcn2s-test_resnet", "padding": "same"}, "its network cannot be built: padding"),
        ({"pretrained": True}, "pretrained is an unknown field"),
    ],
)
def test_an_architecture_that_is_not_the_tensors_is_refused_before_it_is_built(saved, monkeypatch, changes, message):
    respell(saved, **changes)
    (saved / "model.json").unlink()
    built, real = [], run_folder.fcn.from_spec

    def from_spec(spec):
        net = real(spec)
        built.append({tensor.device.type for tensor in net.state_dict().values()})
        return net

    monkeypatch.setattr(run_folder.fcn, "from_spec", from_spec)
    with pytest.raises(WeightsError, match=f"(?s){message}"):
        fc.load(saved)
    assert built in ([], [{"meta"}])


def test_a_description_that_contradicts_the_weights_file_is_refused(saved):
    path = saved / "model.json"
    path.write_text(path.read_text().replace("sky", "sea"))
    with pytest.raises(WeightsError, match=r"model\.json: classes differs from the header of model\.safetensors"):
        fc.load(saved)
    path.write_text("{")
    with pytest.raises(WeightsError, match=r"model\.json: .*not whole JSON"):
        fc.load(saved)


def test_tensors_of_other_numbers_are_refused_and_half_precision_is_read(net, saved):
    rewrite(
        saved, lambda tensors: tensors.update({name: t.half() for name, t in tensors.items() if t.is_floating_point()})
    )
    assert torch.equal(fc.load(saved).head[-1].weight, net.head[-1].weight.half().float())
    rewrite(saved, lambda tensors: tensors.update({"head.4.bias": torch.ones(2, dtype=torch.complex64)}))
    with pytest.raises(WeightsError, match=r"head\.4\.bias holds numbers of type C64"):
        fc.load(saved)


def test_weights_without_an_architecture_are_refused(saved):
    rewrite(saved, lambda tensors: None, metadata=False)
    with pytest.raises(WeightsError, match="was not written by fullyconv"):
        fc.load(saved)


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_a_truncated_file_is_refused(saved, keep):
    path = saved / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(WeightsError, match="is no safetensors file, or is damaged"):
        fc.load(saved)


def test_a_missing_network_is_named(tmp_path):
    with pytest.raises(WeightsError, match="nowhere: no such file"):
        fc.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "head", "message"),
    [
        ("net.pth", b"PK\x03\x04", r"is a file of torch\.save, .*fullyconv convert"),
        ("net.caffemodel", b"\x0a\x07", r"is a Caffe model, .*fullyconv convert"),
        ("last.ckpt", b"PK\x03\x04", "Give the run folder"),
        ("net.h5", b"\x89HDF\r\n\x1a\n", "is a Keras file"),
        ("net.bin", b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
    ],
)
def test_a_file_of_another_program_is_called_what_it_is(tmp_path, name, head, message):
    (tmp_path / name).write_bytes(head + bytes(100))
    with pytest.raises(WeightsError, match=message):
        fc.load(tmp_path / name)


@pytest.mark.parametrize("name", ["net.onnx", "net.keras", "net.pb", "net.tflite", "net.mlmodel"])
def test_what_cannot_be_converted_is_called_what_it_is(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x08\x07" + bytes(100))
    with pytest.raises(WeightsError, match=rf"{name} is an? .*which cannot be converted"):
        convert(str(tmp_path / name), "fcn8s-vgg16")


def test_no_more_of_a_description_is_read_than_one_may_have(saved, monkeypatch):
    read, lengths = run_folder.parsed, []

    def parsed(kind, text, source):
        lengths.append(len(text))
        return read(kind, text, source)

    monkeypatch.setattr(run_folder, "parsed", parsed)
    (saved / "model.json").write_text(" " * 3_000_000)
    with pytest.raises(WeightsError, match=r"model\.json: .* more than the 1,048,576 characters"):
        fc.load(saved)
    assert max(lengths) == 1_048_577
