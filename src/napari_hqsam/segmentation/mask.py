"""A predicted mask, in full resolution, with what it was made from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.windows import Window
from napari_hqsam.modeling import Mode
from napari_hqsam.segmentation.prompts import Prompts

Region = tuple[int, int, int, int]
"""(y0, x0, y1, x1), half-open."""

# A mask and its logits take 17 bytes a pixel while they are made.
MAX_PIXELS = 8_000**2
# The logit of a pixel of which nothing is known but that the object was not seen there.
OUTSIDE = -8.0


@dataclass(frozen=True, eq=False)  # arrays have no truth value to compare by
class Mask:
    """The mask of one object on one plane.

    Attributes
    ----------
    data : ndarray of bool
        (h, w), the mask inside `bbox`.
    bbox : tuple of int
        (y0, x0, y1, x1) in level-0 pixels, half-open: ``labels[y0:y1, x0:x1][data] = n`` draws it.
        An empty mask has an empty box.
    plane : tuple of int
        Indices of the axes other than y, x, c.
    score : float
        The IoU with the truth that SAM predicts for its mask.
    window : Window
        Where it was predicted.
    low_res_sam, low_res_hq : ndarray or None
        Logits (S/4, S/4) of SAM's mask and of the HQ token.
    prompts : Prompts or None
        What it was predicted from.
    given : ndarray or None
        Logits (S/4, S/4) of an earlier mask that the network was given beside them.
    cuts : Mask or None
        The mask that negative clicks have made this one from, and in which it therefore lies.
    """

    data: NDArray[np.bool_] = field(repr=False)
    bbox: tuple[int, int, int, int]
    plane: tuple[int, ...]
    score: float
    window: Window
    low_res_sam: NDArray[np.float32] = field(repr=False)
    low_res_hq: NDArray[np.float32] | None = field(repr=False)
    prompts: Prompts | None = field(default=None, repr=False)
    given: NDArray[np.float32] | None = field(default=None, repr=False)
    cuts: Mask | None = field(default=None, repr=False)

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(np.count_nonzero(self.data))

    def low_res(self, mode: Mode) -> NDArray[np.float32]:
        """The logits (S/4, S/4) that `mode` thresholds, of the window it was predicted in."""
        if mode == "sam" or self.low_res_hq is None:
            return self.low_res_sam
        return self.low_res_hq if mode == "hq" else self.low_res_sam + self.low_res_hq

    def draw(self, labels: NDArray[Any], value: int, *, only_background: bool = True) -> int:
        """Write `value` into a label plane (H, W); the number of pixels written.

        Parameters
        ----------
        labels : ndarray
            One plane of labels, changed in place.
        value : int
        only_background : bool
            Leave other objects as they are.
        """
        y0, x0, y1, x1 = self.bbox
        region = labels[y0:y1, x0:x1]
        chosen = self.data & (region == 0) if only_background else self.data
        region[chosen] = value
        return int(np.count_nonzero(chosen))

    def full(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """The mask on a plane of `shape`."""
        out = np.zeros(shape, dtype=bool)
        y0, x0, y1, x1 = self.bbox
        out[y0:y1, x0:x1] = self.data
        return out

    def within(self, other: Mask) -> Mask:
        """The part of this mask that lies in `other`, a mask of the same plane."""
        y0, x0, y1, x1 = self.bbox
        v0, u0, v1, u1 = other.bbox
        data = np.zeros_like(self.data)
        low, high = np.maximum((y0, x0), (v0, u0)), np.minimum((y1, x1), (v1, u1))
        if (low < high).all():
            mine, theirs = (
                tuple(slice(a, b) for a, b in zip(low - at, high - at, strict=True))
                for at in ((y0, x0), (v0, u0))
            )
            data[mine] = self.data[mine] & other.data[theirs]
        data, bbox = trimmed(data, (y0, x0))
        return replace(self, data=data, bbox=bbox)


def trimmed(
    mask: NDArray[np.bool_], origin: tuple[int, int]
) -> tuple[NDArray[np.bool_], tuple[int, int, int, int]]:
    """A mask whose first pixel is at `origin`, cut to its box; and the box."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if len(rows) == 0:
        return np.zeros((0, 0), dtype=bool), (*origin, *origin)
    y0, y1, x0, x1 = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    oy, ox = origin
    return mask[y0:y1, x0:x1], (oy + y0, ox + x0, oy + y1, ox + x1)


def seen(logits: Tensor, window: Window, above: float) -> Region:
    """A part of a window outside of which none of the low-res logits is above a value.

    Parameters
    ----------
    logits : Tensor
        (N, 1, S/4, S/4).
    window : Window
    above : float

    Returns
    -------
    tuple of int
        (y0, x0, y1, x1), half-open, in pixels of the window; by about a low-res pixel larger than
        it need be.

    Raises
    ------
    HQSAMError
        If it has more pixels than a mask may have.
    """
    stride = window.input_size / logits.shape[-1]
    h, w = (math.ceil(m / stride) + 1 for m in window.model_shape)  # what follows is padding
    low = logits[..., :h, :w].amax(dim=(0, 1)) > above
    rows, columns = (low.any(dim=d).nonzero()[:, 0].tolist() for d in (1, 0))
    if not rows:
        return 0, 0, 0, 0
    ends = []
    for found, n, m in zip((rows, columns), window.shape, window.model_shape, strict=True):
        # interpolation reaches to the next of the low-res pixels, and then to the next model pixel
        first, last = (found[0] - 0.5) * stride, (found[-1] + 1.5) * stride
        start, stop = (first - 1) * n / m, (last + 1) * n / m
        ends.append((min(n, max(0, math.floor(start))), min(n, math.ceil(stop))))
    (y0, y1), (x0, x1) = ends
    if (y1 - y0) * (x1 - x0) > MAX_PIXELS:
        raise HQSAMError(
            f"an object of {y1 - y0} x {x1 - x0} pixels is too large for one mask: work on a "
            "coarser level of the pyramid, or give a box around a part of it"
        )
    return y0, x0, y1, x1


def upscale(logits: Tensor, window: Window, region: Region | None = None) -> Tensor:
    """Low-res logits (N, 1, S/4, S/4) → logits (N, h, w) on the pixels of the window.

    SAM's post-processing: bilinear to S, without the padding, bilinear to the image. With a
    `region`, (y0, x0, y1, x1) in pixels of the window, only that part is computed.
    """
    full = _at_model_size(logits, window)[:, 0]
    y0, x0, y1, x1 = region or (0, 0, *window.shape)
    rows = _interpolated(full, 1, window.shape[0], y0, y1)
    return _interpolated(rows, 2, window.shape[1], x0, x1)


def move_logits(logits: Tensor, source: Window, target: Window) -> Tensor:
    """Low-res logits (S/4, S/4) of one window as those of another of the same plane.

    What the first window did not show counts as outside the object.
    """
    low = np.maximum(np.subtract(target.origin, source.origin), 0)
    high = np.add(target.origin, target.shape) - source.origin
    high = np.maximum(np.minimum(high, source.shape), low)
    region = (int(low[0]), int(low[1]), int(high[0]), int(high[1]))
    shown = upscale(logits[None, None], source, region)[0]
    return window_logits(shown, tuple(low + source.origin), target)


def window_logits(shown: Tensor, origin: Sequence[int], target: Window) -> Tensor:
    """Logits (h, w) of the pixels from `origin` on as low-res logits (S/4, S/4) of `target`."""
    low = np.maximum(origin, target.origin)
    high = np.minimum(np.add(origin, shown.shape), np.add(target.origin, target.shape))
    there = shown.new_full(target.shape, OUTSIDE)
    if (low < high).all():
        (ty, tx), (sy, sx) = low - target.origin, low - origin
        h, w = high - low
        there[ty : ty + h, tx : tx + w] = shown[sy : sy + h, sx : sx + w]
    mh, mw = target.model_shape
    size = target.input_size
    model = F.interpolate(there[None, None], (mh, mw), mode="bilinear")
    model = F.pad(model, (0, size - mw, 0, size - mh), value=OUTSIDE)
    return F.interpolate(model, (size // 4, size // 4), mode="bilinear", antialias=True)[0, 0]


def _at_model_size(logits: Tensor, window: Window) -> Tensor:
    """(N, 1, S/4, S/4) → (N, 1, mh, mw), the model pixels that are not padding."""
    mh, mw = window.model_shape
    size = (window.input_size, window.input_size)
    return F.interpolate(logits, size, mode="bilinear")[:, :, :mh, :mw]


def _interpolated(x: Tensor, dim: int, length: int, start: int, stop: int) -> Tensor:
    """Elements `start` to `stop` of what bilinear interpolation to `length` along `dim` gives."""
    n = x.shape[dim]
    if n == length:
        return x.narrow(dim, start, stop - start)
    at = (torch.arange(start, stop, device=x.device) + 0.5) * (n / length) - 0.5
    at = at.clamp(0, n - 1)
    low = at.long()
    weight = (at - low).to(x.dtype).reshape([-1 if d == dim else 1 for d in range(x.ndim)])
    after = (low + 1).clamp(max=n - 1)
    return torch.lerp(x.index_select(dim, low), x.index_select(dim, after), weight)


def mask_from_logits(
    logits: Tensor,
    origin: tuple[int, int],
    window: Window,
    score: float,
    low_res_sam: Tensor,
    low_res_hq: Tensor | None,
    prompts: Prompts | None = None,
    given: NDArray[np.float32] | None = None,
) -> Mask:
    """Threshold logits (h, w), whose first pixel is at `origin` of the plane, at 0."""
    data, bbox = trimmed((logits > 0).cpu().numpy(), origin)
    return Mask(
        data,
        bbox,
        window.plane,
        score,
        window,
        _copied(low_res_sam),
        None if low_res_hq is None else _copied(low_res_hq),
        prompts,
        given,
    )


def _copied(logits: Tensor) -> NDArray[np.float32]:
    """As an array of its own: a view would keep the whole batch in memory."""
    return np.array(logits.float().cpu().numpy())
