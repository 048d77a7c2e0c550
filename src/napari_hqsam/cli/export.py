"""`napari-hqsam export`: labels to the formats of other programs, and annotations to labels."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from napari_hqsam.cli.console import counting_bar, warn, warnings_told
from napari_hqsam.cli.label_image import check_folder
from napari_hqsam.cli.options import Axes
from napari_hqsam.errors import HQSAMError

if TYPE_CHECKING:
    from napari_hqsam.images import ImageSource
    from napari_hqsam.labels.grid import Grid
    from napari_hqsam.labels.objects import LabelObject
    from napari_hqsam.labels.progress import Progress

_ANNOTATIONS = (".json", ".geojson")
_LABELS = (".tif", ".tiff", ".zarr", ".png")
_OBJECTS = (".geojson", ".json", ".zip", ".csv")


def export(
    labels: Annotated[
        str,
        typer.Argument(
            metavar="LABELS", help="Label image: TIFF, PNG, OME-Zarr; or COCO .json or .geojson."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            metavar="PATH",
            help=".geojson (QuPath), .json (COCO), .zip (ImageJ ROIs), .csv (measurements) or "
            "labels as .tif, .zarr or .png.",
        ),
    ],
    image: Annotated[
        str | None,
        typer.Option(
            metavar="IMAGE", help="What a label image is of: for its name, and intensities in .csv."
        ),
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(metavar="IMAGE", help="What .json or .geojson annotations are of."),
    ] = None,
    class_name: Annotated[
        str | None,
        typer.Option(
            "--class",
            metavar="NAME",
            help="Class of all objects of a label image; of annotations, the one to take.",
        ),
    ] = None,
    detections: Annotated[
        bool,
        typer.Option("--detections", help="For QuPath: detections, quicker if there are many."),
    ] = False,
    axes: Axes = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file if it exists.")
    ] = False,
) -> None:
    """Write the objects of a label image for other programs, or annotations as labels.

    Beside the file a .json of its name keeps how it was made. Where annotations overlap, labels
    show the first of them.

    Example: napari-hqsam export labels.tif -o cells.geojson --class nucleus
    """
    from napari_hqsam.images import open_image
    from napari_hqsam.labels.sidecar import write_sidecar

    target = out.expanduser()
    imported = Path(labels).suffix.lower() in _ANNOTATIONS
    if imported and like is None:
        raise HQSAMError(f"{labels}: which image is it of? Give it with --like")
    if not imported and like is not None:
        raise HQSAMError("--like: is for .json and .geojson annotations; use --image")
    _check_output(target, [name for name in (labels, image, like) if name], overwrite)
    with (
        open_image(like if imported else labels, axes=axes) as source,
        open_image(image) if image is not None else nullcontext() as picture,
        counting_bar() as progress,
    ):
        if imported:
            objects, grid = _annotated(Path(labels).expanduser(), source, class_name)
            told = _write(target, objects, grid, picture or source, detections, progress)
        else:
            grid, array = _label_array(source, picture)
            if target.suffix.lower() in _LABELS:
                told = _write_labels(target, array, grid)
            else:
                objects = _found(array, grid, class_name, progress)
                told = _write(target, objects, grid, picture, detections, progress)
        options = {"--image": image, "--like": like, "--class": class_name, "--axes": axes}
        command: list[object] = ["napari-hqsam", "export", labels, "-o", target]
        for option, value in options.items():
            command += [option, value] if value is not None else []
        command += ["--detections"] if detections else []
        write_sidecar(target, image=picture or (source if imported else None), command=command)
    typer.echo(f"{target}: {told}")


def _label_array(source: ImageSource, picture: ImageSource | None) -> tuple[Grid, Any]:
    """The grid of a label image, and its array in the order of the grid's axes."""
    from napari_hqsam.images.lazy import ArrayView
    from napari_hqsam.labels.grid import Grid, label_axes
    from napari_hqsam.labels.intensity import check_image

    if source.dtype.kind not in "bui" or source.n_channels > 1:
        raise HQSAMError(
            f"{source.name}: is no label image ({source.dtype}, {source.n_channels} channel(s)); "
            "labels are whole numbers, without channels"
        )
    grid = Grid.of(source)
    own = dict(zip(label_axes(source), source.plane_axes, strict=True)) | {"y": "y", "x": "x"}
    array = ArrayView(source.levels[0], [source.array_axes.index(own[a]) for a in grid.axes])
    if picture is not None:
        check_image(grid, picture)
        of = Grid.of(picture)
        grid = replace(grid, name=picture.name)
        if grid.scale is None and of.axes == grid.axes:
            grid = replace(grid, scale=of.scale, units=of.units)
    return grid, array


