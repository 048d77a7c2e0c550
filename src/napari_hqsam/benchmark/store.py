"""What keeping features on disk costs, and what it gives."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from napari_hqsam.benchmark.clicks import encode_once, finish
from napari_hqsam.benchmark.clock import Clock
from napari_hqsam.benchmark.figures import Figure, Report, median, percentile, setting_of
from napari_hqsam.benchmark.kills import kill_and_resume
from napari_hqsam.benchmark.pictures import dense_plane
from napari_hqsam.embedding.encode import encode_image, read_window
from napari_hqsam.embedding.layout import window_bytes
from napari_hqsam.embedding.store import EmbeddingStore
from napari_hqsam.images.windows import OVERLAP, Window
from napari_hqsam.modeling import HQSam
from napari_hqsam.segmentation import Segmenter

_RATIO = 1.10
_READ_MILLISECONDS = 15.0


def measure_store(
    make: Callable[[], HQSam],
    folder: Path,
    *,
    windows: int = 16,
    rounds: int = 3,
    kills: int = 20,
    tell: Callable[[str], object] = lambda _: None,
) -> Report:
    """Fill stores with the windows of an image, read them back, and kill who fills them.

    Parameters
    ----------
    make : callable
        Gives the model; to be pickled, as the processes that are killed each call it.
    folder : pathlib.Path
        Empty; on the disk that is meant.
    windows : int
        Of the image, about.
    rounds : int
        How many stores are filled, and how often each window is read back.
    kills : int
    tell : callable
        Takes a line on what is done now.
    """
    model = make()
    size = model.input_size
    along = max(1, round(math.sqrt(windows)))
    image = folder / "image.zarr"
    dense_plane(image, size + (along - 1) * round(size * (1 - OVERLAP)))
    setting = setting_of(model)
    setting |= {"windows": along**2, "rounds": rounds}
    report = Report("store", setting)

    encode_once(model)  # warms up
    totals = []
    for i in range(rounds):
        tell(f"filling a store, round {i + 1} of {rounds}")
        totals.append(_fill(model, image, folder / f"store-{i}"))
    ratios = [kept / thrown for kept, thrown in totals]
    per_window = [sum(part) / rounds / along**2 for part in zip(*totals, strict=True)]
    report.figures.append(
        Figure(
            "encoding into a store, against encoding alone",
            median(ratios),
            "",
            _RATIO,
            f"rounds {min(ratios):.3f} to {max(ratios):.3f}; a window "
            f"{1e3 * per_window[0]:.0f} against {1e3 * per_window[1]:.0f} ms",
        )
    )
    tell("reading back")
    report.figures += _read_back(model, image, folder / "store-0", rounds)
    megabytes = window_bytes(size, hq=model.has_hq) / 1e6
    report.figures.append(Figure("a stored window", megabytes, "MB"))
    if kills:
        tell(f"killing the job {kills} times")
        found = kill_and_resume(image, folder, make, kills=kills, threads=torch.get_num_threads())
        report.figures.append(
            Figure(
                "resumed after kills, identical to a store filled in one go",
                found.identical,
                "",
                True,
                f"{found.kills} kills, {found.writing} of them in writing; {found.stores} stores "
                f"of {found.windows} windows",
            )
        )
    return report


def _fill(model: HQSam, image: Path, store: Path) -> tuple[float, float]:
    """Encode each window twice, in turn: into a store, and thrown away; seconds of both."""
    clock = Clock()
    with Segmenter(image, model=model, store=store) as segmenter:
        features = segmenter.features

        def keep(window: Window) -> None:
            with clock("kept"):
                features.store_one(window)

        def throw_away(window: Window) -> None:
            with clock("thrown away"), torch.inference_mode():
                pixels = read_window(segmenter.source, segmenter.mapping, window)
                finish(encode_image(model, pixels))

        for i, window in enumerate(segmenter.embed().plan):
            for step in (keep, throw_away) if i % 2 else (throw_away, keep):
                step(window)
    return sum(clock.times["kept"]), sum(clock.times["thrown away"])


def _read_back(model: HQSam, image: Path, path: Path, rounds: int) -> Iterator[Figure]:
    with Segmenter(image, model=model) as segmenter:
        store = EmbeddingStore.open(path, segmenter.source, segmenter.mapping, model, create=False)
    windows, rng, clock = list(store.windows()), random.Random(0), Clock()
    cold, warm = "a window read back from a cold disk", "a window read back"
    for name in [cold] * _forget(path) + [warm] * rounds:
        rng.shuffle(windows)
        for window in windows:
            with clock(name):
                found = store.read(window)
            assert found is not None
    for name, times in clock.times.items():
        about = f"median of {len(times)}"
        yield Figure(name, 1e3 * median(times), "ms", _READ_MILLISECONDS, about)
        yield Figure(f"{name}, p95", 1e3 * percentile(times, 95), "ms")


def _forget(store: Path) -> bool:
    """Have the system drop its copy of the chunks; whether it could be asked to."""
    if not hasattr(os, "posix_fadvise"):
        return False
    for chunk in store.rglob("c.*"):
        if chunk.is_file():
            with chunk.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return True
