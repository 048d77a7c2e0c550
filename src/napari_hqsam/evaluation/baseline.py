"""What a box alone gives, without any model: the figures that a model has to beat."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.evaluation.detection import Cutout

FILLED_BOX, OTSU = "filled box", "in-box Otsu"


def baselines(image: NDArray[Any], box: tuple[float, float, float, float]) -> dict[str, Cutout]:
    """The masks of the methods that need no model.

    Parameters
    ----------
    image : ndarray
        (H, W) or (H, W, channels).
    box : tuple of float
        (y0, x0, y1, x1), the outermost pixels of the object.

    Returns
    -------
    dict of str to Cutout
        "filled box", and "in-box Otsu": Otsu's threshold of what is in the box; the side that is
        rarer on the box's rim is the object.
    """
    y0, x0, y1, x1 = (round(v) for v in box)
    y0, x0 = max(0, y0), max(0, x0)
    y1, x1 = min(image.shape[0], y1 + 1), min(image.shape[1], x1 + 1)
    part = image[y0:y1, x0:x1].astype(np.float64)
    grey = np.nan_to_num(part[:, :, :3].mean(axis=-1) if image.ndim == 3 else part)
    bounds = (y0, x0, y1, x1)
    filled = Cutout(np.ones(grey.shape, dtype=bool), bounds)
    return {FILLED_BOX: filled, OTSU: Cutout(_otsu(grey), bounds)}


def _otsu(grey: NDArray[np.float64]) -> NDArray[np.bool_]:
    from skimage.filters import threshold_otsu

    if grey.size == 0 or grey.min() == grey.max():
        return np.ones(grey.shape, dtype=bool)
    bright = grey > threshold_otsu(grey)
    rim = np.concatenate([bright[0], bright[-1], bright[:, 0], bright[:, -1]])
    return ~bright if rim.mean() > 0.5 else bright
