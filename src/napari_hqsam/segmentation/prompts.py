"""What a user says about one object: clicks, a box, an outline, strokes, an earlier mask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.windows import Window
from napari_hqsam.segmentation.coordinates import (
    along,
    corners,
    misses,
    pairs,
    set_corners,
    strokes,
    whole_pair,
)
from napari_hqsam.segmentation.outline import outline_logits

if TYPE_CHECKING:
    import torch

    from napari_hqsam.modeling import PromptBatch

# A stroke is given to the network as this many clicks along it.
STROKE_POINTS = 12


@dataclass(frozen=True, init=False, eq=False)
class Prompts:
    """Prompts of one object, (y, x) in level-0 pixels of its plane; integers are pixel centres.

    Parameters
    ----------
    points : array-like, optional
        (P, 2) clicks.
    labels : sequence of int, optional
        1 for a click on the object, 0 for one on what is not the object. All 1 by default.
    box : sequence of float, optional
        (y0, x0, y1, x1), the outermost pixels of the object.
    polygon : array-like, optional
        (V, 2) vertices of a rough outline: a mask prompt and its box.
    scribble : array-like or sequence of array-like, optional
        (V, 2) vertices of a stroke along the object, or several such strokes.
    mask : ndarray of bool, optional
        A rough mask: a mask prompt and its box. Of the whole plane, (H, W), or with `mask_origin`
        of a part of it, (h, w).
    negative_scribble : array-like or sequence of array-like, optional
        As `scribble`, along what is not the object.
    mask_origin : (int, int), optional
        (y0, x0), where the first pixel of `mask` lies in the plane.

    Attributes
    ----------
    points, labels : ndarray
        (N, 2) and (N,): the clicks, with those that strokes became.

    Raises
    ------
    HQSAMError
        If nothing is given, or something does not have the form above.
    """

    points: NDArray[np.float64]
    labels: NDArray[np.int64]
    box: tuple[float, float, float, float] | None
    polygon: NDArray[np.float64] | None
    mask: NDArray[np.bool_] | None
    mask_origin: tuple[int, int] | None

    def __init__(
        self,
        points: ArrayLike | None = None,
        labels: Sequence[int] | None = None,
        box: Sequence[float] | None = None,
        polygon: ArrayLike | None = None,
        scribble: ArrayLike | Sequence[ArrayLike] | None = None,
        mask: ArrayLike | None = None,
        negative_scribble: ArrayLike | Sequence[ArrayLike] | None = None,
        mask_origin: Sequence[int] | None = None,
    ) -> None:
        clicks = np.empty((0, 2)) if points is None else pairs(points, "points")
        signs = np.ones(len(clicks)) if labels is None else np.asarray(labels)
        if signs.shape != (len(clicks),) or not np.isin(signs, (0, 1)).all():
            raise HQSAMError(
                f"labels: give one 0 or 1 for each of the {len(clicks)} points, not {labels!r}"
            )
        signs = signs.astype(np.int64)
        drawn = {"scribble": (scribble, 1), "negative_scribble": (negative_scribble, 0)}
        for name, (several, sign) in drawn.items():
            for stroke in () if several is None else strokes(several, name):
                clicks = np.concatenate([clicks, along(stroke, STROKE_POINTS)])
                signs = np.concatenate([signs, np.full(STROKE_POINTS, sign)])
        outline = None if polygon is None else pairs(polygon, "polygon")
        if outline is not None and len(outline) < 3:
            raise HQSAMError("polygon: give at least three vertices")
        rough = None if mask is None else np.asarray(mask)
        if rough is not None and (rough.ndim != 2 or not rough.any()):
            raise HQSAMError("mask: give a 2-D mask of the plane with at least one pixel set")
        if outline is not None and rough is not None:
            raise HQSAMError("polygon and mask: both are rough outlines, give one of them")
        if mask_origin is not None and rough is None:
            raise HQSAMError("mask_origin: give the mask that begins there, too")
        checked = {
            "points": clicks,
            "labels": signs,
            "box": None if box is None else corners(box),
            "polygon": outline,
            "mask": None if rough is None else rough.astype(bool),
            "mask_origin": None if mask_origin is None else whole_pair(mask_origin, "mask_origin"),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if not len(clicks) and all(v is None for v in (self.box, outline, rough)):
            raise HQSAMError("prompts: give a point, a box, a polygon, a scribble or a mask")

    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64], bool]:
        """Lower and upper (y, x) of all prompts, and whether they show the object's size.

        Negative clicks count: they must be in the window to be heard.
        """
        ends = [self.points]
        if self.box is not None:
            ends.append(np.reshape(self.box, (2, 2)))
        if self.polygon is not None:
            ends.append(self.polygon)
        if self.mask is not None:
            ends.append(set_corners(self.mask) + (self.mask_origin or (0, 0)))
        together = np.concatenate(ends)
        return together.min(axis=0), together.max(axis=0), len(ends) > 1

    def span(self) -> NDArray[np.float64] | None:
        """(2, 2) corners of the box, or else of the outline or the mask; None for clicks alone."""
        if self.box is not None:
            return np.reshape(self.box, (2, 2))
        if self.polygon is not None:
            return np.stack([self.polygon.min(axis=0), self.polygon.max(axis=0)])
        if self.mask is not None:
            return set_corners(self.mask) + (self.mask_origin or (0, 0))
        return None

    def signature(self) -> tuple[Hashable, ...]:
        """Equal for prompts that say the same, whatever the order of their clicks."""
        arrays = (
            None if a is None else (a.shape, blake2b(np.ascontiguousarray(a).data).digest())
            for a in self._arrays()
        )
        return self.box, self.mask_origin, frozenset(self._clicks().items()), *arrays

    def more_than(self, before: Prompts) -> list[int]:
        """Labels of the clicks that are new since `before`; [] if more than clicks has changed."""
        mine, earlier = self._clicks(), before._clicks()
        if not (earlier <= mine and self._same_shape(before)):
            return []
        return [label for _, _, label in (mine - earlier).elements()]

    def only_cuts(self, before: Prompts | None) -> bool:
        """Whether these prompts say no more than `before` but what is not the object."""
        if not self.form()[1] and not self.labels.any():
            return True
        new = [] if before is None else self.more_than(before)
        return len(new) > 0 and not any(new)

    def clicks_in(self, window: Window) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Points (P, 2) and labels (P,) of the clicks that lie in `window`."""
        inside = np.array([window.contains(p) for p in self.points], dtype=bool)
        return self.points[inside], self.labels[inside]

    def check_inside(self, shape: tuple[int, int]) -> None:
        """Raise HQSAMError if a prompt lies outside a plane of `shape`."""
        size = f"the plane has {shape[0]} x {shape[1]} pixels"
        limit = np.subtract(shape, 0.5)
        for y, x in self.points:
            if not (-0.5 <= y <= limit[0] and -0.5 <= x <= limit[1]):
                raise HQSAMError(f"point {y:g},{x:g} is outside the image: {size} (y, x)")
        if self.box is not None and misses(np.reshape(self.box, (2, 2)), limit):
            y0, x0, y1, x1 = self.box
            raise HQSAMError(
                f"box {y0:g},{x0:g},{y1:g},{x1:g} is outside the image: {size} (y0,x0,y1,x1)"
            )
        if self.mask is not None:
            fits, at = self.mask.shape == shape, ""
            if self.mask_origin is not None:
                fits = bool((np.add(self.mask_origin, self.mask.shape) <= shape).all())
                at = f" at {self.mask_origin}"
            if not fits:
                raise HQSAMError(f"mask of shape {self.mask.shape}{at}: {size}")
        if self.polygon is not None and misses(self.polygon, limit):
            raise HQSAMError(f"polygon: all of it is outside the image; {size}")

    def form(self) -> tuple[int, bool, bool]:
        """What must agree for prompts to share a batch: points, a box or not, a mask or not."""
        outlined = self.polygon is not None or self.mask is not None
        return len(self.points), self.box is not None or outlined, outlined

    def _clicks(self) -> Counter[tuple[float, float, int]]:
        """In which order they came says nothing of the object."""
        return Counter(
            (y, x, n) for (y, x), n in zip(self.points.tolist(), self.labels.tolist(), strict=True)
        )

    def _arrays(self) -> tuple[NDArray[Any] | None, ...]:
        return self.polygon, self.mask

    def _same_shape(self, other: Prompts) -> bool:
        if (self.box, self.mask_origin) != (other.box, other.mask_origin):
            return False
        return all(
            a is b or (a is not None and b is not None and np.array_equal(a, b))
            for a, b in zip(self._arrays(), other._arrays(), strict=True)
        )


