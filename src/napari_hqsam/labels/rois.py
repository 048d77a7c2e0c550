"""Objects as ImageJ ROIs, which Fiji's ROI Manager opens."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.labels.document import writing
from napari_hqsam.labels.grid import Grid
from napari_hqsam.labels.objects import LabelObject
from napari_hqsam.labels.polygons import Polygon, outlines
from napari_hqsam.labels.progress import Progress, counted
from napari_hqsam.labels.rows import Rows

if TYPE_CHECKING:
    from roifile import ImagejRoi

_MOVE, _LINE, _CLOSE = 0.0, 1.0, 4.0  # of java.awt.geom.PathIterator
_INTEGERS = 60_535  # the largest coordinate that the format holds as a whole number
_GROUPS = 255


def write_rois(
    path: str | os.PathLike[str],
    objects: Iterable[LabelObject],
    grid: Grid,
    *,
    progress: Progress | None = None,
) -> Path:
    """Write objects as a zip of ImageJ ROIs, complete or not at all.

    Each part of each mask is one ROI along the edges of its pixels. A part without holes is a
    traced ROI; one with holes is a composite ROI, from which ImageJ leaves the holes out as well.
    ROIs are named by their label, as in ``12``, ``12-z3`` (of a stack) or ``12-part2``, and keep
    label, class, status, score and uncertainty as properties; classes become groups from 1 up.

    What is lost: that parts belong to one object, but for the name and the property; the names of
    the groups, which ImageJ keeps among its own settings; classes after the 255th have no group.

    Of a stack along z or t alone ROIs have a position in the stack, and of one along both a slice
    and a frame, all from 1; so ImageJ itself does.

    Parameters
    ----------
    path : str or path-like
        Ends in ``.zip``; a file of that name is replaced.
    objects : iterable of LabelObject
    grid : Grid
    progress : callable, optional
        `Progress`.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    HQSAMError
        If it cannot be written.
    """
    target = Path(path).expanduser()
    objects = list(objects)
    classes = sorted({obj.class_name for obj in objects} - {""})
    groups = {name: i for i, name in enumerate(classes, start=1) if i <= _GROUPS}
    taken: set[str] = set()
    with writing(target, ".zip") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as rois:
        for obj in counted(objects, progress, "writing objects"):
            for mask in grid.upright(obj).masks:
                t, z = grid.at(mask.plane)
                polygons = outlines(Rows.of_mask(mask))
                for i, polygon in enumerate(polygons, start=1):
                    roi = _roi(polygon)
                    name = _name(obj.id, grid, t, z) + (f"-part{i}" if len(polygons) > 1 else "")
                    while name in taken:  # two objects with one label
                        name += "-"
                    taken.add(name)
                    roi.name = name
                    roi.group = groups.get(obj.class_name, 0)
                    roi.properties = _properties(obj)
                    _place(roi, grid, t, z)
                    # without the time: the same objects are the same file
                    rois.writestr(zipfile.ZipInfo(f"{name}.roi"), roi.tobytes())
    return target


def _roi(polygon: Polygon) -> ImagejRoi:
    from roifile import ROI_OPTIONS, ROI_TYPE, ImagejRoi

    roi = ImagejRoi()
    outer = polygon[0][:, ::-1]
    (left, top), (right, bottom) = outer.min(axis=0), outer.max(axis=0)
    roi.left, roi.top, roi.right, roi.bottom = int(left), int(top), int(right), int(bottom)
    if len(polygon) > 1:
        roi.roitype = ROI_TYPE.RECT  # as the format has it for all composite ROIs
        roi.multi_coordinates = _path(polygon)
        roi.shape_roi_size = len(roi.multi_coordinates)
        return roi
    roi.roitype = ROI_TYPE.TRACED
    roi.n_coordinates = len(outer)
    roi.integer_coordinates = (outer - [left, top]).astype(np.int32)
    if max(right, bottom) > _INTEGERS:
        roi.options |= ROI_OPTIONS.SUB_PIXEL_RESOLUTION
        roi.subpixel_coordinates = outer.astype(np.float32)
    return roi


def _path(polygon: Polygon) -> NDArray[np.float32]:
    """Move to, lines, close, for each ring; what lies within two rings is outside."""
    steps: list[float] = []
    for ring in polygon:
        first, *rest = ring[:, ::-1].tolist()
        steps += [_MOVE, *first]
        for point in rest:
            steps += [_LINE, *point]
        steps.append(_CLOSE)
    return np.array(steps, np.float32)


def _place(roi: ImagejRoi, grid: Grid, t: int, z: int) -> None:
    """Where in the stack it lies."""
    deep, long = grid.length("z") > 1, grid.length("t") > 1
    if deep and long:
        roi.z_position, roi.t_position = z + 1, t + 1
    elif deep or long:
        roi.position = max(z, t) + 1


def _name(label: int, grid: Grid, t: int, z: int) -> str:
    at = [f"{a}{i + 1}" for a, i in (("t", t), ("z", z)) if grid.length(a) > 1]
    return "-".join([str(label), *at])


def _properties(obj: LabelObject) -> dict[str, Any]:
    about = {"label": obj.id, "class": obj.class_name, "status": obj.status}
    about |= {key: getattr(obj, key, None) for key in ("score", "uncertainty")}
    return {key: _line(value) for key, value in about.items() if value not in ("", None)}


def _line(value: Any) -> Any:
    """A text on one line, of letters that take two bytes."""
    if not isinstance(value, str):
        return value
    return "".join(c if c.isprintable() and ord(c) < 2**16 else "?" for c in value)
