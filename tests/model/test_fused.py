"""Which form of the readout runs: decided without a GPU, by kinds and kernels that are made up."""

import warnings
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from fullyconv.geometry import Lattice
from fullyconv.model import readout
from fullyconv.model.readout import blocks, fused, losses

CPU = torch.device("cpu")
KIND: fused.Kind = (CPU, "bilinear", "repeat", torch.float32)


@pytest.fixture(autouse=True)
def nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "_found", {})


def kernels(**changed: Any) -> Any:
    """The plain form under another name, or with another of its functions."""
    return SimpleNamespace(**{"labels": blocks.labels, "loss": blocks.loss, **changed})


def wrong_labels(scores: Tensor, *where: Any) -> Tensor:
    return (blocks.labels(scores, *where) + 1) % scores.shape[1]


def labels_that_are_no_class(scores: Tensor, *where: Any) -> Tensor:
    return blocks.labels(scores, *where) + 200


def wrong_value(*what: Any, **options: Any) -> Tensor:
    return 1.1 * blocks.loss(*what, **options)


def wrong_gradient(scores: Tensor, *what: Any, **options: Any) -> Tensor:
    return blocks.loss(scores, *what, **options) + (scores - scores.detach()).sum()


def not_a_number(*what: Any, **options: Any) -> Tensor:
    return blocks.loss(*what, **options) * torch.nan


def fails(*what: Any, **options: Any) -> Tensor:
    raise RuntimeError("PassManager::run failed\nand more")


@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("border", ["repeat", "zero"])
@pytest.mark.parametrize("dtype", fused.PRECISIONS)
def test_kernels_that_agree_are_used_and_compared_once(
    method: readout.Interpolation, border: readout.Border, dtype: torch.dtype, recwarn: pytest.WarningsRecorder
) -> None:
    form, asked = kernels(), []

    def asked_for() -> Any:
        asked.append(1)
        return form

    kind: fused.Kind = (CPU, method, border, dtype)
    assert [fused.choose(kind, asked_for) for _ in range(3)] == [form] * 3
    assert len(fused._found) == 1
    assert not recwarn.list


@pytest.mark.parametrize(
    "changed",
    [
        {"labels": wrong_labels},
        {"labels": labels_that_are_no_class},
        {"loss": wrong_value},
        {"loss": wrong_gradient},
        {"loss": not_a_number},
    ],
)
def test_kernels_that_differ_are_not_used(changed: dict[str, Any]) -> None:
    with pytest.warns(UserWarning, match=r"not used on cpu \(bilinear.*they differ from the plain form"):
        assert fused.choose(KIND, lambda: kernels(**changed)) is blocks


@pytest.mark.parametrize("changed", [{"labels": fails}, {"loss": fails}])
def test_kernels_that_fail_are_not_used_and_it_is_said_once(changed: dict[str, Any]) -> None:
    with pytest.warns(UserWarning, match=r"PassManager::run failed\. The plain one gives the same") as said:
        assert [fused.choose(KIND, lambda: kernels(**changed)) for _ in range(3)] == [blocks] * 3
    assert len(said) == 1


def test_without_triton_nothing_is_said(recwarn: pytest.WarningsRecorder) -> None:
    def absent() -> Any:
        raise ModuleNotFoundError("No module named 'triton'")

    assert fused.choose(KIND, absent) is blocks
    assert not recwarn.list


def on(device: str, dtype: torch.dtype = torch.float32) -> Any:
    """What is asked of scores, of a device that need not be here."""
    return SimpleNamespace(device=torch.device(device), dtype=dtype)


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> list[fused.Kind]:
    kinds: list[fused.Kind] = []
    monkeypatch.setattr(fused, "choose", lambda kind, _: kinds.append(kind) or "kernels")
    return kinds


def test_kernels_are_for_cuda_and_at_most_single_precision(chosen: list[fused.Kind]) -> None:
    assert fused.readout_for(on("cpu"), "bilinear", "repeat") is blocks
    assert fused.readout_for(on("mps"), "bilinear", "repeat") is blocks
    assert fused.readout_for(on("cuda", torch.float64), "bilinear", "repeat") is blocks
    assert chosen == []
    assert fused.readout_for(on("cuda:1", torch.float16), "bicubic", "zero") == "kernels"
    assert chosen == [(torch.device("cuda:1"), "bicubic", "zero", torch.float16)]


def test_what_is_compiled_is_plain(chosen: list[fused.Kind], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert fused.readout_for(on("cuda"), "bilinear", "repeat") is blocks


def test_networks_read_out_by_what_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    form = SimpleNamespace(
        labels=lambda *what: used.append("labels") or blocks.labels(*what),
        loss=lambda *what, **options: used.append("loss") or blocks.loss(*what, **options),
    )
    for module in (readout, losses):
        monkeypatch.setattr(module, "readout_for", lambda *_: form)
    scores, lattice = torch.randn(1, 3, 4, 4), Lattice((Fraction(8),) * 2, (Fraction(0),) * 2)
    truth = readout.labels(scores, lattice, (30, 30))
    readout.loss(scores, truth, lattice)
    assert used == ["labels", "loss"]
    readout.loss(scores, truth, lattice, pixel_weight=torch.ones(1, 30, 30))  # which the kernels do not take
    assert used == ["labels", "loss"]


def test_the_kernels_in_tritons_interpreter_agree() -> None:
    pytest.importorskip("triton")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fused.choose((device, *KIND[1:]), fused._kernels) is not blocks
