"""The Propagate dock."""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_warning
from qtpy.QtCore import QEvent, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QDockWidget, QWidget

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.frame import LabelFrame
from napari_hqsam.labels.objects import LabelObject
from napari_hqsam.plugin.annotate.navigation import go_to
from napari_hqsam.plugin.propagate.annotating import Annotating, beside
from napari_hqsam.plugin.propagate.choice import Choice, in_words
from napari_hqsam.plugin.propagate.controls import Controls
from napari_hqsam.plugin.propagate.course import slice_in_view
from napari_hqsam.plugin.propagate.growing import Growing, worst
from napari_hqsam.plugin.propagate.planning import Planning
from napari_hqsam.plugin.propagate.running import Running
from napari_hqsam.plugin.propagate.tracks import show_tracks
from napari_hqsam.plugin.segment_all.bench import Bench
from napari_hqsam.plugin.task import Task

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Image

    from napari_hqsam.plugin.propagate.plan import Plan
    from napari_hqsam.session.session import Session

# It takes seconds to import: in a thread, when there is an image.
_LIBRARY = "napari_hqsam.segmentation.volume"
# What is meant is looked up anew so long after it may have changed.
_QUIET_MILLISECONDS = 100


class PropagateWidget(QWidget):
    """Follows the objects of the Annotate dock through a stack or a film.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer

    Attributes
    ----------
    controls : Controls
    annotating : Annotating
    choice : Choice
    running : Running
    """

    _stage = Signal(str, object, object)  # of loading, from the thread

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.viewer = viewer = napari_viewer
        self.controls = Controls()
        self.annotating = Annotating(viewer)
        self.choice = Choice(self.annotating)
        self.planning = Planning(viewer, self.controls, self.annotating, self.choice)
        # No children of this widget: they are deleted with it, but must end their work first.
        self._bench = bench = Bench(self._stage.emit)
        self.running = running = Running(bench)
        self.growing = Growing(running)
        self._loading = loading = Task()
        self._loaded = _LIBRARY in sys.modules
        self._image: Image | None = None
        self._session: Session | None = None
        self._waiting: object = None  # until the objects of labels are known
        self._closed = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_QUIET_MILLISECONDS)
        self._timer.timeout.connect(self.look)
        self.controls.lay_out(self)
        self.setMinimumWidth(300)
        for part in (running, bench, loading):
            self.destroyed.connect(lambda _=None, part=part: part.close())
        self._connect()
        with suppress(HQSAMError):  # without a window the buttons say so
            self.annotating.open()

    @property
    def busy(self) -> bool:
        """Whether something is under way, or waited for."""
        waiting = self._waiting is not None
        return waiting or self.running.busy or self.growing.plan is not None

    # What the user does

    def propagate(self) -> None:
        """Follow objects from the masks that the user vouches for."""
        self._begin(from_here=False)

    def propagate_from_here(self) -> None:
        """Follow objects from the slice on display, to the next ones that the user vouches for."""
        self._begin(from_here=True)

    def stop(self) -> None:
        """Stop; what is there is kept."""
        if self.running.busy:
            self.growing.stop()
            self.controls.say("Stopping…")

    def jump_to_worst(self) -> None:
        """Go to the slice of the objects that are meant with the lowest score."""
        try:
            _, _, labels, session = self.annotating.there()
            slice_in_view(self.viewer, labels)
            course = self.planning.course()
            found = worst(session, course, self.planning.objects(course))
            if found is None:
                raise HQSAMError("nothing is propagated there yet: Propagate first")
        except HQSAMError as error:
            self.warn(str(error))
            return
        number, position, mask = found
        go_to(self.viewer, labels, LabelObject(number, (mask,)))
        self.choice.choose([number])
        self.controls.say(
            f"{course.axis} = {position}: the lowest score, {mask.score:.2f}, of "
            f"{in_words([number])}. Correct it, and Re-propagate from here."
        )

    def shut_down(self) -> None:
        """End the threads: the dock is closed."""
        if self._closed:
            return
        self._closed = True
        self._timer.stop()
        for event, slot in self._viewer_events():
            event.disconnect(slot)
        self.growing.refuse("")
        self.running.close()
        self._loading.close()
        self._bench.close()
        self.annotating.close()

    def event(self, event: Any) -> bool:
        """Notice that napari has taken the widget out of its dock, which it does to close it."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.shut_down()
            self.deleteLater()  # Qt holds what its signals call: nothing else would end that
        elif event.type() == QEvent.Type.ParentChange:
            QTimer.singleShot(0, self._settle)  # once napari has put it into the window
        return bool(super().event(event))

    # What happens then

    def warn(self, message: str) -> None:
        """Tell what went wrong, in one line."""
        self.controls.say(message)
        show_warning(f"HQ-SAM: {message}")

    def look(self) -> None:
        """Say what is meant now."""
        if self._closed or not self._loaded:
            return
        c, image, labels = self.controls, self.annotating.image, self.annotating.labels
        name = "" if image is None else image.name
        c.show_about(name if labels is None else f"{labels.name} in {name}")
        try:
            said = self.planning.described(self.planning.course())
        except HQSAMError as error:
            said = str(error)
        c.show_chosen(said if image is not None else "")

    def _begin(self, *, from_here: bool) -> None:
        """Begin as soon as all objects of the labels are known."""
        if self.running.busy or self.growing.plan is not None:
            return
        try:
            alone = self.annotating.dock is None
            self.annotating.begin()
            if alone:  # it was closed, and lies in front now
                self._settle()
            dock, *_, session = self.annotating.there()
        except HQSAMError as error:
            self.warn(str(error))
            return

        this = self._waiting = object()

        def go() -> None:
            if self._closed or self._waiting is not this:
                return
            self._waiting = None
            try:
                plan = self.planning.plan(from_here=from_here)
            except HQSAMError as error:
                self.warn(str(error))
                return
            if self.growing.begin(plan):
                self.planning.finished.begin(plan)
                self.controls.show_busy(True)
                self.controls.say("Beginning…")

        if not dock.objects.is_listed(session):
            self.controls.say("Looking for the objects in the labels…")
        dock.objects.once_listed(go)

    def _on_changed(self) -> None:
        """Another image, other labels, or another session of them."""
        session, image = self.annotating.session, self.annotating.image
        if session is not self._session:
            self._session, self._waiting = session, None
            self.planning.finished.forget()
        if image is not self._image:
            self._image = image
            self._on_image()
        self._soon()

    def _on_image(self) -> None:
        """Which axes another image has, and how large its voxels are."""
        frame, dock = None, self.annotating.dock
        if self._image is not None and dock is not None:
            with suppress(HQSAMError):
                frame = LabelFrame.of(dock.subjects.source(self._image))
        self.controls.show_frame(frame)
        if self._image is not None and not self._loaded:
            self._loading.start(lambda _job: import_module(_LIBRARY))

    def _on_loaded(self) -> None:
        self._loaded = True
        self._soon()

    def _on_ended(self, plan: Plan, said: str) -> None:
        if self._closed:
            return
        self.controls.show_busy(False)
        tracks = None
        if plan.course.axis == "t" and plan.labels in self.viewer.layers:
            objects = plan.session.objects.values()
            tracks = show_tracks(self.viewer, plan.labels, objects, plan.course.place)
        self.controls.say(said if tracks is None else f"{said} Tracks are in {tracks.name}.")
        self._soon()

    def _on_removed(self, event: Any) -> None:
        plan = self.growing.plan
        if plan is not None and event.value is plan.labels:
            self.growing.refuse(f"{plan.labels.name} was deleted: the propagation has stopped.")

    def _on_stage(self, text: str, done: int, total: int) -> None:
        """A model is fetched and loaded, an image read."""
        if self.running.busy:
            share = f" {done / 1e6:.0f} of {total / 1e6:.0f} MB" if total else ""
            self.controls.show_progress(text + share, done, total)

    def _settle(self) -> None:
        """Share the place of Annotate: side by side both would be too small."""
        if not self._closed and self.annotating.dock is not None:
            beside(self, self.annotating.dock)
            QTimer.singleShot(0, self._raise)  # the tabs are there only then

    def _raise(self) -> None:
        place = self.parent()
        if not self._closed and isinstance(place, QDockWidget):
            place.raise_()

    def _soon(self, _event: object = None) -> None:
        if not (self._closed or self._timer.isActive()):
            self._timer.start()

    # How it is put together

    def _connect(self) -> None:
        c = self.controls
        c.propagate.changed.connect(self.propagate)
        c.again.changed.connect(self.propagate_from_here)
        c.stop.changed.connect(self.stop)
        c.worst.changed.connect(self.jump_to_worst)
        for box in (c.axis, c.objects):
            box.changed.connect(self._soon)
        self._stage.connect(self._on_stage)
        self._loading.done.connect(self._on_loaded)
        self.growing.progress.connect(c.show_progress)
        self.growing.completed.connect(self.planning.finished.note)
        self.growing.ended.connect(self._on_ended)
        self.growing.failed.connect(self.warn)
        self.annotating.changed.connect(self._on_changed)
        self.annotating.stepped.connect(self._soon)
        self.choice.changed.connect(self._soon)
        for event, slot in self._viewer_events():
            event.connect(slot)

    def _viewer_events(self) -> list[tuple[Any, Any]]:
        dims = self.viewer.dims.events
        moves = [(event, self._soon) for event in (dims.current_step, dims.order, dims.ndisplay)]
        return [*moves, (self.viewer.layers.events.removed, self._on_removed)]
