"""The dock widget: its tabs, and how the parts are put together."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from napari.utils.notifications import show_warning
from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QScrollArea, QTabWidget, QVBoxLayout, QWidget

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.plugin.annotate.annotator import Annotator
from napari_hqsam.plugin.annotate.controls import Controls
from napari_hqsam.plugin.annotate.destination import Destination
from napari_hqsam.plugin.annotate.exporting import Exporting
from napari_hqsam.plugin.annotate.keys import KeyBindings
from napari_hqsam.plugin.annotate.label_choice import LabelChoice
from napari_hqsam.plugin.annotate.label_layers import LabelLayers
from napari_hqsam.plugin.annotate.objects_tab import ObjectsTab
from napari_hqsam.plugin.annotate.pictures import Pictures
from napari_hqsam.plugin.annotate.recovering import Recovering
from napari_hqsam.plugin.annotate.recovery_bar import RecoveryBar
from napari_hqsam.plugin.annotate.sessions import Sessions
from napari_hqsam.plugin.annotate.subjects import Subjects
from napari_hqsam.plugin.annotate.wiring import actions, connect
from napari_hqsam.plugin.engine import Engine
from napari_hqsam.plugin.look_ahead import LookAhead
from napari_hqsam.plugin.preview import NAME as PREVIEW
from napari_hqsam.plugin.preview import Preview
from napari_hqsam.plugin.settings import Settings
from napari_hqsam.plugin.viewport import Viewport, main_window, screen_pixels, visible_box

if TYPE_CHECKING:
    import napari.viewer


class AnnotateWidget(QWidget):
    """The dock widget.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer

    Attributes
    ----------
    controls : Controls
    annotator : Annotator
    sessions : Sessions
    objects : ObjectsTab
    pictures : Pictures
    exporting : Exporting
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.viewer = viewer = napari_viewer
        self.layers = layers = LabelLayers(viewer)
        # No children of this widget: they are deleted with it, but must end their work first.
        self.engine = engine = Engine()
        self.viewport = Viewport(viewer)
        self.preview = Preview(viewer)
        self.destroyed.connect(lambda: engine.close())
        self.destroyed.connect(lambda: layers.flush())

        self.controls = Controls(
            viewer, lambda layer: layer.name == PREVIEW or layers.is_part(layer)
        )
        self._settings = Settings.load()
        self.subjects = Subjects(viewer, self.controls.image, self._settings)
        self.sessions = Sessions(layers, self.subjects)
        destination = Destination(viewer, self.controls, layers, self.sessions)
        self.annotator = Annotator(
            viewer, self.controls, self.subjects, engine, self.preview, self.sessions, destination
        )
        self.labels = LabelChoice(self.controls, layers, self.sessions)
        self.objects = ObjectsTab(viewer, layers, self.sessions)
        self.exporting = Exporting(
            self.controls, self.subjects, layers, self.sessions, destination, self.objects
        )
        self.pictures = Pictures(
            viewer, self.controls, layers, self.sessions, self._encode_ahead, self._is_idle
        )
        self._ahead = LookAhead(
            viewer, self.viewport, engine, self.controls.image, self.subjects.on_display
        )
        self._recovery_bar = RecoveryBar()
        self.recovering = Recovering(viewer, self._recovery_bar, layers, self.sessions)
        self.keys = KeyBindings(actions(self))
        self._lay_out()
        connect(self)
        self._use_settings()
        self._end_watching = Settings.watch(self._use_settings)
        self.on_image()

    # What the user does

    def reset_choices(self) -> None:
        """Offer the layers that there are now; napari calls it when layers come and go."""
        if not self.engine.closed:  # napari also calls it when the dock is gone
            self.controls.reset_choices()

    def undo(self) -> None:
        """Take the last step back: a prompt, a commit, a stroke, whatever it was."""
        self._turn("undo", "Took back")

    def redo(self) -> None:
        """Do again what was taken back last."""
        self._turn("redo", "Did again")

    def cancel(self) -> None:
        """Stop waiting for what is being computed."""
        self.engine.cancel()
        self.controls.status.say("Cancelled. Add or move a prompt to go on.")

    def shut_down(self) -> None:
        """Write what was painted, end the threads, take no more requests: the dock is closed."""
        if self.engine.closed:
            return
        self._end_watching()
        self.keys.unbind()
        self.viewport.close()
        self._ahead.close()
        self.recovering.close()
        self.pictures.close()
        self.exporting.tab.close_tasks()
        self.engine.close()
        self.objects.close()
        self.layers.close()
        self.sessions.close()

    def event(self, event: Any) -> bool:
        """Notice that napari has taken the widget out of its dock, which it does to close it."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.shut_down()
        elif event.type() in (QEvent.Type.Hide, QEvent.Type.Show) and not self.engine.closed:
            with suppress(RuntimeError):  # as Python ends, Qt deletes in any order
                self._on_shown(event.type() == QEvent.Type.Show)
        return bool(super().event(event))

    # What happens then

    def _turn(self, which: str, told: str) -> None:
        session = self.sessions.current
        self.layers.flush()  # what was painted last comes first
        if session is None:
            self.controls.status.say(f"Nothing to {which}.")
            return
        try:
            what = getattr(session, which)()
        except HQSAMError as error:
            self.warn(str(error))
            return
        self.controls.status.say(f"{told}: {what}.")

    def _on_shown(self, shown: bool) -> None:
        self.layers.flush()
        # With the whole window gone, to change its layers would end in dead widgets.
        closing = not shown and not main_window(self).isVisible()
        self.viewport.hold(closing)
        self._ahead.sleep(not shown, quietly=closing)

    def on_view(self) -> None:
        """The view has moved: what goes with it."""
        found = self.subjects.on_display()
        prompts = self.annotator.prompts
        if found is not None and prompts is not None and prompts.alive:
            image, plane, *_ = found
            prompts.fit(screen_pixels(self.viewer, image, plane))
        labels = self.controls.labels.labels.value
        self.controls.labels.show_large(self.layers.follow(labels))
        self.controls.image.contrast_button.visible = self.subjects.contrast_changed
        encoding = None if found is None else self.engine.encoding(found[2])
        ready = None
        if found is not None and encoding is not None and self.controls.image.ahead.value:
            ready = bool(encoding.ready(found[3], visible_box(self.viewer, *found[:2])))
        self.controls.status.show_window(ready)

    def on_step(self) -> None:
        """The sliders have moved."""
        if not self.engine.closed:
            self.annotator.step()

    def on_image(self) -> None:
        """The image was changed."""
        image = self.controls.image.image.value
        self.annotator.leave_image()
        self.sessions.forget_pending()
        source = None
        if image is not None:
            image.events.contrast_limits.connect(self.viewport.look)
            self.controls.labels.offer_times(image.ndim >= 4)
            with suppress(HQSAMError):
                source = self.subjects.source(image)
        self._ahead.begin(self.subjects.on_display())
        self.recovering.look(image, source)
        self.labels.follow()

    def on_labels(self, labels: Labels | None) -> None:
        """Another Labels layer was chosen, or none."""
        if labels is not None:
            self.keys.bind(labels)
        self.on_view()

    def on_prompt_layers(self, layers: list[Any]) -> None:
        """The prompt layers are there: keys work on them, too."""
        for layer in layers:
            self.keys.bind(layer)

    def from_label(self) -> None:
        """Improve the object that is chosen in the table, or picked in the Labels layer."""
        labels, chosen = self.controls.labels.labels.value, self.objects.widget.current
        if chosen is None and labels is not None:
            chosen = int(labels.selected_label)
        self.annotator.from_label(chosen or 0)

    def on_removed(self, event: Any) -> None:
        """A layer was deleted."""
        if self.engine.closed:
            return
        layer = event.value
        said = self.layers.removed(layer)
        if said is not None:
            self.controls.status.say(said)
        self.keys.unbind(layer)
        if isinstance(layer, Labels):
            self.sessions.close_one(layer)
        self.annotator.layer_removed(layer)

    def on_tab(self, index: int) -> None:
        """The table of objects is opened: it shows also what the labels held before."""
        labels, image = self.controls.labels.labels.value, self.controls.image.image.value
        at_objects = self.tabs.widget(index) is self._pages["Objects"]
        if at_objects and labels is not None and image is not None:
            try:
                self.annotator.destination.session(image)
            except HQSAMError as error:
                self.controls.status.say(str(error))

    def take_contrast(self) -> None:
        """Work with the contrast that is chosen, or on display."""
        self.subjects.take_contrast()
        self.viewport.look()
        self.annotator.predict()

    def _encode_ahead(self, image: Image) -> None:
        """Have an image encoded that is not on display yet."""
        plane = ArrayPlane((image.ndim - 2, image.ndim - 1), (0,) * (image.ndim - 2))
        subject, index = self.subjects.of(image, plane)
        self.engine.prepare(subject, index)

    def _is_idle(self) -> bool:
        return not self.engine.busy

    def warn(self, message: str) -> None:
        """Tell what went wrong, in one line."""
        self.controls.status.say(message)
        show_warning(f"HQ-SAM: {message}")

    # How it is put together

    def _use_settings(self) -> None:
        """Take what is set in Preferences."""
        settings = Settings.load()
        keys = asdict(settings.keys)
        self.keys.use(keys)
        self.keys.bind(self.viewer)
        for layer in self.viewer.layers:
            if isinstance(layer, Labels):
                self.keys.bind(layer)
        self.controls.show_keys(keys)
        self.subjects.settings = settings
        self.controls.image.reset_models()
        self.controls.image.model.value = settings.model
        self.viewport.look()

    def _lay_out(self) -> None:
        self.tabs = QTabWidget()
        self._pages = {
            "Segment": _scrolled(self.controls.page()),
            "Objects": self.objects.widget,
            "Images": _scrolled(self.pictures.widget),
            "Export": _scrolled(self.exporting.tab),
        }
        for name, page in self._pages.items():
            self.tabs.addTab(page, name)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._recovery_bar)
        layout.addWidget(self.tabs, 1)
        layout.addWidget(self.controls.status.native)


def _scrolled(page: QWidget) -> QScrollArea:
    """A page that can be scrolled where the screen is small."""
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QScrollArea.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(page)
    return area
