"""What a user drew to show an object, as it is kept, undone and written to the journal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from napari_hqsam.labels.plane import ArrayPlane

PromptKind = Literal["point", "box", "polygon", "ellipse", "lasso", "scribble", "label"]


@dataclass(frozen=True)
class PromptItem:
    """One thing drawn on one plane.

    Attributes
    ----------
    kind : str
        ``"label"`` is an object that is there already, as a rough mask.
    plane : ArrayPlane
    vertices : tuple of (float, float)
        (y, x) in pixels of the plane: one for a point; the two outermost corners (lower, higher)
        of the pixels of a box, and of the box around an ellipse; the outline of a polygon or
        lasso; the course of a scribble; none for a label.
    positive : bool
        Whether it shows the object, or (a point or scribble) what does not belong to it.
    label : int
        For ``"label"``: which.
    """

    kind: PromptKind
    plane: ArrayPlane
    vertices: tuple[tuple[float, float], ...] = ()
    positive: bool = True
    label: int = 0

    def to_json(self) -> dict[str, Any]:
        """As plain numbers and texts."""
        return {
            "kind": self.kind,
            "axes": list(self.plane.axes),
            "index": list(self.plane.index),
            "vertices": [list(v) for v in self.vertices],
            "positive": self.positive,
            "label": self.label,
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Self:
        """What `to_json` gave.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is something else.
        """
        i, j = (int(n) for n in saved["axes"])
        return cls(
            saved["kind"],
            ArrayPlane((i, j), tuple(int(n) for n in saved["index"])),
            tuple((float(y), float(x)) for y, x in saved["vertices"]),
            bool(saved["positive"]),
            int(saved["label"]),
        )
