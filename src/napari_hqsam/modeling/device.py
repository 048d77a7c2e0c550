"""Which device to compute on, and why."""

from __future__ import annotations

import shutil

import torch

from napari_hqsam.errors import HQSAMError


def choose_device(name: str = "auto") -> torch.device:
    """The torch device for `name`; "auto" takes cuda, then mps, then cpu.

    Raises
    ------
    HQSAMError
        If `name` is not a device that this torch can use.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise HQSAMError(
            f"device {name!r} is unknown: use auto, cpu, cuda, cuda:N or mps"
        ) from None
    usable = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not usable.get(device.type, False):
        raise HQSAMError(
            f"device {name!r} cannot be used here ({describe_device()}): use --device auto"
        )
    return device


def describe_device() -> str:
    """One line for the user: what "auto" means on this computer, and why."""
    if torch.cuda.is_available():
        return f"GPU: {torch.cuda.get_device_name(0)}"
    if torch.backends.mps.is_available():
        return "GPU: Apple Metal (mps)"
    if shutil.which("nvidia-smi"):
        if torch.version.cuda is None:
            return "CPU: GPU present, but this torch is CPU-only; pytorch.org has CUDA builds"
        return "CPU: GPU present, but torch cannot use it; check its driver"
    return "CPU: no GPU found"
