"""`napari-hqsam auto`: every object of an image, of any size."""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from napari_hqsam.cli.console import counting_bar, warnings_told
from napari_hqsam.cli.job_folder import JobFolder, job_folder
from napari_hqsam.cli.label_job import (
    check_extra,
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
from napari_hqsam.cli.options import (
    Axes,
    Channels,
    Checkpoint,
    Compile,
    Contrast,
    Device,
    FillHoles,
    Level,
    Model,
    Precision,
    Threshold,
    contrast_limits,
)
from napari_hqsam.cli.prompts import PromptedObject, from_table, whole_numbers
from napari_hqsam.errors import HQSAMError

if TYPE_CHECKING:
    from napari_hqsam.images import ImageSource
    from napari_hqsam.labels.frame import LabelFrame
    from napari_hqsam.labels.objects import LabelObject
    from napari_hqsam.labels.store import LabelStore
    from napari_hqsam.modeling import Mode

_METHODS = ("grid", "threshold")
# Of no use where somebody says where the objects are.
_SEARCHED = ("min_iou", "exclude_edges", "no_skip_background", "no_link_slices")


def auto(
    ctx: typer.Context,
    image: Annotated[
        str, typer.Argument(metavar="IMAGE", help="TIFF, PNG, JPEG, OME-Zarr folder or URL.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="PATH", help="Labels to write: .tif, .zarr, .png or .geojson."
        ),
    ],
    find: Annotated[
        str | None,
        typer.Option(
            metavar="METHOD",
            help="grid (the default): a grid of points; threshold: the parts that a threshold "
            "tells from the background.",
        ),
    ] = None,
    points: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="Instead, a point on each object: columns y,x,z,t."),
    ] = None,
    boxes: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="Or a box around each: columns y0,x0,y1,x1,z,t."),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="Or a table of prompts, as `segment` takes it."),
    ] = None,
    from_labels: Annotated[
        str | None,
        typer.Option(metavar="LABELS", help="Or the box of each label, which keeps its number."),
    ] = None,
    diameter: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="Of a typical object: pixels, or 12um if their size is known."
        ),
    ] = None,
    min_size: Annotated[
        int, typer.Option(metavar="PIXELS", min=0, help="Leave out objects smaller than that.")
    ] = 0,
    max_size: Annotated[
        int | None, typer.Option(metavar="PIXELS", min=1, help="Leave out larger objects.")
    ] = None,
    exclude_edges: Annotated[
        bool, typer.Option("--exclude-edges", help="Leave out what the image's edge cuts.")
    ] = False,
    min_iou: Annotated[
        float | None,
        typer.Option(
            metavar="SCORE", min=0, max=1, help="Leave out masks of which the model expects less."
        ),
    ] = None,
    no_skip_background: Annotated[
        bool, typer.Option("--no-skip-background", help="Look at empty parts of the image, too.")
    ] = False,
    no_link_slices: Annotated[
        bool, typer.Option("--no-link-slices", help="Objects of one slice each, in a stack.")
    ] = False,
    fill_holes: FillHoles = False,
    threshold: Threshold = 0.0,
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
    measurements: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="Also measure the objects, as `export` does."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what is to be written if it exists.")
    ] = False,
) -> None:
    """Find every object of an image, window by window, and put them together.

    Objects are looked for on a grid of points, or begin where a threshold, a table or other labels
    say so. It may be stopped at any time: the same command goes on from there.

    Example: napari-hqsam auto slide.ome.zarr -o nuclei.zarr --diameter 9um --measurements n.csv
    """
    from napari_hqsam.images import open_image
    from napari_hqsam.labels.frame import LabelFrame
    from napari_hqsam.modeling.hq_sam import check_mode
    from napari_hqsam.segmentation import Segmenter
    from napari_hqsam.weights import model_info

    model_info(model)  # what is wrong with names and options is told before anything is read
    check_mode(mode, has_hq=True)
    method = _method(ctx)
    if max_size is not None and max_size < min_size:
        raise HQSAMError(f"--max-size {max_size}: is less than --min-size {min_size}")
    limits, target = contrast_limits(contrast), out.expanduser()
    chosen = None if channels is None else whole_numbers("--channels", channels)
    with ExitStack() as opened:
        source = opened.enter_context(open_image(image, axes=axes, channels=chosen))
        frame = LabelFrame.of(source, level)
        size = None if diameter is None else pixels("--diameter", diameter, frame)
        planes, part = chosen_planes(plane, source), chosen_region(region, frame)
        inputs = [image] if from_labels is None else [image, from_labels]
        check_target(target, inputs, frame, level=level, overwrite=overwrite)
        anew = overwrite or job_folder(target).exists()
        table = measurements and check_extra("--measurements", measurements, ".csv", overwrite=anew)
        begin: Any = method or _prompts(points, boxes, prompts, source, planes, level)
        if from_labels is not None:
            from napari_hqsam.labels.given import as_label_array

            begin = opened.enter_context(closing(as_label_array(from_labels, frame)))
            with counting_bar() as progress:
                check_labels(begin, frame, planes, part, progress)
        settings = settings_of(ctx, source, [*inputs, points, boxes, prompts])
        with JobFolder(target, settings, overwrite=overwrite) as job:
            segmenter = Segmenter(
                source,
                level=level,
                contrast_limits=limits,
                model=load(model, checkpoint, device, precision, compile),
                store=store,
            )
            made = job.run(
                lambda path: segmenter.segment_all(
                    begin,
                    planes=planes,
                    region=part,
                    diameter=size,
                    min_size=min_size,
                    max_size=max_size,
                    exclude_edges=exclude_edges,
                    skip_background=not no_skip_background,
                    link_slices=not no_link_slices,
                    mode=cast("Mode", mode),
                    threshold=threshold,
                    fill_holes=fill_holes,
                    min_iou=min_iou,
                    out=path,
                )
            )
            write_about(target, ctx, source, segmenter)
            told = _write(made, target, table, frame, source if level == 0 else None)
            job.remove()
    if table is not None:
        typer.echo(f"{table}: measurements")
    typer.echo(f"{target}: {told}")


