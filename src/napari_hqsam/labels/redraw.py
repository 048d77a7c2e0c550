"""A GeoJSON file with new outlines: whatever else it says of its features is kept."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from napari_hqsam.labels.document import dumps, read_json, writing
from napari_hqsam.labels.gathering import Gathering
from napari_hqsam.labels.geojson import _feature, _features, _plane, _polygons
from napari_hqsam.labels.grid import Grid
from napari_hqsam.labels.objects import LabelObject
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.labels.polygons import fill
from napari_hqsam.labels.progress import Progress, counted
from napari_hqsam.labels.rows import Rows


def redraw_geojson(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    objects: Iterable[LabelObject],
    grid: Grid,
    *,
    progress: Progress | None = None,
) -> int:
    """Write a GeoJSON file again with the outlines of other masks, complete or not at all.

    Ids, names, classes, colours, metadata and measurements stay, and so do features without an
    area. Measurements are those of the old outline: let QuPath measure again.

    Parameters
    ----------
    source : str or path-like
        What `read_geojson` reads.
    target : str or path-like
        Ends in ``.geojson``.
    objects : iterable of LabelObject
        Their ids are those that `read_geojson` gives to the objects of `source`.
    grid : Grid
        That with which they were read.
    progress : callable, optional
        `Progress`.

    Returns
    -------
    int
        How many features keep their outline, because there is no mask for them.

    Raises
    ------
    HQSAMError
        If one cannot be read, or the other not be written.
    """
    path = Path(source).expanduser()
    document = read_json(path)
    left = _geometries(document, path, grid)
    for obj in counted(list(objects), progress, "writing objects"):
        for mask in grid.upright(obj).masks:
            geometry = left.pop((obj.id, mask.plane), None) if mask.area else None
            if geometry is not None:
                place = geometry.get("plane")
                rows = Rows.of_mask(mask)
                new = _feature(obj, rows, grid.at(mask.plane), grid.name, {})["geometry"]
                geometry.clear()
                geometry.update(new if place is None else new | {"plane": place})
    with writing(target, ".geojson", ".json") as file:
        file.write(dumps(document) + b"\n")
    return len(left)


def _geometries(
    document: Any, path: Path, grid: Grid
) -> dict[tuple[int, ArrayPlane], dict[str, Any]]:
    """The geometries within a document, by the label and the plane that they are read as."""
    gathering, of_mask = Gathering(), {}
    for i, (geometry, about) in enumerate(_features(document, path), start=1):
        where = f"{path}: feature {i}"
        polygons = _polygons(geometry, where)
        if polygons:
            rows = Rows.union([fill(polygon, grid.yx) for polygon in polygons])
            mask = rows.mask(_plane(geometry, grid, where))
            metadata = about.get("metadata")
            gathering.add(metadata.get("label") if isinstance(metadata, dict) else None, mask)
            of_mask[mask] = geometry
    return {
        (obj.id, mask.plane): of_mask[mask] for obj in gathering.objects() for mask in obj.masks
    }
