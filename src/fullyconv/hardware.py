"""What the hardware decides: the device, the precisions it has, the form of the optimizer.

Everything is asked of torch when it is needed, so that tests can stand for any machine.
"""

import torch


def best_device() -> torch.device:
    """Return the device to compute on: an NVIDIA or AMD GPU where there is one, else an Apple GPU, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def multiplies_bf16(device: torch.device) -> bool:
    """Return whether the device has instructions for bf16 products, so that bf16 may be faster than float32.

    Every device computes in bf16; without such instructions it emulates them, slowly. Of Apple GPUs this is not known.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        abilities = torch.cpu.get_capabilities()
        return any(abilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))
    return False


def trains_in_fp16(device: torch.device) -> bool:
    """Return whether networks can be trained in fp16: on GPUs, not on CPUs."""
    return device.type != "cpu"


def count_devices(device: torch.device) -> int | None:
    """Return how many devices of this kind training can be shared by; None for CPUs, which any number can share."""
    return {"cuda": torch.cuda.device_count(), "mps": 1}.get(device.type)


def fuses_adamw(device: torch.device) -> bool:
    """Return whether AdamW's step is to be one fused operation.

    On a CPU it is several times as fast. On a GPU, where fp16 scales the gradients, a fused step would undo the scaling
    within itself, too late for the gradients to be clipped.
    """
    return device.type == "cpu"
