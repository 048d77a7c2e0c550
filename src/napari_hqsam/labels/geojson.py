"""Objects as GeoJSON, as QuPath writes and reads it.

The members are those of QuPath's own reader and writer (``QuPathTypeAdapters``,
``ROITypeAdapters`` and ``GsonTools`` of https://github.com/qupath/qupath, version 0.6; see
https://qupath.readthedocs.io/en/stable/docs/advanced/exporting_annotations.html): coordinates are
pixels from the upper left corner of the image; ``geometry.plane`` has c, z and t, c = -1 for all
channels, and is left out for the first plane; ``classification`` has a name and a colour;
``measurements`` maps names to numbers; ``metadata`` maps names to texts: here label and status.
"""

from __future__ import annotations

import os
import uuid
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels.document import dumps, read_json, writing
from napari_hqsam.labels.gathering import Gathering, number, status
from napari_hqsam.labels.grid import Grid
from napari_hqsam.labels.objects import LabelObject
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.labels.polygons import fill, outlines
from napari_hqsam.labels.progress import Progress, counted
from napari_hqsam.labels.rows import Rows

Colour = tuple[int, int, int]

COLOURS: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
"""Of classes in turn; told apart with any colour vision (Okabe and Ito)."""


def write_geojson(
    path: str | os.PathLike[str],
    objects: Iterable[LabelObject],
    grid: Grid,
    *,
    kind: Literal["annotation", "detection"] = "annotation",
    colours: Mapping[str, Colour] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write objects as a GeoJSON FeatureCollection for QuPath, complete or not at all.

    Each mask is one feature, whose outline follows the edges of its pixels: nothing is simplified.
    It is a MultiPolygon if it has several parts.

    Parameters
    ----------
    path : str or path-like
        Ends in ``.geojson`` or ``.json``; a file of that name is replaced.
    objects : iterable of LabelObject
    grid : Grid
    kind : {"annotation", "detection"}
        What QuPath makes of them; it is quicker with many thousand detections.
    colours : mapping of str to (int, int, int), optional
        RGB of classes, 0 to 255; others get one of `COLOURS`.
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
    names = sorted({obj.class_name for obj in objects} - {""})
    colour = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)} | dict(colours or {})
    with writing(target, ".geojson", ".json") as file:
        file.write(b'{"type":"FeatureCollection","features":[')
        separator = b"\n"
        for obj in counted(objects, progress, "writing objects"):
            for mask in grid.upright(obj).masks:
                rows = Rows.of_mask(mask)
                if len(rows.y):
                    place = grid.at(mask.plane)
                    about = _properties(obj, kind, colour.get(obj.class_name))
                    file.write(separator + dumps(_feature(obj, rows, place, grid.name, about)))
                    separator = b",\n"
        file.write(b"\n]}\n")
    return target


def read_geojson(path: str | os.PathLike[str], grid: Grid) -> list[LabelObject]:
    """Read the areas of a GeoJSON file as objects, of QuPath or any other program.

    A pixel belongs to an object if its centre lies within; what `write_geojson` wrote is read as
    it was.

    Parameters
    ----------
    path : str or path-like
        It holds a FeatureCollection, a list of features, a feature or a geometry; Polygons and
        MultiPolygons count.
    grid : Grid
        That of the labels they are for.

    Returns
    -------
    list of LabelObject
        Sorted by label. Features with one label in their metadata are an object on several planes;
        others get the next free numbers.

    Raises
    ------
    HQSAMError
        If it is no GeoJSON, or all of it lies outside the image.

    Warns
    -----
    UserWarning
        About features that have no area, and those that the edge of the image cuts.
    """
    source = Path(path).expanduser()
    gathering = Gathering()
    areas = cut = empty = 0
    for i, (geometry, about) in enumerate(_features(read_json(source), source), start=1):
        where = f"{source}: feature {i}"
        polygons = _polygons(geometry, where)
        if not polygons:
            empty += 1
            continue
        areas += 1
        rows = Rows.union([fill(polygon, grid.yx) for polygon in polygons])
        if len(rows.y) == 0 or not all(_inside(polygon, grid.yx) for polygon in polygons):
            cut += 1
        metadata = about.get("metadata")
        metadata = metadata if isinstance(metadata, dict) else {}
        gathering.add(
            metadata.get("label"),
            rows.mask(_plane(geometry, grid, where)),
            class_name=_class_name(about.get("classification")),
            score=number(_measurement(about.get("measurements"), "Score")),
            status=status(metadata.get("status")),
        )
    objects = gathering.objects()
    if areas and not objects:
        height, width = grid.yx
        raise HQSAMError(
            f"{source}: none of its {areas} areas holds a pixel of {grid.name} ({height} x "
            f"{width} pixels); choose the image that was annotated"
        )
    for count, what in (
        (empty, "have no area (points or lines) and are left out"),
        (cut, f"reach beyond {grid.name} or hold no pixel centre, and are cut or left out"),
    ):
        if count:
            warnings.warn(f"{source}: {count} features {what}", stacklevel=2)
    return objects


