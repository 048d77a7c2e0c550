"""What becomes of a job: its layer, its table, and what the user is told of both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_hqsam.plugin.segment_all.output import add_layer

if TYPE_CHECKING:
    from pathlib import Path

    from napari.components import ViewerModel
    from napari.layers import Image, Labels

    from napari_hqsam.plugin.segment_all.assignment import Assignment
    from napari_hqsam.plugin.segment_all.part import Part
    from napari_hqsam.plugin.segment_all.running import Running


@dataclass
class Run:
    """A job that was begun.

    Attributes
    ----------
    assignment : Assignment
    image : napari.layers.Image
    name : str
        Of the layer that is made.
    place : pathlib.Path or None
        Of the store that is made; None in memory.
    measure : bool
        Whether its objects are measured.
    labels : ndarray or LabelStore
        None until it is done.
    part : Part
        The same: what was written of them.
    layer : napari.layers.Labels
        The same.
    """

    assignment: Assignment
    image: Image
    name: str
    place: Path | None
    measure: bool
    labels: Any = None
    part: Part | None = None
    layer: Labels | None = None

    @property
    def kept(self) -> str:
        """Where the labels are, in words."""
        return "" if self.place is None else f" It is kept in {self.place}."


class Results:
    """Runs one job after the other, and shows what they give.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    running : Running

    Signals
    -------
    said(str)
        One line: what has happened.
    shown(Run)
        A new layer is there.
    ended()
        Another job can be begun.
    """

    said = Signal(str)
    shown = Signal(object)
    ended = Signal()

    def __init__(self, viewer: ViewerModel, running: Running) -> None:
        self._viewer, self._running = viewer, running
        self._run: Run | None = None
        self._measuring = False
        running.found.connect(self._on_found)
        running.measured.connect(self._on_measured)
        running.ended.connect(self._on_ended)

    def begin(self, run: Run) -> bool:
        """Begin a job; whether that is possible now."""
        begun = self._running.run(run.assignment, run.place)
        if begun:
            self._run, self._measuring = run, False
        return begun

    @property
    def finding(self) -> bool:
        """Whether objects are being found, and the model is not free."""
        return self._running.busy and not self._measuring

    def _on_found(self, found: tuple[Any, Part]) -> None:
        run = self._run
        assert run is not None
        labels, _ = run.labels, run.part = found
        run.layer = add_layer(self._viewer, run.image, run.assignment.placement, labels, run.name)
        self.said.emit(f"{run.layer.name} is done.{run.kept}")
        self.shown.emit(run)

    def _on_measured(self, table: Any) -> None:
        run = self._run
        if run is not None and run.layer is not None and run.layer in self._viewer.layers:
            run.layer.features = table
            rows = f"{len(table):,} {'object' if len(table) == 1 else 'objects'}"
            self.said.emit(f"{run.layer.name} is done: {rows}, measured in its features.{run.kept}")

    def _on_ended(self) -> None:
        run, cancelled = self._run, self._running.cancelled
        if run is None:
            return
        if cancelled and self._measuring:
            self.said.emit("Stopped; the labels stay, without measurements.")
        elif cancelled and run.layer is None:
            self.said.emit(
                "Stopped; nothing is kept."
                if run.place is None
                else f"Stopped. What is done is kept in {run.place}: the same Run goes on there."
            )
        elif run.part is not None and run.measure and not self._measuring:
            self._measuring = self._running.measure(run.assignment, run.labels, run.part)
            if self._measuring:
                return
        self._run, self._measuring = None, False
        self.ended.emit()
