"""What would be found where somebody looks, computed anew as they turn the knobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]

from napari_hqsam.errors import HQSAMError
from napari_hqsam.plugin.segment_all.contours import Contours
from napari_hqsam.plugin.task import Task

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_hqsam.labels.plane import ArrayPlane
    from napari_hqsam.labels.pyramid import Box
    from napari_hqsam.plugin.segment_all.assignment import Assignment
    from napari_hqsam.plugin.segment_all.bench import Bench
    from napari_hqsam.plugin.task import Reporter

_QUIET_MILLISECONDS = 400
# Of more pixels there is no preview: it must be there in seconds.
LARGEST = 1024**2


@dataclass(frozen=True, eq=False)
class Sight:
    """What is previewed.

    Attributes
    ----------
    image : napari.layers.Image
    assignment : Assignment
    plane : ArrayPlane
        Of the layer.
    box : (y0, x0, y1, x1)
        In pixels.
    """

    image: Image
    assignment: Assignment
    plane: ArrayPlane
    box: Box

    def covers(self, other: Sight) -> bool:
        """Whether all of another sight can be seen in this one."""
        if self.image is not other.image or self.plane != other.plane:
            return False
        (y0, x0, y1, x1), (a0, b0, a1, b1) = self.box, other.box
        return y0 <= a0 and x0 <= b0 and y1 >= a1 and x1 >= b1


class LivePreview(QObject):
    """Computes and shows one preview at a time; what is out of date is dropped.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    bench : Bench
    look : callable
        Gives what is to be previewed now; raises HQSAMError if that is nothing.

    Attributes
    ----------
    contours : Contours

    Signals
    -------
    said(str)
        One line: how it stands.
    """

    said = Signal(str)

    def __init__(self, viewer: ViewerModel, bench: Bench, look: Callable[[], Sight]) -> None:
        super().__init__()
        self._bench, self._look = bench, look
        self.contours = Contours(viewer)
        self._on = self._outdated = False
        self._shown: Sight | None = None
        self._doing: Sight | None = None
        self._refining: Sight | None = None  # its assignment serves as long as only the view moves
        self._task = Task()
        self._task.done.connect(self._on_done)
        self._task.failed.connect(self._on_failed)
        self._task.ended.connect(self._on_ended)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_QUIET_MILLISECONDS)
        self._timer.timeout.connect(self._begin)

    @property
    def on(self) -> bool:
        """Whether there is a preview."""
        return self._on

    @property
    def busy(self) -> bool:
        """Whether one is computed, or will be soon."""
        return self._task.busy or self._timer.isActive()

    def turn(self, on: bool) -> None:
        """Have a preview, or none."""
        self._on = on
        if on:
            self.renew()
        else:
            self._timer.stop()
            self._task.cancel()
            self._shown = self._refining = None
            self.contours.remove()
            self.said.emit("")

    def renew(self) -> None:
        """Other parameters, or other data: compute it anew, soon."""
        self._shown = self._refining = None
        self._outdated = True
        self.follow()

    def follow(self) -> None:
        """The view has moved: compute what is not shown yet, soon."""
        if self._on:
            self._timer.start()

    def close(self) -> None:
        """Take the layer away, and end the thread."""
        self.turn(False)
        self._task.close()

    def _begin(self) -> None:
        if not self._on:
            return
        if self._task.busy and self._outdated:
            self._task.cancel()  # begins again when that has ended
            return
        try:
            sight = self._look()
        except HQSAMError as error:
            self._shown, self._outdated = None, True  # also what is being computed
            self.contours.remove()
            self.said.emit(str(error))
            return
        shown = self._shown if self.contours.alive else None
        now = self._doing if self._task.busy else shown
        if now is not None and now.covers(sight):
            return
        if self._task.busy:
            self._outdated = True
            self._task.cancel()
            return
        last = self._refining
        if last is not None and last.image is sight.image:
            sight = replace(sight, assignment=last.assignment)
        elif sight.assignment.method == "refine":
            self._refining = sight
        self._outdated, self._doing = False, sight
        bench = self._bench

        def work(job: Reporter) -> Any:
            with bench.segmenter(sight.assignment.subject, job) as segmenter:
                job.check()
                place = sight.assignment.placement.plane(sight.plane)
                return sight, sight.assignment.preview(segmenter, place, sight.box)

        self.said.emit("Computing the preview…")
        self._task.start(work)

    def _on_done(self, result: tuple[Sight, Any]) -> None:
        if not self._on or self._outdated:
            return
        sight, labels = result
        self._shown = sight
        self.contours.show(sight.image, sight.plane, sight.box, labels)
        count = np.count_nonzero(np.unique(labels))
        self.said.emit(f"Preview: {count:,} object{'' if count == 1 else 's'} in view.")

    def _on_failed(self, line: str) -> None:
        if self._on and not self._outdated:
            self.contours.remove()
            self.said.emit(line)

    def _on_ended(self) -> None:
        if self._on and self._outdated and not self._timer.isActive():
            self._begin()
