"""Objects as COCO annotations: written with compressed masks, read as others write them, too.

The format is that of https://cocodataset.org/#format-data, with one entry under ``images`` for
each plane, and some members of our own that readers of COCO pass over: an image of a stack has
``plane``, its t and z; an annotation has ``label``, ``status`` and ``uncertainty``; the category of
objects without a class has ``unnamed``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels import rle
from napari_hqsam.labels.document import dumps, read_json, writing
from napari_hqsam.labels.gathering import Gathering, number, status
from napari_hqsam.labels.grid import Grid
from napari_hqsam.labels.objects import LabelObject
from napari_hqsam.labels.plane import ArrayPlane
from napari_hqsam.labels.progress import Progress, counted
from napari_hqsam.labels.rows import Rows

_UNNAMED = "object"


def write_coco(
    path: str | os.PathLike[str],
    objects: Iterable[LabelObject],
    grid: Grid,
    *,
    progress: Progress | None = None,
) -> Path:
    """Write objects as COCO JSON, complete or not at all.

    Each mask of an object is one annotation: its ``segmentation`` the compressed run-length
    encoding of pycocotools, ``area`` in pixels, ``bbox`` [x, y, width, height], ``iscrowd`` 0, and
    ``score`` if it has one.

    Parameters
    ----------
    path : str or path-like
        Ends in ``.json``; a file of that name is replaced.
    objects : iterable of LabelObject
    grid : Grid
        ``grid.name`` becomes the ``file_name``.
    progress : callable, optional
        `Progress`.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    HQSAMError
        If the planes are too large for the format, or it cannot be written.
    """
    target = Path(path).expanduser()
    height, width = grid.yx
    if height * width > rle.MAX_PIXELS:
        raise HQSAMError(
            f"{target}: COCO's masks end at {rle.MAX_PIXELS:,} pixels, a plane has "
            f"{height * width:,}; export GeoJSON"
        )
    objects = list(objects)
    images = {place: i for i, place in enumerate(grid.planes(), start=1)}
    names = sorted({obj.class_name for obj in objects})
    categories = {name: i for i, name in enumerate(names, start=1)}
    with writing(target, ".json") as file:
        file.write(b'{"info":' + dumps({"description": f"Objects of {grid.name}", "version": "1"}))
        file.write(b',\n"licenses":[],\n"images":[\n')
        file.write(b",\n".join(dumps(_image(grid, i, *place)) for place, i in images.items()))
        file.write(b'],\n"categories":[\n')
        file.write(b",\n".join(dumps(_category(name, i)) for name, i in categories.items()))
        file.write(b'],\n"annotations":[')
        n = 0
        for obj in counted(objects, progress, "writing objects"):
            for mask in grid.upright(obj).masks:
                rows = Rows.of_mask(mask)
                if len(rows.y) == 0:
                    continue
                n += 1
                about = {
                    "id": n,
                    "image_id": images[grid.at(mask.plane)],
                    "category_id": categories[obj.class_name],
                }
                file.write(b",\n" if n > 1 else b"\n")
                file.write(dumps(about | _annotation(obj, rows, (height, width))))
        file.write(b"]}\n")
    return target


def read_coco(path: str | os.PathLike[str], grid: Grid) -> list[LabelObject]:
    """Read the objects of a COCO file that belong to one image.

    Of a file about several images those are taken whose ``file_name`` is that of the image; of a
    stack that does not say which plane is which, the images are the planes in their order.

    Parameters
    ----------
    path : str or path-like
    grid : Grid
        That of the labels they are for.

    Returns
    -------
    list of LabelObject
        Sorted by label. Annotations with one ``label`` are an object on several planes; others get
        the next free numbers. Polygons are filled as pycocotools does.

    Raises
    ------
    HQSAMError
        If it is no COCO file, or of an image of another size.
    """
    source = Path(path).expanduser()
    document = read_json(source)
    if not isinstance(document, dict) or not all(
        isinstance(document.get(key), list) for key in ("images", "annotations")
    ):
        raise HQSAMError(f'{source}: is no COCO file, which has lists "images" and "annotations"')
    planes = _planes(source, document["images"], grid)
    classes: dict[str, str] = {}
    for category in document.get("categories") or ():
        if isinstance(category, dict):
            name = "" if category.get("unnamed") else str(category.get("name", ""))
            classes[str(category.get("id"))] = name
    gathering = Gathering()
    for i, annotation in enumerate(document["annotations"], start=1):
        if not isinstance(annotation, dict):
            raise HQSAMError(f"{source}: annotation {i} is no object of JSON; export it again")
        plane = planes.get(str(annotation.get("image_id")))
        if plane is None:
            continue
        where = f"{source}: annotation {i} (id {annotation.get('id')})"
        rows = _mask(annotation.get("segmentation"), grid, where)
        gathering.add(
            annotation.get("label"),
            rows.mask(plane),
            class_name=classes.get(str(annotation.get("category_id")), ""),
            score=number(annotation.get("score")),
            status=status(annotation.get("status")),
        )
    return gathering.objects()


def _image(grid: Grid, i: int, t: int, z: int) -> dict[str, Any]:
    height, width = grid.yx
    about = {"id": i, "file_name": grid.name, "width": width, "height": height}
    return about | {"plane": {"t": t, "z": z}} if len(grid.planes()) > 1 else about


def _category(name: str, i: int) -> dict[str, Any]:
    about = {"id": i, "name": name or _UNNAMED, "supercategory": ""}
    return about if name else about | {"unnamed": True}


def _annotation(obj: LabelObject, rows: Rows, shape: tuple[int, int]) -> dict[str, Any]:
    y0, x0, y1, x1 = rows.bbox
    about = {
        "segmentation": rle.encode(rows, shape),
        "area": rows.area,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "iscrowd": 0,
        "label": obj.id,
        "status": obj.status,
    }
    for key in ("score", "uncertainty"):
        value = number(getattr(obj, key, None))
        if value is not None:
            about[key] = value
    return about


@dataclass(frozen=True)
class _Entry:
    """An image of the file."""

    id: str
    name: str
    size: tuple[Any, Any]
    place: tuple[int, int] | None


def _planes(source: Path, images: list[Any], grid: Grid) -> dict[str, ArrayPlane]:
    """The plane that belongs to the id of each image that counts."""
    entries = [_entry(image) for image in images if isinstance(image, dict)]
    named = [e for e in entries if e.name == grid.name]
    if not named:
        stem = PurePath(grid.name).stem
        named = [e for e in entries if PurePath(e.name).stem == stem]
    entries = named or entries
    for entry in entries:
        if None not in entry.size and entry.size != grid.yx:
            raise HQSAMError(
                f"{source}: is for an image of {_times(entry.size)} pixels ({entry.name}), but "
                f"{grid.name} has {_times(grid.yx)}; choose the image that was annotated"
            )
    places = [entry.place for entry in entries if entry.place is not None]
    if len(places) < len(entries):
        places = grid.planes()
    if len(places) != len(entries):
        raise HQSAMError(
            f"{source}: which of its {len(entries)} images is {grid.name}, with "
            f"{len(places)} plane(s)? Give the image the file name that it has there"
        )
    try:
        return {e.id: grid.plane(*place) for e, place in zip(entries, places, strict=True)}
    except HQSAMError as error:
        raise HQSAMError(f"{source}: {error}; choose the image that was annotated") from None


def _entry(image: Mapping[str, Any]) -> _Entry:
    plane = image.get("plane")
    place = None
    if isinstance(plane, dict):
        t, z = plane.get("t", 0), plane.get("z", 0)
        place = (t, z) if isinstance(t, int) and isinstance(z, int) else None
    name = PurePath(str(image.get("file_name", "")).replace("\\", "/")).name
    return _Entry(str(image.get("id")), name, (image.get("height"), image.get("width")), place)


def _mask(segmentation: Any, grid: Grid, where: str) -> Rows:
    """The pixels of a segmentation: polygons, or counts, compressed or not."""
    height, width = grid.yx
    try:
        if isinstance(segmentation, dict):
            size = tuple(segmentation["size"])
            if size != grid.yx:
                raise HQSAMError(
                    f"{where}: its mask is of {_times(size)} pixels, but {grid.name} has "
                    f"{_times(grid.yx)}; choose the image that was annotated"
                )
            return rle.decode(segmentation["counts"], grid.yx)
        from pycocotools.mask import frPyObjects, merge

        polygons = [[float(v) for v in polygon] for polygon in segmentation]
        if any(len(p) < 6 or len(p) % 2 for p in polygons):
            raise ValueError("a polygon has fewer than three points, or half a point")
        far = 4 * (height + width) + 1000  # pycocotools walks along each edge
        if not all(abs(v) < far for p in polygons for v in p):
            raise ValueError("a polygon has points far outside the image")
        if not polygons:
            return Rows.of([], [], [])
        return rle.decode(merge(frPyObjects(polygons, height, width))["counts"], grid.yx)
    except HQSAMError:
        raise
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise HQSAMError(
            f"{where} has no mask that can be read ({reason[:120]}); export it again"
        ) from None


def _times(size: Sequence[Any]) -> str:
    return " x ".join(str(n) for n in size)
