"""The size of a voxel: how far apart slices are, in widths of a pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import FloatSpinBox, Label
from qtpy.QtWidgets import QAbstractSpinBox

from napari_hqsam.plugin.annotate.section import column, row, wrapped
from napari_hqsam.plugin.segment_all.fields import field

if TYPE_CHECKING:
    from napari_hqsam.labels.frame import LabelFrame

_RED = "QAbstractSpinBox { color: #e03c31; border: 1px solid #e03c31; }"
_HINT = "The voxel size is not known: type it, or slices count as close as pixels."


class VoxelSize:
    """Two numbers, those of the image until the user types others."""

    def __init__(self) -> None:
        self.step: Any = _box()
        self.pixel: Any = _box()
        self.hint: Any = Label(value=_HINT, visible=False)
        self._field = field(
            "Voxel size", self.step, Label(value="×"), self.pixel, Label(value="µm")
        )
        self._all = column(self._field, row(self.hint))
        self._showing = False
        wrapped(self.hint, lines=2)
        for box in (self.step, self.pixel):
            box.changed.connect(self._on_typed)
        self.step.tooltip = "How far apart two slices are."
        self.pixel.tooltip = "How large a pixel is."
        self.hint.tooltip = "Only how many pixels lie between two slices is of importance."

    @property
    def native(self) -> Any:
        """The Qt widget."""
        return self._all.native

    @property
    def missing(self) -> bool:
        """Whether neither the image nor the user has told it."""
        return not self.hint.native.isHidden()

    @property
    def spacing(self) -> float:
        """How many pixels lie between two slices."""
        return float(self.step.value) / float(self.pixel.value)

    def show(self, frame: LabelFrame | None) -> None:
        """Show that of an image: its steps in µm, or in another unit that is the same for all."""
        steps, known = {"z": 1.0, "y": 1.0, "x": 1.0}, False
        if frame is not None:
            told = frame.grid.micrometers("zyx")
            if told is None and frame.scale is not None:
                told = dict(zip(frame.axes, frame.scale, strict=True))
                known = any(told.get(a, 1.0) != 1 for a in "zyx")
            else:
                known = told is not None
            steps |= {axis: abs(float(step)) for axis, step in (told or {}).items()}
        self._showing = True
        self.step.value, self.pixel.value = steps["z"], min(steps["y"], steps["x"])
        self._showing = False
        self._mark(frame is not None and not known)

    def enable(self, needed: bool) -> None:
        """Whether it is of importance: along time it is not."""
        self._field.enabled = needed

    def _on_typed(self) -> None:
        if not self._showing:
            self._mark(False)

    def _mark(self, missing: bool) -> None:
        self.hint.visible = missing
        for box in (self.step, self.pixel):
            box.native.setStyleSheet(_RED if missing else "")


def _box() -> FloatSpinBox:
    made = FloatSpinBox(value=1.0, min=1e-5, max=1e5, step=0.1)
    made.native.setDecimals(5)  # in electron microscopes voxels are some nanometres wide
    made.native.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.NoButtons)
    made.native.setMinimumWidth(40)
    return made
