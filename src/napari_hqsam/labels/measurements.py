"""Measurements of objects as a table: size, shape, place, skeleton, intensities."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.labels.document import writing
from napari_hqsam.labels.gathering import number
from napari_hqsam.labels.grid import Grid
from napari_hqsam.labels.intensity import Region, intensities, measured_channels
from napari_hqsam.labels.objects import LabelObject, PlaneMask
from napari_hqsam.labels.progress import Progress, counted
from napari_hqsam.labels.rows import Rows
from napari_hqsam.labels.shape import centroid, feret_and_hull, shape_2d
from napari_hqsam.labels.skeleton import LARGEST, measure_skeletons, thin

if TYPE_CHECKING:
    import pandas as pd

    from napari_hqsam.images import ImageSource

_INTENSITIES = ("mean", "min", "max", "std", "integrated")


@dataclass(frozen=True, eq=False)
class _Subject:
    """An object at one time point: what has a row of its own."""

    obj: LabelObject
    t: int
    masks: Sequence[tuple[int, PlaneMask]]

    @property
    def box(self) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        """(z0, y0, x0) and (z1, y1, x1), half-open."""
        z = [z for z, _ in self.masks]
        y0, x0, y1, x1 = zip(*(mask.bbox for _, mask in self.masks), strict=True)
        return (min(z), min(y0), min(x0)), (max(z) + 1, max(y1), max(x1))

    def slices(self) -> list[tuple[int, Rows]]:
        return [(z, Rows.of_mask(mask)) for z, mask in self.masks]


def measure(
    objects: Iterable[LabelObject],
    grid: Grid,
    image: ImageSource | None = None,
    *,
    skeleton: bool = True,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Measure objects: one row for each, and for each time point that it is on.

    Lengths are in µm if the steps between pixels are known, and in pixels otherwise: the columns
    end in ``_um`` or ``_px``. Pixels need not be square. The columns of this order:

    ``label``, ``class``, ``status``; ``score`` and ``uncertainty`` if any object has one
        As of the object.
    ``t``
        Time point, from 0, if the labels have several.
    ``volume_um3``, ``planes``
        Of a stack: over all planes, and how many these are.
    ``area_um2``
        On a single plane; empty for an object on several.
    ``centroid_z_um``, ``centroid_y_um``, ``centroid_x_um``
        Where the middle of the first pixel is 0; z in a stack only.
    ``bbox_z0_px`` ... ``bbox_x1_px``
        Half-open, in pixels; z in a stack only.
    ``perimeter_um``, ``circularity``, ``eccentricity``
        On a single plane; empty for an object on several. Circularity is 4π area / perimeter², at
        most 1. See `napari_hqsam.labels.shape`.
    ``feret_max_um``
        Largest distance between two corners of pixels, or of voxels.
    ``solidity``
        Share of the area, or volume, in the convex hull.
    ``skeleton_length_um``, ``skeleton_branches``, ``skeleton_ends``
        See `napari_hqsam.labels.skeleton`.
    ``mean_c0``, ``min_c0``, ``max_c0``, ``std_c0``, ``integrated_c0``
        Of each channel, from 0: ``integrated`` is the sum of the pixels.

    Parameters
    ----------
    objects : iterable of LabelObject
        Those without pixels have no row.
    grid : Grid
    image : ImageSource, optional
        Where intensities are read; of the size of the labels.
    skeleton : bool
        Whether skeletons are measured.
    progress : callable, optional
        `Progress`.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    HQSAMError
        If the image is not that of the labels, or cannot be read.

    Warns
    -----
    UserWarning
        If objects are too large for a skeleton: these cells are empty.
    """
    import pandas as pd

    subjects = [subject for obj in objects for subject in _subjects(obj, grid)]
    deep = grid.length("z") > 1
    steps = grid.micrometers("zyx" if deep else "yx")
    unit = "px" if steps is None else "um"
    step = {"z": 1.0, "y": 1.0, "x": 1.0} | (steps or {})
    rows = [
        _about(subject) | _geometry(subject, step, unit, deep)
        for subject in counted(subjects, progress, "measuring shapes")
    ]
    if skeleton:
        _add_skeletons(rows, subjects, step, unit, progress)
    if image is not None:
        _add_intensities(rows, subjects, grid, image, progress)
    table = pd.DataFrame(rows, columns=_columns(grid, image, unit, skeleton))
    for name in ("score", "uncertainty"):
        if table[name].isna().all():
            del table[name]
    return table


def write_csv(path: str | os.PathLike[str], table: pd.DataFrame) -> Path:
    """Write a table as CSV in UTF-8, complete or not at all.

    Parameters
    ----------
    path : str or path-like
        Ends in ``.csv``; a file of that name is replaced.
    table : pandas.DataFrame
        What `measure` gave, for example; its index is left out.

    Raises
    ------
    HQSAMError
        If it cannot be written.
    """
    target = Path(path).expanduser()
    with writing(target, ".csv") as file:
        file.write(table.to_csv(index=False, lineterminator="\n").encode())
    return target


