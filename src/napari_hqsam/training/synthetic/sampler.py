"""Training samples of micrographs that are made as they are needed."""

from __future__ import annotations

import numpy as np

from napari_hqsam.training.augment import Sample, WindowSampler
from napari_hqsam.training.synthetic.plane import synthetic_plane

_SMALLEST, _LARGEST = 192, 512


class SyntheticSampler:
    """Draws each sample from a new plane; takes the place of a `WindowSampler`.

    Parameters
    ----------
    scene, look : str, optional
        As for `synthetic_plane`; at random by default.

    Attributes
    ----------
    ids : ndarray
        (1,), for every plane has at least one object.
    """

    def __init__(self, scene: str | None = None, look: str | None = None) -> None:
        self.scene, self.look = scene, look
        self.ids = np.ones(1, dtype=np.int64)

    def draw(
        self, rng: np.random.Generator, size: int, objects: int, *, part: bool = False
    ) -> Sample | None:
        """Make a plane and draw a window of it.

        Parameters
        ----------
        rng : Generator
        size : int
            Side of the window, S. The plane is from three fifths of it to somewhat larger.
        objects : int
            K.
        part : bool
            As for `WindowSampler.draw`.

        Returns
        -------
        Sample or None
            None if the window shows no object.
        """
        side = int(np.clip(size * rng.uniform(0.6, 1.3), _SMALLEST, _LARGEST))
        plane = synthetic_plane(rng, side, self.scene, self.look)
        return WindowSampler(plane).draw(rng, size, objects, part=part)
