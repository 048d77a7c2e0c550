"""The Annotate dock: prompts on an image, a live preview, objects into a Labels layer."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from napari.utils.notifications import show_info, show_warning
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.plugin.annotate_controls import HINT, AnnotateControls
from napari_hqsam.plugin.engine import Engine
from napari_hqsam.plugin.label_target import LabelTarget
from napari_hqsam.plugin.look_ahead import LookAhead
from napari_hqsam.plugin.plane import displayed_plane
from napari_hqsam.plugin.preview import NAME as PREVIEW
from napari_hqsam.plugin.preview import Preview
from napari_hqsam.plugin.prompt_layers import PromptLayers, Tool
from napari_hqsam.plugin.request import Request, corrected
from napari_hqsam.plugin.subjects import Subjects
from napari_hqsam.plugin.viewport import Viewport, main_window, screen_pixels

if TYPE_CHECKING:
    import napari.viewer

    from napari_hqsam.segmentation import Mask


class AnnotateWidget(QWidget):
    """The dock widget.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._prompts: PromptLayers | None = None
        self._prompted: Image | None = None
        self._masks: list[Mask] = []
        self._shown: Request | None = None  # what the masks answer
        self._request: Request | None = None  # what was asked last
        self._plane: ArrayPlane | None = None
        self._preview = Preview(napari_viewer)
        self._target = target = LabelTarget(napari_viewer)
        # No children of this widget: they are deleted with it, but must end their work first.
        self._engine = engine = Engine()
        self._viewport = Viewport(napari_viewer)
        self.destroyed.connect(lambda: engine.close())
        self.destroyed.connect(lambda: target.flush())

        self.controls = AnnotateControls(
            napari_viewer, lambda layer: layer.name == PREVIEW or target.is_part(layer)
        )
        self._subjects = Subjects(napari_viewer, self.controls)
        look_at = (napari_viewer, self._viewport, engine, self.controls)
        self._ahead = LookAhead(*look_at, self._subjects.on_display)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.controls.native)
        layout.addStretch()
        self._connect()
        self._on_image()

    # What the user does

    def reset_choices(self) -> None:
        """Offer the layers that there are now; napari calls it when layers come and go."""
        if not self._engine.closed:  # napari also calls it when the dock is gone
            self.controls.reset_choices()

    def use(self, tool: Tool) -> None:
        """Take up a tool: the prompt layers are made on first use."""
        if self.controls.image.value is None:
            show_warning("HQ-SAM: open an image first")
            return
        self._prompt_layers().use(tool)

    def predict(self) -> None:
        """Ask for the masks of the prompts on the plane on display; the preview follows."""
        image = None if self._engine.closed else self.controls.image.value
        if image is None or self._prompts is None or not self._prompts.alive:
            return
        try:
            plane = self._plane = displayed_plane(self._viewer, image)
            prompts = tuple(self._prompts.prompts(plane))
            if not prompts:
                self._forget()
                return
            subject, index = self._subjects.of(image, plane)
            for p in prompts:
                p.check_inside(subject.source.yx_shape())
        except HQSAMError as error:
            self._warn(str(error))
            return
        previous = corrected(self._shown, self._masks, plane, prompts)
        self._request = Request(subject, prompts, plane, index, self.controls.mode_name, previous)
        self.controls.show_busy(True)
        self._engine.request(self._request)

    def commit(self) -> None:
        """Write the previewed masks into the Labels layer, and clear their prompts."""
        if self._engine.closed:
            return
        if self._engine.busy:
            show_info("HQ-SAM: wait for the preview, or cancel; then commit")
            return
        image = self.controls.image.value
        if image is None or not self._masks or self._shown is None:
            show_info("HQ-SAM: nothing to commit yet; give a prompt and wait for the preview")
            return
        first, plane = int(self.controls.next_label.value), self._shown.plane
        try:
            labels = self.controls.labels.value
            if labels is None:
                labels = self._target.new(image)
                self.controls.labels.reset_choices()
                self.controls.labels.value = labels
            self._target.check_fits(labels, image)
            written = self._target.commit(labels, plane, self._masks, first)
        except HQSAMError as error:
            self._warn(str(error))
            return
        self._forget()
        if self._prompts is not None:
            self._prompts.clear(plane)
        self.controls.show_committed(first, written, labels.name)
        self._on_view()

    def undo(self) -> None:
        """Take back the last commit, or the last stroke in large labels."""
        try:
            what = self._target.undo()
        except HQSAMError as error:
            self._warn(str(error))
            return
        if self.controls.labels.value is not None:
            self.controls.next_label.value = self._target.next_label(self.controls.labels.value)
        self.controls.status.value = f"The last {what} was taken back."

    def clear(self) -> None:
        """Remove the prompts of this plane, and the preview."""
        self._engine.cancel()
        self._forget()
        found = self._subjects.on_display()
        if found is not None and self._prompts is not None and self._prompts.alive:
            self._prompts.clear(found[1])
        self.controls.status.value = HINT

    def cancel(self) -> None:
        """Stop waiting for what is being computed."""
        self._engine.cancel()
        self.controls.status.value = "Cancelled. Add or move a prompt to go on."

    def shut_down(self) -> None:
        """Write what was painted, end the threads, take no more requests: the dock is closed."""
        if self._engine.closed:
            return
        self._viewport.close()
        self._ahead.close()
        self._engine.close()
        self._target.close()

    def event(self, event: Any) -> bool:
        """Notice that napari has taken the widget out of its dock, which it does to close it."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.shut_down()
        elif event.type() in (QEvent.Type.Hide, QEvent.Type.Show) and not self._engine.closed:
            with suppress(RuntimeError):  # as Python ends, Qt deletes in any order
                self._on_shown(event.type() == QEvent.Type.Show)
        return bool(super().event(event))

    # What happens then

    def _on_shown(self, shown: bool) -> None:
        self._target.flush()
        # With the whole window gone, to change its layers would end in dead widgets.
        closing = not shown and not main_window(self).isVisible()
        self._viewport.hold(closing)
        self._ahead.sleep(not shown, quietly=closing)

    def _on_answer(self, request: Request, masks: list[Mask]) -> None:
        image = self.controls.image.value
        if image is None or request is not self._request:
            return
        self.controls.show_device()
        self._masks, self._shown = masks, request
        self._preview.show(image, request.plane, masks)
        self.controls.show_masks(masks)

    def _on_step(self) -> None:
        """The sliders moved; layers that grow or shrink also move them, to where they were."""
        found = None if self._engine.closed else self._subjects.on_display()
        if found is not None and found[1] != self._plane:
            self._plane = found[1]
            self.predict()

    def _on_view(self) -> None:
        """The view has moved: what goes with it."""
        found = self._subjects.on_display()
        if found is not None and self._prompts is not None and self._prompts.alive:
            image, plane, *_ = found
            self._prompts.fit(screen_pixels(self._viewer, image, plane))
        self.controls.show_large(self._target.follow(self.controls.labels.value))
        self.controls.contrast_button.visible = self._subjects.contrast_changed

    def _on_image(self) -> None:
        """The image was changed: its prompt layers go, they would lie in the wrong place."""
        image = self.controls.image.value
        if self._prompts is not None and self._prompted is not image:
            self._engine.cancel()
            self._forget()
            self._prompts.remove()
            self._preview.remove()
            self._prompts = self._prompted = None
            self.controls.status.value = HINT
        if image is not None:
            image.events.contrast_limits.connect(self._viewport.look)
        self._ahead.begin(self._subjects.on_display())

    def _take_contrast(self) -> None:
        self._subjects.take_contrast()
        self._viewport.look()
        self.predict()

    def _on_labels(self) -> None:
        labels = self.controls.labels.value
        if labels is not None:
            self.controls.next_label.value = self._target.next_label(labels)
        self._on_view()

    def _on_removed(self, event: Any) -> None:
        if self._engine.closed:
            return
        said = self._target.removed(event.value)
        if said is not None:
            self.controls.status.value = said
        if self._preview.layer is not None and event.value is self._preview.layer:
            self._preview.layer = None
            self._masks, self._shown = [], None
        elif self._prompts is not None and self._prompts.owns(event.value):
            self._engine.cancel()
            prompts, self._prompts = self._prompts, None
            prompts.remove()
            self._forget()

    # How it is put together

    def _connect(self) -> None:
        self.controls.image.changed.connect(self._on_image)
        self.controls.labels.changed.connect(self._on_labels)
        c = self.controls
        for choice in (c.green, c.blue, c.model, c.store):
            choice.changed.connect(self.predict)
            choice.changed.connect(self._viewport.look)
        self.controls.contrast_button.changed.connect(self._take_contrast)
        self.controls.mode.changed.connect(self.predict)
        for tool, button in self.controls.tools.items():
            button.changed.connect(partial(self.use, tool))
        self.controls.commit_button.changed.connect(self.commit)
        self.controls.clear_button.changed.connect(self.clear)
        self.controls.undo_button.changed.connect(self.undo)
        self.controls.cancel_button.changed.connect(self.cancel)
        self._engine.answered.connect(self._on_answer)
        self._engine.failed.connect(self._warn)
        self._engine.stage.connect(self.controls.show_stage)
        self._engine.idle.connect(partial(self.controls.show_busy, False))
        self._target.changed.connect(lambda: self.controls.allow_undo(self._target.can_undo))
        self._target.failed.connect(self._warn)
        self._target.undo_pressed.connect(self.undo)
        self._viewport.moved.connect(self._on_view)
        self._viewer.layers.events.removed.connect(self._on_removed)
        dims = self._viewer.dims.events
        for event in (dims.current_step, dims.order, dims.ndisplay):
            event.connect(self._on_step)

    def _prompt_layers(self) -> PromptLayers:
        image = self.controls.image.value
        if self._prompts is None or not self._prompts.alive or self._prompted is not image:
            if self._prompts is not None:
                self._prompts.remove()
            self._preview.prepare(image)
            self._prompts, self._prompted = PromptLayers(self._viewer, image), image
            self._prompts.changed.connect(self.predict)
            for layer in (self._prompts.boxes, self._prompts.points):
                layer.bind_key("Enter", lambda _layer: self.commit(), overwrite=True)
            self._on_view()
        return self._prompts

    def _forget(self) -> None:
        self._masks, self._shown, self._request = [], None, None
        self._preview.clear()

    def _warn(self, message: str) -> None:
        self.controls.status.value = message
        show_warning(f"HQ-SAM: {message}")
