"""Fine windows: where the boundary of a thin or large object is seen again, closer.

A mask has a quarter of the window's resolution. A vessel of 5 pixels in a window that shows a
whole tree, shrunk to a half, is less than one pixel of that mask. So once the object is known
roughly, its boundary is looked at again in windows that show a part of it each, 1:1 or magnified,
with the rough mask as the prompt.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_hqsam.images.windows import Window
from napari_hqsam.segmentation.mask import Mask

# Model pixels that a thin object must be wide for its two edges to be told apart at stride 4.
_WIDTH = 8.0
_MAX_MAGNIFICATION = 2
# More would keep a user waiting; the windows are coarser instead.
_MOST_WINDOWS = 64
_OVERLAP = 0.25
# Weight of the rough logits beside those of a fine window, 1 in its middle.
_ROUGH = 0.02


def typical_width(mask: NDArray[np.bool_]) -> float:
    """Width of a mask in pixels: of a strip its width, of a disc about its radius."""
    padded = np.pad(mask, 1)
    inner = padded[1:-1, 1:-1].copy()
    for axis in (0, 1):
        for step in (1, -1):
            inner &= np.roll(padded, step, axis)[1:-1, 1:-1]
    area = np.count_nonzero(mask)
    edge = area - np.count_nonzero(inner)
    return 2 * area / max(edge, 1)


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
    rough = mask.window
    side = round(rough.input_size / 2.0**octave)
    step = round(side * (1 - _OVERLAP))
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
    """Logits of a rough window, into which those of fine windows are blended.

    Parameters
    ----------
    logits : Tensor
        (h, w), on the pixels of `window`.
    window : Window
    """

    def __init__(self, logits: Tensor, window: Window) -> None:
        self.window = window
        self._sum = logits * _ROUGH
        self._weights = torch.full_like(logits, _ROUGH)

    def add(self, logits: Tensor, window: Window) -> None:
        """Blend in logits (h, w) of a fine window; their weight falls off towards its edges."""
        low = np.maximum(window.origin, self.window.origin)
        high = np.minimum(
            np.add(window.origin, window.shape), np.add(self.window.origin, self.window.shape)
        )
        if (low >= high).any():
            return
        here, there = (
            tuple(slice(a, b) for a, b in zip(low - w.origin, high - w.origin, strict=True))
            for w in (window, self.window)
        )
        weights = self._falling(window).to(logits.device)
        self._sum[there] += (logits * weights)[here]
        self._weights[there] += weights[here]

    @staticmethod
    def _falling(window: Window) -> Tensor:
        ramp = window.side * _OVERLAP
        profiles = []
        for n in window.shape:
            i = torch.arange(n) + 0.5
            profiles.append((torch.minimum(i, n - i) / ramp).clamp(max=1))
        return profiles[0][:, None] * profiles[1]

    def result(self) -> Tensor:
        """The blended logits (h, w) of the rough window."""
        return self._sum / self._weights
