"""How much memory this process holds, on every system, without a package for it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Self

_SECONDS = 0.01
_SECONDS_BY_PS = 0.2
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_CLEAR_PEAK = "5"


def resident_bytes() -> int:
    """Memory of this process that is in RAM now (resident set size)."""
    if sys.platform == "win32":
        return _windows_working_set()
    if sys.platform.startswith("linux"):
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    shown = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(os.getpid())], capture_output=True, check=True
    )
    return int(shown.stdout) * 1024


class PeakMemory:
    """The most memory held within a `with` block.

    On Linux the kernel says so. Elsewhere it is looked at now and then, and a peak of milliseconds
    can be missed. Blocks do not nest.

    Attributes
    ----------
    before : int
        Resident bytes at the beginning.
    peak : int
        The most so far.
    """

    def __init__(self) -> None:
        self.before = self.peak = 0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._by_kernel = False

    def __enter__(self) -> Self:
        self.before = self.peak = resident_bytes()
        self._by_kernel = _forget_peak()
        if not self._by_kernel:
            self._thread = threading.Thread(target=self._look, name="memory", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        self.peak = max(self.peak, _peak() if self._by_kernel else resident_bytes())

    def _look(self) -> None:
        pause = _SECONDS if sys.platform == "win32" else _SECONDS_BY_PS
        while not self._ended.wait(pause):
            self.peak = max(self.peak, resident_bytes())


def _forget_peak() -> bool:
    """Have the kernel begin to note a new peak; whether it does."""
    try:
        _CLEAR.write_text(_CLEAR_PEAK)
    except OSError:
        return False
    return True


def _peak() -> int:
    """The most that was resident since `_forget_peak`."""
    (line,) = (x for x in _STATUS.read_text().splitlines() if x.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def _windows_working_set() -> int:
    import ctypes
    from ctypes import wintypes

    class Counters(ctypes.Structure):
        _fields_ = [
            ("cb", wintypes.DWORD),
            ("page_faults", wintypes.DWORD),
            *[(name, ctypes.c_size_t) for name in ("peak", "working_set", *"abcdef")],
        ]

    system: Any = getattr(ctypes, "windll")  # noqa: B009 - other systems have none
    counters = Counters(cb=ctypes.sizeof(Counters))
    current = system.kernel32.GetCurrentProcess
    current.restype = wintypes.HANDLE
    read = system.psapi.GetProcessMemoryInfo
    read.argtypes = [wintypes.HANDLE, ctypes.POINTER(Counters), wintypes.DWORD]
    if not read(current(), ctypes.byref(counters), counters.cb):
        raise OSError("GetProcessMemoryInfo failed")
    return int(counters.working_set)
