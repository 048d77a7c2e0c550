"""All controls of the dock, and how they are laid out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.types import FileDialogMode
from magicgui.widgets import CheckBox, FileEdit, Label, ProgressBar, PushButton
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QVBoxLayout, QWidget

from napari_hqsam.plugin.annotate.image_controls import ImageControls
from napari_hqsam.plugin.annotate.section import column, row, scrolled, wrapped
from napari_hqsam.plugin.segment_all.extent_controls import ExtentControls
from napari_hqsam.plugin.segment_all.fields import field
from napari_hqsam.plugin.segment_all.method_controls import MethodControls

if TYPE_CHECKING:
    from napari.components import ViewerModel

HINT = "Try it where you look with Preview, then Run it. The result is a new layer."


class Controls:
    """The sections from top to bottom, and what stays in sight below them.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Whose layers are offered.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self.image = ImageControls(viewer)
        for each in ("ahead", "pause", "ahead_status", "show_ready"):  # nothing is clicked on here
            getattr(self.image, each).visible = False
        self.method = MethodControls(viewer)
        self.extent = ExtentControls(viewer)
        self.place: Any = FileEdit(
            mode=FileDialogMode.OPTIONAL_FILE, filter="Label OME-Zarr (*.zarr)"
        )
        self._place = field("Save to", self.place)
        self._place.visible = False
        self.preview: Any = CheckBox(text="Preview")
        self.preview_status: Any = Label(value="")
        self.message: Any = Label(value=HINT)
        # Without an end it would be animated, which takes half a core from the job.
        self.progress: Any = ProgressBar(visible=False, max=1000)
        self.run: Any = PushButton(text="Run")
        self.cancel: Any = PushButton(text="Cancel", visible=False)
        self._status = column(
            self.preview,
            self.preview_status,
            row(self.run, self.cancel),
            self.progress,
            self.message,
        )
        self._status.margins = (6, 2, 6, 6)
        wrapped(self.preview_status)
        wrapped(self.message, lines=3)
        self.message.native.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self._explain()

    def lay_out(self, widget: QWidget) -> None:
        """Put everything into a widget: what is chosen scrolls, what is going on does not."""
        page = QWidget()
        inner = QVBoxLayout(page)
        inner.setContentsMargins(6, 6, 6, 6)
        inner.setSpacing(6)
        for section in (self.image, self.method, self.extent, self._place):
            inner.addWidget(section.native)
        inner.addStretch()
        outer = QVBoxLayout(widget)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scrolled(page), 1)
        line = QFrame()
        line.setFrameShape(QFrame.Shape.HLine)
        outer.addWidget(line)
        outer.addWidget(self._status.native)

    def reset_choices(self) -> None:
        """Offer the layers that there are now."""
        for section in (self.image, self.method, self.extent):
            section.reset_choices()

    @property
    def place_shown(self) -> bool:
        """Whether a place on disk is asked for."""
        return not self._place.native.isHidden()

    def show_place(self, place: Path | None) -> None:
        """Ask where on disk labels go, beginning with a place; None for labels in memory."""
        self._place.visible = place is not None
        if place is not None:
            self.place.value = place

    @property
    def chosen_place(self) -> Path | None:
        """Where labels go; None in memory, or if nothing is typed."""
        text = str(self.place.line_edit.value or "").strip()
        if not self.place_shown or not text:
            return None
        path = Path(text).expanduser()
        return path if path.suffix.lower() == ".zarr" else path.with_name(f"{path.name}.zarr")

    def show_busy(self, busy: bool, text: str = "") -> None:
        """Offer to cancel, or to run."""
        self.run.enabled = not busy
        self.cancel.visible = self.progress.visible = busy
        self.progress.value = 0
        if text:
            self.say(text)

    def show_progress(self, text: str, done: int, total: int) -> None:
        """Say how far it is; total 0 if that is not known."""
        self.progress.value = round(1000 * done / total) if total else 0
        self.say(text)

    def say(self, text: str) -> None:
        """Show a message."""
        if self.message.value != text:
            self.message.value = text

    def say_preview(self, text: str) -> None:
        """Say how the preview stands."""
        self.preview_status.value = text

    def _explain(self) -> None:
        self.place.tooltip = (
            "The labels are too large for memory: a folder .zarr that they are written to. A job "
            "that was cut short goes on there."
        )
        self.preview.tooltip = "Outline what would be found, where you look."
        self.preview_status.tooltip = "How the preview stands."
        self.run.tooltip = "Do all of the region; the labels are a new layer."
        self.cancel.tooltip = "Stop after the window that is being computed."
        self.message.tooltip = "What is going on."
