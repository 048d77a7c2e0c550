"""The Segment all dock."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from napari.utils.notifications import show_warning
from qtpy.QtCore import QEvent, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QWidget

from napari_hqsam.errors import HQSAMError
from napari_hqsam.plugin.annotate.subjects import Subjects
from napari_hqsam.plugin.models.catalogue import catalogue
from napari_hqsam.plugin.segment_all.bench import Bench
from napari_hqsam.plugin.segment_all.controls import Controls
from napari_hqsam.plugin.segment_all.inputs import Inputs
from napari_hqsam.plugin.segment_all.live_preview import LivePreview, Sight
from napari_hqsam.plugin.segment_all.output import free_place, needs_disk, result_name
from napari_hqsam.plugin.segment_all.results import Results, Run
from napari_hqsam.plugin.segment_all.running import Running
from napari_hqsam.plugin.settings import Settings
from napari_hqsam.plugin.viewport import Viewport, main_window

if TYPE_CHECKING:
    import napari.viewer

    from napari_hqsam.plugin.segment_all.assignment import Assignment


class SegmentAllWidget(QWidget):
    """Finds all objects of an image, or gives the labels that are there better boundaries.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer

    Attributes
    ----------
    controls : Controls
    preview : LivePreview
    running : Running
    """

    _stage = Signal(str, object, object)  # of loading, from the thread

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.viewer = viewer = napari_viewer
        self.controls = Controls(viewer)
        settings = Settings.load()
        self.controls.image.model.value = settings.model
        self.subjects = Subjects(viewer, self.controls.image, settings)
        self.inputs = Inputs(viewer, self.controls, self.subjects)
        # No children of this widget: they are deleted with it, but must end their work first.
        self._bench = bench = Bench(self._stage.emit)
        self.preview = preview = LivePreview(viewer, bench, self._look)
        self.running = running = Running(bench)
        self.results = Results(viewer, running)
        self.viewport = Viewport(viewer)
        self._closed = False
        self._offered: Path | None = None  # where labels go unless the user says otherwise
        self.controls.lay_out(self)
        self.setMinimumWidth(300)
        for part in (running, preview, bench):
            self.destroyed.connect(lambda _=None, part=part: part.close())
        self._connect()
        self._end_settings = Settings.watch(self._on_settings)
        self._on_image()
        self._on_selected()

    # What the user does

    def reset_choices(self) -> None:
        """Offer the layers that there are now; napari calls it when layers come and go."""
        if not self._closed:
            self.controls.reset_choices()

    def run(self) -> None:
        """Do all of the region."""
        c = self.controls
        if self.running.busy:
            return
        try:
            image, assignment = self.inputs.image, self.inputs.assignment().settled()
            place = self._place(assignment)
        except HQSAMError as error:
            self.warn(str(error))
            return
        c.method.by_hand = True  # what comes next is not guessed any more
        c.preview.value = False
        name = result_name(image, c.method.chosen)
        if self.results.begin(Run(assignment, image, name, place, bool(c.extent.measure.value))):
            c.show_busy(True)
            c.say("Beginning…")

    def cancel(self) -> None:
        """Stop after the window that is being computed."""
        self.running.cancel()
        self.controls.say("Stopping…")

    def shut_down(self) -> None:
        """End the threads and take the preview away: the dock is closed."""
        if self._closed:
            return
        self._closed = True
        self._end_settings()
        catalogue.changed.disconnect(self.controls.image.reset_models, missing_ok=True)
        self.viewer.layers.selection.events.active.disconnect(self._on_selected)
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        self.viewport.close()
        self.running.close()
        self.preview.close()
        self._bench.close()

    def event(self, event: Any) -> bool:
        """Notice that napari has taken the widget out of its dock, which it does to close it."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.shut_down()
            self.deleteLater()  # Qt holds what its signals call: nothing else would end that
        elif event.type() in (QEvent.Type.Hide, QEvent.Type.Show) and not self._closed:
            with suppress(RuntimeError):  # as Python ends, Qt deletes in any order
                shown = event.type() == QEvent.Type.Show
                self.viewport.hold(not shown and not main_window(self).isVisible())
        return bool(super().event(event))

    # What happens then

    def warn(self, message: str) -> None:
        """Tell what went wrong, in one line."""
        self.controls.say(message)
        show_warning(f"HQ-SAM: {message}")

    def _place(self, assignment: Assignment) -> Path | None:
        """Where on disk the labels of a job go; None in memory."""
        if not needs_disk(assignment.placement.frame):
            return None
        place = self.controls.chosen_place
        if place is None:
            raise HQSAMError("the labels are too large for memory: choose where to save them")
        if place == self._offered:  # of other places the user has made the folder
            with suppress(OSError):  # the job says what is wrong
                place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def _look(self) -> Sight:
        """What is to be previewed."""
        sight = self.inputs.sight()
        subject = sight.assignment.subject
        if self.results.finding:
            raise HQSAMError("The preview waits until the run is over.")
        if self._bench.needs_download(subject):
            raise HQSAMError(f"{subject.model} is not here yet: Run downloads it.")
        return sight

    def _on_image(self) -> None:
        """Another image was chosen: what can be done of it, and how large its pixels are."""
        c, placement = self.controls, None
        with suppress(HQSAMError):
            image = self.inputs.image
            image.events.contrast_limits.connect(self.viewport.look)
            placement = self.inputs.placement()
        frame = None if placement is None else placement.frame
        steps = None if frame is None else frame.grid.micrometers("yx")
        c.method.show_pixel(None if steps is None else (steps["y"] * steps["x"]) ** 0.5)
        c.extent.offer(frame)
        self._offer_place()
        self.preview.renew()

    def _offer_place(self) -> None:
        """Ask where labels go that are too large for memory."""
        c = self.controls
        try:
            image, frame = self.inputs.image, self.inputs.placement().frame
        except HQSAMError:
            c.show_place(None)
            return
        if not needs_disk(frame):
            c.show_place(None)
        elif not c.place_shown or c.chosen_place == self._offered:
            self._offered = free_place(result_name(image, c.method.chosen))
            c.show_place(self._offered)

    def _on_method(self) -> None:
        self.controls.extent.show_method(self.controls.method.chosen)
        self._offer_place()

    def _on_selected(self, _event: Any = None) -> None:
        """Whoever selects labels may want them refined."""
        selected, method = self.viewer.layers.selection.active, self.controls.method
        if method.by_hand or not isinstance(selected, Labels):
            return
        method.reset_choices()  # it may have been added just now
        if method.offers(selected):
            method.choose("refine", selected)

    def _on_removed(self, event: Any) -> None:
        if self.preview.on and self.preview.contours.owns(event.value):
            self.controls.preview.value = False

    def _on_view(self) -> None:
        self.controls.image.contrast_button.visible = self.subjects.contrast_changed
        self.preview.follow()

    def _on_contrast(self) -> None:
        self.subjects.take_contrast()
        self.viewport.look()
        self.preview.renew()

    def _on_settings(self) -> None:
        before, now = self.subjects.settings, Settings.load()
        self.subjects.settings = now
        self.controls.image.reset_models()
        if now.model != before.model:  # what was chosen in the dock stays
            self.controls.image.model.value = now.model

    def _on_stage(self, text: str, done: int, total: int) -> None:
        """A model is fetched and loaded, an image read: for the run, or for the preview."""
        if self.results.finding:
            share = f" {done / 1e6:.0f} of {total / 1e6:.0f} MB" if total else ""
            self.controls.show_progress(text + share, done, total)
        elif self.preview.on:
            self.controls.say_preview(text)

    def _on_ended(self) -> None:
        self.controls.show_busy(False)
        self._offer_place()
        self.preview.follow()  # it has waited

    # How it is put together

    def _connect(self) -> None:
        c, renew = self.controls, self.preview.renew
        c.run.changed.connect(self.run)
        c.cancel.changed.connect(self.cancel)
        c.preview.changed.connect(self.preview.turn)
        c.image.image.changed.connect(self._on_image)
        for box in (c.image.green, c.image.blue, c.image.model):
            box.changed.connect(renew)
        c.image.contrast.changed.connect(self.viewport.look)
        c.image.contrast_button.changed.connect(self._on_contrast)
        c.method.switched.connect(self._on_method)
        for part in (c.method, c.extent, self.inputs):
            part.changed.connect(renew)
        self._on_method()
        self.preview.said.connect(c.say_preview)
        self._stage.connect(self._on_stage)
        self.running.progress.connect(c.show_progress)
        self.running.failed.connect(self.warn)
        self.results.said.connect(c.say)
        self.results.ended.connect(self._on_ended)
        self.viewport.moved.connect(self._on_view)
        catalogue.changed.connect(c.image.reset_models)
        self.viewer.layers.selection.events.active.connect(self._on_selected)
        self.viewer.layers.events.removed.connect(self._on_removed)
