"""Lengths as a shell gives them: in pixels, or in micrometres where the image knows them."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from napari_hqsam.errors import HQSAMError

if TYPE_CHECKING:
    from napari_hqsam.labels.frame import LabelFrame

_LENGTH = re.compile(r"\s*([0-9.]+(?:e-?[0-9]+)?)\s*(px|um|µm|μm)?\s*", re.IGNORECASE)  # both mus


def pixels(option: str, text: str, frame: LabelFrame, *, least: float | None = None) -> float:
    """A length such as ``8``, ``8px`` or ``2um`` in pixels of the labels.

    Parameters
    ----------
    option : str
        What messages call it.
    text : str
    frame : LabelFrame
        Says how large a pixel is; of pixels that are not square the geometric mean counts.
    least : float, optional
        The smallest that is possible; without it, it must be greater than 0.

    Raises
    ------
    HQSAMError
        If it is no length, too small, or in µm of an image whose pixel size is not known.
    """
    found = _LENGTH.fullmatch(text)
    try:
        value = float(found[1]) if found else math.nan
    except ValueError:
        value = math.nan
    if found is None or not math.isfinite(value):
        raise HQSAMError(f"{option} {text}: give a length such as 8 (pixels) or 2um")
    if value < least if least is not None else value <= 0:
        limit = "greater than 0" if least is None else f"of {least:g} or more"
        raise HQSAMError(f"{option} {text}: give a length {limit}")
    if found[2] is None or found[2].lower() == "px":
        return value
    um = frame.grid.micrometers("yx")
    if um is None:
        raise HQSAMError(
            f"{option} {text}: {frame.grid.name} does not say how large its pixels are; "
            "give the length in pixels"
        )
    return value / math.sqrt(um["y"] * um["x"])
