"""A job that fills a store is killed again and again; what it is resumed to is compared."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_hqsam.modeling import HQSam

# What the process that fills a store says.
_BEGUN, _WRITING, _DONE = "begun", "writing", "done"


@dataclass(frozen=True)
class Survival:
    """What was found.

    Attributes
    ----------
    kills : int
        How often the job was killed,
    writing : int
        and how often of these while it wrote a window to the disk.
    stores : int
        How many stores were filled in that way.
    windows : int
        In each.
    identical : bool
        Whether every byte of them is that of a store filled without a kill.
    """

    kills: int
    writing: int
    stores: int
    windows: int
    identical: bool


def kill_and_resume(
    image: Path,
    folder: Path,
    make: Callable[[], HQSam],
    *,
    kills: int = 20,
    threads: int = 1,
    seed: int = 0,
) -> Survival:
    """Fill stores by processes that are killed at random moments.

    Half of the moments are drawn from the time of encoding, half from the few milliseconds in
    which a window is written. A store is resumed by the next process until it is full.

    Parameters
    ----------
    image : pathlib.Path
    folder : pathlib.Path
        Where the stores are made.
    make : callable
        Loads the model in each process; to be pickled.
    kills : int
    threads : int
        Of torch, the same in all processes: bits depend on it.
    seed : int
        Of the moments.
    """
    rng = random.Random(seed)
    start = _Starter(image, make, threads)
    clean = folder / "clean"
    encoding, writing = _fill(start, clean)
    wanted = _contents(clean)
    killed = in_writing = stores = 0
    identical = True
    while killed < kills:
        path = folder / f"killed-{stores}"
        full = False
        while not full and killed < kills:
            at_writing = killed % 2 == 1
            full = not _kill(start, path, rng.random(), at_writing, (encoding, writing))
            killed += not full
            in_writing += at_writing and not full
        _fill(start, path)
        identical = identical and _contents(path) == wanted
        stores += 1
    return Survival(killed, in_writing, stores, len(list(clean.rglob("*/marks/*"))), identical)


class _Starter:
    """Starts processes that all do the same job, each into the store that it is told."""

    def __init__(self, image: Path, make: Callable[[], HQSam], threads: int) -> None:
        methods = multiprocessing.get_all_start_methods()
        # a fork server imports torch once for all of them
        method = "forkserver" if "forkserver" in methods else "spawn"
        self._context: Any = multiprocessing.get_context(method)
        if method == "forkserver":
            self._context.set_forkserver_preload(["napari_hqsam.segmentation.segmenter"])
        self._job = (image, make, threads)

    def __call__(self, store: Path) -> tuple[BaseProcess, Connection]:
        mine, its = self._context.Pipe(duplex=False)
        process: BaseProcess = self._context.Process(
            target=_embed, args=(its, store, *self._job), daemon=True
        )
        process.start()
        its.close()
        return process, mine


def _embed(pipe: Connection, store: Path, image: Path, make: Callable[[], HQSam], n: int) -> None:
    """The job, in a process of its own; it says how far it is."""
    import torch

    from napari_hqsam.embedding.store import EmbeddingStore
    from napari_hqsam.images import IntensityMapping, open_image
    from napari_hqsam.segmentation import Segmenter

    class Telling(EmbeddingStore):
        def write(self, *window_and_features: Any) -> None:
            pipe.send(_WRITING)
            super().write(*window_and_features)

    torch.set_num_threads(n)
    torch.manual_seed(0)
    model = make()
    source = open_image(image)
    mapping = IntensityMapping.from_percentiles(source)
    opened = Telling.open(store, source, mapping, model)
    with Segmenter(source, contrast_limits=mapping.limits, model=model, store=opened) as segmenter:
        job = segmenter.embed()
        pipe.send(_BEGUN)
        for _ in job:
            pipe.send(_DONE)


def _fill(start: _Starter, store: Path) -> tuple[float, float]:
    """Let the job end; seconds that one window took, and its writing alone."""
    process, pipe = start(store)
    began, whole, writing = 0.0, [0.0], [0.0]
    wrote = began
    with suppress(EOFError):
        while True:
            said, now = pipe.recv(), time.perf_counter()
            if said == _WRITING:
                wrote = now
            elif said == _DONE and wrote:  # else it was there before
                whole.append(now - began)
                writing.append(now - wrote)
                wrote = 0.0
            began = began if said == _WRITING else now
    process.join()
    if process.exitcode:
        raise RuntimeError(f"the job that fills {store} ended with status {process.exitcode}")
    return max(whole), max(writing)


def _kill(
    start: _Starter, store: Path, share: float, at_writing: bool, lengths: tuple[float, float]
) -> bool:
    """Let the job run, and kill it after a share of what it does; False if it was faster."""
    process, pipe = start(store)
    try:
        while pipe.recv() != (_WRITING if at_writing else _BEGUN):
            pass
        # two windows, or the writing of one
        process.join(share * (lengths[1] if at_writing else 2 * lengths[0]))
    except EOFError:  # nothing was left to write
        process.join()
    if process.is_alive():
        process.kill()
        process.join()
    return process.exitcode != 0


def _contents(store: Path) -> dict[str, Any]:
    """Every chunk of a store by its hash, every mark but for its date."""
    chunks = [p for p in store.rglob("c.*") if p.is_file()]
    found: dict[str, Any] = {
        str(p.relative_to(store)): hashlib.sha256(p.read_bytes()).hexdigest() for p in chunks
    }
    for mark in store.rglob("marks/*.json"):
        about = json.loads(mark.read_bytes())
        del about["created"]
        found[str(mark.relative_to(store))] = about
    return found
