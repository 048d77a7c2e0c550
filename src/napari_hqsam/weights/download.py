"""Download weights: resumed after a cut, installed only if the hash is right.

The bytes that arrive are appended to a ``.part`` file, which outlives a cut, a cancel and the
process. Only a whole file with the registered SHA-256 gets its final name.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_hqsam.errors import HQSAMError
from napari_hqsam.weights.cache import CACHE_VARIABLE, cache_dir
from napari_hqsam.weights.registry import ModelInfo

if TYPE_CHECKING:
    import requests  # type: ignore[import-untyped]

__all__ = ["DownloadCancelled", "cache_dir", "fetch"]

Progress = Callable[[int, int], None]
Cancelled = Callable[[], bool]

MIRROR_VARIABLE = "NAPARI_HQSAM_MIRROR"
_HUB = "https://huggingface.co"
_CHUNK = 1 << 18
_TIMEOUT = (10, 30)  # seconds to connect, seconds without a byte
_WAITS = (1.0, 4.0)  # seconds before each new attempt after a cut


class DownloadCancelled(HQSAMError):
    """The caller asked to stop; what has arrived is kept, and the next download goes on there."""


def fetch(
    info: ModelInfo, *, progress: Progress | None = None, cancelled: Cancelled | None = None
) -> Path:
    """The path of the model's weights, downloaded first if need be.

    Parameters
    ----------
    info : ModelInfo
    progress : callable, optional
        Called as ``progress(bytes_done, bytes_total)`` for every piece that arrives. A resumed
        download starts at what was already there.
    cancelled : callable, optional
        Asked between two pieces; True stops with `DownloadCancelled`.

    Returns
    -------
    Path
        A file that has the registered hash.

    Raises
    ------
    HQSAMError
        If the network or the cache folder cannot be used, or the file has another hash. Nothing is
        installed then, and a file that was installed before stays.

    Notes
    -----
    ``$NAPARI_HQSAM_MIRROR`` stands in for ``https://huggingface.co``, with the same paths below it.
    """
    path = info.path
    if info.added is not None:
        if not path.is_file():
            raise HQSAMError(
                f"model {info.name!r}: {path} is no longer there: put the file back, or remove the "
                "model in the Models dock and add the file where it is now"
            )
        return path
    if info.url is None:
        if not path.is_file():
            raise HQSAMError(
                f"the embedded weights {path} are missing: reinstall napari-hqsam, "
                f"or give the {info.name} weights with --checkpoint PATH"
            )
        return path

    # Before any lock, so that a read-only cache that someone else has filled can be used.
    if _is_intact(info):
        return path

    import pooch

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path.with_name("lock"), cancelled), _unannounced(path.name):
            for stray in path.parent.glob("tmp*"):  # of a process killed while checking the hash
                stray.unlink()
            pooch.retrieve(
                _address(info),
                known_hash=f"sha256:{info.sha256}",
                fname=path.name,
                path=path.parent,
                downloader=_Resumable(info, progress, cancelled),
            )
    except HQSAMError:
        raise
    except ValueError as error:  # pooch's word for a wrong hash; it has deleted the file
        raise HQSAMError(
            f"the download of model {info.name!r} is not the registered file (wrong SHA-256) and "
            f"was deleted: try again, or check what {_address(info)} answers"
        ) from error
    except OSError as error:
        raise HQSAMError(
            f"cannot write to the cache folder {path.parent} ({error.strerror or error}): "
            f"make room there, or set {CACHE_VARIABLE} to another folder"
        ) from error
    return path


def _is_intact(info: ModelInfo) -> bool:
    import pooch

    return info.installed and pooch.file_hash(str(info.path), alg="sha256") == info.sha256


def _address(info: ModelInfo) -> str:
    assert info.url is not None
    mirror = os.environ.get(MIRROR_VARIABLE, _HUB).rstrip("/")
    return mirror + info.url.removeprefix(_HUB) if info.url.startswith(_HUB) else info.url


@contextmanager
def _locked(path: Path, cancelled: Cancelled | None) -> Iterator[None]:
    """Hold the lock file `path`: of several processes, one downloads and the others wait."""
    import filelock

    lock = filelock.FileLock(path)
    while True:
        _stop_if(cancelled)
        try:
            lock.acquire(timeout=0.5)
            break
        except filelock.Timeout:
            continue
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _unannounced(file_name: str) -> Iterator[None]:
    """Keep what pooch logs about this file off the terminal: the caller shows progress."""
    import pooch

    def others(record: logging.LogRecord) -> bool:
        return file_name not in record.getMessage()

    logger = pooch.get_logger()
    logger.addFilter(others)
    try:
        yield
    finally:
        logger.removeFilter(others)


def _stop_if(cancelled: Cancelled | None) -> None:
    if cancelled is not None and cancelled():
        raise DownloadCancelled("the download was cancelled: start it again to go on from there")


class _Resumable:
    """A pooch downloader that goes on where an earlier attempt was cut off."""

    def __init__(
        self, info: ModelInfo, progress: Progress | None, cancelled: Cancelled | None
    ) -> None:
        assert info.bytes is not None
        assert info.sha256 is not None
        self.info = info
        self.total = info.bytes
        # The hash in the name: a part of another version of the file is never continued.
        self.part = info.path.with_name(f"{info.file_name}.{info.sha256[:8]}.part")
        self.progress = progress or (lambda done, total: None)
        self.cancelled = cancelled
        self.reached = False

    def __call__(self, url: str, output_file: str, _pooch: Any) -> None:
        import requests

        if self._done() > self.total:
            self.part.unlink()
        self._check_room()
        waits = iter(_WAITS)
        while self._done() < self.total:
            try:
                self._receive(url)
            except requests.RequestException as error:
                wait = next(waits, None)
                if wait is None or not self.reached:
                    raise HQSAMError(self._explain(url)) from error
                self._sleep(wait)
        os.replace(self.part, output_file)

    def _receive(self, url: str) -> None:
        """Append to the part file until it is whole; a RequestException means: try again."""
        import requests

        done = self._done()
        # A compressed answer would make byte positions meaningless.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={done}-"} if done else {})
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
            self.reached = True
            if not self._continues(response, done):
                done = 0
            with open(self.part, "ab" if done else "wb") as file:
                self.progress(done, self.total)
                for piece in response.iter_content(_CHUNK):
                    _stop_if(self.cancelled)
                    file.write(piece)
                    done += len(piece)
                    if done > self.total:
                        break
                    self.progress(done, self.total)
        if done > self.total:
            self.part.unlink()
            raise HQSAMError(self._unexpected(url, "more"))
        if done < self.total:
            raise requests.ConnectionError(f"{done} of {self.total} bytes")

    def _continues(self, response: requests.Response, done: int) -> bool:
        """Whether the answer goes on at `done` (else it is the whole file)."""
        import requests

        status = response.status_code
        if status == 206:
            span = re.fullmatch(
                r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "")
            )
            if span and int(span[1]) == done and span[2] in ("*", str(self.total)):
                return True
        if status in (206, 416):  # not the range that was asked for: start afresh
            self.part.unlink(missing_ok=True)
            raise requests.ConnectionError(f"no usable range in {response.headers}")
        if 400 <= status < 500 and status not in (408, 429):
            raise HQSAMError(
                f"model {self.info.name!r}: {response.url} answered {status} {response.reason}: "
                f"get {self.info.file_name} elsewhere and pass it with --checkpoint PATH"
            )
        response.raise_for_status()
        size = response.headers.get("Content-Length", str(self.total))
        if size != str(self.total):
            raise HQSAMError(self._unexpected(response.url, f"{size} bytes"))
        return False

    def _done(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _check_room(self) -> None:
        needed = self.total - self._done()
        free = shutil.disk_usage(self.part.parent).free
        if needed > free:
            raise HQSAMError(
                f"model {self.info.name!r} needs {_mb(needed)} in {self.part.parent}, which has "
                f"{_mb(free)} left: make room there, or set {CACHE_VARIABLE} to another folder"
            )

    def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            _stop_if(self.cancelled)
            time.sleep(min(left, 0.1))

    def _explain(self, url: str) -> str:
        if self.reached:
            return (
                f"the download of model {self.info.name!r} broke off after {_mb(self._done())} of "
                f"{_mb(self.total)}: try again, it goes on from there"
            )
        host = url.split("/", 3)[2]
        return (
            f"model {self.info.name!r} needs a download of {_mb(self.total)}, and {host} cannot be "
            f"reached: get {url} by other means and save it as {self.info.path} or pass it with "
            f"--checkpoint PATH; the model 'micro' works offline"
        )

    def _unexpected(self, url: str, what: str) -> str:
        return (
            f"model {self.info.name!r}: {url} sent {what} where {self.total} bytes belong "
            f"(a login page, a proxy?): get {self.info.file_name} elsewhere and pass it with "
            f"--checkpoint PATH"
        )


def _mb(size: int) -> str:
    return f"{size / 1e6:.0f} MB"
