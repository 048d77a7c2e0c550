"""Both docks with a viewer without a window, and a propagation that copies masks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.objects import PlaneMask
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.plugin.annotate import AnnotateWidget
from napari_hqsam.plugin.propagate import PropagateWidget
from napari_hqsam.session.record import NewObject

# Two bright squares on black, on each of eight slices.
SLICE = np.zeros((60, 80), dtype=np.uint16)
SLICE[10:30, 10:30] = 1000
SLICE[35:50, 40:60] = 1000
STACK = np.stack([SLICE] * 8)
FIRST, SECOND = (10, 10, 30, 30), (35, 40, 50, 60)


class Control:
    """What the propagations of a test have been asked, and what they do.

    Attributes
    ----------
    calls : list of dict
        The arguments of each.
    extent : dict
        By label, the first and last position where an object is; 1 to 6 by default.
    score : callable
        Of a label at a position.
    go : threading.Event
        A propagation waits for it before every slice but the first; set at the beginning.
    error : str
        What it fails with at its third slice; "" for none.
    """

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.extent: dict[int, tuple[int, int]] = {}
        self.score: Callable[[int, int], float] = lambda label, position: 0.9 - position / 20
        self.go = threading.Event()
        self.go.set()
        self.error: str | Exception = ""
        self.closed = threading.Event()

    @property
    def last(self) -> dict[str, Any]:
        return self.calls[-1]


def fake_propagation(control: Control) -> type:
    class Copying:
        """An object is on every slice of its extent what it is on the seed that it comes from."""

        def __init__(
            self,
            features: Any,
            level: int,
            course: Any,
            seeds: Mapping[int, Sequence[Any]],
            settings: Any,
            known: Any,
        ) -> None:
            self.course, self.settings, self.known = course, settings, known
            self.seeds = {label: {m.position: m for m in own} for label, own in seeds.items()}
            control.calls.append(
                {
                    "features": features,
                    "level": level,
                    "course": course,
                    "seeds": seeds,
                    "settings": settings,
                    "known": {
                        (label, at): mask
                        for label, own in known.__self__.known.items()
                        for at, mask in own.items()
                    },
                }
            )
            self.done, self.total = 0, 2 * course.length

        def __iter__(self) -> Iterator[list[Any]]:
            try:
                yield from self._walk()
            finally:
                control.closed.set()

        def _walk(self) -> Iterator[list[Any]]:
            made: set[tuple[int, int]] = set()
            for way in (1, -1):
                going: dict[int, Any] = {}
                for at in range(self.course.length)[::way]:
                    found = []
                    for label, own in self.seeds.items():
                        if at in own:
                            going[label] = own[at]
                        elif label in going and self._ends(label, at, way, going[label]):
                            del going[label]
                        elif label in going and (label, at) not in made:
                            made.add((label, at))
                            score = control.score(label, at)
                            found.append(replace(going[label], position=at, score=score))
                    if found:
                        yield self._step(found)

        def _ends(self, label: int, at: int, way: int, mask: Any) -> bool:
            s, own = self.settings, self.seeds[label]
            begin, end = control.extent.get(label, (1, 6))
            low, high = s.start or 0, self.course.length if s.stop is None else s.stop
            asked = low <= at < high and s.direction != ("backward" if way > 0 else "forward")
            if not begin <= at <= end or not (asked or min(own) < at < max(own)):
                return True
            known = self.known(label, at)
            return known is not None and known.bbox == mask.bbox

        def _step(self, found: list[Any]) -> list[Any]:
            if self.done:
                assert control.go.wait(20)
            if control.error and self.done == 2:
                if isinstance(control.error, Exception):
                    raise control.error
                raise HQSAMError(control.error)
            self.done += 1
            return found

    return Copying


class Desk:
    """A user at both docks.

    Attributes
    ----------
    viewer : napari.components.ViewerModel
    dock : PropagateWidget
    annotate : AnnotateWidget
    control : Control
    told : list of str
        The warnings.
    """

    def __init__(
        self, viewer: Any, dock: PropagateWidget, control: Control, told: list[str], until: Any
    ) -> None:
        self.viewer, self.dock, self.control, self.told = viewer, dock, control, told
        self.until = until
        self.c = dock.controls

    @property
    def annotate(self) -> AnnotateWidget:
        return self.dock.annotating.open()

    @property
    def session(self) -> Any:
        session = self.annotate.sessions.current
        assert session is not None
        return session

    @property
    def labels(self) -> Labels:
        """The layer chosen."""
        chosen = self.annotate.controls.labels.labels.value
        assert chosen is not None
        return chosen

    @property
    def said(self) -> str:
        return str(self.c.message.value)

    def open(self, data: np.ndarray = STACK, **options: Any) -> Image:
        name = options.pop("name", "cells")
        layer = self.viewer.add_image(data, name=name, contrast_limits=(0, 1000), **options)
        self.annotate.reset_choices()
        self.annotate.controls.image.image.value = layer
        return layer

    def commit(self, box: Sequence[int], *index: int) -> int:
        """Commit a box on a slice; the number of its object."""
        image = self.annotate.controls.image.image.value
        session = self.annotate.annotator.destination.session(image)
        (number,) = session.commit([NewObject((mask(box, *index),))])
        return int(number)

    def paint(self, box: Sequence[int], value: int, *index: int) -> None:
        """Paint a box with a brush."""
        y0, x0, y1, x1 = box
        y, x = (n.ravel() for n in np.mgrid[y0:y1, x0:x1])
        at = (*(np.full_like(y, i) for i in index), y, x)
        self.labels.data_setitem(at, value)

    def go_to(self, *index: int) -> None:
        self.viewer.dims.current_step = (*index, 0, 0)

    def masks(self, number: int) -> dict[tuple[int, ...], PlaneMask]:
        return {m.plane.index: m for m in self.session.objects[number].masks}

    def grown(self, number: int = 1) -> list[Any]:
        """Where the masks of an object are that have a score."""
        masks = self.masks(number).items()
        found = sorted(index for index, m in masks if m.score is not None)
        return [index[0] if len(index) == 1 else index for index in found]

    def wait(self) -> None:
        """Until all is over."""
        self.until(lambda: not self.dock.busy)

    def run(self) -> None:
        """Propagate until all is over."""
        self.dock.propagate()
        self.wait()

    def again(self) -> None:
        self.dock.propagate_from_here()
        self.wait()

    def looked(self) -> str:
        """What the dock says is meant, once it has looked."""
        self.dock.look()
        return str(self.c.chosen.value)


def mask(box: Sequence[int], *index: int) -> PlaneMask:
    y0, x0, y1, x1 = box
    n = len(index)
    plane = ArrayPlane((n, n + 1), index)
    return PlaneMask.of(plane, (y0, x0, y1, x1), np.ones((y1 - y0, x1 - x0), bool))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where journals and labels are kept."""
    data = tmp_path / "data"
    monkeypatch.setenv("NAPARI_HQSAM_DATA", str(data))
    monkeypatch.setattr("napari_hqsam.plugin.label_folder.labels_folder", lambda: data / "labels")
    return data


