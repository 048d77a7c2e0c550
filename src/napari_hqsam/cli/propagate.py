"""`napari-hqsam propagate`: objects of a few slices, through a stack or a film."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from napari_hqsam.cli.console import counting_bar, warnings_told
from napari_hqsam.cli.course import check_course, choose_course, labelled_planes, prompts_by_plane
from napari_hqsam.cli.followed import follow, least_sure, tracks_of, write_table
from napari_hqsam.cli.job_folder import JobFolder, job_folder
from napari_hqsam.cli.label_job import (
    check_extra,
    check_target,
    count_labels,
    describe,
    move_or_write,
    settings_of,
    write_about,
)
from napari_hqsam.cli.models import load
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
    Threshold,
    contrast_limits,
)
from napari_hqsam.cli.prompts import from_options, from_table, whole_numbers
from napari_hqsam.errors import HQSAMError

if TYPE_CHECKING:
    from napari_hqsam.labels.frame import LabelFrame
    from napari_hqsam.labels.store import LabelStore
    from napari_hqsam.modeling import Mode

_TABLES = ("table", "tracks")  # what may be asked for later, of the same job


def propagate(
    ctx: typer.Context,
    image: Annotated[
        str, typer.Argument(metavar="IMAGE", help="TIFF, OME-Zarr folder or URL of a stack.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="PATH", help="Labels to write: .tif, .zarr or .geojson."
        ),
    ],
    prompts: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV", help="Objects on some slices: a table of prompts, as `segment` takes it."
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="LABELS",
            help="Instead, labels of the image: each on each slice where it is, and 0 on others.",
        ),
    ] = None,
    box: Annotated[
        list[str] | None,
        typer.Option(metavar="Y0,X0,Y1,X1", help="Or a box of an object; repeatable."),
    ] = None,
    point: Annotated[
        list[str] | None,
        typer.Option(metavar="Y,X", help="Or a point on the object; repeatable."),
    ] = None,
    negative: Annotated[
        list[str] | None,
        typer.Option(metavar="Y,X", help="Point that is not on the object; repeatable."),
    ] = None,
    plane: Annotated[
        str | None,
        typer.Option(metavar="Z", help="Slice of the prompts, from 0; t,z if it has both."),
    ] = None,
    axis: Annotated[
        str | None,
        typer.Option(metavar="AXIS", help="z, or t. By default z, or t if there is no z."),
    ] = None,
    direction: Annotated[
        str, typer.Option(metavar="WAY", help="both, forward or backward from the prompts.")
    ] = "both",
    first: Annotated[
        int | None,
        typer.Option("--from", metavar="N", min=0, help="First slice. Until the object ends."),
    ] = None,
    last: Annotated[
        int | None,
        typer.Option("--to", metavar="N", min=0, help="Last slice. Until the object ends."),
    ] = None,
    min_score: Annotated[
        float,
        typer.Option(metavar="SCORE", min=0, max=1, help="An object ends where it scores less."),
    ] = 0.5,
    smooth: Annotated[
        float,
        typer.Option(metavar="SLICES", min=0, help="Smooth masks from slice to slice, so far."),
    ] = 0.0,
    existing: Annotated[
        str | None,
        typer.Option(
            metavar="LABELS", help="Labels that keep their pixels; new objects come after them."
        ),
    ] = None,
    mode: Annotated[
        str,
        typer.Option(
            metavar="MODE", help="hq+sam (the paper's sum), hq (the HQ token alone) or sam."
        ),
    ] = "hq+sam",
    threshold: Threshold = 0.0,
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
    table: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="Also write label, slice, middle, area and score."),
    ] = None,
    tracks: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="Along t, also write tracks: id,t,z,y,x, as napari has."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what is to be written if it exists.")
    ] = False,
) -> None:
    """Follow objects from the slices on which they are prompted through a stack, or a film.

    Each goes as far as it can be seen, in both directions. It may be stopped at any time: the same
    command goes on from there.

    Example: napari-hqsam propagate stack.tif -o cells.zarr --prompts prompts.csv
    """
    from napari_hqsam.images import open_image
    from napari_hqsam.labels.frame import LabelFrame
    from napari_hqsam.modeling.hq_sam import check_mode
    from napari_hqsam.segmentation import Segmenter
    from napari_hqsam.segmentation.volume.settings import DIRECTIONS
    from napari_hqsam.weights import model_info

    model_info(model)  # what is wrong with names and options is told before anything is read
    check_mode(mode, has_hq=True)
    if direction not in DIRECTIONS:
        raise HQSAMError(f"--direction {direction}: choose {', '.join(DIRECTIONS)}")
    _check_source(ctx)
    limits, target = contrast_limits(contrast), out.expanduser()
    chosen = None if channels is None else whole_numbers("--channels", channels)
    index = None if plane is None else whole_numbers("--plane", plane)
    with open_image(image, axes=axes, channels=chosen) as source:
        choose_course(source, axis, (0,) * len(source.plane_axes))  # whether there is one
        frame = LabelFrame.of(source, level)
        inputs = [image, *(name for name in (labels, existing) if name is not None)]
        check_target(target, inputs, frame, level=level, overwrite=overwrite)
        again = overwrite or job_folder(target).exists()
        files = {
            name: check_extra(f"--{name}", path, ".csv", overwrite=again)
            for name, path in (("table", table), ("tracks", tracks))
            if path is not None
        }
        seeds: Any = labels
        if labels is not None:
            planes, _ = labelled_planes(labels, frame)
            if not planes:
                raise HQSAMError(f"{labels}: there are no labels; all of it is 0")
        else:
            highest = 0 if existing is None else labelled_planes(existing, frame)[1]
            objects = (
                from_table(prompts, index, source, level)
                if prompts is not None
                else from_options(box or (), point or (), negative or (), index, source, level)
            )
            seeds = prompts_by_plane(objects, highest)
            planes = list(seeds)
        course = choose_course(source, axis, planes[0])
        check_course(course, planes, first, last)
        if "tracks" in files and course.axis != "t":
            raise HQSAMError(f"--tracks: objects are followed along {course.axis}; give --axis t")
        settings = settings_of(ctx, source, [*inputs, prompts])
        settings = {k: v for k, v in settings.items() if k not in _TABLES}
        with JobFolder(target, settings, overwrite=overwrite) as job:
            segmenter = Segmenter(
                source,
                level=level,
                contrast_limits=limits,
                model=load(model, checkpoint, device, precision, compile),
                store=store,
            )
            made, found = follow(
                job,
                lambda path: segmenter.propagate(
                    seeds,
                    first,
                    None if last is None else last + 1,
                    axis=course.axis,
                    direction=cast("Any", direction),
                    min_score=min_score,
                    smooth=smooth,
                    labels=existing,
                    mode=cast("Mode", mode),
                    threshold=threshold,
                    out=path,
                ),
            )
            for name, path in files.items():
                write_table(path, found if name == "table" else tracks_of(found, course, frame))
            write_about(target, ctx, source, segmenter)
            # comes last: once it is there, everything is
            told = _write(made, target, frame)
            job.remove()
    for name, path in files.items():
        typer.echo(f"{path}: {name}")
    if told_worst := least_sure(found, course):
        typer.echo(told_worst)
    typer.echo(f"{target}: {told}")


def _check_source(ctx: typer.Context) -> None:
    """Find out whether something says where objects are, and one thing only."""
    several = [f"--{n}" for n in ("box", "point", "negative") if ctx.params[n]]
    given = [f"--{n}" for n in ("prompts", "labels") if ctx.params[n]] + several[:1]
    if not given:
        raise HQSAMError("no prompts: give --prompts, --labels, --box or --point")
    if len(given) > 1:
        raise HQSAMError(f"{' and '.join(given)}: give one of them")
    if ctx.params["labels"] and ctx.params["plane"]:
        raise HQSAMError("--plane with --labels: labels are where they are; leave out --plane")


def _write(made: LabelStore, target: Path, frame: LabelFrame) -> str:
    """Write labels in the format that the suffix says; what they are."""
    with warnings_told(), counting_bar() as progress:
        told = describe(made, count_labels(made, progress))
        if target.suffix.lower() != ".geojson":
            move_or_write(made, target)
            return told
        from napari_hqsam.labels.find import objects_in
        from napari_hqsam.labels.geojson import write_geojson

        write_geojson(target, list(objects_in(made, progress)), frame.grid, progress=progress)
    return told
