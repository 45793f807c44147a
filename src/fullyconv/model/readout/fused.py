"""Whether the readout runs fused, by the Triton kernels: on CUDA, where they are found to agree with the plain form.

They are compared at first use, once in a process for each GPU, interpolation, border and precision, on a tiny random
case. Where they differ or fail, as on a GPU that Triton does not know, the plain form is used, and a warning says so.
"""

import warnings
from collections.abc import Callable
from fractions import Fraction
from threading import Lock
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from fullyconv.errors import first_line
from fullyconv.geometry import Lattice
from fullyconv.model.readout import blocks
from fullyconv.model.readout.interpolation import Border, Interpolation

PRECISIONS = (torch.float32, torch.float16, torch.bfloat16)
TOLERANCE = 1e-2
"""By which loss, gradient and the logits of labels may differ, relative to the largest: errors are far larger."""
Kind = tuple[torch.device, Interpolation, Border, torch.dtype]


class Readout(Protocol):
    """A form of the readout without logits; see ``blocks``."""

    def labels(
        self, scores: Tensor, lattice: Lattice, size: tuple[int, int], method: Interpolation, border: Border
    ) -> Tensor: ...

    def loss(
        self,
        scores: Tensor,
        labels: Tensor,
        lattice: Lattice,
        method: Interpolation,
        border: Border,
        *,
        weight: Tensor | None,
        ignore_index: int,
        label_smoothing: float,
        reduction: Literal["mean", "sum"],
    ) -> Tensor: ...


_found: dict[Kind, bool] = {}
_lock = Lock()


def readout_for(scores: Tensor, method: Interpolation, border: Border) -> Readout:
    """The form that reads out these scores: the kernels where they can and agree, else the plain one."""
    on_gpu = scores.device.type == "cuda" and scores.dtype in PRECISIONS
    if not on_gpu or torch.compiler.is_compiling() or isinstance(scores, FakeTensor):
        return blocks
    return choose((scores.device, method, border, scores.dtype), _kernels)


def choose(kind: Kind, kernels: Callable[[], Readout]) -> Readout:
    """The kernels if they agree with the plain form, which is found out once, else this."""
    with _lock:
        if kind not in _found:
            if kind[0].type == "cuda" and torch.cuda.is_current_stream_capturing():
                return blocks  # a comparison would break the capture off
            try:
                _found[kind] = agrees(kernels(), kind)
                reason = "they differ from the plain form"
            except ImportError:  # Triton does not come with torch on every system
                _found[kind], reason = False, ""
            except Exception as error:  # whatever a compiler for GPUs raises
                _found[kind], reason = False, first_line(error)
            if not _found[kind] and reason:
                device, method, border, dtype = kind
                warnings.warn(
                    f"The fused readout is not used on {device} ({method}, border {border}, {dtype}): {reason}. "
                    "The plain one gives the same labels and losses, with more time and memory.",
                    stacklevel=2,
                )
        return kernels() if _found[kind] else blocks


def _kernels() -> Readout:
    from fullyconv.model.readout import triton

    return triton


def agrees(kernels: Readout, kind: Kind) -> bool:
    """Whether ``kernels`` label as the plain form does, ties excepted, and give its loss and gradient."""
    device, method, border, dtype = kind
    lattice, size = Lattice((Fraction(8), Fraction(4)), (Fraction(7, 2), Fraction(0))), (37, 29)
    random = torch.Generator().manual_seed(0)
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(device.type, enabled=False):
        scores = torch.randn(2, 5, 4, 7, generator=random).to(device, dtype)
        truth = torch.randint(0, 5, (2, *size), generator=random).to(device, torch.uint8)
        truth[:, :3] = 255
        weight = torch.rand(5, generator=random).to(device) + 0.5
        logits = blocks.logits(scores, lattice, size, method, border)
        chosen = kernels.labels(scores, lattice, size, method, border)
        if chosen.shape != truth.shape or chosen.dtype != torch.uint8 or int(chosen.max()) >= logits.shape[1]:
            return False
        short = logits.amax(1) - logits.gather(1, chosen.long()[:, None])[:, 0]
        if not bool((short <= TOLERANCE * logits.abs().max()).all()):
            return False
        found = []
        for form in (blocks, kernels):
            own = scores.clone().requires_grad_()
            value = form.loss(
                own,
                truth,
                lattice,
                method,
                border,
                weight=weight,
                ignore_index=255,
                label_smoothing=0.1,
                reduction="sum",
            )
            found.append((value.detach(), torch.autograd.grad(value, own)[0].float()))
    return all(_close(one, other) for one, other in zip(*found, strict=True))


def _close(one: Tensor, other: Tensor) -> bool:
    return bool(((one - other).abs() <= TOLERANCE * one.abs().max()).all())
