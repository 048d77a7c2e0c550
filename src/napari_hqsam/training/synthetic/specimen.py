"""What lies under the microscope, before any optics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_hqsam.training.synthetic.fields import Field


@dataclass
class Specimen:
    """Objects and their matter, pixel by pixel; 1 is what a well-contrasted object has.

    Attributes
    ----------
    labels : ndarray
        (H, W), 0 background.
    stain : ndarray
        A dye that marks the objects.
    body : ndarray
        Dry mass: it refracts, and takes a counterstain.
    dense : ndarray
        Heavy metal, for electrons: 0 bare resin, 1 a membrane.
    inverted : float
        How often it is shown bright on dark under electrons.
    palettes : tuple of str
        Colours that suit it under the stained look.
    """

    labels: np.ndarray
    stain: Field
    body: Field
    dense: Field
    inverted: float = 0.15
    palettes: tuple[str, ...] = ("haematoxylin and eosin", "violet", "brown")