def _found(array: Any, grid: Grid, class_name: str | None, progress: Progress) -> list[LabelObject]:
    from napari_hqsam.labels.find import objects_in

    try:
        found = objects_in(array, progress)
        return [replace(obj, class_name=class_name or "") for obj in found]
    except HQSAMError as error:
        raise HQSAMError(f"{grid.name}: {error}") from error


def _annotated(
    path: Path, source: ImageSource, class_name: str | None
) -> tuple[list[LabelObject], Grid]:
    """The objects of a file of annotations, and the grid of the image that they are of."""
    from napari_hqsam.labels.coco import read_coco
    from napari_hqsam.labels.document import read_json
    from napari_hqsam.labels.geojson import read_geojson
    from napari_hqsam.labels.grid import Grid

    grid = Grid.of(source)
    document = read_json(path) if path.suffix.lower() == ".json" else None
    coco = isinstance(document, dict) and "annotations" in document
    with warnings_told():
        objects = (read_coco if coco else read_geojson)(path, grid)
    if class_name is None:
        return objects, grid
    chosen = [obj for obj in objects if obj.class_name == class_name]
    if not chosen:
        names = ", ".join(sorted({repr(obj.class_name) for obj in objects})) or "none"
        raise HQSAMError(f"--class {class_name}: {path.name} has the classes {names}")
    return chosen, grid


def _write(
    target: Path,
    objects: Sequence[LabelObject],
    grid: Grid,
    picture: ImageSource | None,
    detections: bool,
    progress: Progress,
) -> str:
    """Write objects in the format that the suffix says; what was written, in words."""
    suffix = target.suffix.lower()
    if suffix == ".geojson":
        from napari_hqsam.labels.geojson import write_geojson

        kind: Literal["annotation", "detection"] = "detection" if detections else "annotation"
        write_geojson(target, objects, grid, kind=kind, progress=progress)
    elif suffix == ".json":
        from napari_hqsam.labels.coco import write_coco

        write_coco(target, objects, grid, progress=progress)
    elif suffix == ".zip":
        from napari_hqsam.labels.rois import write_rois

        write_rois(target, objects, grid, progress=progress)
    elif suffix == ".csv":
        from napari_hqsam.labels.measurements import measure, write_csv

        with warnings_told():
            table = measure(objects, grid, picture, progress=progress)
        write_csv(target, table)
    else:
        from napari_hqsam.labels.flatten import write_flat

        hidden = write_flat(target, objects, grid, progress=progress)
        if hidden:
            warn(
                f"{target}: {len(hidden)} object(s) overlap others, which keep "
                f"{sum(hidden.values()):,} of their pixels"
            )
    return f"{len(objects)} object(s)"


def _write_labels(target: Path, array: Any, grid: Grid) -> str:
    from napari_hqsam.labels.export import write_labels

    write_labels(target, array, scale=grid.scale, units=grid.units, axes=grid.axes)
    return ", ".join(f"{a} {n}" for a, n in zip(grid.axes, grid.shape, strict=True))


def _check_output(target: Path, inputs: Sequence[str], overwrite: bool) -> None:
    """Find out before any work whether `target` can be written, and is none of the inputs."""
    if target.suffix.lower() not in _OBJECTS + _LABELS:
        raise HQSAMError(
            f"{target}: give a name that ends in {', '.join(_OBJECTS)}, .tif, .zarr or .png"
        )
    for name in inputs:
        place = Path(name).expanduser()
        if target.exists() and place.exists() and target.samefile(place):
            raise HQSAMError(f"{target}: is what is read; give another name with -o")
        if place.is_dir() and place.resolve() in target.resolve().parents:
            raise HQSAMError(f"{target}: lies inside {place}; write it elsewhere")
    if target.exists() and not overwrite:
        raise HQSAMError(f"{target}: exists already; add --overwrite, or give another name")
    check_folder(target.parent, target)
