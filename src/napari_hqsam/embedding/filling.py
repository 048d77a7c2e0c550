"""The job that fills a store, and keeps the encoder busy at it."""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import cached_property
from time import monotonic

import torch

from napari_hqsam.embedding.ahead import read_ahead
from napari_hqsam.embedding.batch import Batch, automatic_batch, check_batch, release
from napari_hqsam.embedding.encode import Pixels, reading_bytes
from napari_hqsam.embedding.features import Features
from napari_hqsam.embedding.job import Job, Progress
from napari_hqsam.embedding.store import EmbeddingStore
from napari_hqsam.embedding.transfer import fetching, ready_to_send
from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.windows import Window
from napari_hqsam.modeling import TileFeatures

# Of pixels that wait for the encoder.
_MAX_BYTES = 1 << 29
# For a GPU; on a CPU one thread reads faster than the others encode.
_READERS = 8

Encoded = tuple[Pixels, Callable[[], TileFeatures]]


class EmbedJob(Job[Window, EmbeddingStore]):
    """Encode windows into the store of `features`.

    While the thread that iterates the job encodes some windows, another reads those that follow,
    and a third, the job's only writer, commits those before, one by one and in order. Progress
    counts what is committed. Closing the job, or an error, ends both threads; what was encoded
    until then is kept.

    Parameters
    ----------
    features : Features
        With a store.
    windows : sequence of Window
    batch : int or "auto"
        How many windows are encoded at once: see `automatic_batch`. What is stored does not depend
        on it, but for rounding.

    Raises
    ------
    HQSAMError
        If `batch` is neither.
    """

    def __init__(
        self, features: Features, windows: Sequence[Window], batch: Batch = "auto"
    ) -> None:
        check_batch(batch)
        store = features.store
        assert store is not None
        super().__init__(windows, features.store_one, store.__contains__, lambda: store)
        self._features, self._asked = features, batch
        self._encoded = 0

    @cached_property
    def batch(self) -> int:
        """How many windows are encoded at once; halved where the GPU's memory is too small."""
        return automatic_batch(self._features.model) if self._asked == "auto" else self._asked

    def _progress(self) -> Generator[Progress, None, None]:
        total, skipped, spent = len(self.plan), 0, 0.0
        with closing(self._items()) as items:
            began = monotonic()
            for done, computed in enumerate(items, 1):
                spent += monotonic() - began
                skipped += not computed
                pace = spent / self._encoded if self._encoded else float("nan")
                yield Progress(done, total, skipped, pace * (total - done))
                began = monotonic()

    def _items(self) -> Generator[bool, None, None]:
        """For each item, as soon as it is in the store, whether it was computed."""
        left = []
        for window in self.plan:
            if self._is_done(window):
                yield False
            else:
                left.append(window)
        if not left:
            return
        with (
            closing(self._reading(left)) as reading,
            ThreadPoolExecutor(1, thread_name_prefix="embed-write") as writer,
        ):
            writing: deque[Future[None]] = deque()
            end: Exception | None = None
            while end is None:
                taken, end = self._take(reading)
                # another process may fill the store as well
                fresh = [p for p in taken if p is not None and not self._is_done(p.window)]
                yield from (False for _ in range(len(taken) - len(fresh)))
                for pixels, fetch in self._encode(fresh):
                    writing.append(writer.submit(self._write, pixels, fetch))
                behind = 0 if end is not None else max(2, self.batch)
                while len(writing) > behind or (writing and writing[0].done()):
                    writing.popleft().result()
                    yield True
            if not isinstance(end, StopIteration):
                raise end

    def _reading(self, windows: Sequence[Window]) -> Generator[Pixels | None, None, None]:
        """The pixels of windows, in order; None if a window was stored meanwhile."""
        device = self._features.model.device
        threads = 1 if device.type == "cpu" else min(_READERS, -(-(os.cpu_count() or 1) // 2))

        def read(window: Window) -> Pixels | None:
            self._features.gate.wait()
            if self._is_done(window):
                return None
            pixels = self._features.read(window)
            return pixels._replace(image=ready_to_send(pixels.image, device))

        ahead = 2 * max(self.batch, threads)
        return read_ahead(
            windows, read, reading_bytes, ahead=ahead, max_bytes=_MAX_BYTES, threads=threads
        )

    def _take(
        self, reading: Iterator[Pixels | None]
    ) -> tuple[list[Pixels | None], Exception | None]:
        """The next batch, and why it is the last: there are no more, or one cannot be read."""
        taken: list[Pixels | None] = []
        try:
            while len(taken) < self.batch:
                taken.append(next(reading))
        except Exception as end:
            return taken, end
        return taken, None

    def _encode(self, several: list[Pixels]) -> Iterator[Encoded]:
        """Encode windows, in smaller and smaller batches if they do not fit into memory."""
        tried = len(several)
        while several:
            some = several[: self.batch]
            encoded = self._try(some)
            if encoded is not None:
                several = several[len(some) :]
                self._encoded += len(some)
                yield from encoded
                continue
            # not where the error is handled: it holds on to what did not fit
            release(self._features.model.device)
            if len(some) == 1:
                raise HQSAMError(
                    f"{self._features.model.device}: out of memory with a single window; end other "
                    "programs that use it, or choose another device or model"
                )
            self.batch = len(some) // 2
        if self.batch < tried:
            warnings.warn(
                f"{self._features.model.device}: out of memory with {tried} windows at once; "
                f"going on with {self.batch}",
                stacklevel=2,
            )

    def _try(self, some: Sequence[Pixels]) -> list[Encoded] | None:
        """What `some` are encoded to; None if they do not fit into memory together."""
        try:
            features = self._features.encode(some)
            device = self._features.model.device
            return [(pixels, fetching(_one(features, i), device)) for i, pixels in enumerate(some)]
        except torch.OutOfMemoryError:
            return None

    def _write(self, pixels: Pixels, fetch: Callable[[], TileFeatures]) -> None:
        self._features.keep(pixels, fetch())


def _one(features: TileFeatures, i: int) -> TileFeatures:
    """Of a batch, the features of one image, batch 1."""
    hq = None if features.hq is None else features.hq[i : i + 1]
    return TileFeatures(features.embedding[i : i + 1], hq)