def to_batch(
    prompts: Sequence[Prompts],
    window: Window,
    previous: Sequence[NDArray[Any] | None],
    device: torch.device,
) -> PromptBatch:
    """Prompts of one form, in model pixels of one window.

    Parameters
    ----------
    prompts : sequence of Prompts
        N, of equal `form`.
    window : Window
    previous : sequence of ndarray or None
        Low-res logits (S/4, S/4) of an earlier prediction in this window, for each; they take
        precedence over an outline.
    device : torch.device
    """
    import torch

    from napari_hqsam.modeling import PromptBatch

    first = prompts[0]
    points = labels = boxes = masks = None
    if len(first.points):
        points = torch.from_numpy(np.stack([window.to_model(p.points) for p in prompts]))
        labels = torch.from_numpy(np.stack([p.labels for p in prompts])).float()
    if first.form()[1]:
        ends = [window.to_model(_box_corners(p, window)).reshape(4) for p in prompts]
        boxes = torch.from_numpy(np.stack(ends))
    given = [
        outline_logits(p.polygon, p.mask, p.mask_origin, window) if earlier is None else earlier
        for p, earlier in zip(prompts, previous, strict=True)
    ]
    if given[0] is not None:
        masks = torch.from_numpy(np.stack([np.asarray(g, np.float32) for g in given]))[:, None]
    batch = (None if t is None else t.to(device) for t in (points, labels, boxes, masks))
    return PromptBatch(*batch)


def _box_corners(prompts: Prompts, window: Window) -> NDArray[np.float64]:
    """(2, 2) corners of the box, or of the outline, cut to the window.

    A box names its outermost pixels; to the model it names model pixels. Where a pixel is magnified
    to several of those, the outermost lies further out than the middle of the pixel.
    """
    ends = prompts.span()
    assert ends is not None
    low = np.asarray(window.origin)
    inside = np.clip(ends, low, low + np.asarray(window.shape) - 1)
    margin = max(0.0, 1 - 1 / window.scale) / 2  # in pixels; SAM's way where it shrinks
    return inside + np.array([[-margin], [margin]])
