from __future__ import annotations

import sys
import threading
import time

import numpy as np

from napari_hqsam.benchmark.memory import PeakMemory, resident_bytes


def test_a_peak_is_seen_though_it_is_over() -> None:
    with PeakMemory() as memory:
        held = np.ones(100 << 20, np.uint8)
        if sys.platform != "linux":
            time.sleep(0.5)  # elsewhere a moment can be missed
        del held
    assert 80 << 20 < memory.peak - memory.before < 300 << 20
    assert not [t for t in threading.enumerate() if t.name == "memory"]


def test_only_what_is_touched_is_resident() -> None:
    before = resident_bytes()
    promised = np.empty(200 << 20, np.uint8)
    assert resident_bytes() - before < 50 << 20
    promised[:] = 1
    assert resident_bytes() - before > 150 << 20
