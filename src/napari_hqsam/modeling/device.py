"""Which device to compute on, in which precision, and why."""

from __future__ import annotations

import shutil
from typing import Literal, get_args

import torch

from napari_hqsam.errors import HQSAMError

Precision = Literal["float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


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


def choose_precision(name: str = "auto", device: torch.device | str = "cpu") -> Precision:
    """What the image encoder computes in on `device`.

    Parameters
    ----------
    name : {"auto", "float32", "bfloat16"}
        "auto" takes bfloat16 on a CUDA GPU that is made for it, and float32, which is exact,
        anywhere else: on a CPU without bfloat16 units it would be the slower one.
    device : torch.device or str

    Raises
    ------
    HQSAMError
        If `name` is none of these.
    """
    if name == "auto":
        # on older GPUs bfloat16 is emulated, and no faster
        fast = torch.device(device).type == "cuda" and torch.cuda.is_bf16_supported(
            including_emulation=False
        )
        return "bfloat16" if fast else "float32"
    for precision in PRECISIONS:
        if name == precision:
            return precision
    raise HQSAMError(f"precision {name!r} is unknown: use auto, {' or '.join(PRECISIONS)}")


def list_devices() -> list[tuple[str, str]]:
    """The devices of this computer: (name as for `choose_device`, what it is), "auto" first."""
    found = [("auto", describe_device())]
    found += [
        (f"cuda:{i}", f"GPU: {torch.cuda.get_device_name(i)}")
        for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    ]
    if torch.backends.mps.is_available():
        found.append(("mps", "GPU: Apple Metal (mps)"))
    return [*found, ("cpu", f"CPU, {torch.get_num_threads()} threads")]


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
