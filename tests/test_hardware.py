"""What the hardware decides, on machines that answer as the tests say."""

import pytest
import torch

from fullyconv import hardware

CPU, CUDA, MPS = (torch.device(name) for name in ("cpu", "cuda", "mps"))


@pytest.fixture
def machine(monkeypatch):
    """Make torch answer as on another machine."""

    def answer(cuda=False, mps=False, cuda_bf16=False, cpu=()):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: cuda_bf16)
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: dict.fromkeys(cpu, True))

    return answer


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"), [(True, True, CUDA), (True, False, CUDA), (False, True, MPS), (False, False, CPU)]
)
def test_the_best_device_is_a_gpu_where_there_is_one(machine, cuda, mps, expected):
    machine(cuda=cuda, mps=mps)
    assert hardware.best_device() == expected


@pytest.mark.parametrize("feature", ["avx512_bf16", "amx_bf16", "bf16", "sve_bf16"])
def test_a_cpu_multiplies_bf16_by_any_of_these_instructions(machine, feature):
    machine(cpu=["avx2", feature])
    assert hardware.multiplies_bf16(CPU)


def test_devices_without_bf16_are_known(machine):
    machine(cpu=["avx2", "avx512_f"])
    assert not hardware.multiplies_bf16(CPU)
    assert not hardware.multiplies_bf16(MPS)
    assert not hardware.multiplies_bf16(CUDA)
    machine(cuda=True, cuda_bf16=True)
    assert hardware.multiplies_bf16(CUDA)


def test_training_is_shared_by_as_many_gpus_as_there_are(machine, monkeypatch):
    machine(cuda=True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert [hardware.count_devices(device) for device in (CUDA, MPS, CPU)] == [4, 1, None]


def test_what_differs_between_cpus_and_gpus():
    devices = (CPU, CUDA, MPS)
    assert [hardware.trains_in_fp16(device) for device in devices] == [False, True, True]
    assert [hardware.fuses_adamw(device) for device in devices] == [True, False, False]
