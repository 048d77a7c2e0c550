"""A rough outline or mask as the network takes it: logits of an earlier mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.images.windows import Window
from napari_hqsam.segmentation.coordinates import placed

# Logit of a pixel that is said to be inside (or, negated, outside).
_GIVEN_LOGIT = 8.0


def outline_logits(
    polygon: NDArray[np.float64] | None,
    mask: NDArray[np.bool_] | None,
    mask_origin: tuple[int, int] | None,
    window: Window,
) -> NDArray[np.float32] | None:
    """Low-res logits of a window, (S/4, S/4); None without any outline.

    Parameters
    ----------
    polygon : ndarray or None
        (V, 2) vertices.
    mask : ndarray of bool or None
        (h, w), instead of a polygon.
    mask_origin : tuple of int or None
        (y, x) of its first pixel in the plane, (0, 0) by default.
    window : Window
    """
    if mask is not None:
        inside = placed(mask, np.subtract(mask_origin or (0, 0), window.origin), window.shape)
    elif polygon is not None:
        inside = _filled(polygon - window.origin, window.shape)
    else:
        return None
    import torch
    from torch.nn import functional as F

    from napari_hqsam.embedding import resize

    size = window.input_size // 4
    mh, mw = window.model_shape
    image = torch.from_numpy(inside.astype(np.float32))[None, None]
    share = F.pad(resize(image, (mh, mw)), (0, window.input_size - mw, 0, window.input_size - mh))
    share = resize(share, (size, size))
    return ((share[0, 0] * 2 - 1) * _GIVEN_LOGIT).numpy()


def _filled(vertices: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels (h, w) in a polygon; one if it is finer than the pixels."""
    from skimage.draw import polygon2mask

    inside = polygon2mask(shape, vertices)
    if not inside.any():
        middle = vertices.mean(axis=0).round().astype(int)
        inside[tuple(np.clip(middle, 0, np.subtract(shape, 1)))] = True
    return inside
