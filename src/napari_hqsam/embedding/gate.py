"""Background encoding gives way to what a user waits for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """Closed while something urgent is computed.

    A CPU that encodes and decodes at the same time does both at half the speed. So the encoder
    calls `wait` between its blocks, and goes on when the decode is done.
    """

    def __init__(self) -> None:
        self._urgent = 0
        self._open = threading.Condition()

    @contextmanager
    def urgent(self) -> Iterator[None]:
        """Keep the gate closed for the length of a `with` block; several may overlap."""
        with self._open:
            self._urgent += 1
        try:
            yield
        finally:
            with self._open:
                self._urgent -= 1
                self._open.notify_all()

    def wait(self) -> None:
        """Return as soon as the gate is open."""
        with self._open:
            self._open.wait_for(lambda: self._urgent == 0)
