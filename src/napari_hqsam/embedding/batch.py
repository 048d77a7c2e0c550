"""How many windows a device encodes at once."""

from __future__ import annotations

from typing import Literal

import torch

from napari_hqsam.errors import HQSAMError
from napari_hqsam.modeling import HQSam

Batch = int | Literal["auto"]

# More of them make a GPU hardly faster.
_MOST = 16
# Of the free memory; the rest is for what does not fit into the gaps, and for other programs.
_SHARE = 0.7


def check_batch(batch: object) -> None:
    """Raise HQSAMError if `batch` is neither a number of windows nor "auto"."""
    if batch != "auto" and not (isinstance(batch, int) and batch >= 1):
        raise HQSAMError(f"batch {batch!r}: give a whole number of windows from 1 up, or auto")


def automatic_batch(model: HQSam) -> int:
    """How many windows `model` should encode at once on its device.

    One, but on a CUDA GPU: there as many as fit into its free memory, 16 at most. One window is
    encoded to find out.
    """
    device = model.device
    if device.type != "cuda":  # a CPU is busy with one
        return 1
    try:
        one = peak_bytes(model)
    except torch.OutOfMemoryError:
        return 1
    return max(1, min(_MOST, int(_SHARE * _free_bytes(device) / max(one, 1))))


def peak_bytes(model: HQSam, batch: int = 1) -> int:
    """GPU memory that encoding so many windows takes at its peak, on top of the weights."""
    device, size = model.device, model.input_size
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    with torch.inference_mode():
        model.encode(torch.zeros(batch, 3, size, size, device=device))
    return torch.cuda.max_memory_allocated(device) - before


def release(device: torch.device) -> None:
    """Give back what an encoding that ran out of memory has left."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _free_bytes(device: torch.device) -> int:
    """Of the GPU, and of what this process holds without using it."""
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused
