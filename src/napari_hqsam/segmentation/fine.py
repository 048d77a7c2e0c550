"""Fine windows: where the boundary of a thin or large object is seen again, closer.

A mask has a quarter of the window's resolution. A vessel of 5 pixels in a window that shows a
whole tree, shrunk to a half, is less than one pixel of that mask. So once the object is known
roughly, its boundary is looked at again in windows that show a part of it each, 1:1 or magnified,
with the rough mask as the prompt.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_hqsam.images.windows import OVERLAP, Window
from napari_hqsam.modeling import HQSam, Mode, PromptBatch, TileFeatures
from napari_hqsam.segmentation.mask import Mask, trimmed, upscale, window_logits
from napari_hqsam.segmentation.prompts import Prompts

# Model pixels that a thin object must be wide for its two edges to be told apart at stride 4.
_WIDTH = 8.0
_MAX_MAGNIFICATION = 2
# More would keep a user waiting; the windows are coarser instead.
_MOST_WINDOWS = 64
# Weight of the rough logits beside those of a fine window, 1 in its middle.
_ROUGH = 0.02
# What a fine window adds may reach so far out of the user's box, as a share of its sides.
_BOX_SLACK = 0.05


def refine_boundary(
    mask: Mask,
    mode: Mode,
    plane_shape: tuple[int, int],
    model: HQSam,
    features: Callable[[Window], TileFeatures],
    threshold: float = 0.0,
) -> Mask:
    """The same object with its boundary as the fine windows show it.

    Parameters
    ----------
    mask : Mask
    mode : {"hq+sam", "hq", "sam"}
        Which logits are thresholded.
    plane_shape : tuple of int
        (height, width) of the plane.
    model : HQSam
    features : callable
        Gives the features of a window.
    threshold : float
        Logits above it are in the mask.

    Returns
    -------
    Mask
        Of the same window and low-res logits, so that it can be corrected; or `mask` itself, if
        there is nothing finer to see.
    """
    windows = fine_windows(mask, plane_shape)
    if not windows:
        return mask
    (wy, wx), (h, w) = mask.window.origin, mask.window.shape
    ends = np.array([(*v.origin, *np.add(v.origin, v.shape)) for v in windows] + [mask.bbox])
    low = np.maximum(ends[:, :2].min(axis=0), (wy, wx))
    high = np.minimum(ends[:, 2:].max(axis=0), (wy + h, wx + w))
    origin = (int(low[0]), int(low[1]))
    with torch.inference_mode():
        logits = torch.from_numpy(mask.low_res(mode))[None, None]
        region = (*(low - (wy, wx)).tolist(), *(high - (wy, wx)).tolist())
        rough = upscale(logits, mask.window, region)[0]
        blend = Blend(rough, origin)
        for window in windows:
            known = window_logits(rough, origin, window)
            prompts = _prompts(mask.prompts, window, known, model.device)
            only = torch.zeros(1, dtype=torch.long, device=model.device)
            decoded = model.decode(features(window), only, prompts, hq=mode != "sam")
            logits, _ = decoded.select(mode)
            blend.add(upscale(logits, window)[0].cpu(), window)
        found = (blend.result() > threshold).numpy()
    if mask.prompts is not None and mask.prompts.box is not None:
        _keep_near(found, origin, mask.prompts.box, mask)
    data, bbox = trimmed(found, origin)
    return replace(mask, data=data, bbox=bbox)


def _keep_near(
    found: NDArray[np.bool_],
    origin: tuple[int, int],
    box: tuple[float, float, float, float],
    rough: Mask,
) -> None:
    """Take away, in place, what grew out of the box: no fine window shows where the box ends."""
    corners = np.array(box).reshape(2, 2)
    slack = np.maximum((corners[1] - corners[0]) * _BOX_SLACK, 2)
    low = np.maximum(np.round(corners[0] - slack).astype(int) - origin, 0)
    high = np.maximum(np.round(corners[1] + slack).astype(int) + 1 - origin, 0)
    allowed = np.zeros_like(found)
    allowed[low[0] : high[0], low[1] : high[1]] = True
    y0, x0, y1, x1 = rough.bbox
    allowed[y0 - origin[0] : y1 - origin[0], x0 - origin[1] : x1 - origin[1]] |= rough.data
    found &= allowed


def _prompts(
    given: Prompts | None, window: Window, known: Tensor, device: torch.device
) -> PromptBatch:
    """The rough mask (S/4, S/4), and of the clicks those that lie in the window."""
    masks = known[None, None].to(device)
    if given is None:
        return PromptBatch(masks=masks)
    points, labels = given.clicks_in(window)
    if len(points) == 0:
        return PromptBatch(masks=masks)
    coordinates = torch.from_numpy(window.to_model(points))[None]
    signs = torch.from_numpy(labels)[None].float()
    return PromptBatch(coordinates.to(device), signs.to(device), masks=masks)


def typical_width(mask: NDArray[np.bool_]) -> float:
    """Width of a mask in pixels: of a strip its width, of a disc about its radius."""
    return 2 * int(mask.sum()) / max(len(_boundary(mask)), 1)


def fine_windows(mask: Mask, plane_shape: tuple[int, int]) -> list[Window]:
    """The windows in which the boundary of `mask` should be looked at again.

    They lie on a grid that depends on the plane alone, so that neighbouring objects share them.

    Parameters
    ----------
    mask : Mask
    plane_shape : tuple of int
        (height, width) of the plane.

    Returns
    -------
    list of Window
        Empty if the window of the mask was fine enough.
    """
    rough = mask.window
    if mask.area == 0:
        return []
    octave = math.ceil(math.log2(_WIDTH / typical_width(mask.data)))
    # 1:1 at least if the image was shrunk; magnified only for what is thin
    octave = min(max(octave, 0), int(math.log2(_MAX_MAGNIFICATION)))
    boundary = _boundary(mask.data)
    while 2.0**octave > 1.2 * rough.scale:
        windows = _on_boundary(mask, boundary, octave, plane_shape)
        if len(windows) <= _MOST_WINDOWS:
            return windows
        octave -= 1
    return []


def _boundary(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """(y, x) of pixels of a mask at its edge."""
    from scipy.ndimage import binary_erosion

    return np.argwhere(mask & ~binary_erosion(mask))


def _on_boundary(
    mask: Mask, boundary: NDArray[np.intp], octave: int, plane_shape: tuple[int, int]
) -> list[Window]:
    """The windows of the plane's grid that a boundary (N, 2), within the mask, runs through."""
    rough = mask.window
    side = round(rough.input_size / 2.0**octave)
    step = round(side * (1 - OVERLAP))
    at = boundary + mask.bbox[:2]
    # Of each boundary pixel the grid cell of its window; the overlap lies half on either side.
    last = [max(0, math.ceil((n - side) / step)) for n in plane_shape]
    cells = np.clip((at - (side - step) // 2) // step, 0, last)
    windows = []
    for cell in np.unique(cells, axis=0):
        origin = [
            min(int(c) * step, max(n - side, 0)) for c, n in zip(cell, plane_shape, strict=True)
        ]
        shape = [min(side, n - o) for n, o in zip(plane_shape, origin, strict=True)]
        windows.append(
            Window(
                rough.plane,
                rough.level,
                (origin[0], origin[1]),
                side,
                (shape[0], shape[1]),
                rough.input_size,
            )
        )
    return windows


class Blend:
    """Logits of a rough mask, into which those of fine windows are blended.

    Parameters
    ----------
    logits : Tensor
        (h, w), on the pixels of the plane from `origin` on.
    origin : tuple of int
        (y, x).
    """

    def __init__(self, logits: Tensor, origin: tuple[int, int]) -> None:
        self.origin = origin
        self._sum = logits * _ROUGH
        self._weights = torch.full_like(logits, _ROUGH)

    def add(self, logits: Tensor, window: Window) -> None:
        """Blend in logits (h, w) of a fine window; their weight falls off towards its edges."""
        low = np.maximum(window.origin, self.origin)
        high = np.minimum(np.add(window.origin, window.shape), np.add(self.origin, self._sum.shape))
        if (low >= high).any():
            return
        here, there = (
            tuple(slice(a, b) for a, b in zip(low - origin, high - origin, strict=True))
            for origin in (window.origin, self.origin)
        )
        weights = self._falling(window).to(logits.device)
        self._sum[there] += (logits * weights)[here]
        self._weights[there] += weights[here]

    @staticmethod
    def _falling(window: Window) -> Tensor:
        ramp = window.side * OVERLAP
        profiles = []
        for n in window.shape:
            i = torch.arange(n) + 0.5
            profiles.append((torch.minimum(i, n - i) / ramp).clamp(max=1))
        return profiles[0][:, None] * profiles[1]

    def result(self) -> Tensor:
        """The blended logits (h, w)."""
        return self._sum / self._weights
