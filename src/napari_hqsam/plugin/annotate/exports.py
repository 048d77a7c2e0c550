"""What is exported: a picture of the objects at one moment, and how it becomes a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_hqsam.images import ImageSource
    from napari_hqsam.labels.grid import Grid
    from napari_hqsam.labels.objects import LabelObject
    from napari_hqsam.plugin.task import Reporter


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes
    ----------
    name, title : str
        For the program, and for people.
    suffix : str
    also : tuple of str
        Other suffixes of it.
    """

    name: str
    title: str
    suffix: str
    also: tuple[str, ...] = ()


FORMATS = (
    Format("labels", "Labels, TIFF with µm for Fiji", ".tif", (".tiff",)),
    Format("labels", "Labels, OME-Zarr", ".zarr"),
    Format("coco", "COCO JSON (masks, overlaps kept)", ".json"),
    Format("geojson", "GeoJSON for QuPath", ".geojson"),
    Format("rois", "ImageJ ROIs", ".zip"),
    Format("measurements", "Measurements, CSV", ".csv"),
)


@dataclass
class Export:
    """Objects, their labels, and where they come from.

    Attributes
    ----------
    objects : sequence of LabelObject or None
        None if they are still to be found in the labels.
    labels : array-like or LabelStore
        The label image.
    grid : Grid
    image : ImageSource or None
        Whose intensities are measured.
    model : str
    parameters : Mapping
        For the sidecar.
    command : sequence of object
        Words of the command that makes the same labels in a shell.
    last_step : object
        That of the session at that moment.
    warnings : list of str
        What the user should know of the file that was written.
    """

    objects: Sequence[LabelObject] | None
    labels: Any
    grid: Grid
    image: ImageSource | None = None
    model: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    command: Sequence[object] = ()
    last_step: object = None
    warnings: list[str] = field(default_factory=list)

    def command_line(self) -> str:
        """The command as one line."""
        from napari_hqsam.labels.sidecar import command_line

        return command_line(self.command)

    def write(self, wanted: Format, path: Path, job: Reporter, *, sidecar: bool) -> Path:
        """Write one file, complete or not at all; not on the main thread.

        Raises
        ------
        HQSAMError
            If it cannot be written.
        """

        def progress(done: int, total: int, _what: str = "") -> None:
            job.check()
            job.progress(done, total)

        written = _WRITERS[wanted.name](self, path, progress)
        if sidecar:
            from napari_hqsam.labels.sidecar import write_sidecar

            write_sidecar(
                written,
                image=self.image,
                model=self.model or None,
                parameters=self.parameters,
                command=self.command,
            )
        return written


def _labels(export: Export, path: Path, progress: Any) -> Path:
    from napari_hqsam.labels.export import write_labels
    from napari_hqsam.session.overlap import overlaps

    grid = export.grid
    written = write_labels(path, export.labels, scale=grid.scale, units=grid.units, axes=grid.axes)
    pairs = overlaps(export.objects or ())
    if pairs:
        export.warnings.append(
            f"{written.name}: {len(pairs)} pairs of objects overlap, such as {pairs[0]}; a label "
            "image shows one object at each pixel. COCO and GeoJSON keep both whole"
        )
    return written


def _coco(export: Export, path: Path, progress: Any) -> Path:
    from napari_hqsam.labels.coco import write_coco

    return write_coco(path, _objects(export), export.grid, progress=progress)


def _geojson(export: Export, path: Path, progress: Any) -> Path:
    from napari_hqsam.labels.geojson import write_geojson

    return write_geojson(path, _objects(export), export.grid, progress=progress)


def _rois(export: Export, path: Path, progress: Any) -> Path:
    from napari_hqsam.labels.rois import write_rois

    return write_rois(path, _objects(export), export.grid, progress=progress)


def _measurements(export: Export, path: Path, progress: Any) -> Path:
    from napari_hqsam.labels.measurements import measure, write_csv

    objects = _objects(export)
    return write_csv(path, measure(objects, export.grid, export.image, progress=progress))


def _objects(export: Export) -> list[LabelObject]:
    """Those known, as objects of yx planes."""
    if export.objects is None:
        from napari_hqsam.labels.find import objects_in

        return list(objects_in(export.labels))
    return [export.grid.upright(each) for each in export.objects]


_WRITERS: dict[str, Callable[[Export, Path, Any], Path]] = {
    "labels": _labels,
    "coco": _coco,
    "geojson": _geojson,
    "rois": _rois,
    "measurements": _measurements,
}
