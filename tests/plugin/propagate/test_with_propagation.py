"""The dock with a real propagation, of a model that finds what is bright."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from torch import Tensor

from napari_hqsam.benchmark.instant import Instant
from napari_hqsam.modeling import TileFeatures
from napari_hqsam.plugin.annotate import AnnotateWidget
from napari_hqsam.plugin.propagate import PropagateWidget

from .conftest import SECOND, Control, Desk

# A bright square that moves to the right, on slices 2 to 9 of twelve; another one that stays.
STACK = np.zeros((12, 60, 80), dtype=np.uint16)
for z in range(2, 10):
    STACK[z, 10:30, 8 + z : 28 + z] = 1000
STACK[:, 35:50, 40:60] = 1000


class Bright(Instant):
    """Finds what is bright, with as many channels as an embedding store takes."""

    def encode(self, images: Tensor, between: Any = lambda: None) -> TileFeatures:
        embedding, hq = super().encode(images)
        assert hq is not None
        return TileFeatures(embedding.expand(-1, 256, -1, -1), hq.expand(-1, 32, -1, -1))

    def decode(self, features: TileFeatures, *about: Any, **options: Any) -> Any:
        assert features.hq is not None
        return super().decode(features._replace(hq=features.hq[:, :1].float()), *about, **options)


@pytest.fixture
def real(
    qtbot: Any, until: Any, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Desk]:
    made = Bright(128)
    monkeypatch.setattr("napari_hqsam.weights.load_model", lambda *_args, **_options: made)
    viewer: Any = ViewerModel()
    viewer.canvas.size = (400, 440)
    annotate = AnnotateWidget(viewer)
    place = "napari_hqsam.plugin.propagate.annotating.annotate_dock"
    monkeypatch.setattr(place, lambda _viewer: annotate)
    dock = PropagateWidget(viewer)
    for widget in (annotate, dock):
        qtbot.addWidget(widget)
    yield Desk(viewer, dock, Control(), told, until)
    dock.shut_down()
    annotate.shut_down()


def square(z: int) -> tuple[int, int, int, int]:
    return 10, 8 + z, 30, 28 + z


def agreement(desk: Desk, number: int, z: int, truth: np.ndarray) -> float:
    found = desk.labels.data[z] == number
    return np.count_nonzero(found & truth) / max(np.count_nonzero(found | truth), 1)


def test_an_object_is_followed_to_its_ends_and_corrected(real: Desk) -> None:
    real.open(STACK)
    real.commit(square(5), 5)
    real.run()
    assert not real.told
    assert real.grown() == [2, 3, 4, 6, 7, 8, 9]
    for z in range(2, 10):
        truth = np.zeros(STACK.shape[1:], bool)
        truth[10:30, 8 + z : 28 + z] = True
        assert agreement(real, 1, z, truth) > 0.8
    assert all(0.5 <= (m.score or 1) <= 1 for m in real.masks(1).values())
    before = {z: real.masks(1)[(z,)] for z in (2, 3, 4, 6, 8, 9)}
    real.paint((8, 15, 10, 35), 1, 7)  # a little more: on the next slices all is as it was
    real.run()
    assert not real.told
    assert real.said == "Nothing new: object 1 at z = 2 to 9 as before."
    assert {z: real.masks(1)[(z,)] for z in before} == before  # the very same
    assert real.session.can_undo == "painting of object 1"
    real.annotate.undo()
    assert real.grown() == [2, 3, 4, 6, 7, 8, 9]
    real.annotate.undo()
    assert list(real.masks(1)) == [(5,)]


def test_two_objects_at_once_do_not_overlap(real: Desk) -> None:
    real.open(STACK)
    real.commit(square(5), 5)
    real.commit(SECOND, 5)
    real.c.objects.value = "slice"
    real.go_to(5)
    real.run()
    assert real.grown(2) == [z for z in range(12) if z != 5]
    assert not real.session.overlapping
    assert real.labels.data[11, 42, 50] == 2


def test_from_here_after_a_stop_by_the_range(real: Desk) -> None:
    real.open(STACK)
    real.commit(square(3), 3)
    real.c.range.value = "range"
    real.c.first.value, real.c.last.value = 3, 5
    real.run()
    assert real.grown() == [4, 5]
    real.c.range.value = "end"
    real.go_to(5)
    real.again()
    assert real.grown() == [4, 5, 6, 7, 8, 9]
    assert not real.told
