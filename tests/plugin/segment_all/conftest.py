"""The dock with a viewer without a window, and a Segmenter that finds what is bright."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels
from skimage.measure import label
from skimage.morphology import dilation

from napari_hqsam.embedding.job import Progress
from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.frame import LabelFrame
from napari_hqsam.labels.given import as_label_array
from napari_hqsam.labels.store import LabelStore
from napari_hqsam.plugin.segment_all import SegmentAllWidget, live_preview
from napari_hqsam.segmentation.blocks import Block
from napari_hqsam.storage.work import SETTINGS

# Two bright squares on black, (y, x) from 40 to 79 and from 120 to 149.
PICTURE = np.zeros((200, 220), dtype=np.uint16)
PICTURE[40:80, 40:80] = 1000
PICTURE[120:150, 120:150] = 1000


def begin(place: Path) -> None:
    """Leave what a job leaves that has begun to write labels to a place."""
    folder = Path(f"{place}.job")
    folder.mkdir(exist_ok=True)
    (folder / SETTINGS).touch()


class Control:
    """What the Segmenters of a test have done, and what holds them up.

    Attributes
    ----------
    calls : list of (str, given, dict)
        What was asked of them: "refine" or "segment_all", from what, and the further arguments.
    previews : list of (plane, box)
    go : threading.Event
        A job waits for it before every window but the first; set at the beginning.
    error : str
        What a job fails with; "" for none.
    closed : int
        How many jobs were closed.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any, dict[str, Any]]] = []
        self.previews: list[tuple[Any, Any]] = []
        self.go = threading.Event()
        self.go.set()
        self.error = ""
        self.closed = 0
        self.threshold = 500

    @property
    def last(self) -> tuple[str, Any, dict[str, Any]]:
        return self.calls[-1]

    def reached(self) -> bool:
        """Wait until the job may go on; for the tests' own sake not for ever."""
        return self.go.wait(20)


class FakeJob:
    """Four windows; the labels are what `draw` makes of a plane and a box."""

    def __init__(
        self, control: Control, frame: LabelFrame, draw: Any, options: dict[str, Any], out: Any
    ) -> None:
        self.control, self.frame, self.draw, self.out = control, frame, draw, out
        self.labels = None
        h, w = frame.plane_shape
        region = options.get("region")
        box = tuple(region) if np.shape(region) == (4,) else (0, 0, h, w)
        planes = options.get("planes")
        self.plan = [Block(plane, box) for plane in (frame.planes() if planes is None else planes)]
        self._steps = self._progress()

    def __iter__(self) -> Iterator[Progress]:
        return self._steps

    def _progress(self) -> Iterator[Progress]:
        for i in range(4):
            if i:
                assert self.control.reached()
            if self.control.error and i == 2:
                raise HQSAMError(self.control.error)
            if self.out is not None:
                begin(self.out)
            yield Progress(i + 1, 4, 0, float("nan") if i == 0 else 3.0 - i, bytes=10**8 * i)

    def result(self) -> Any:
        labels = np.zeros(self.frame.shape, np.uint32)
        for block in self.plan:
            y0, x0, y1, x1 = block.box
            part = labels[self.frame.index(block.plane)][y0:y1, x0:x1]
            part[...] = self.draw(block.plane, block.box)
        if self.out is None:
            return labels
        store = LabelStore.create(self.out, labels.shape, axes=self.frame.axes)
        for index in np.ndindex(*labels.shape[:-2]):
            store.write(index, 0, 0, labels[index])
        shutil.rmtree(f"{self.out}.job")
        return store

    def preview(self, plane: Any, box: Any) -> Any:
        self.control.previews.append((plane, box))
        assert self.control.reached()
        return self.draw(plane, box)

    def close(self) -> None:
        self.control.closed += 1

    def __enter__(self) -> FakeJob:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class FakeSegmenter:
    """Finds what is bright; refined labels are a pixel larger."""

    def __init__(self, control: Control, subject: Any) -> None:
        self.control, self.source = control, subject.source

    def segment_all(self, prompts: Any = "grid", *, out: Any = None, **options: Any) -> FakeJob:
        self.control.calls.append(("segment_all", prompts, options))

        def draw(plane: Any, box: Any) -> Any:
            return label(self.source.read(plane, *box)[..., 0] > self.control.threshold)

        return FakeJob(self.control, LabelFrame.of(self.source), draw, options, out)

    def refine(self, labels: Any, *, out: Any = None, **options: Any) -> FakeJob:
        frame = LabelFrame.of(self.source)
        given = as_label_array(labels, frame)
        self.control.calls.append(("refine", labels, options))

        def draw(plane: Any, box: Any) -> Any:
            return dilation(given.read(frame.plane(plane), box), np.ones((3, 3)))

        return FakeJob(self.control, frame, draw, options, out)

    def close(self) -> None:
        pass


