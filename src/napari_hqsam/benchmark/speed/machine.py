"""What computes: its name, how to wait for it, and the memory that it takes."""

from __future__ import annotations

import ctypes
import gc
import platform
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from napari_hqsam.benchmark.figures import setting_of
from napari_hqsam.benchmark.memory import PeakMemory
from napari_hqsam.benchmark.speed.pairs import Run, nothing
from napari_hqsam.modeling import HQSam

_CPUINFO = Path("/proc/cpuinfo")
METHOD = "in turn, a round to warm up left out, medians; ratios round by round"


def setting(model: HQSam, rounds: int, against: str | None) -> dict[str, str | float]:
    """What the figures depend on."""
    found = setting_of(model) | {"cpu": cpu_name(), "torch": torch.__version__}
    if against is not None:
        found["against"] = against
    return found | {"rounds": rounds, "method": METHOD}


def cpu_name() -> str:
    """The CPU by the name that its maker gave it, where the system tells."""
    if _CPUINFO.is_file():
        for line in _CPUINFO.read_text("utf-8", "replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def finisher(device: torch.device) -> Run:
    """What waits until a device has done all it was given."""
    if device.type == "cuda":
        return partial(torch.cuda.synchronize, device)
    return torch.mps.synchronize if device.type == "mps" else nothing


def working_bytes(run: Run, device: torch.device) -> int:
    """The most memory that a run holds beyond what is held before it.

    On a CUDA GPU that of its tensors; elsewhere that of the process.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        return torch.cuda.max_memory_allocated(device) - before
    _trim()
    with PeakMemory() as memory:
        run()
    return memory.peak - memory.before


def _trim() -> None:
    """Hand freed memory back to the system: a run that takes it again shall be seen to."""
    if sys.platform.startswith("linux"):
        trim: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:  # not every libc has it
            trim(0)