def _feature(
    obj: LabelObject, rows: Rows, place: tuple[int, int], image: str, about: dict[str, Any]
) -> dict[str, Any]:
    parts = [[_closed(ring) for ring in polygon] for polygon in outlines(rows)]
    geometry: dict[str, Any] = (
        {"type": "Polygon", "coordinates": parts[0]}
        if len(parts) == 1
        else {"type": "MultiPolygon", "coordinates": parts}
    )
    t, z = place
    if t or z:
        geometry["plane"] = {"c": -1, "z": z, "t": t}
    # QuPath wants a UUID; the same object has the same one in every export
    name = uuid.uuid5(uuid.NAMESPACE_URL, f"napari-hqsam:{image}/{obj.id}/{t}/{z}")
    return {"type": "Feature", "id": str(name), "geometry": geometry, "properties": about}


def _properties(obj: LabelObject, kind: str, colour: Sequence[int] | None) -> dict[str, Any]:
    about: dict[str, Any] = {"objectType": kind, "name": str(obj.id)}
    if obj.class_name:
        about["classification"] = {"name": obj.class_name, "color": list(colour or COLOURS[0])}
    values = {name: number(getattr(obj, name.lower(), None)) for name in ("Score", "Uncertainty")}
    measured = {name: value for name, value in values.items() if value is not None}
    if measured:
        about["measurements"] = measured
    return about | {"metadata": {"label": str(obj.id), "status": obj.status}}


def _closed(ring: NDArray[Any]) -> list[list[Any]]:
    """[x, y] of a ring (n, 2) of (y, x), the first one again at the end."""
    points: list[list[Any]] = ring[:, ::-1].tolist()
    return [*points, points[0]]


def _features(document: Any, source: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The geometry and the properties of each feature, also of those within others."""
    waiting = document if isinstance(document, list) else [document]
    waiting = list(reversed(waiting))
    while waiting:
        item = waiting.pop()
        if not isinstance(item, dict) or not isinstance(item.get("type"), str):
            raise HQSAMError(f"{source}: is no GeoJSON; export the objects again")
        if isinstance(item.get("features"), list):
            waiting += reversed(item["features"])
            continue
        if item["type"] != "Feature":
            yield item, {}
            continue
        geometry, about = (
            member if isinstance(member, dict) else {}
            for member in (item.get("geometry"), item.get("properties"))
        )
        yield geometry, about
        children = about.get("childObjects")
        if isinstance(children, list):
            waiting += reversed(children)


def _polygons(geometry: Mapping[str, Any], where: str) -> list[list[NDArray[Any]]]:
    """Rings (n, 2) of (y, x) of each polygon."""
    kind, found = geometry.get("type"), []
    try:
        if kind == "GeometryCollection":
            for part in geometry["geometries"]:
                found += _polygons(part, where)
        elif kind in ("Polygon", "MultiPolygon"):
            coordinates = geometry["coordinates"]
            for polygon in [coordinates] if kind == "Polygon" else coordinates:
                rings = [np.array([point[1::-1] for point in ring], float) for ring in polygon]
                if not all(r.ndim == 2 and r.shape[1] == 2 and np.isfinite(r).all() for r in rings):
                    raise ValueError("a coordinate is no pair of numbers")
                found.append(rings)
    except HQSAMError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise HQSAMError(
            f"{where} has no outline that can be read ({error}); export it again"
        ) from None
    return found


def _inside(polygon: Sequence[NDArray[Any]], shape: tuple[int, int]) -> bool:
    """Whether no pixel centre is lost beyond the edges of the plane."""
    points = np.concatenate([np.empty((0, 2)), *polygon])
    return bool(((points >= -0.5) & (points <= np.add(shape, 0.5))).all())


def _plane(geometry: Mapping[str, Any], grid: Grid, where: str) -> ArrayPlane:
    plane = geometry.get("plane")
    at = {a: plane.get(a, 0) if isinstance(plane, dict) else 0 for a in "tz"}
    try:
        return grid.plane(**{a: int(i) for a, i in at.items()})
    except (TypeError, ValueError) as error:
        raise HQSAMError(f"{where}: {error}; choose the image that was annotated") from None


def _class_name(classification: Any) -> str:
    if isinstance(classification, str):
        return classification
    if not isinstance(classification, dict):
        return ""
    names = classification.get("names")
    if isinstance(names, list):
        return ": ".join(str(name) for name in names)
    return str(classification.get("name") or "")


def _measurement(measurements: Any, name: str) -> Any:
    """A measurement of a map, or of a list of names and values, as QuPath wrote before 0.4."""
    if isinstance(measurements, list):
        measurements = {m.get("name"): m.get("value") for m in measurements if isinstance(m, dict)}
    return measurements.get(name) if isinstance(measurements, dict) else None
