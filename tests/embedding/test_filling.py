"""Filling a store: the encoder is kept busy, and whatever happens, what is told is stored."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_hqsam.embedding.encode import Pixels
from napari_hqsam.embedding.features import Features
from napari_hqsam.embedding.filling import EmbedJob
from napari_hqsam.embedding.plan import plan_windows
from napari_hqsam.embedding.store import EmbeddingStore, StoreUnavailable
from napari_hqsam.errors import HQSAMError
from napari_hqsam.images import open_image
from napari_hqsam.images.windows import Window
from napari_hqsam.modeling import HQSam, TileFeatures

from . import tiny

WAIT = 30
MOMENT = 0.2  # in which something that must not happen would


class Scene:
    """A job's surroundings: an image, a model that pools it, a store; and what they were asked.

    Attributes
    ----------
    during : callable
        Called in `encode` with how many times it was called before.
    read : Counter
        How often each window was read.
    batches : list of int
        How many windows were encoded at once.
    written : list of Window
        In the order in which they were written.
    """

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        pixels = np.random.default_rng(0).integers(0, 1000, (6, 64, 88)).astype(np.uint16)
        source = open_image(pixels)
        self.model = tiny.model()
        self.store = EmbeddingStore.open(path, source, tiny.MAPPING, self.model)
        self.features = Features(self.model, source, tiny.MAPPING, self.store)
        self.windows = plan_windows(source, tiny.S)
        assert len(self.windows) == 12
        self.during: Callable[[int], object] = lambda call: None
        self.reading: Callable[[Window], object] = lambda window: None
        self.writing: Callable[[Window], object] = lambda window: None
        self.read: Counter[Window] = Counter()
        self.batches: list[int] = []
        self.written: list[Window] = []
        read, write = self.features.read, self.store.write

        def reading(window: Window) -> Pixels:
            self.read[window] += 1
            self.reading(window)
            return read(window)

        def writing(window: Window, features: TileFeatures, digest: str) -> None:
            self.writing(window)
            write(window, features, digest)
            self.written.append(window)

        monkeypatch.setattr(self.model, "encode", self._encode)
        monkeypatch.setattr(self.model, "prepare", lambda features: features)
        monkeypatch.setattr(self.features, "read", reading)
        monkeypatch.setattr(self.store, "write", writing)

    def _encode(self, images: Tensor, between: Callable[[], None]) -> TileFeatures:
        self.batches.append(len(images))
        self.during(len(self.batches) - 1)
        between()
        brightness = F.avg_pool2d(images[:, :1], 4)
        embedding = F.avg_pool2d(brightness, 4).expand(-1, 256, -1, -1)
        return TileFeatures(embedding, brightness.expand(-1, 32, -1, -1))

    def job(self, batch: Any = 1) -> EmbedJob:
        return EmbedJob(self.features, self.windows, batch)

    @property
    def stored(self) -> set[Window]:
        return set(self.store.windows())


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    yield Scene(tmp_path / "store", monkeypatch)
    assert threads_left() == []


def threads_left() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("embed")]


@pytest.mark.parametrize(
    ("batch", "batches"),
    [(1, [1] * 12), (5, [5, 5, 2]), (12, [12]), (16, [12]), ("auto", [1] * 12)],
)
def test_the_store_is_that_of_windows_done_one_by_one(
    scene: Scene,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    batch: Any,
    batches: list[int],
) -> None:
    plain = Scene(tmp_path / "plain", monkeypatch)
    for window in plain.windows:
        plain.features.store_one(window)
    assert scene.job(batch).result() is scene.store
    assert scene.batches == batches
    assert set(scene.read.values()) == {1}
    assert scene.written == scene.windows
    assert tiny.contents(scene.store) == tiny.contents(plain.store)
    # and nothing needs to be read to know that it is current
    monkeypatch.setattr("napari_hqsam.embedding.features.read_pixels", None)
    for window in scene.windows:
        scene.features.get(window)
    assert set(scene.features.offered((3,), (0, 0, 64, 88))) == {
        w for w in scene.windows if w.plane == (3,)
    }


def test_batches_of_a_real_encoder_differ_by_rounding(micro: HQSam) -> None:
    from napari_hqsam.embedding.encode import encode_image, encode_images

    rng = torch.Generator().manual_seed(0)
    images = [torch.rand(1, 3, h, 64, generator=rng) * 255 for h in (64, 40, 64, 9, 64)]
    together = encode_images(micro, images)
    for i, image in enumerate(images):
        alone = encode_image(micro, image)
        torch.testing.assert_close(together.embedding[i : i + 1], alone.embedding, **CLOSE)
        torch.testing.assert_close(together.hq[i : i + 1], alone.hq, **CLOSE)


CLOSE = {"rtol": 1e-4, "atol": 1e-4}


@pytest.fixture
def micro() -> HQSam:
    from napari_hqsam.modeling import build

    torch.manual_seed(0)
    return build("micro", input_size=64).eval()


def test_the_next_windows_are_read_while_one_is_encoded(scene: Scene) -> None:
    read = {window: threading.Event() for window in scene.windows}
    scene.reading = lambda window: read[window].set()

    def during(call: int) -> None:
        for window in scene.windows[call : call + 3]:
            assert read[window].wait(WAIT)
        assert not any(read[window].is_set() for window in scene.windows[call + 3 :])

    scene.during = during
    scene.job().result()
    assert len(scene.batches) == 12


def test_windows_are_written_while_the_next_are_encoded(scene: Scene) -> None:
    def during(call: int) -> None:
        if call:
            assert done[call - 1].wait(WAIT)

    done = [threading.Event() for _ in scene.windows]
    scene.during = during
    job = scene.job()
    write = scene.store.write

    def writing(window: Window, *rest: Any) -> None:
        write(window, *rest)
        assert threading.current_thread() is not threading.main_thread()
        done[scene.windows.index(window)].set()

    scene.store.write = writing  # type: ignore[method-assign]
    job.result()


def test_an_encoder_that_is_faster_than_the_disk_waits_for_it(scene: Scene) -> None:
    fourth, slow = threading.Event(), threading.Event()
    scene.during = lambda call: fourth.set() if call == 3 else None
    scene.writing = lambda window: slow.wait(WAIT)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(scene.job().result)
        assert not fourth.wait(MOMENT)
        slow.set()
        running.result(WAIT)
    assert fourth.is_set()


def test_progress_counts_what_is_stored(scene: Scene) -> None:
    for window in scene.windows[3:6]:
        scene.features.store_one(window)
    scene.read.clear()
    steps = []
    for step in scene.job(2):
        assert len(scene.stored) >= 3 + step.done - step.skipped
        steps.append(step)
    assert [s.done for s in steps] == list(range(1, 13))
    assert all(s.total == 12 for s in steps)
    assert steps[-1].skipped == 3
    assert steps[-1].seconds_left == 0
    assert np.isnan(steps[0].seconds_left)
    assert 0 < steps[5].seconds_left < WAIT
    assert set(scene.read) == set(scene.windows[:3] + scene.windows[6:])
    assert [s.skipped for s in scene.job()] == list(range(1, 13))


def test_what_another_process_stores_meanwhile_is_not_encoded(scene: Scene) -> None:
    def during(call: int) -> None:
        if call == 0:  # window 1 is read by now, or about to be
            for window in scene.windows[1:10]:
                scene.store.write(window, tiny.features(window), "its pixels")

    scene.during = during
    steps = list(scene.job())
    assert scene.batches == [1] * 3
    assert steps[-1].skipped == 9
    assert steps[-1].done == 12


@pytest.mark.parametrize("batch", [1, 4])
def test_what_cannot_be_read_is_told_in_its_turn(scene: Scene, batch: int) -> None:
    def reading(window: Window) -> None:
        if window == scene.windows[5]:
            raise HQSAMError("cells.tif: tile 5 is damaged")

    scene.reading = reading
    steps = []
    with pytest.raises(HQSAMError, match=r"^cells.tif: tile 5 is damaged$"):
        steps.extend(scene.job(batch))
    assert threads_left() == []
    assert [step.done for step in steps] == [1, 2, 3, 4, 5]
    assert scene.stored == set(scene.windows[:5])
    scene.reading = lambda window: None
    assert scene.job(batch).result() is scene.store
    assert scene.stored == set(scene.windows)


def test_a_failing_encoder_ends_the_job_and_keeps_what_was_encoded(scene: Scene) -> None:
    def during(call: int) -> None:
        if call == 3:
            raise RuntimeError("a bug")

    scene.during = during
    with pytest.raises(RuntimeError, match="a bug"):
        scene.job().result()
    assert threads_left() == []
    assert scene.stored == set(scene.windows[:3])


def test_closing_keeps_what_was_encoded_and_leaves_no_thread(scene: Scene) -> None:
    job = scene.job()
    for step in job:
        if step.done == 3:
            break
    assert threads_left() != []
    job.close()
    assert threads_left() == []
    assert scene.stored == set(scene.windows[: len(scene.batches)])
    assert 3 <= len(scene.batches) < 12
    assert list(job) == []
    scene.job().result()
    assert len(scene.batches) == 12  # nothing twice


def test_an_interrupted_encoder_leaves_no_thread(scene: Scene) -> None:
    def during(call: int) -> None:
        if call == 2:
            raise KeyboardInterrupt

    scene.during = during
    with pytest.raises(KeyboardInterrupt):
        scene.job().result()
    assert threads_left() == []


def test_a_full_disk_ends_the_job_in_one_line(scene: Scene) -> None:
    def writing(window: Window) -> None:
        if window == scene.windows[4]:
            raise StoreUnavailable("cells.embeddings: the disk is full")

    scene.writing = writing
    with pytest.raises(HQSAMError, match=r"^cells.embeddings: the disk is full$"):
        scene.job(3).result()
    assert threads_left() == []
    assert scene.stored == set(scene.windows[:4])
    with pytest.raises(HQSAMError, match="free some space"):
        scene.job().result()


def test_a_batch_too_large_is_halved_until_it_fits(scene: Scene) -> None:
    def during(call: int) -> None:
        if scene.batches[call] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    scene.during = during
    job = scene.job(8)
    told = "cpu: out of memory with 8 windows at once; going on with 2"
    with pytest.warns(UserWarning, match=told) as warned:
        job.result()
    assert len(warned) == 1
    assert scene.batches == [8, 4, *[2] * 6]
    assert job.batch == 2
    assert set(scene.read.values()) == {1}
    assert scene.written == scene.windows


def test_a_single_window_too_large_is_told_in_one_line(scene: Scene) -> None:
    def during(call: int) -> None:
        if call > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")

    scene.during = during
    with pytest.raises(HQSAMError, match="cpu: out of memory with a single window; end other"):
        scene.job(2).result()
    assert scene.stored == set(scene.windows[:4])


def test_encoding_and_reading_give_way_to_a_user(scene: Scene) -> None:
    gate = scene.features.gate
    encoding, go_on, encoded = (threading.Event() for _ in range(3))

    def during(call: int) -> None:
        if call == 0:
            encoding.set()
            assert go_on.wait(WAIT)
        elif call == 1:
            encoded.set()

    scene.during = during
    with ThreadPoolExecutor(1) as pool:
        with gate.urgent():
            running = pool.submit(scene.job().result)
            assert not encoding.wait(MOMENT)
            assert not scene.read
        assert encoding.wait(WAIT)
        with gate.urgent():
            go_on.set()
            assert not encoded.wait(MOMENT)  # window 0 waits between two blocks
        running.result(WAIT)


def test_a_batch_must_be_a_number(scene: Scene) -> None:
    with pytest.raises(HQSAMError, match="batch 0: give a whole number"):
        scene.job(0)