def _subjects(obj: LabelObject, grid: Grid) -> list[_Subject]:
    times: dict[int, list[tuple[int, PlaneMask]]] = {}
    for mask in grid.upright(obj).masks:
        if mask.area:
            t, z = grid.at(mask.plane)
            times.setdefault(t, []).append((z, mask))
    return [
        _Subject(obj, t, sorted(masks, key=lambda at: at[0])) for t, masks in sorted(times.items())
    ]


def _columns(grid: Grid, image: ImageSource | None, unit: str, skeleton: bool) -> list[str]:
    deep = grid.length("z") > 1
    axes = "zyx" if deep else "yx"
    names = ["label", "class", "status", "score", "uncertainty"]
    names += ["t"] if grid.length("t") > 1 else []
    names += [f"volume_{unit}3", "planes"] if deep else []
    names += [f"area_{unit}2", *(f"centroid_{a}_{unit}" for a in axes)]
    names += [f"bbox_{a}{end}_px" for end in (0, 1) for a in axes]
    names += [f"perimeter_{unit}", "circularity", "eccentricity", f"feret_max_{unit}", "solidity"]
    if skeleton:
        names += [f"skeleton_length_{unit}", "skeleton_branches", "skeleton_ends"]
    channels = [] if image is None else measured_channels(image)
    return names + [f"{name}_c{c}" for c in channels for name in _INTENSITIES]


def _about(subject: _Subject) -> dict[str, Any]:
    obj = subject.obj
    about = {"label": obj.id, "class": obj.class_name, "status": obj.status, "t": subject.t}
    return about | {key: number(getattr(obj, key, None)) for key in ("score", "uncertainty")}


def _geometry(
    subject: _Subject, step: dict[str, float], unit: str, deep: bool
) -> dict[str, float | None]:
    slices = subject.slices()
    single = len(slices) == 1
    axes = "yx" if single else "zyx"
    pixels = sum(rows.area for _, rows in slices)
    size = pixels * float(np.prod([step[a] for a in axes]))
    found: dict[str, Any] = {}
    if deep:
        found["planes"] = len(slices)
        found[f"volume_{unit}3"] = size * step["z"] if single else size
    for axis, middle in zip("zyx", centroid(slices), strict=True):
        found[f"centroid_{axis}_{unit}"] = middle * step[axis]
    for end, corner in enumerate(subject.box):
        found |= {f"bbox_{a}{end}_px": n for a, n in zip("zyx", corner, strict=True)}
    feret, hull = feret_and_hull(slices, [step[a] for a in axes])
    found |= {f"feret_max_{unit}": feret, "solidity": min(size / hull, 1.0)}
    if single:
        shape = shape_2d(slices[0][1], (step["y"], step["x"]))
        found |= {
            f"area_{unit}2": size,
            f"perimeter_{unit}": shape.perimeter,
            "circularity": shape.circularity,
            "eccentricity": shape.eccentricity,
        }
    return found


def _add_skeletons(
    rows: list[dict[str, Any]],
    subjects: Sequence[_Subject],
    step: dict[str, float],
    unit: str,
    progress: Progress | None,
) -> None:
    thinned: dict[int, list[tuple[int, NDArray[np.int64]]]] = {2: [], 3: []}
    left_out = 0
    for i, subject in enumerate(counted(subjects, progress, "making skeletons")):
        low, high = subject.box
        if np.prod(np.subtract(high, low), dtype=np.int64) > LARGEST:
            left_out += 1
            continue
        planes = {z: rows.dense((*low[1:], *high[1:])) for z, rows in subject.slices()}
        nothing = np.zeros_like(next(iter(planes.values())))
        mask = np.stack([planes.get(z, nothing) for z in range(low[0], high[0])])
        pixels = thin(mask[0] if len(mask) == 1 else mask)
        thinned[pixels.shape[1]].append((i, pixels))
    for ndim, items in thinned.items():
        steps = [step[a] for a in "zyx"[-ndim:]]
        measured = measure_skeletons([pixels for _, pixels in items], steps, progress)
        for (i, _), found in zip(items, measured, strict=True):
            rows[i] |= {
                f"skeleton_length_{unit}": found.length,
                "skeleton_branches": found.branches,
                "skeleton_ends": found.ends,
            }
    if left_out:
        warnings.warn(f"{left_out} object(s) are too large for a skeleton", stacklevel=3)


def _add_intensities(
    rows: list[dict[str, Any]],
    subjects: Sequence[_Subject],
    grid: Grid,
    image: ImageSource,
    progress: Progress | None,
) -> None:
    regions = [
        Region(i, mask, subject.t, z)
        for i, subject in enumerate(subjects)
        for z, mask in subject.masks
    ]
    channels = measured_channels(image)
    for i, found in intensities(regions, grid, image, progress).items():
        values = found.columns()
        rows[i] |= {
            f"{name}_c{c}": float(values[name][k])
            for k, c in enumerate(channels)
            for name in _INTENSITIES
        }
