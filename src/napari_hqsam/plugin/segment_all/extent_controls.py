"""Where objects are found, whose boundary they get, and what is done with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from magicgui.widgets import CheckBox, ComboBox
from napari.layers import Shapes
from psygnal import Signal

from napari_hqsam.plugin.annotate.mask_controls import MODES
from napari_hqsam.plugin.annotate.section import column, narrow
from napari_hqsam.plugin.label_folder import LARGEST_PLANE
from napari_hqsam.plugin.segment_all.fields import field

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_hqsam.labels.frame import LabelFrame
    from napari_hqsam.modeling import Mode
    from napari_hqsam.plugin.segment_all.assignment import Method

Where = Literal["visible", "shape", "slice", "volume", "all"]


class ExtentControls:
    """The region, and options that all methods share.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Whose Shapes layers are offered.

    Signals
    -------
    changed()
        Other boundaries are wanted.
    """

    changed = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        def shapes(_widget: Any) -> list[Shapes]:
            return [layer for layer in viewer.layers if isinstance(layer, Shapes)]

        self.where: Any = ComboBox(choices=_regions(""))
        self.shapes: Any = ComboBox(choices=shapes)
        self.mode: Any = ComboBox(choices=MODES)
        self.fill_holes: Any = CheckBox(text="Fill holes")
        self.link_slices: Any = CheckBox(text="One id across slices", value=True)
        self.measure: Any = CheckBox(text="Measure the objects", value=True)
        self._shape_row = field("Shape in", self.shapes)
        self._all = column(
            field("Region", self.where),
            self._shape_row,
            field("Boundary", self.mode),
            self.fill_holes,
            self.link_slices,
            self.measure,
        )
        self._axes = self._method = ""
        narrow(self.where, self.shapes, self.mode)
        self.where.changed.connect(self._show)
        self.mode.changed.connect(lambda: self.changed.emit())
        self.fill_holes.changed.connect(lambda: self.changed.emit())
        self.reset_choices()
        self._show()
        self._explain()

    @property
    def native(self) -> Any:
        """The Qt widget."""
        return self._all.native

    @property
    def region(self) -> Where:
        """What is chosen."""
        return self.where.value

    @property
    def boundary(self) -> Mode:
        """Whose boundary, as the `Segmenter` calls it."""
        return self.mode.value

    def options(self) -> dict[str, Any]:
        """Further arguments of the `Segmenter`, for the method shown."""
        if self._method == "refine":
            return {"mode": self.boundary}
        return {
            "mode": self.boundary,
            "fill_holes": bool(self.fill_holes.value),
            "link_slices": bool(self.link_slices.value),
        }

    def reset_choices(self) -> None:
        """Offer the layers that there are now."""
        self.shapes.reset_choices()

    def offer(self, frame: LabelFrame | None) -> None:
        """Offer what an image has, and choose what is done in reasonable time."""
        self._axes = "" if frame is None else frame.axes[:-2]
        self.where.choices = _regions(self._axes)
        if frame is None:
            return
        height, width = frame.plane_shape
        large = height * width > LARGEST_PLANE
        self.where.value = "visible" if large else "slice" if self._axes else "all"
        self._show()

    def show_method(self, method: Method) -> None:
        """Show what a method can do."""
        self._method = method
        self._show()

    def _show(self) -> None:
        finds = self._method != "refine"
        self._shape_row.visible = self.region == "shape"
        self.fill_holes.visible = finds
        stack = "z" in self._axes and self.region in ("volume", "all")
        self.link_slices.visible = finds and stack

    def _explain(self) -> None:
        self.where.tooltip = "Which part of the image is done; nothing else is looked at."
        self.shapes.tooltip = "The selected shape of this layer, or its only one."
        self.mode.tooltip = "Whose boundary: HQ-SAM's sum, the HQ token alone, or plain SAM."
        self.fill_holes.tooltip = "Fill holes in the objects."
        self.link_slices.tooltip = "What lies on top of each other in neighbouring slices is one."
        self.measure.tooltip = (
            "Area or volume, shape and intensity of each object, in the features of the new layer; "
            "of refined labels also how far their boundaries moved."
        )


def _regions(axes: str) -> list[tuple[str, Where]]:
    """What is offered for an image with such axes beside y and x."""
    offered: list[tuple[str, Where]] = [("visible area", "visible"), ("shape", "shape")]
    if not axes:
        return [*offered, ("whole image", "all")]
    offered.append(("slice on display" if "z" in axes else "frame on display", "slice"))
    if axes == "tz":
        return [*offered, ("volume on display", "volume"), ("all time points", "all")]
    return [*offered, ("whole volume" if "z" in axes else "all time points", "all")]
