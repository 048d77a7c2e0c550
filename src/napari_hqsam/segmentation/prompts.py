"""What a user says about one object: clicks, a box, an outline, a stroke, an earlier mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.windows import Window

if TYPE_CHECKING:
    import torch

    from napari_hqsam.modeling import PromptBatch

# A stroke is given to the network as this many clicks along it.
STROKE_POINTS = 12
# Logit of a pixel that an outline or a given mask says is inside (or, negated, outside).
_GIVEN_LOGIT = 8.0


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
        A rough mask of the whole plane, (H, W): a mask prompt and its box.

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

    def __init__(
        self,
        points: ArrayLike | None = None,
        labels: Sequence[int] | None = None,
        box: Sequence[float] | None = None,
        polygon: ArrayLike | None = None,
        scribble: ArrayLike | Sequence[ArrayLike] | None = None,
        mask: ArrayLike | None = None,
    ) -> None:
        clicks = np.empty((0, 2)) if points is None else _coordinates(points, "points")
        signs = np.ones(len(clicks)) if labels is None else np.asarray(labels)
        if signs.shape != (len(clicks),) or not np.isin(signs, (0, 1)).all():
            raise HQSAMError(
                f"labels: give one 0 or 1 for each of the {len(clicks)} points, not {labels!r}"
            )
        signs = signs.astype(np.int64)
        for stroke in () if scribble is None else _strokes(scribble):
            along = _along(stroke, STROKE_POINTS)
            clicks = np.concatenate([clicks, along])
            signs = np.concatenate([signs, np.ones(len(along), np.int64)])
        outline = None if polygon is None else _coordinates(polygon, "polygon")
        if outline is not None and len(outline) < 3:
            raise HQSAMError("polygon: give at least three vertices")
        rough = None if mask is None else np.asarray(mask)
        if rough is not None and (rough.ndim != 2 or not rough.any()):
            raise HQSAMError("mask: give a 2-D mask of the plane with at least one pixel set")
        if outline is not None and rough is not None:
            raise HQSAMError("polygon and mask: both are rough outlines, give one of them")
        _set = object.__setattr__
        _set(self, "points", clicks)
        _set(self, "labels", signs)
        _set(self, "box", None if box is None else _box(box))
        _set(self, "polygon", outline)
        _set(self, "mask", None if rough is None else rough.astype(bool))
        if not len(clicks) and self.box is None and outline is None and rough is None:
            raise HQSAMError("prompts: give a point, a box, a polygon, a scribble or a mask")

    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64], bool]:
        """Lower and upper (y, x) of all prompts, and whether they show the object's size.

        Negative clicks count: they must be in the window to be heard.
        """
        corners = [self.points]
        if self.box is not None:
            corners.append(np.reshape(self.box, (2, 2)))
        if self.polygon is not None:
            corners.append(self.polygon)
        if self.mask is not None:
            corners.append(_mask_corners(self.mask))
        spans = self.box is not None or self.polygon is not None or self.mask is not None
        together = np.concatenate(corners)
        return together.min(axis=0), together.max(axis=0), spans

    def only_cuts(self, before: Prompts | None) -> bool:
        """Whether these prompts say no more than `before` but what is not the object."""
        rest = (self.box, self.polygon, self.mask)
        if all(v is None for v in rest) and not self.labels.any():
            return True
        if before is None:
            return False
        n = len(before.points)
        return (
            len(self.points) > n
            and np.array_equal(self.points[:n], before.points)
            and np.array_equal(self.labels[:n], before.labels)
            and not self.labels[n:].any()
            and all(
                a is b or (a is not None and b is not None and np.array_equal(a, b))
                for a, b in zip(rest, (before.box, before.polygon, before.mask), strict=True)
            )
        )

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
        if self.box is not None and _outside(np.reshape(self.box, (2, 2)), limit):
            y0, x0, y1, x1 = self.box
            raise HQSAMError(
                f"box {y0:g},{x0:g},{y1:g},{x1:g} is outside the image: {size} (y0,x0,y1,x1)"
            )
        if self.mask is not None and self.mask.shape != shape:
            raise HQSAMError(f"mask of shape {self.mask.shape}: {size}")
        if self.polygon is not None and _outside(self.polygon, limit):
            raise HQSAMError(f"polygon: all of it is outside the image; {size}")

    def form(self) -> tuple[int, bool, bool]:
        """What must agree for prompts to share a batch: points, a box or not, a mask or not."""
        outlined = self.polygon is not None or self.mask is not None
        return len(self.points), self.box is not None or outlined, outlined


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
        corners = [window.to_model(_box_corners(p, window)).reshape(4) for p in prompts]
        boxes = torch.from_numpy(np.stack(corners))
    given = [
        earlier if earlier is not None else _outline_logits(p, window)
        for p, earlier in zip(prompts, previous, strict=True)
    ]
    if given[0] is not None:
        masks = torch.from_numpy(np.stack([np.asarray(g, np.float32) for g in given]))[:, None]
    batch = (None if t is None else t.to(device) for t in (points, labels, boxes, masks))
    return PromptBatch(*batch)


def _coordinates(values: ArrayLike, name: str) -> NDArray[np.float64]:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.ndim != 2 or array.shape[1] != 2 or not len(array) or not np.isfinite(array).all():
        raise HQSAMError(f"{name}: give (y, x) pairs such as [(120, 80)], not {values!r}")
    return array


def _strokes(scribble: Any) -> list[NDArray[np.float64]]:
    """One stroke, or several, as a list of vertices (V, 2)."""
    try:
        several = len(scribble) > 0 and all(np.ndim(stroke) == 2 for stroke in scribble)
    except (TypeError, ValueError):
        several = False
    return [_coordinates(s, "scribble") for s in (scribble if several else [scribble])]


def _box(values: Sequence[float]) -> tuple[float, float, float, float]:
    try:
        y0, x0, y1, x1 = (float(v) for v in values)
        good = bool(np.isfinite([y0, x0, y1, x1]).all()) and y0 <= y1 and x0 <= x1
    except (TypeError, ValueError):
        good = False
    if not good:
        raise HQSAMError(f"box {values!r}: give y0, x0, y1, x1 with y0 <= y1 and x0 <= x1")
    return y0, x0, y1, x1


def _along(vertices: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """`count` points at equal distances along a polyline."""
    lengths = np.hypot(*np.diff(vertices, axis=0).T)
    at = np.concatenate([[0.0], np.cumsum(lengths)])
    wanted = np.linspace(0, at[-1], count)
    return np.stack([np.interp(wanted, at, vertices[:, i]) for i in range(2)], axis=1)


def _outside(vertices: NDArray[np.float64], limit: NDArray[np.float64]) -> bool:
    """Whether the box of (V, 2) vertices misses a plane that ends at `limit`."""
    return bool((vertices.max(axis=0) < -0.5).any() or (vertices.min(axis=0) > limit).any())


def _mask_corners(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    ys, xs = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return np.array([[ys[0], xs[0]], [ys[-1], xs[-1]]], dtype=np.float64)


def _box_corners(prompts: Prompts, window: Window) -> NDArray[np.float64]:
    """(2, 2) corners of the box, or of the outline, cut to the window.

    A box names its outermost pixels; to the model it names model pixels. Where a pixel is magnified
    to several of those, the outermost lies further out than the middle of the pixel.
    """
    if prompts.box is not None:
        corners = np.reshape(prompts.box, (2, 2))
    elif prompts.polygon is not None:
        corners = np.stack([prompts.polygon.min(axis=0), prompts.polygon.max(axis=0)])
    else:
        assert prompts.mask is not None
        corners = _mask_corners(prompts.mask)
    low = np.asarray(window.origin)
    inside = np.clip(corners, low, low + np.asarray(window.shape) - 1)
    margin = max(0.0, 1 - 1 / window.scale) / 2  # in pixels; SAM's way where it shrinks
    return inside + np.array([[-margin], [margin]])


def _outline_logits(prompts: Prompts, window: Window) -> NDArray[np.float32] | None:
    """A polygon or mask as low-res logits of a window, (S/4, S/4)."""
    import torch
    from torch.nn import functional as F

    from napari_hqsam.embedding import resize

    (oy, ox), (h, w) = window.origin, window.shape
    if prompts.mask is not None:
        inside = prompts.mask[oy : oy + h, ox : ox + w]
    elif prompts.polygon is not None:
        from skimage.draw import polygon2mask

        vertices = prompts.polygon - window.origin
        inside = polygon2mask((h, w), vertices)
        if not inside.any():  # finer than the pixels
            y, x = np.clip(vertices.mean(axis=0).round().astype(int), 0, (h - 1, w - 1))
            inside[y, x] = True
    else:
        return None
    size = window.input_size // 4
    mh, mw = window.model_shape
    image = torch.from_numpy(inside.astype(np.float32))[None, None]
    share = F.pad(resize(image, (mh, mw)), (0, window.input_size - mw, 0, window.input_size - mh))
    share = resize(share, (size, size))
    return ((share[0, 0] * 2 - 1) * _GIVEN_LOGIT).numpy()
