"""What finds objects without HQ-SAM: a threshold with a watershed, Cellpose, StarDist.

The last two are used if they are installed, with weights that they have downloaded before.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[Any]
Tool = Callable[[NDArray[Any], float], Labels]
"""Takes an image (H, W) or (H, W, channels) and the diameter of its objects in pixels."""

_CELLPOSE = ("cpsam_v2", "cpsam", "cyto3", "nuclei")
_STARDIST = "2D_versatile_fluo"
_PERCENTILES = (1, 99.8)


def threshold_watershed(image: NDArray[Any], diameter: float) -> Labels:
    """Otsu's threshold, split where the distance to the background has its summits.

    The rarer side of the threshold is the objects. Summits are half a radius apart; what has less
    than a sixteenth of an object's area is dropped.

    Parameters
    ----------
    image : ndarray
        (H, W) or (H, W, channels).
    diameter : float
        Of the objects, in pixels.

    Returns
    -------
    ndarray of int
        (H, W)
    """
    from scipy.ndimage import distance_transform_edt
    from skimage.feature import peak_local_max
    from skimage.filters import gaussian, threshold_otsu
    from skimage.measure import label
    from skimage.segmentation import watershed

    smooth = gaussian(_grey(image), sigma=1)
    if smooth.min() == smooth.max():
        return np.zeros(smooth.shape, np.int64)
    bright = smooth > threshold_otsu(smooth)
    mask = ~bright if bright.mean() > 0.5 else bright
    distance = gaussian(distance_transform_edt(mask), sigma=1)
    apart = max(1, round(diameter / 4))
    peaks = peak_local_max(distance, min_distance=apart, labels=label(mask), exclude_border=False)
    seeds = np.zeros(mask.shape, np.int64)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    found = watershed(-distance, seeds, mask=mask)
    small = np.bincount(found.ravel()) < np.pi * (diameter / 8) ** 2
    found[small[found]] = 0
    return np.asarray(found)


def cellpose() -> Tool | None:
    """Cellpose with the newest of the weights that are here; None without it or them."""
    try:
        models: Any = import_module("cellpose.models")
    except ImportError:
        return None
    weights = [Path(models.MODEL_DIR) / name for name in _CELLPOSE]
    here = next((path for path in weights if path.is_file()), None)
    if here is None:
        return None
    model = models.CellposeModel(gpu=True, pretrained_model=str(here))
    return lambda image, diameter: np.asarray(model.eval(image, diameter=diameter)[0])


def stardist() -> Tool | None:
    """StarDist with its weights for fluorescence; None if it, or they, are not here."""
    try:
        utils: Any = import_module("csbdeep.utils")
        models: Any = import_module("stardist.models")
    except ImportError:
        return None
    keras = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    found = sorted((keras / "models" / "StarDist2D" / _STARDIST).rglob("config.json"))
    if not found:
        return None
    folder = found[0].parent
    model = models.StarDist2D(None, name=folder.name, basedir=str(folder.parent))

    def segment(image: NDArray[Any], diameter: float) -> Labels:
        return np.asarray(model.predict_instances(utils.normalize(_grey(image), *_PERCENTILES))[0])

    return segment


def _grey(image: NDArray[Any]) -> NDArray[np.float64]:
    """(H, W): the mean of the channels."""
    pixels = np.nan_to_num(image.astype(np.float64))
    return pixels.mean(axis=-1) if pixels.ndim == 3 else pixels
