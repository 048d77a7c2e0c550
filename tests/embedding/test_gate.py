"""Background encoding gives way to what a user waits for."""

from __future__ import annotations

import threading

from napari_hqsam.embedding.gate import Gate

WAIT = 30


def test_an_open_gate_lets_pass() -> None:
    Gate().wait()


def test_a_closed_gate_holds_until_the_last_urgent_work_is_done() -> None:
    gate, passed = Gate(), threading.Event()

    def background() -> None:
        gate.wait()
        passed.set()

    with gate.urgent():
        with gate.urgent():
            thread = threading.Thread(target=background, daemon=True)
            thread.start()
            assert not passed.wait(0.05)
        assert not passed.wait(0.05)
    assert passed.wait(WAIT)


def test_urgent_work_that_fails_opens_the_gate() -> None:
    gate = Gate()
    try:
        with gate.urgent():
            raise RuntimeError
    except RuntimeError:
        pass
    gate.wait()
