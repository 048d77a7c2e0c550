"""A Segmenter with a view and a store: what is at hand is used, and masks stay whole."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_hqsam import Prompts, Segmenter
from napari_hqsam.embedding import View
from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.windows import grid
from napari_hqsam.modeling import HQSam

from .fakes import LookingGlass

WAIT = 60
SIZE = 128


def discs(shape: tuple[int, int], *places: tuple[int, int, int]) -> np.ndarray:
    """A dark image with bright discs (y, x, radius)."""
    yy, xx = np.indices(shape)
    image = np.zeros(shape, np.uint8)
    for y, x, r in places:
        image[(yy - y) ** 2 + (xx - x) ** 2 <= r**2] = 255
    return image


def iou(mask: object, truth: np.ndarray) -> float:
    found = mask.full(truth.shape)
    return float((found & truth).sum() / (found | truth).sum())


def ready(seg: Segmenter, view: View) -> None:
    done = threading.Event()

    def look() -> None:
        finished, total = seg.encoding.progress
        if total and finished == total:
            done.set()

    seg.encoding.changed.connect(look)
    seg.watch(view)
    look()
    assert done.wait(WAIT)


def test_a_click_where_the_view_is_encodes_nothing() -> None:
    image = discs((500, 500), (250, 260, 30))
    with Segmenter(image, model=LookingGlass(SIZE), contrast_limits=(0, 255)) as seg:
        ready(seg, View((), (150, 150, 350, 350), (250, 250)))
        encoded = seg.model.encoded
        mask = seg.predict([(250, 260)])
        assert seg.model.encoded == encoded
        assert iou(mask, image > 0) > 0.9


def test_a_window_encoded_for_a_click_is_ready_for_others() -> None:
    image = discs((300, 300), (60, 60, 20))
    with Segmenter(image, model=LookingGlass(SIZE), contrast_limits=(0, 255)) as seg:
        window = seg.predict(box=(30, 30, 90, 90)).window
        assert window in grid(image.shape, SIZE)
        assert seg.encoding.ready((), (0, 0, 300, 300)) == []
        ready(seg, View((), (0, 0, 300, 300)))
        assert window in seg.encoding.ready((), (0, 0, 300, 300))


@pytest.mark.parametrize("place", [(96, 96), (110, 200), (192, 96), (288, 300)])
@pytest.mark.parametrize("radius", [16, 40, 60])
def test_objects_across_windows_are_whole(place: tuple[int, int], radius: int) -> None:
    """At seams and corners of the windows that were encoded ahead, and larger than them."""
    image = discs((420, 420), (*place, radius))
    with Segmenter(image, model=LookingGlass(SIZE), contrast_limits=(0, 255)) as seg:
        alone = iou(seg.predict([place]), image > 0)
        ready(seg, View((), (0, 0, 420, 420), place))
        ahead = iou(seg.predict([place]), image > 0)
    assert ahead > alone - 0.01
    assert ahead > 0.9


def test_a_click_near_the_edge_of_its_object_finds_all_of_it() -> None:
    image = discs((600, 600), (300, 300, 100))
    with Segmenter(image, model=LookingGlass(SIZE), contrast_limits=(0, 255)) as seg:
        ready(seg, View((), (150, 150, 450, 450), (215, 300)))
        assert iou(seg.predict([(215, 300)]), image > 0) > 0.9


def test_the_result_does_not_depend_on_when_it_was_encoded(micro: HQSam, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (150, 170)).astype(np.uint8)
    box = Prompts(box=(70, 60, 95, 90))
    with Segmenter(image, model=micro, store=tmp_path / "s") as seg:
        seg.embed().result()
        first = seg.predict_many([box])[0]
    with Segmenter(image, model=micro, store=tmp_path / "s") as seg:
        again = seg.predict_many([box])[0]
        assert first.window in grid((150, 170), 64)
    assert first.window == again.window
    np.testing.assert_array_equal(first.low_res_sam, again.low_res_sam)
    np.testing.assert_array_equal(first.data, again.data)


def test_embedding_resumes_where_it_stopped(micro: HQSam, tmp_path: Path) -> None:
    image = np.zeros((2, 100, 100), np.uint8)
    with Segmenter(image, model=micro, store=tmp_path / "s") as seg:
        job = seg.embed()
        for step in job:
            if step.done == 3:
                job.close()
                break
        kept = sum(1 for _ in seg.features.store.windows())
        assert 3 <= kept < 8  # what was encoded by then is kept as well
    with Segmenter(image, model=micro, store=tmp_path / "s") as seg:
        steps = list(seg.embed())
        assert steps[-1].skipped == kept
        assert steps[-1].done == steps[-1].total == 8
        assert seg.embed().result() is seg.features.store


def test_embedding_needs_a_place() -> None:
    seg = Segmenter(np.zeros((50, 50), np.uint8), model=LookingGlass(SIZE))
    with pytest.raises(HQSAMError, match="give the Segmenter a store"):
        seg.embed()


def test_closing_ends_the_background(micro: HQSam) -> None:
    image = np.zeros((3, 400, 400), np.uint8)
    seg = Segmenter(image, model=micro)
    seg.watch(View((1,), (0, 0, 400, 400)))
    seg.close()
    assert not any(t.name == "encode" for t in threading.enumerate())


def test_a_click_goes_before_the_background() -> None:
    """Its window is encoded while another, in the background, waits between two blocks."""

    class Slow(LookingGlass):
        def encode(self, images: torch.Tensor, between: object = None) -> object:
            if threading.current_thread().name == "encode":
                begun.set()
                while not answered.is_set():
                    between()
                    answered.wait(0.01)
            return super().encode(images, between)

    begun, answered = threading.Event(), threading.Event()
    image = discs((900, 900), (800, 800, 20))
    with Segmenter(image, model=Slow(SIZE), contrast_limits=(0, 255)) as seg:
        seg.watch(View((), (0, 0, 100, 100)))
        assert begun.wait(WAIT)
        mask = seg.predict([(800, 800)])
        assert not answered.is_set()
        answered.set()
        assert iou(mask, image > 0) > 0.9
