"""A synthetic micrograph: a scene under a look."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from napari_hqsam.errors import HQSAMError
from napari_hqsam.evaluation.data import LabelledPlane
from napari_hqsam.training.synthetic import looks, optics
from napari_hqsam.training.synthetic.cells import cells
from napari_hqsam.training.synthetic.filaments import filaments
from napari_hqsam.training.synthetic.hyphae import hyphae
from napari_hqsam.training.synthetic.membranes import membrane_network, membranes
from napari_hqsam.training.synthetic.mitochondria import mitochondria
from napari_hqsam.training.synthetic.myelin import myelin
from napari_hqsam.training.synthetic.neurites import neurites
from napari_hqsam.training.synthetic.nuclei import nuclei
from napari_hqsam.training.synthetic.specimen import Specimen
from napari_hqsam.training.synthetic.vesicles import vesicles
from napari_hqsam.training.synthetic.vessels import vessels

_Scene = Callable[[np.random.Generator, int, str], Specimen]
# Scenes with the looks under which they are seen, and how often.
_SCENES: dict[str, tuple[_Scene, dict[str, float]]] = {
    "nuclei": (nuclei, {"fluorescence": 3, "stained": 2, "bright field": 1, "em": 0.5}),
    "cells": (cells, {"fluorescence": 1, "phase contrast": 2, "bright field": 1, "stained": 1}),
    "neurites": (
        neurites,
        {"fluorescence": 1, "phase contrast": 2, "bright field": 1.5, "stained": 1},
    ),
    "filaments": (filaments, {"fluorescence": 2, "em": 1, "stained": 0.5}),
    "vessels": (vessels, {"fluorescence": 1, "bright field": 1, "stained": 2}),
    "membranes": (membranes, {"em": 4, "fluorescence": 1, "stained": 0.7, "bright field": 0.7}),
    "membrane network": (membrane_network, {"em": 1, "fluorescence": 1, "stained": 0.7}),
    "vesicles": (vesicles, {"em": 2, "fluorescence": 1, "phase contrast": 1, "bright field": 1}),
    "myelin": (myelin, {"em": 4, "stained": 0.5, "bright field": 0.5}),
    "mitochondria": (mitochondria, {"em": 4, "fluorescence": 1}),
    "hyphae": (
        hyphae,
        {"phase contrast": 1, "bright field": 1, "fluorescence": 1, "stained": 1},
    ),
}
# How often a scene is drawn; sections of tissue and thin trees are hardest to come by.
_SHARES = {
    "nuclei": 1.2,
    "cells": 1.0,
    "neurites": 1.3,
    "filaments": 0.8,
    "vessels": 1.3,
    "membranes": 1.8,
    "membrane network": 0.4,
    "vesicles": 0.7,
    "myelin": 1.0,
    "mitochondria": 1.8,
    "hyphae": 0.6,
}
SCENES: tuple[str, ...] = tuple(_SCENES)
LOOKS: tuple[str, ...] = tuple(looks.BY_NAME)
# Objects that show fewer pixels are not labelled.
_FEWEST_PIXELS = 16
_MOST_TRIES = 20


def looks_of(scene: str) -> tuple[str, ...]:
    """The looks under which a scene can be seen.

    Raises
    ------
    HQSAMError
        If there is no such scene.
    """
    _check("scene", scene, SCENES)
    return tuple(_SCENES[scene][1])


def synthetic_plane(
    rng: np.random.Generator,
    size: int = 384,
    scene: str | None = None,
    look: str | None = None,
) -> LabelledPlane:
    """Make a micrograph with the exact mask of each object.

    The same state of `rng` gives the same arrays.

    Parameters
    ----------
    rng : Generator
    size : int
        Side of the plane in pixels, at least 64.
    scene : str, optional
        One of `SCENES`; at random by default.
    look : str, optional
        One of `LOOKS`; by default, one under which the scene is seen.

    Returns
    -------
    LabelledPlane
        Named "scene_look"; the image (H, W) or (H, W, 3) is uint8, the labels are uint16, 1..N.
        The masks are those of the matter itself: blur, noise and dust come after them.

    Raises
    ------
    HQSAMError
        If the size is too small, a name is unknown, or the scene is not seen under the look.
    """
    if size < 64:
        raise HQSAMError(f"synthetic plane of {size} pixels: it needs at least 64")
    if look is not None:
        _check("look", look, LOOKS)
    if scene is None:
        fitting = [s for s in SCENES if look is None or look in _SCENES[s][1]]
        scene = _draw(rng, {s: _SHARES[s] for s in fitting})
    if look is not None and look not in looks_of(scene):
        raise HQSAMError(f"{scene} in {look}: it is seen only in {', '.join(looks_of(scene))}")
    _check("scene", scene, SCENES)
    build, seen = _SCENES[scene]
    look = look or _draw(rng, seen)
    for _ in range(_MOST_TRIES):
        specimen = build(rng, size, look)
        labels = _numbered(specimen.labels)
        if labels.any():
            break
    image = optics.expose(looks.BY_NAME[look](specimen, rng), look, rng)
    return LabelledPlane(f"{scene}_{look}", image, labels)


def _draw(rng: np.random.Generator, shares: dict[str, float]) -> str:
    weights = np.array(list(shares.values()), dtype=float)
    return list(shares)[rng.choice(len(shares), p=weights / weights.sum())]


def _numbered(labels: np.ndarray) -> np.ndarray:
    """Labels 1..N of the objects that are large enough."""
    keep = np.bincount(labels.ravel()) >= _FEWEST_PIXELS
    keep[0] = False
    return np.where(keep, np.cumsum(keep), 0).astype(np.uint16)[labels]


def _check(what: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise HQSAMError(f"{what} {name!r}: there is only {', '.join(known)}")