class Desk:
    """A user at the dock.

    Attributes
    ----------
    viewer : napari.components.ViewerModel
    dock : SegmentAllWidget
    control : Control
    told : list of str
        The warnings.
    """

    def __init__(self, viewer: Any, dock: Any, control: Control, told: list[str], until: Any):
        self.viewer, self.dock, self.control, self.told = viewer, dock, control, told
        self.until = until
        self.c = dock.controls

    @property
    def said(self) -> str:
        return str(self.c.message.value)

    @property
    def names(self) -> list[str]:
        return [layer.name for layer in self.viewer.layers]

    def open(self, data: np.ndarray = PICTURE, name: str = "cells", **options: Any) -> Image:
        return self.viewer.add_image(data, name=name, contrast_limits=(0, 1000), **options)

    def choose(self, method: str) -> None:
        """Choose a method by hand."""
        self.c.method.method.value = method

    def run(self) -> Labels | None:
        """Run until all is over; the new layer, if there is one."""
        before = list(self.viewer.layers)
        self.dock.run()
        self.until(lambda: not self.dock.running.busy)
        new = [layer for layer in self.viewer.layers if layer not in before]
        return new[0] if new else None

    def preview(self) -> Labels | None:
        """Wait for the preview; its layer."""
        self.until(lambda: not self.dock.preview.busy)
        return self.dock.preview.contours.layer


@pytest.fixture
def control(monkeypatch: pytest.MonkeyPatch) -> Control:
    """What the Segmenters do that the dock makes."""
    made = Control()
    place = "napari_hqsam.plugin.loader.Loader.segmenter"
    monkeypatch.setattr(place, lambda _self, subject: FakeSegmenter(made, subject))
    return made


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The warnings that are shown."""
    lines: list[str] = []
    place = "napari_hqsam.plugin.segment_all.widget.show_warning"
    monkeypatch.setattr(place, lines.append)
    return lines


@pytest.fixture
def sit_down(
    qtbot: Any,
    control: Control,
    until: Any,
    told: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., Desk]]:
    """Open the dock, in a viewer of its own each time."""
    monkeypatch.setattr(live_preview, "_QUIET_MILLISECONDS", 20)
    desks: list[Desk] = []

    def make(viewer: Any = None) -> Desk:
        viewer = ViewerModel() if viewer is None else viewer
        viewer.canvas.size = (400, 440)
        dock = SegmentAllWidget(viewer)
        qtbot.addWidget(dock)
        viewer.layers.events.inserted.connect(lambda _event: dock.reset_choices())
        viewer.layers.events.removed.connect(lambda _event: dock.reset_choices())
        desks.append(Desk(viewer, dock, control, told, until))
        return desks[-1]

    yield make
    control.go.set()
    for desk in desks:
        desk.dock.shut_down()


@pytest.fixture
def desk(sit_down: Callable[..., Desk]) -> Desk:
    return sit_down()