@pytest.fixture
def control(monkeypatch: pytest.MonkeyPatch, model: Any) -> Control:
    """What the propagations do that the dock makes."""
    made = Control()
    monkeypatch.setattr("napari_hqsam.segmentation.volume.Propagation", fake_propagation(made))
    return made


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The warnings that are shown."""
    lines: list[str] = []
    for place in ("annotate", "propagate"):
        monkeypatch.setattr(f"napari_hqsam.plugin.{place}.widget.show_warning", lines.append)
    return lines


@pytest.fixture
def sit_down(
    qtbot: Any, control: Control, until: Any, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Desk]]:
    """Open the docks, in a viewer of its own each time."""
    docks: dict[int, AnnotateWidget] = {}

    def annotate(viewer: Any) -> AnnotateWidget:
        dock = docks.get(id(viewer))
        if dock is None or dock.engine.closed:
            dock = docks[id(viewer)] = AnnotateWidget(viewer)
            qtbot.addWidget(dock)
            for event in (viewer.layers.events.inserted, viewer.layers.events.removed):
                event.connect(lambda _event, dock=dock: dock.reset_choices())
        return dock

    monkeypatch.setattr("napari_hqsam.plugin.propagate.annotating.annotate_dock", annotate)
    desks: list[Desk] = []

    def make() -> Desk:
        viewer: Any = ViewerModel()
        viewer.canvas.size = (400, 440)
        dock = PropagateWidget(viewer)
        qtbot.addWidget(dock)
        desks.append(Desk(viewer, dock, control, told, until))
        return desks[-1]

    yield make
    control.go.set()
    for desk in desks:
        desk.dock.shut_down()
    for dock in docks.values():
        dock.shut_down()


@pytest.fixture
def desk(sit_down: Callable[..., Desk]) -> Desk:
    return sit_down()
