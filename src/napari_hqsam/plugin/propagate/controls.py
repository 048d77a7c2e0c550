"""All controls of the dock, and how they are laid out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import (
    CheckBox,
    ComboBox,
    FloatSpinBox,
    Label,
    ProgressBar,
    PushButton,
    SpinBox,
)
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QVBoxLayout, QWidget

from napari_hqsam.plugin.annotate.section import column, narrow, row, scrolled, wrapped
from napari_hqsam.plugin.propagate.voxel_size import VoxelSize
from napari_hqsam.plugin.segment_all.fields import field

if TYPE_CHECKING:
    from napari_hqsam.labels.frame import LabelFrame
    from napari_hqsam.modeling import Mode
    from napari_hqsam.segmentation.volume import PropagateSettings

HINT = (
    "Prompt an object on one slice or several, commit it (Enter), and Propagate. Correct a slice, "
    "and Re-propagate from here."
)


class Controls:
    """What is propagated, how far and how; the buttons, and what is going on."""

    def __init__(self) -> None:
        self.about: Any = Label(value="")
        self.axis: Any = ComboBox(choices=[("Z", "z"), ("T", "t")])
        self.direction: Any = ComboBox(choices=["both", "forward", "backward"])
        self.range: Any = ComboBox(choices=[("until object ends", "end"), ("from – to", "range")])
        self.first: Any = SpinBox(value=0, min=0, max=0)
        self.last: Any = SpinBox(value=0, min=0, max=0)
        self.objects: Any = ComboBox(choices=[("current", "current"), ("all on slice", "slice")])
        self.chosen: Any = Label(value="")
        self.voxel = VoxelSize()
        self.min_score: Any = FloatSpinBox(value=0.5, min=0, max=1, step=0.05)
        self.overlap: Any = ComboBox(
            choices=[("keep", "background"), ("overwrite others", "overwrite")]
        )
        self.smooth: Any = CheckBox(text="Smooth along Z", value=False)
        self.sigma: Any = FloatSpinBox(value=1.0, min=0.1, max=20, step=0.1)
        self.propagate: Any = PushButton(text="Propagate")
        self.stop: Any = PushButton(text="Stop (keep result)", visible=False)
        self.again: Any = PushButton(text="Re-propagate from here")
        self.worst: Any = PushButton(text="Jump to worst slice")
        # Without an end it would be animated, which takes half a core from the job.
        self.progress: Any = ProgressBar(visible=False, max=1000)
        self.message: Any = Label(value=HINT)
        self._range = field("", self.first, Label(value="to"), self.last)
        self._smooth = row(self.smooth, self.sigma, Label(value="slices"))
        self._frame: LabelFrame | None = None
        narrow(self.axis, self.direction, self.range, self.objects, self.overlap)
        for label, lines in ((self.about, 1), (self.chosen, 2), (self.message, 4)):
            wrapped(label, lines=lines)
        top = Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft
        self.message.native.setAlignment(top)
        self._explain()
        for box in (self.axis, self.range, self.smooth):
            box.changed.connect(self._show)
        self.axis.changed.connect(self._offer_slices)
        self._show()

    def lay_out(self, widget: QWidget) -> None:
        """Put everything into a widget: what is chosen scrolls, what is going on does not."""
        page = QWidget()
        inner = QVBoxLayout(page)
        inner.setContentsMargins(6, 6, 6, 6)
        inner.setSpacing(4)
        self._rows: list[Any] = [  # magicgui deletes what nobody holds
            column(self.about),
            field("Axis", self.axis),
            field("Direction", self.direction),
            field("Range", self.range),
            self._range,
            field("Objects", self.objects),
            column(self.chosen),
            self.voxel,
            row(Label(value="Stop when score <"), self.min_score),
            field("Existing labels", self.overlap),
            self._smooth,
        ]
        for each in self._rows:
            inner.addWidget(each.native)
        inner.addStretch()
        outer = QVBoxLayout(widget)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scrolled(page), 1)
        line = QFrame()
        line.setFrameShape(QFrame.Shape.HLine)
        outer.addWidget(line)
        self._status = column(
            row(self.propagate, self.stop), row(self.again, self.worst), self.progress, self.message
        )
        self._status.margins = (6, 2, 6, 6)
        outer.addWidget(self._status.native)

    def settings(self, mode: Mode, threshold: float) -> PropagateSettings:
        """What is chosen, with the boundary that objects are drawn with."""
        from napari_hqsam.segmentation.volume import PropagateSettings

        bounded = self.range.value == "range"
        low, high = sorted((int(self.first.value), int(self.last.value)))
        return PropagateSettings(
            start=low if bounded else None,
            stop=high + 1 if bounded else None,
            direction=self.direction.value,
            min_score=float(self.min_score.value),
            smooth=float(self.sigma.value) if self.smooth.value else 0.0,
            spacing=self.voxel.spacing if self.axis.value == "z" else None,
            mode=mode,
            threshold=threshold,
        )

    def show_frame(self, frame: LabelFrame | None) -> None:
        """Offer the axis that another image has, all its slices, and its voxel size."""
        self._frame = frame
        self.voxel.show(frame)
        if frame is not None and len(frame.axes) > 2:
            self.axis.value = "z" if "z" in frame.axes else "t"
        self._offer_slices()

    def show_busy(self, busy: bool) -> None:
        """Offer to stop, or to begin."""
        self.propagate.enabled = self.again.enabled = not busy
        self.stop.visible = self.progress.visible = busy
        self.progress.value = 0

    def show_progress(self, text: str, done: int, total: int) -> None:
        """Say how far it is; total 0 if that is not known."""
        self.progress.value = round(1000 * done / total) if total else 0
        self.say(text)

    def say(self, text: str) -> None:
        """Show a message."""
        _put(self.message, text)

    def show_about(self, text: str) -> None:
        """Say which image and labels are worked on."""
        _put(self.about, text)

    def show_chosen(self, text: str) -> None:
        """Say which objects are meant."""
        _put(self.chosen, text[:1].upper() + text[1:])

    def _offer_slices(self) -> None:
        lengths = {} if self._frame is None else self._frame.grid.lengths
        last = max(lengths.get(str(self.axis.value), 1) - 1, 0)
        for box in (self.first, self.last):
            box.value, box.max = 0, last
        self.last.value = last

    def _show(self) -> None:
        self._range.visible = self.range.value == "range"
        self.sigma.enabled = bool(self.smooth.value)
        self.smooth.text = f"Smooth along {str(self.axis.value).upper()}"
        self.voxel.enable(self.axis.value == "z")

    def _explain(self) -> None:
        self.about.tooltip = "The image and the labels that are chosen in Annotate."
        self.axis.tooltip = "Follow objects from slice to slice, or from time point to time point."
        self.direction.tooltip = "To which side of the slices that were prompted."
        self.range.tooltip = "As far as there is something, or between two slices at most."
        self.first.tooltip = self.last.tooltip = "First and last slice, as the slider counts them."
        self.objects.tooltip = (
            "The objects chosen in the table, or picked, or worked on last; or all that have a "
            "mask on the slice on display."
        )
        self.chosen.tooltip = "The objects that are meant now."
        self.min_score.tooltip = (
            "An object ends where the model is less sure of it than this: 0 never, 1 at once."
        )
        self.overlap.tooltip = "Whether other objects keep their pixels, or lose them to these."
        self.smooth.tooltip = "Smooth the boundary from slice to slice."
        self.sigma.tooltip = "Over how many slices: the sigma of a Gaussian."
        self.propagate.tooltip = (
            "Follow the objects from all slices that you prompted, painted or corrected. Undo "
            "takes all of it back."
        )
        self.stop.tooltip = "Stop after the slice that is being computed; what is there stays."
        self.again.tooltip = (
            "The mask on this slice is right: follow it to the next slices of yours on both sides."
        )
        self.worst.tooltip = "Go to the slice whose mask the model is least sure of."
        self.message.tooltip = "What is going on."


def _put(label: Any, text: str) -> None:
    if label.value != text:
        label.value = text
