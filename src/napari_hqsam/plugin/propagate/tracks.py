"""Objects followed through time, as tracks of their centroids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Tracks

from napari_hqsam.plugin.layers import insert_above, spatial_shape, transform_like

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.components import ViewerModel
    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_hqsam.labels.objects import LabelObject


def show_tracks(
    viewer: ViewerModel, labels: Labels, objects: Iterable[LabelObject], axis: int
) -> Tracks | None:
    """Make or update the Tracks layer of labels.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    labels : napari.layers.Labels
    objects : iterable of LabelObject
        Those at two time points or more become tracks, each with its label as number.
    axis : int
        Which one of the labels is time.

    Returns
    -------
    napari.layers.Tracks or None
        None if there is no track, or if time is not the first axis, as napari wants it.
    """
    if any(n > 1 for n in spatial_shape(labels)[:axis]):
        return None
    parts = [centroids(each, labels.ndim, axis) for each in objects]
    tracks = [part for part in parts if len(part) > 1]
    if not tracks:
        return None
    data = np.concatenate(tracks)[:, [0, *range(1 + axis, 1 + labels.ndim)]]
    name = f"{labels.name} tracks"
    found = next((x for x in viewer.layers if x.name == name and isinstance(x, Tracks)), None)
    if found is not None and found.ndim == data.shape[1] - 1:
        found.data = data
        return found
    made = Tracks(data, name=name, **_transform(labels, axis))
    insert_above(viewer, labels, made)
    return made


def centroids(found: LabelObject, ndim: int, axis: int) -> NDArray[np.float64]:
    """(T, 1 + ndim): number and centroid of an object at each index along an axis of its labels.

    Only masks on y-x planes count.
    """
    points: dict[int, list[NDArray[np.float64]]] = {}
    areas: dict[int, list[int]] = {}
    for mask in found.masks:
        if mask.plane.axes == (ndim - 2, ndim - 1) and mask.area:
            y, x = np.nonzero(mask.data)
            middle = mask.plane.position(y.mean() + mask.bbox[0], x.mean() + mask.bbox[1])
            time = int(middle[axis])
            points.setdefault(time, []).append(np.asarray(middle, dtype=float))
            areas.setdefault(time, []).append(len(y))
    rows = [
        [found.id, *np.average(points[time], axis=0, weights=areas[time])]
        for time in sorted(points)
    ]
    return np.array(rows, dtype=np.float64).reshape(len(rows), 1 + ndim)


def _transform(labels: Labels, axis: int) -> dict[str, Any]:
    """Where the tracks lie, which leave out the axes before time."""
    whole = transform_like(labels)
    if axis == 0:
        return whole
    kept = ("scale", "translate", "units", "axis_labels")
    return {name: tuple(whole[name])[axis:] for name in kept}