def _method(ctx: typer.Context) -> str:
    """The method of ``--find``; "" if something else says where objects are."""
    given = [n for n in ("points", "boxes", "prompts", "from_labels", "find") if ctx.params[n]]
    options = " and ".join(f"--{name.replace('_', '-')}" for name in given)
    if len(given) > 1:
        raise HQSAMError(f"{options}: give one of them")
    if given and given != ["find"]:
        for name in _SEARCHED:
            if ctx.params[name] not in (None, False):
                raise HQSAMError(
                    f"--{name.replace('_', '-')}: goes with --find only, not {options}"
                )
        return ""
    method = ctx.params["find"] or _METHODS[0]
    if method not in _METHODS:
        raise HQSAMError(f"--find {method}: choose {' or '.join(_METHODS)}")
    return str(method)


def _prompts(
    points: Path | None,
    boxes: Path | None,
    prompts: Path | None,
    source: ImageSource,
    planes: list[tuple[int, ...]] | None,
    level: int,
) -> dict[tuple[int, ...], list[Any]]:
    """The labels and prompts of a table, by plane."""
    from napari_hqsam.cli.seeds import boxes_of, points_of

    objects: list[PromptedObject] = []
    if points is not None:
        objects = points_of(points, source, level)
    elif boxes is not None:
        objects = boxes_of(boxes, source, level)
    elif prompts is not None:
        one = planes[0] if planes is not None and len(planes) == 1 else None
        objects = from_table(prompts, one, source, level)
    found: dict[tuple[int, ...], list[Any]] = {}
    for each in objects:
        found.setdefault(each.plane, []).append((each.label, each.prompts))
    return found


def _write(
    made: LabelStore,
    target: Path,
    table: Path | None,
    frame: LabelFrame,
    source: ImageSource | None,
) -> str:
    """Measure what was made, and write it in the format that the suffix says; what it is."""
    outlines = target.suffix.lower() == ".geojson"
    with warnings_told(), counting_bar() as progress:
        if not outlines and table is None:
            told = describe(made, count_labels(made, progress))
        else:
            from napari_hqsam.labels.find import objects_in

            objects: list[LabelObject] = list(objects_in(made, progress))
            told = describe(made, len(objects))
        if table is not None:
            from napari_hqsam.labels.measurements import measure, write_csv

            write_csv(table, measure(objects, frame.grid, source, progress=progress))
        if outlines:
            from napari_hqsam.labels.geojson import write_geojson

            write_geojson(target, objects, frame.grid, progress=progress)
    if not outlines:
        move_or_write(made, target)
    return told
