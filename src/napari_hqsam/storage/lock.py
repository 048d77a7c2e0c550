"""One process at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_hqsam.errors import HQSAMError


@contextmanager
def exclusive(path: Path, what: str, timeout: float = 30) -> Iterator[None]:
    """Hold the lock file `path`.

    The operating system holds the lock for the process, and lets it go when the process dies: a
    lock file that a killed process left behind stops nobody.

    Parameters
    ----------
    path : pathlib.Path
        The lock file; made if it is not there, and left there.
    what : str
        What is locked, for the error message.
    timeout : float
        Seconds to wait for another process.

    Raises
    ------
    HQSAMError
        If another process holds it for longer.
    OSError
        If the lock file cannot be made.
    """
    import filelock

    lock = filelock.FileLock(path, mode=0o666)  # less the umask: shared with colleagues
    try:
        lock.acquire(timeout=timeout)
    except filelock.Timeout:
        raise HQSAMError(f"{what}: another process is at work on it; try again later") from None
    except NotImplementedError:
        raise HQSAMError(f"{what}: this disk has no file locks; use a local disk") from None
    try:
        yield
    finally:
        lock.release()
