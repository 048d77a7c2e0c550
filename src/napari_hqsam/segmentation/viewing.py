"""Which window an object is looked at in: the best one, or one at hand that is nearly as good."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.images.windows import Box, Window, whole_plane, window_around
from napari_hqsam.segmentation.mask import Mask
from napari_hqsam.segmentation.prompts import Prompts

# A clicked object that turns out smaller than this share of its window is looked at magnified.
_SMALL = 1 / 6
# What covers more of its window than this is no object that the window has cut off.
_EVERYTHING = 0.9
# How far from the edges of a prepared window a click must be, as a share of its side; and what a
# box spans, as a share of that.
_CLICK_MARGIN = 0.1
_BOX_MARGIN = 0.15


def _none(box: Box) -> Iterable[Window]:
    return ()


def _box_of(corners: NDArray[np.float64]) -> Box:
    """The half-open box of two corners, which are pixels."""
    (y0, x0), (y1, x1) = corners
    return y0, x0, y1 + 1, x1 + 1


@dataclass(frozen=True)
class Viewing:
    """Chooses windows on one plane.

    Parameters
    ----------
    shape : tuple of int
        (height, width) of the plane.
    plane : tuple of int
    level : int
    input_size : int
        S.
    offered : callable
        Gives the windows that meet a box and whose features are at hand: they are taken instead
        of the best one where the object can be seen in them as well.
    side : float, optional
        Side of the windows of what the user looks at. A click is looked at in an offered window
        of about that size; without it in the one nearest to 1:1.
    """

    shape: tuple[int, int]
    plane: tuple[int, ...]
    level: int
    input_size: int
    offered: Callable[[Box], Iterable[Window]] = _none
    side: float | None = None

    def of(self, prompts: Prompts, previous: Mask | None = None) -> Window:
        """The window for `prompts`; a correction keeps its window unless a prompt leaves it."""
        lower, upper, spans = prompts.bounds()
        corners = np.stack([lower, upper])
        if spans:  # a box may reach over the edge
            corners = np.clip(corners, 0, np.subtract(self.shape, 1))
        if previous is not None:
            kept = previous.window
            same = (kept.plane, kept.level, kept.input_size) == (
                self.plane,
                self.level,
                self.input_size,
            )
            if same and kept.contains(corners):
                return kept
        if spans:
            return self._around(corners[0], corners[1])
        side = self.side or self.input_size
        margin = np.full(2, _CLICK_MARGIN)
        fits = [
            w
            for w in self.offered(_box_of(corners))
            if self._shows(w, corners, margin * w.side)
            and (self.side is None or abs(math.log2(w.side / side)) <= 1)
        ]
        if fits:
            return min(fits, key=lambda w: (abs(math.log2(w.side / side)), _off(w, corners)))
        if max(self.shape) <= self.input_size:
            return whole_plane(self.shape, self.input_size, self.plane, self.level)
        return window_around(
            corners[0],
            corners[1],
            self.shape,
            self.input_size,
            self.plane,
            self.level,
            smallest=self.input_size,
        )

    def better(self, prompts: Prompts, mask: Mask, *, closer: bool) -> Window | None:
        """The window that suits a clicked object better than the one that it was found in.

        A larger one, or one beside it, if the object is cut off there; a magnified one if it is
        small in it, if that is not to be looked at already.
        """
        part = clicked_part(prompts, mask)
        if part is None:
            return None
        found = self._closer(prompts, mask, part) if closer else None
        return found or self._wider(prompts, mask, part)

    def _closer(self, prompts: Prompts, mask: Mask, part: Box) -> Window | None:
        extent = max(np.subtract(part[2:], part[:2]))
        if extent >= _SMALL * mask.window.side:
            return None
        # Twice as wide as for a box: the first mask may have missed a part.
        window = self._around(*self._reach(prompts, part, 0.5))
        return window if window.side < mask.window.side else None

    def _wider(self, prompts: Prompts, mask: Mask, part: Box) -> Window | None:
        window = mask.window
        (y0, x0), (h, w) = window.origin, window.shape
        sides = (y0, x0, y0 + h, x0 + w)
        ends = (0, 0, *self.shape)
        cut = any(at == side != end for at, side, end in zip(part, sides, ends, strict=True))
        if not cut or mask.area > _EVERYTHING * h * w:
            return None
        found = self._around(*self._reach(prompts, part, 0.25))
        return None if found == window else found

    def _reach(
        self, prompts: Prompts, part: Box, margin: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The box of a part and of the prompts, widened on each side by a share of itself."""
        lower, upper, _ = prompts.bounds()
        lower = np.minimum(lower, part[:2])
        upper = np.maximum(upper, np.subtract(part[2:], 1))
        widened = (upper - lower) * margin
        limit = np.subtract(self.shape, 1)
        return np.clip(lower - widened, 0, limit), np.clip(upper + widened, 0, limit)

    def _around(self, lower: NDArray[np.float64], upper: NDArray[np.float64]) -> Window:
        best = window_around(lower, upper, self.shape, self.input_size, self.plane, self.level)
        corners = np.stack([lower, upper])
        margin = (upper - lower) * _BOX_MARGIN
        fits = [
            w
            for w in self.offered(_box_of(corners))
            if best.side <= w.side <= 2 * best.side and self._shows(w, corners, margin)
        ]
        return min(fits, key=lambda w: (w.side, _off(w, corners)), default=best)

    def _shows(
        self, window: Window, corners: NDArray[np.float64], margin: NDArray[np.float64]
    ) -> bool:
        """Whether corners lie in a window, and so far from its edges, except those of the plane."""
        if (window.level, window.input_size) != (self.level, self.input_size):
            return False
        low = np.subtract(window.origin, 0.5)
        high = low + window.shape
        low = np.where(np.equal(window.origin, 0), -np.inf, low + margin)
        at_end = np.add(window.origin, window.shape) == self.shape
        high = np.where(at_end, np.inf, high - margin)
        return bool(((corners >= low) & (corners <= high)).all())


def clicked_part(prompts: Prompts, mask: Mask) -> Box | None:
    """The box of the parts of a mask that were clicked on; None if none was.

    A first mask may have specks elsewhere, which say nothing of the object's size.
    """
    from scipy.ndimage import find_objects, label

    clicks = np.round(prompts.points[prompts.labels == 1]).astype(int) - mask.bbox[:2]
    clicks = clicks[((clicks >= 0) & (clicks < mask.data.shape)).all(axis=1)]
    if not mask.data[tuple(clicks.T)].any():
        return None
    parts, _ = label(mask.data)
    clicked = set(parts[tuple(clicks.T)].tolist()) - {0}
    boxes = find_objects(parts)
    ends = np.array([[(s.start, s.stop) for s in boxes[i - 1]] for i in clicked])
    (y0, x0), (y1, x1) = ends[..., 0].min(axis=0), ends[..., 1].max(axis=0)
    top, left = mask.bbox[:2]
    return int(y0) + top, int(x0) + left, int(y1) + top, int(x1) + left


def _off(window: Window, corners: Sequence[float] | NDArray[np.float64]) -> float:
    """How far corners are from the middle of a window."""
    middle = np.add(window.origin, np.divide(window.shape, 2)) - 0.5
    return float(np.linalg.norm(np.mean(corners, axis=0) - middle))
