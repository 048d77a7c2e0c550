"""Labelled stacks: which there are below a folder, and which of their objects are followed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.evaluation.data import LabelledFile, labelled_files, read_labels
from napari_hqsam.images import ImageSource
from napari_hqsam.training.data import find_data_sets, read_data_set
from napari_hqsam.training.recipe import DATA_WEIGHTS

_TIFF = {".tif", ".tiff"}
# An object that is followed lies on so many slices, and has so many pixels on its middle one.
_SLICES, _PIXELS = 4, 25
_SEED = 0
_COLOURS = 4  # a last axis of no more pixels

Chosen = tuple[int, int, int, int]
"""Label, middle slice, first and last slice of an object."""


@dataclass(frozen=True, eq=False)  # arrays have no truth value to compare by
class LabelledStack:
    """A stack with its objects.

    Attributes
    ----------
    name : str
        Data set and file stem, such as "embryo/8_cells".
    image : ndarray
        (Z, Y, X), or (Z, Y, X, channels).
    labels : ndarray of int
        (Z, Y, X), 0 background, one number per object in all slices.
    spacing : float or None
        Distance of two slices in pixels, if the file says so.
    trained : str
        Whether it was in the training of `micro`: "no", "yes", "held out" for a file that was
        held out, or "but its right quarter" where a part of each slice was.
    axis : str
        What is along the slices: "z", or "t" of a film.
    """

    name: str
    image: NDArray[Any]
    labels: NDArray[Any]
    spacing: float | None = None
    trained: str = "no"
    axis: str = "z"

    @property
    def axes(self) -> str:
        """One letter for each axis of `image`."""
        return f"{self.axis}yxc"[: self.image.ndim]

    @property
    def scale(self) -> tuple[float, ...] | None:
        """Steps along `axes` but c, in pixels; None if `spacing` is not known."""
        return None if self.spacing is None else (self.spacing, 1.0, 1.0)


def stacks(data: Path, only: str = "") -> Iterator[LabelledStack]:
    """The labelled stacks at or below a folder, one after the other.

    Labels of a single value, such as 0 and 255, say no more than where objects are: each part
    that is connected in three dimensions is one, pixels being neighbours within a slice by edges
    and corners, and from slice to slice if one lies above the other.

    Parameters
    ----------
    data : pathlib.Path
        A data set, or a folder of them; files other than stacks are passed over.
    only : str
        Part of the names of those that are wanted.

    Raises
    ------
    HQSAMError
        If there is no data set, or a file cannot be read.
    """
    for folder in find_data_sets(data):
        seen: dict[str, str] | None = None
        for file in labelled_files(folder):
            name = f"{folder.resolve().name}/{file.image.stem}"
            if only not in name or file.mask.suffix.lower() not in _TIFF:
                continue
            labels = read_labels(file.mask)
            if labels.ndim != 3 or labels.shape[2] <= _COLOURS:
                continue
            seen = _seen_by_training(folder) if seen is None else seen
            yield _read(name, file, labels, seen.get(file.image.stem, "no"))


def followable(labels: NDArray[Any]) -> list[Chosen]:
    """The objects that can be followed: on four slices or more, 25 pixels on the middle one.

    Returns
    -------
    list of (label, middle, first, last)
        By label. The middle is that of the slices on which the object is; the last is one of them.
    """
    there: dict[int, list[tuple[int, int]]] = {}
    for z, plane in enumerate(labels):
        values, areas = np.unique(plane, return_counts=True)
        for label, area in zip(values.tolist(), areas.tolist(), strict=True):
            there.setdefault(label, []).append((z, area))
    there.pop(0, None)
    found = []
    for label, slices in sorted(there.items()):
        middle, area = slices[len(slices) // 2]
        if len(slices) >= _SLICES and area >= _PIXELS:
            found.append((label, middle, slices[0][0], slices[-1][0]))
    return found


def chosen_objects(labels: NDArray[Any], n: int) -> list[Chosen]:
    """At most `n` of the objects that can be followed: the same in every run, by label.

    Of fewer it takes a part of those that it takes of more.

    Parameters
    ----------
    labels : ndarray of int
        (Z, Y, X).
    n : int
    """
    every = followable(labels)
    order = np.random.default_rng(_SEED).permutation(len(every))[:n]
    return [every[i] for i in sorted(order.tolist())]


def _read(name: str, file: LabelledFile, labels: NDArray[Any], trained: str) -> LabelledStack:
    if _single_value(labels):
        from scipy.ndimage import label

        upright = np.zeros((3, 3, 3), bool)
        upright[1] = upright[:, 1, 1] = True
        labels = label(labels != 0, upright)[0]
    with file._open(labels) as source:
        height, width = source.yx_shape()
        planes = [source.read((z,), 0, 0, height, width) for z in range(len(labels))]
        axis = "t" if source.plane_axes == "t" else "z"
        spacing = _spacing(source)
    image = np.stack([p[:, :, 0] if p.shape[2] == 1 else p for p in planes])
    return LabelledStack(name, image, labels, spacing, trained, axis)


def _single_value(labels: NDArray[Any]) -> bool:
    largest = labels.max()
    return bool(largest) and bool(((labels == 0) | (labels == largest)).all())


def _spacing(source: ImageSource) -> float | None:
    if source.scale is None:
        return None
    step = dict(zip(source.axes, source.scale, strict=True))
    unit = dict(zip(source.axes, source.units or source.axes, strict=True))
    along = source.plane_axes
    if unit[along] != unit["y"] or unit["y"] != unit["x"]:
        return None
    return step[along] / min(step["y"], step["x"])


def _seen_by_training(folder: Path) -> dict[str, str]:
    """What `train` makes of the stacks of a data set, by file stem, if it had it at all."""
    name = folder.resolve().name
    if name not in DATA_WEIGHTS:
        return {}
    divided = read_data_set(folder)
    train, held_out = (
        {plane.name.rpartition("_")[0] for plane in planes}
        for planes in (divided.train, divided.validation)
    )
    seen = dict.fromkeys(train, "yes") | dict.fromkeys(held_out, "held out")
    return seen | dict.fromkeys(train & held_out, "but its right quarter")
