"""Where a click is answered at once: an outline around what is encoded, over the image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Vectors

from napari_hqsam.plugin.layers import transform_like

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Image
    from numpy.typing import NDArray

    from napari_hqsam.images.windows import Window
    from napari_hqsam.labels.plane import ArrayPlane

NAME = "HQ-SAM ready"
# Okabe and Ito's bluish green: not among the prompts, told apart by colour-blind people too.
_COLOUR = "#009e73"
_LINE = 1.5  # pixels of the screen


class ReadyOverlay:
    """A Vectors layer with the outline of all windows that are ready.

    It is drawn above the image and takes no clicks; the prompts stay selected.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._shown: Any = None
        self.layer: Vectors | None = None

    def show(self, image: Image, plane: ArrayPlane, windows: Sequence[Window], zoom: float) -> None:
        """Draw the outline of `windows` of a plane.

        Parameters
        ----------
        image : napari.layers.Image
        plane : ArrayPlane
        windows : sequence of Window
        zoom : float
            Screen pixels per pixel of the image.
        """
        key = (id(image), plane, frozenset(windows))
        if self.layer is not None and self.layer not in self._viewer.layers:
            self.layer = self._shown = None  # the user has deleted it
        if not windows:
            self.clear()
            return
        if key != self._shown or self.layer is None:
            lines = _vectors(outline(windows), plane)
            if self.layer is None or self._shown is None or self._shown[0] != id(image):
                self.clear()
                self.layer = Vectors(
                    lines,
                    name=NAME,
                    edge_color=_COLOUR,
                    edge_width=_LINE / zoom,
                    vector_style="line",
                    opacity=0.9,
                    **transform_like(image),
                )
                active = self._viewer.layers.selection.active
                self._viewer.layers.insert(self._viewer.layers.index(image) + 1, self.layer)
                self._viewer.layers.selection.active = active
            else:
                self.layer.data = lines
            self._shown = key
        if not 0.67 < self.layer.edge_width * zoom / _LINE < 1.5:
            self.layer.edge_width = _LINE / zoom

    def clear(self) -> None:
        """Take it away."""
        if self.layer is not None and self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)
        self.layer = self._shown = None


def outline(windows: Sequence[Window]) -> NDArray[np.float64]:
    """The outline of several windows together, (N, 2, 2): start and end of straight lines, (y, x).

    What lies between windows that overlap is no outline. Pixel edges, so halves.
    """
    boxes = np.array(
        [(*w.origin, w.origin[0] + w.shape[0], w.origin[1] + w.shape[1]) for w in windows]
    )
    ys, xs = np.unique(boxes[:, [0, 2]]), np.unique(boxes[:, [1, 3]])
    # One cell between any two neighbouring edges, and a border of empty ones around.
    covered = np.zeros((len(ys) + 1, len(xs) + 1), dtype=bool)
    for y0, x0, y1, x1 in boxes:
        rows, columns = np.searchsorted(ys, [y0, y1]) + 1, np.searchsorted(xs, [x0, x1]) + 1
        covered[slice(*rows), slice(*columns)] = True
    lines = []
    across, column = np.nonzero(covered[1:, 1:-1] != covered[:-1, 1:-1])
    lines.append(np.stack([[ys[across], xs[column]], [ys[across], xs[column + 1]]]))
    row, along = np.nonzero(covered[1:-1, 1:] != covered[1:-1, :-1])
    lines.append(np.stack([[ys[row], xs[along]], [ys[row + 1], xs[along]]]))
    return np.concatenate([each.transpose(2, 0, 1) for each in lines]) - 0.5


def _vectors(lines: NDArray[np.float64], plane: ArrayPlane) -> NDArray[np.float64]:
    """Lines as napari has them, (N, 2, ndim): start, and the way to the end."""
    out = np.zeros((len(lines), 2, plane.ndim))
    out[:, 0, list(plane.others)] = plane.index
    out[:, 0, list(plane.axes)] = lines[:, 0]
    out[:, 1, list(plane.axes)] = lines[:, 1] - lines[:, 0]
    return out
