"""The threshold at which a mask fills its box.

A box names the outermost pixels of its object. Where the logits fall off slowly, as they do at a
blurred edge, a threshold a little off 0 may make the mask end exactly where the box does; then that
is where the object ends.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

# Thresholds that are tried, those near 0 first.
_THRESHOLDS = np.array(sorted(np.linspace(-1.5, 1.5, 49), key=abs))
# A side of the mask agrees with one of the box that is no farther off, in pixels.
_AGREES = 0.5


def fitting_threshold(logits: Tensor, box: NDArray[np.float64]) -> float:
    """The threshold nearest to 0 at which the mask fills the box on all four sides.

    Parameters
    ----------
    logits : Tensor
        (h, w) on the pixels of a window.
    box : ndarray
        (y0, x0, y1, x1), the outermost pixels, in pixels of that window.

    Returns
    -------
    float
        0 if there is no such threshold within 1.5 of it: a box drawn by eye says little.
    """
    rows, columns = (logits.amax(dim=d).cpu().numpy() for d in (1, 0))
    for threshold in _THRESHOLDS:
        ys, xs = np.flatnonzero(rows > threshold), np.flatnonzero(columns > threshold)
        if len(ys) == 0:
            continue
        ends = np.array([ys[0], xs[0], ys[-1], xs[-1]])
        if (abs(ends - box) <= _AGREES).all():
            return float(threshold)
    return 0.0
