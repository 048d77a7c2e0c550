"""The dock widget: its tabs, and how the parts are put together."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from napari.utils.notifications import show_warning
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QTabWidget, QVBoxLayout, QWidget

from napari_hqsam.errors import HQSAMError
from napari_hqsam.plugin.annotate.annotator import Annotator
from napari_hqsam.plugin.annotate.asking import Asking
from napari_hqsam.plugin.annotate.controls import Controls
from napari_hqsam.plugin.annotate.destination import Destination
from napari_hqsam.plugin.annotate.exporting import Exporting
from napari_hqsam.plugin.annotate.keys import KeyBindings
from napari_hqsam.plugin.annotate.label_choice import LabelChoice
from napari_hqsam.plugin.annotate.label_layers import LabelLayers
from napari_hqsam.plugin.annotate.objects_tab import ObjectsTab
from napari_hqsam.plugin.annotate.pictures import Pictures
from napari_hqsam.plugin.annotate.preferences import Preferences
from napari_hqsam.plugin.annotate.recovering import Recovering
from napari_hqsam.plugin.annotate.recovery_bar import RecoveryBar
from napari_hqsam.plugin.annotate.section import scrolled
from napari_hqsam.plugin.annotate.sessions import Sessions
from napari_hqsam.plugin.annotate.subjects import Subjects
from napari_hqsam.plugin.annotate.wiring import actions, connect
from napari_hqsam.plugin.engine import Engine
from napari_hqsam.plugin.hover import Hover
from napari_hqsam.plugin.look_ahead import LookAhead
from napari_hqsam.plugin.preview import MARK, NAME, Preview
from napari_hqsam.plugin.viewport import Viewport, main_window, screen_pixels, visible_box

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Layer


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

        self.controls = Controls(viewer, self._is_hidden)
        self.preferences = Preferences(self)
        self.subjects = Subjects(viewer, self.controls.image, self.preferences.settings)
        self.sessions = Sessions(layers, self.subjects)
        destination = Destination(viewer, self.controls, layers, self.sessions)
        asking = Asking(viewer, self.controls, self.subjects)
        self.annotator = Annotator(
            viewer,
            self.controls,
            self.subjects,
            engine,
            self.preview,
            self.sessions,
            destination,
            asking,
        )
        self.hover = Hover(
            viewer, engine, self.preview, lambda: self.annotator.hovered(asking.click_here)
        )
        self.labels = LabelChoice(self.controls, layers, self.sessions)
        self.objects = ObjectsTab(viewer, layers, self.sessions)
        self.exporting = Exporting(
            self.controls, self.subjects, layers, self.sessions, destination, self.objects
        )
        self.pictures = Pictures(
            viewer, self.controls, layers, self.sessions, self.subjects, engine
        )
        self._ahead = LookAhead(
            viewer, self.viewport, engine, self.controls.image, self.subjects.on_display
        )
        self._recovery_bar = RecoveryBar()
        self.recovering = recovering = Recovering(viewer, self._recovery_bar, layers, self.sessions)
        status, preferences = self.controls.status, self.preferences
        self.destroyed.connect(lambda: status.close())
        self.destroyed.connect(lambda: preferences.close())
        self.destroyed.connect(lambda: recovering.close())
        self.keys = KeyBindings(actions(self), self.labels.is_naparis)
        self._lay_out()
        connect(self)
        self.preferences.watch()
        self.on_image()

    # What the user does

    def _is_hidden(self, layer: Layer) -> bool:
        """Whether a layer is one of the plugin's own, which are not annotated."""
        preview = layer.name == NAME or MARK in layer.metadata
        return preview or self.layers.is_part(layer)

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
        self.preferences.close()
        self.controls.status.close()
        self.keys.unbind()
        self.hover.turn(False)
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
            self.deleteLater()  # Qt holds what its signals call: nothing else would end that
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
        self.on_view()

    def from_label(self) -> None:
        """Improve the object that is chosen in the table, or picked in the Labels layer."""
        labels, chosen = self.controls.labels.labels.value, self.objects.widget.current
        if chosen is None and labels is not None:
            chosen = int(labels.selected_label)
        self.begin_listing()
        self.objects.once_listed(lambda: self.annotator.from_label(chosen or 0))

    def on_removed(self, event: Any) -> None:
        """A layer was deleted."""
        if self.engine.closed:
            return
        layer = event.value
        said = self.labels.removed(layer)
        if said is not None:
            self.controls.status.say(said)
        self.keys.unbind(layer)
        self.annotator.layer_removed(layer)

    def on_tab(self, index: int) -> None:
        """The table of objects is opened: it shows also what the labels held before."""
        if self.tabs.widget(index) is self._pages["Objects"]:
            self.begin_listing()

    def begin_listing(self) -> None:
        """Look for the objects that the chosen labels hold, unless they are known."""
        labels, image = self.controls.labels.labels.value, self.controls.image.image.value
        if labels is not None and image is not None:
            try:
                self.annotator.destination.session(image)
            except HQSAMError as error:
                self.controls.status.say(str(error))

    def take_contrast(self) -> None:
        """Work with the contrast that is chosen, or on display."""
        self.subjects.take_contrast()
        self.viewport.look()
        self.annotator.predict()

    def warn(self, message: str) -> None:
        """Tell what went wrong, in one line."""
        self.controls.status.say(message)
        show_warning(f"HQ-SAM: {message}")

    # How it is put together

    def _lay_out(self) -> None:
        self.tabs = QTabWidget()
        self._pages = {
            "Segment": scrolled(self.controls.page()),
            "Objects": self.objects.widget,
            "Images": scrolled(self.pictures.widget),
            "Export": scrolled(self.exporting.tab),
        }
        for name, page in self._pages.items():
            self.tabs.addTab(page, name)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._recovery_bar)
        layout.addWidget(self.tabs, 1)
        layout.addWidget(self.controls.status.native)
