"""The Annotate dock: prompts on an image, a live preview, objects into a Labels layer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from napari.utils.notifications import show_info, show_warning
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.layer import limits_from_layer, source_from_layer
from napari_hqsam.plugin.annotate_controls import HINT, MODES, AnnotateControls
from napari_hqsam.plugin.engine import Engine, Request
from napari_hqsam.plugin.label_target import LabelTarget, check_fits, new_labels, next_label
from napari_hqsam.plugin.layers import current_plane, spatial_shape
from napari_hqsam.plugin.preview import NAME as PREVIEW
from napari_hqsam.plugin.preview import Preview
from napari_hqsam.plugin.prompt_layers import PromptLayers, Tool

if TYPE_CHECKING:
    import napari.viewer

    from napari_hqsam.images.source import ImageSource
    from napari_hqsam.segmentation import Mask, Prompts


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
        self._sources: dict[int, tuple[Any, ImageSource]] = {}
        self._masks: list[Mask] = []
        self._shown: Request | None = None  # what the masks answer
        self._request: Request | None = None  # what was asked last
        self._plane: tuple[int, ...] | None = None
        self._preview = Preview(napari_viewer)
        self._target = LabelTarget()
        # No child of this widget: it is deleted with the widget, but must end its worker first.
        self._engine = engine = Engine()
        self.destroyed.connect(lambda: engine.close())

        self.controls = AnnotateControls(napari_viewer, lambda layer: layer.name == PREVIEW)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.controls.native)
        layout.addStretch()
        self._connect()
        self._on_idle()

    # What the user does

    def reset_choices(self) -> None:
        """Offer the layers that there are now; napari calls it when layers come and go."""
        if self._engine.closed:  # napari also calls it when the dock is gone
            return
        self.controls.reset_choices()

    def use(self, tool: Tool) -> None:
        """Take up a tool: the prompt layers are made on first use."""
        if self.controls.image.value is None:
            show_warning("HQ-SAM: open an image first")
            return
        self._prompt_layers().use(tool)

    def predict(self) -> None:
        """Ask for the masks of the prompts on the current plane; the preview follows."""
        if self._engine.closed:
            return
        image = self.controls.image.value
        if image is None or self._prompts is None or not self._prompts.alive:
            return
        try:
            plane = self._plane = current_plane(self._viewer, image)
            prompts = tuple(self._prompts.prompts(plane))
            if not prompts:
                self._forget()
                return
            source = self._source(image)
            for p in prompts:
                p.check_inside(source.yx_shape())
            request = Request(
                source,
                limits_from_layer(image),
                str(self.controls.model.value),
                "auto",
                prompts,
                tuple(i for i, n in zip(plane, spatial_shape(image), strict=False) if n > 1),
                plane,
                MODES[str(self.controls.mode.value)],  # type: ignore[arg-type]
                self._corrected(plane, prompts),
            )
        except HQSAMError as error:
            self._warn(str(error))
            return
        self._request = request
        self.controls.show_busy(True)
        self._engine.request(request)

    def commit(self) -> None:
        """Write the previewed masks into the Labels layer, and clear their prompts."""
        if self._engine.closed:
            return
        if self._engine.busy:
            show_info("HQ-SAM: wait for the preview, or cancel; then commit")
            return
        image = self.controls.image.value
        if image is None or not self._masks:
            show_info("HQ-SAM: nothing to commit yet; give a prompt and wait for the preview")
            return
        first = int(self.controls.next_label.value)
        try:
            labels = self.controls.labels.value
            if labels is None:
                labels = new_labels(self._viewer, image)
                self.controls.labels.reset_choices()
                self.controls.labels.value = labels
            check_fits(labels, image)
            written = self._target.commit(labels, self._masks, first)
        except HQSAMError as error:
            self._warn(str(error))
            return
        self.controls.next_label.value = first + written
        plane = self._masks[0].plane
        self._forget()
        if self._prompts is not None:
            self._prompts.clear(plane)
        what = f"object {first}" if written == 1 else f"objects {first}–{first + written - 1}"
        self.controls.status.value = f"Committed {what} to {labels.name}."
        self.controls.undo_button.enabled = True

    def undo(self) -> None:
        """Take back the last commit."""
        try:
            self._target.undo()
        except HQSAMError as error:
            self._warn(str(error))
            return
        self.controls.undo_button.enabled = self._target.can_undo
        if self.controls.labels.value is not None:
            self.controls.next_label.value = next_label(self.controls.labels.value)
        self.controls.status.value = "The last commit was taken back."

    def clear(self) -> None:
        """Remove the prompts of this plane, and the preview."""
        self._engine.cancel()
        self._forget()
        if (
            self._prompts is not None
            and self._prompts.alive
            and self.controls.image.value is not None
        ):
            try:
                self._prompts.clear(current_plane(self._viewer, self.controls.image.value))
            except HQSAMError as error:
                self._warn(str(error))
        self.controls.status.value = HINT

    def cancel(self) -> None:
        """Stop waiting for what is being computed."""
        self._engine.cancel()
        self.controls.status.value = "Cancelled. Add or move a prompt to go on."

    def shut_down(self) -> None:
        """End the worker and take no more requests; called when the dock is closed."""
        self._engine.close()

    def event(self, event: Any) -> bool:
        """Notice that napari has taken the widget out of its dock, which it does to close it."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.shut_down()
        return bool(super().event(event))

    # What happens then

    def _on_answer(self, request: Request, masks: list[Mask]) -> None:
        image = self.controls.image.value
        if image is None or request is not self._request:
            return
        from napari_hqsam.modeling import describe_device

        self.controls.device.value = describe_device()
        masks = [replace(m, plane=request.layer_plane) for m in masks]
        self._masks, self._shown = masks, request
        self._preview.show(image, masks)
        found = [m for m in masks if m.area]
        if not found:
            self.controls.status.value = "No object found there: try a box, or another click."
            return
        scores = ", ".join(f"{m.score:.2f}" for m in found[:3])
        pixels = sum(m.area for m in found)
        objects = "1 object" if len(found) == 1 else f"{len(found)} objects"
        self.controls.status.value = f"{objects}, {pixels} px, score {scores}"

    def _on_stage(self, text: str, done: int, total: int) -> None:
        self.controls.show_stage(text, done, total)

    def _on_idle(self) -> None:
        self.controls.show_busy(False)

    def _on_step(self) -> None:
        """The sliders moved; layers that grow or shrink also move them, to where they were."""
        if self._engine.closed or self.controls.image.value is None:
            return
        try:
            plane = current_plane(self._viewer, self.controls.image.value)
        except HQSAMError:
            return
        if plane != self._plane:
            self._plane = plane
            self.predict()

    def _on_image(self) -> None:
        """The image was changed: its prompt layers go, they would lie in the wrong place."""
        if self._prompts is not None and self._prompted is not self.controls.image.value:
            self._engine.cancel()
            self._forget()
            self._prompts.remove()
            self._prompts = self._prompted = None
            self.controls.status.value = HINT

    def _on_labels(self) -> None:
        if self.controls.labels.value is not None:
            self.controls.next_label.value = next_label(self.controls.labels.value)

    def _on_removed(self, event: Any) -> None:
        if self._engine.closed:
            return
        if self._preview.layer is not None and event.value is self._preview.layer:
            self._preview.layer = None
            self._masks, self._shown = [], None
        elif self._prompts is not None and event.value in (
            self._prompts.boxes,
            self._prompts.points,
        ):
            self._engine.cancel()
            prompts, self._prompts = self._prompts, None
            prompts.remove()
            self._forget()

    # How it is put together

    def _connect(self) -> None:
        self.controls.image.changed.connect(self._on_image)
        self.controls.labels.changed.connect(self._on_labels)
        self.controls.model.changed.connect(self.predict)
        self.controls.mode.changed.connect(self.predict)
        self.controls.box_button.changed.connect(lambda: self.use("box"))
        self.controls.positive_button.changed.connect(lambda: self.use("positive"))
        self.controls.negative_button.changed.connect(lambda: self.use("negative"))
        self.controls.commit_button.changed.connect(self.commit)
        self.controls.clear_button.changed.connect(self.clear)
        self.controls.undo_button.changed.connect(self.undo)
        self.controls.cancel_button.changed.connect(self.cancel)
        self._engine.answered.connect(self._on_answer)
        self._engine.failed.connect(self._warn)
        self._engine.stage.connect(self._on_stage)
        self._engine.idle.connect(self._on_idle)
        self._viewer.layers.events.removed.connect(self._on_removed)
        self._viewer.dims.events.current_step.connect(self._on_step)

    def _prompt_layers(self) -> PromptLayers:
        image = self.controls.image.value
        if self._prompts is None or not self._prompts.alive or self._prompted is not image:
            if self._prompts is not None:
                self._prompts.remove()
            self._prompts, self._prompted = PromptLayers(self._viewer, image), image
            self._prompts.changed.connect(self.predict)
            for layer in (self._prompts.boxes, self._prompts.points):
                layer.bind_key("Enter", lambda _layer: self.commit(), overwrite=True)
        return self._prompts

    def _source(self, image: Image) -> ImageSource:
        """The image as the Segmenter reads it, made once for each layer and its data."""
        known = self._sources.get(id(image))
        if known is None or known[0] is not image.data:
            self._sources = {id(image): (image.data, source_from_layer(image))}
        return self._sources[id(image)][1]

    def _corrected(
        self, plane: tuple[int, ...], prompts: tuple[Prompts, ...]
    ) -> tuple[Mask | None, ...]:
        """The masks on show, if these prompts only add points to those that made them."""
        before = self._shown
        if before is None or before.layer_plane != plane or len(self._masks) != len(prompts):
            return ()
        grown = [
            new.box == old.box
            and len(new.points) > len(old.points)
            and np.array_equal(new.points[: len(old.points)], old.points)
            and np.array_equal(new.labels[: len(old.points)], old.labels)
            for new, old in zip(prompts, before.prompts, strict=True)
        ]
        return tuple(m if g else None for m, g in zip(self._masks, grown, strict=True))

    def _forget(self) -> None:
        self._masks, self._shown, self._request = [], None, None
        self._preview.clear()

    def _warn(self, message: str) -> None:
        self.controls.status.value = message
        show_warning(f"HQ-SAM: {message}")
