"""`napari-hqsam refine`: labels in, the same labels with better boundaries out."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from napari_hqsam.cli.console import counting_bar, warn, warnings_told
from napari_hqsam.cli.job_folder import JobFolder, job_folder
from napari_hqsam.cli.label_job import (
    check_labels,
    check_target,
    chosen_planes,
    chosen_region,
    count_labels,
    describe,
    move_or_write,
    settings_of,
    write_about,
)
from napari_hqsam.cli.length import pixels
from napari_hqsam.cli.models import load
from napari_hqsam.cli.moved import Moved, report_folder, write_report
from napari_hqsam.cli.options import (
    Axes,
    Channels,
    Checkpoint,
    Compile,
    Contrast,
    Device,
    Level,
    Model,
    Precision,
    contrast_limits,
)
from napari_hqsam.cli.prompts import whole_numbers
from napari_hqsam.errors import HQSAMError

if TYPE_CHECKING:
    from napari_hqsam.labels.frame import LabelFrame
    from napari_hqsam.labels.given import GivenLabels
    from napari_hqsam.labels.pyramid import Box
    from napari_hqsam.labels.store import LabelStore
    from napari_hqsam.modeling import Mode


def refine(
    ctx: typer.Context,
    image: Annotated[
        str, typer.Argument(metavar="IMAGE", help="TIFF, PNG, JPEG, OME-Zarr folder or URL.")
    ],
    labels: Annotated[
        str,
        typer.Argument(
            metavar="LABELS", help="Its labels: TIFF, PNG, OME-Zarr, or GeoJSON of QuPath."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="PATH", help="Labels to write: .tif, .zarr, .png or .geojson."
        ),
    ],
    band: Annotated[
        str,
        typer.Option(
            metavar="WIDTH",
            help="How far a boundary may move: pixels, or 2um if their size is known.",
        ),
    ] = "8",
    thin: Annotated[
        str,
        typer.Option(
            metavar="WIDTH", help="How far parts thinner than the band may grow out of it."
        ),
    ] = "0",
    plane: Annotated[
        list[str] | None,
        typer.Option(
            metavar="Z", help="Plane of a stack, from 0; t,z if it has both; repeatable. All."
        ),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(metavar="Y0,X0,Y1,X1", help="Part of each plane, in pixels. All of it."),
    ] = None,
    mode: Annotated[
        str,
        typer.Option(
            metavar="MODE", help="hq+sam (the paper's sum), hq (the HQ token alone) or sam."
        ),
    ] = "hq+sam",
    model: Model = "micro",
    checkpoint: Checkpoint = None,
    device: Device = "auto",
    precision: Precision = "auto",
    compile: Compile = False,
    channels: Channels = None,
    contrast: Contrast = None,
    axes: Axes = None,
    level: Level = 0,
    store: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder that keeps features, as `embed` fills it."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder for a table and a page of how far the boundaries moved."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what is to be written if it exists.")
    ] = False,
) -> None:
    """Give better boundaries to labels that you have, from Cellpose, StarDist, QuPath, a threshold.

    Every object keeps its number, and touching objects stay apart. It may be stopped at any time:
    the same command goes on from there.

    Example: napari-hqsam refine cells.tif masks.tif -o refined.tif --report moved/
    """
    from napari_hqsam.images import open_image
    from napari_hqsam.labels.frame import LabelFrame
    from napari_hqsam.modeling.hq_sam import check_mode
    from napari_hqsam.segmentation import Segmenter
    from napari_hqsam.weights import model_info

    model_info(model)  # what is wrong with names and options is told before anything is read
    check_mode(mode, has_hq=True)
    limits, target = contrast_limits(contrast), out.expanduser()
    chosen = None if channels is None else whole_numbers("--channels", channels)
    with open_image(image, axes=axes, channels=chosen) as source:
        frame = LabelFrame.of(source, level)
        width, grown = pixels("--band", band, frame), pixels("--thin", thin, frame, least=0)
        planes, part = chosen_planes(plane, source), chosen_region(region, frame)
        check_target(target, [image, labels], frame, level=level, overwrite=overwrite)
        again = job_folder(target).exists()
        moved = report_folder(report, overwrite=overwrite or again)
        outlines = _is_geojson(labels)
        if outlines and level:
            raise HQSAMError(f"{labels}: outlines are in pixels of --level 0; give label images")
        settings = settings_of(ctx, source, [image, labels])
        with JobFolder(target, settings, overwrite=overwrite) as job:
            given = _drawn(labels, job, frame) if outlines else labels
            with closing(_opened(given, frame, planes, part)) as before:
                segmenter = Segmenter(
                    source,
                    level=level,
                    contrast_limits=limits,
                    model=load(model, checkpoint, device, precision, compile),
                    store=store,
                )
                made = job.run(
                    lambda path: segmenter.refine(
                        before,
                        band=width,
                        thin=grown,
                        planes=planes,
                        region=part,
                        mode=cast("Mode", mode),
                        out=path,
                    )
                )
                if moved is not None:
                    labelled = Moved(before, made, frame, planes, part)
                    write_report(moved, labelled, segmenter, ctx)
                with counting_bar() as progress:
                    told = describe(made, count_labels(made, progress))
                write_about(target, ctx, source, segmenter)
                # comes last: once it is there, everything is
                _write(made, target, Path(labels) if outlines else None, frame)
            job.remove()
    typer.echo(f"{target}: {told}")


def _is_geojson(labels: str) -> bool:
    return Path(labels).suffix.lower() in (".geojson", ".json")


def _opened(
    labels: str | Path,
    frame: LabelFrame,
    planes: list[tuple[int, ...]] | None,
    region: Box | None,
) -> GivenLabels:
    """The labels, once it is known that there are some."""
    from napari_hqsam.labels.given import as_label_array

    given = as_label_array(labels, frame)
    try:
        with counting_bar() as progress:
            check_labels(given, frame, planes, region, progress)
    except BaseException:
        given.close()
        raise
    return given


def _drawn(labels: str, job: JobFolder, frame: LabelFrame) -> Path:
    """The areas of a GeoJSON file as a label image, which the job keeps."""
    from napari_hqsam.labels.flatten import write_flat
    from napari_hqsam.labels.geojson import read_geojson

    path = job.file("given.zarr")
    if path.exists():
        return path
    with warnings_told(), counting_bar() as progress:
        objects = read_geojson(labels, frame.grid)
        if not objects:
            raise HQSAMError(f"{labels}: there are no areas in it; export the objects again")
        hidden = write_flat(path, objects, frame.grid, progress=progress)
    if hidden:
        warn(
            f"{labels}: {len(hidden)} object(s) overlap others, which keep "
            f"{sum(hidden.values()):,} of their pixels"
        )
    return path


def _write(made: LabelStore, target: Path, outlines: Path | None, frame: LabelFrame) -> None:
    """Write what was made in the format that the suffix says."""
    if target.suffix.lower() != ".geojson":
        move_or_write(made, target)
        return
    from napari_hqsam.labels.find import objects_in
    from napari_hqsam.labels.geojson import write_geojson
    from napari_hqsam.labels.redraw import redraw_geojson

    with counting_bar() as progress:
        objects = list(objects_in(made, progress))
        if outlines is None:
            write_geojson(target, objects, frame.grid, progress=progress)
            return
        kept = redraw_geojson(outlines, target, objects, frame.grid, progress=progress)
    if kept:
        warn(f"{target}: {kept} feature(s) lie under others as a whole, and keep their outline")
