"""`napari-hqsam benchmark NAME`: figures of this computer, each beside its target."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from napari_hqsam.cli.figures import Out, Work, progress, show, workplace
from napari_hqsam.cli.models import load
from napari_hqsam.cli.options import Checkpoint, Device, Model
from napari_hqsam.cli.speed import auto, click, encode
from napari_hqsam.errors import HQSAMError

benchmark = typer.Typer(
    rich_markup_mode=None, help="Measure speed, memory and seams on this computer."
)
for _command in (encode, click, auto):
    benchmark.command()(_command)


@benchmark.command()
def store(
    model: Model = "micro",
    device: Device = "auto",
    windows: Annotated[int, typer.Option(min=4, help="Windows of the image.")] = 16,
    rounds: Annotated[int, typer.Option(min=1, help="How often it is encoded.")] = 3,
    kills: Annotated[int, typer.Option(min=0, help="How often the job is killed.")] = 20,
    out: Out = None,
    work: Work = None,
) -> None:
    """Measure the embedding store: filling it, reading it back, and killing who fills it.

    A model whose weights are not on this computer gets random ones: they are as fast.

    Example: napari-hqsam benchmark store --work /fast/disk
    """
    from napari_hqsam.benchmark.models import timing_model
    from napari_hqsam.benchmark.store import measure_store

    make = partial(timing_model, model, device)
    with workplace(work) as folder, progress() as tell:
        report = measure_store(make, folder, windows=windows, rounds=rounds, kills=kills, tell=tell)
    show(report, out)


@benchmark.command()
def large(
    model: Model = "micro",
    device: Device = "auto",
    size: Annotated[
        int, typer.Option(min=1, metavar="PIXELS", help="Side of the plane; the stack has 4096.")
    ] = 100_000,
    rounds: Annotated[int, typer.Option(min=1, help="Clicks of each kind.")] = 20,
    out: Out = None,
    work: Work = None,
) -> None:
    """Measure a huge plane and a stack: opening, clicks, labels, memory.

    Both are empty but for some places, so that they take little space. A model whose weights are
    not on this computer gets random ones: they are as fast.

    Example: napari-hqsam benchmark large --model vit_b
    """
    from napari_hqsam.benchmark.large import measure_large
    from napari_hqsam.benchmark.models import timing_model

    made = timing_model(model, device)
    with workplace(work) as folder, progress() as tell:
        report = measure_large(made, folder, size=size, rounds=rounds, tell=tell)
    show(report, out)


@benchmark.command()
def seams(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="A data set: images/ and masks/ of equal names.")
    ],
    model: Model = "micro",
    checkpoint: Checkpoint = None,
    device: Device = "auto",
    tiles: Annotated[int, typer.Option(min=1, help="Images along a side of a mosaic.")] = 3,
    mosaics: Annotated[int, typer.Option(min=1, help="Mosaics at most.")] = 1,
    objects: Annotated[int, typer.Option(min=1, help="Objects of each kind in a mosaic.")] = 60,
    zoom_out: Annotated[
        list[int] | None,
        typer.Option(metavar="N", help="As for `embed`: which windows are encoded ahead."),
    ] = None,
    out: Out = None,
    work: Work = None,
) -> None:
    """Measure what windows encoded ahead cost in accuracy, on mosaics of labelled images.

    Objects that the windows cut, or that are larger, are prompted with a box and with a click. The
    masks are held against those of the same object alone in its best window.

    Example: napari-hqsam benchmark seams my-set/
    """
    from napari_hqsam.benchmark.seams import measure_seams

    with workplace(work) as folder, progress() as tell:
        report = measure_seams(
            load(model, checkpoint, device),
            data,
            folder,
            tiles=tiles,
            mosaics=mosaics,
            objects=objects,
            octaves=zoom_out or (0,),
            tell=tell,
        )
    if not report.figures:
        raise HQSAMError(f"{data}: no object lies across windows; take more --tiles")
    show(report, out)


@benchmark.command()
def whole(
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A data set (images/ and masks/), or a folder of them."),
    ] = None,
    model: Model = "micro",
    checkpoint: Checkpoint = None,
    device: Device = "auto",
    images: Annotated[
        int, typer.Option(min=1, metavar="N", help="Images of a set, or slices, at most.")
    ] = 8,
    part: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="refinement, automatic, seams or linear; repeatable. By default all, or without "
            "--data the last two.",
        ),
    ] = None,
    out: Out = None,
    work: Work = None,
) -> None:
    """Measure what is done to whole images: refining labels, finding objects, stitching.

    Of each data set the part is used that `train` holds out. Labels are made worse in six ways and
    refined; objects are found beside a threshold with a watershed, and beside Cellpose and StarDist
    where they are installed; mosaics are compared with their images; and planes of 1,000 to 10,000
    windows are stitched.

    Example: napari-hqsam benchmark whole --data my-sets/ --images 4 -o figures/
    """
    from napari_hqsam.benchmark.whole import choose_parts, measure_whole

    parts = choose_parts(part, data)  # before anything is loaded
    with workplace(work) as folder, progress() as tell:
        report = measure_whole(
            load(model, checkpoint, device),
            folder,
            data,
            parts=parts,
            images=images,
            tell=tell,
        )
    show(report, out)


@benchmark.command()
def volume(
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A data set (images/ and masks/), or a folder of them."),
    ] = None,
    model: Model = "micro",
    checkpoint: Checkpoint = None,
    device: Device = "auto",
    objects: Annotated[
        int, typer.Option(min=1, metavar="N", help="Objects of a stack at most.")
    ] = 12,
    stacks: Annotated[
        str, typer.Option(metavar="TEXT", help="Only stacks whose name contains it.")
    ] = "",
    part: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="quality or cost; repeatable. By default both, or without --data cost.",
        ),
    ] = None,
    out: Out = None,
    work: Work = None,
) -> None:
    """Measure how well objects are followed through stacks, and what it costs.

    From one exact box on its middle slice each object is followed, beside that box and that mask on
    every slice, and the exact box of every slice; and once more after one click. Labels that only
    say where objects are, are taken apart into connected ones.

    Example: napari-hqsam benchmark volume --data my-sets/ --objects 20 -o figures/
    """
    from napari_hqsam.benchmark.volume import choose_parts, measure_volume

    parts = choose_parts(part, data)  # before anything is loaded
    made = load(model, checkpoint, device)
    with workplace(work) as folder, progress() as tell:
        report = measure_volume(
            made, folder, data, parts=parts, objects=objects, only=stacks, tell=tell
        )
    show(report, out)
