"""How objects are found: the method, and what each of the methods asks for."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox, FloatSpinBox, Label
from napari.layers import Labels, Points, Shapes
from psygnal import Signal

from napari_hqsam.plugin.annotate.section import column, narrow
from napari_hqsam.plugin.label_folder import STORE
from napari_hqsam.plugin.layers import spatial_shape
from napari_hqsam.plugin.preview import MARK
from napari_hqsam.plugin.preview import NAME as ANNOTATE_PREVIEW
from napari_hqsam.plugin.segment_all.assignment import METHODS, Method
from napari_hqsam.plugin.segment_all.fields import field, rename

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel
    from napari.layers import Layer

_FINDERS = [("points on a grid", "grid"), ("threshold", "threshold")]


class MethodControls:
    """The method and its parameters; only those of the chosen one are shown.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Whose layers are offered.

    Attributes
    ----------
    by_hand : bool
        Whether the user has chosen a method; it is left alone then.

    Signals
    -------
    changed()
        Other objects, or other boundaries, are wanted.
    switched()
        Another method was chosen.
    """

    changed = Signal()
    switched = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        self.by_hand = self._showing = False
        self._um: float | None = None  # a pixel
        self.method: Any = ComboBox(choices=METHODS, value="automatic")
        self._lay_out_refine(viewer)
        self._lay_out_automatic()
        self._lay_out_drawn(viewer)
        self._diameter = field("", self.diameter)
        self._min_size, self._max_size = field("", self.min_size), field("", self.max_size)
        self._forms = {
            "refine": column(
                field("Labels", self.labels),
                field("Band, px", self.band, self._band_um),
                field("Thin parts, px", self.thin, self._thin_um),
            ),
            "automatic": column(
                field("Find by", self.find_by),
                self._diameter,
                self._min_size,
                self._max_size,
                self.exclude_edges,
                self.skip_background,
            ),
            "drawn": column(field("Points", self.points), field("Shapes", self.shapes)),
        }
        self._all = column(field("Method", self.method), *self._forms.values())
        narrow(self.method, self.labels, self.find_by, self.points, self.shapes)
        self.method.changed.connect(self._on_method)
        for control in (self.band, self.thin):
            control.changed.connect(self._say_micrometers)
        for method, controls in self._parameters().items():
            for control in controls:
                control.changed.connect(partial(self._on_parameter, method))
        self.reset_choices()
        self._show_form()
        self.show_pixel(None)
        self._explain()

    @property
    def native(self) -> Any:
        """The Qt widget."""
        return self._all.native

    @property
    def chosen(self) -> Method:
        """The method."""
        return self.method.value

    def choose(self, method: Method, labels: Layer | None = None) -> None:
        """Choose a method, and labels, for the user."""
        before = self.chosen, self.labels.value
        self._showing = True
        try:
            self.method.value = method
            if labels is not None and labels in self.labels.choices:
                self.labels.value = labels
        finally:
            self._showing = False
        if (self.chosen, self.labels.value) != before:
            self.changed.emit()

    def reset_choices(self) -> None:
        """Offer the layers that there are now."""
        for box in (self.labels, self.points, self.shapes):
            box.reset_choices()

    def offers(self, layer: Layer) -> bool:
        """Whether a layer is among the labels to refine."""
        return layer in self.labels.choices

    def show_pixel(self, um: float | None) -> None:
        """Name sizes in µm, of which a pixel has so many; None if that is not known."""
        unit = "px" if um is None else "µm"
        if (um is None) != (self._um is None):  # the numbers meant something else
            for box in (self.diameter, self.min_size, self.max_size):
                box.value = 0
        self._um = um
        rename(self._diameter, f"Diameter, {unit}")
        rename(self._min_size, f"Min. size, {unit}²")
        rename(self._max_size, f"Max. size, {unit}²")
        self._say_micrometers()

    def options(self) -> dict[str, Any]:
        """The parameters of the method, as the `Segmenter` calls them, in pixels."""
        if self.chosen == "refine":
            return {"band": float(self.band.value), "thin": float(self.thin.value)}
        if self.chosen == "drawn":
            return {"skip_background": False}  # what somebody has pointed at is there
        pixel = self._um or 1.0
        largest = math.floor(self.max_size.value / pixel**2)
        return {
            "diameter": float(self.diameter.value) / pixel or None,
            "min_size": math.ceil(self.min_size.value / pixel**2),
            "max_size": largest if self.max_size.value else None,
            "exclude_edges": bool(self.exclude_edges.value),
            "skip_background": bool(self.skip_background.value),
        }

    def _parameters(self) -> dict[Method, tuple[Any, ...]]:
        """What each of the methods depends on."""
        return {
            "refine": (self.labels, self.band, self.thin),
            "automatic": (
                self.find_by,
                self.diameter,
                self.min_size,
                self.max_size,
                self.exclude_edges,
                self.skip_background,
            ),
            "drawn": (self.points, self.shapes),
        }

    def _lay_out_refine(self, viewer: ViewerModel) -> None:
        self.labels: Any = ComboBox(choices=_offered(viewer, Labels, _is_input))
        self.band: Any = FloatSpinBox(value=8, min=1, max=256, step=1)
        self.thin: Any = FloatSpinBox(value=0, min=0, max=1000, step=1)
        self.thin.native.setSpecialValueText("off")
        self._band_um, self._thin_um = Label(value=""), Label(value="")

    def _lay_out_automatic(self) -> None:
        self.find_by: Any = ComboBox(choices=_FINDERS)
        self.diameter: Any = FloatSpinBox(value=0, min=0, max=1e6, step=1)
        self.min_size: Any = FloatSpinBox(value=0, min=0, max=1e12, step=1)
        self.max_size: Any = FloatSpinBox(value=0, min=0, max=1e12, step=1)
        self.diameter.native.setSpecialValueText("unknown")
        self.min_size.native.setSpecialValueText("any")
        self.max_size.native.setSpecialValueText("any")
        self.exclude_edges: Any = CheckBox(text="Exclude objects on edges")
        self.skip_background: Any = CheckBox(text="Skip background", value=True)

    def _lay_out_drawn(self, viewer: ViewerModel) -> None:
        self.points: Any = ComboBox(choices=_offered(viewer, Points), nullable=True)
        self.shapes: Any = ComboBox(choices=_offered(viewer, Shapes), nullable=True)

    def _show_form(self) -> None:
        for method, part in self._forms.items():
            part.visible = method == self.chosen

    def _on_method(self) -> None:
        self.by_hand = self.by_hand or not self._showing
        self._show_form()
        self.switched.emit()
        if not self._showing:
            self.changed.emit()

    def _on_parameter(self, method: Method, _value: Any) -> None:
        if method == self.chosen and not self._showing:
            self.changed.emit()

    def _say_micrometers(self) -> None:
        for box, text in ((self.band, self._band_um), (self.thin, self._thin_um)):
            known = self._um is not None and box.value
            text.value = f"= {box.value * (self._um or 0):.3g} µm" if known else ""
            text.visible = bool(known)

    def _explain(self) -> None:
        self.method.tooltip = (
            "Better boundaries for labels that are there, all objects of the image, or those that "
            "points and boxes show."
        )
        self.labels.tooltip = (
            "The labels that get new boundaries, in a new layer; numbers stay as they are."
        )
        self.band.tooltip = "How far a boundary may move, in pixels."
        self.thin.tooltip = (
            "How far thin ends, such as neurites, may grow beyond the band; 0 is off."
        )
        self.find_by.tooltip = (
            "Ask the model at every point of a grid, or where the image is brighter (or darker) "
            "than a threshold."
        )
        self.diameter.tooltip = (
            "How large the objects are, roughly: the image is magnified or shrunk for them; "
            "0 if that is not known."
        )
        self.min_size.tooltip = "Smaller objects are left out."
        self.max_size.tooltip = "Larger objects are left out; 0 for no limit."
        self.exclude_edges.tooltip = "Leave out what the edge of the image cuts."
        self.skip_background.tooltip = "Do not look where the image is empty."
        self.points.tooltip = "Each point is an object."
        self.shapes.tooltip = "Each rectangle or polygon is an object."


def _offered(
    viewer: ViewerModel, kind: type, wanted: Callable[[ViewerModel, Any], bool] | None = None
) -> Callable[[Any], list[Any]]:
    def layers(_widget: Any) -> list[Any]:
        found = [layer for layer in viewer.layers if isinstance(layer, kind)]
        return [layer for layer in found if wanted is None or wanted(viewer, layer)]

    return layers


def _is_input(viewer: ViewerModel, labels: Labels) -> bool:
    """Whether labels are the user's: no preview, and no part of a store that is all there."""
    if labels.metadata.get(MARK) or labels.name == ANNOTATE_PREVIEW:
        return False
    store = labels.metadata.get(STORE)
    if store is None:
        return True
    same = [each for each in viewer.layers if each.metadata.get(STORE) == store]
    return labels is max(same, key=lambda each: math.prod(spatial_shape(each)))
