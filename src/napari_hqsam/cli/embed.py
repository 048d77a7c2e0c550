"""`napari-hqsam embed`: features of an image into a store, ahead of the clicks."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_hqsam.cli.console import progress_bar, warn
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
    contrast_limits,
)
from napari_hqsam.cli.prompts import numbers, whole_numbers
from napari_hqsam.errors import HQSAMError

if TYPE_CHECKING:
    from napari_hqsam.embedding.batch import Batch
    from napari_hqsam.embedding.filling import EmbedJob
    from napari_hqsam.embedding.plan import Estimate
    from napari_hqsam.modeling import HQSam


def embed(
    store: Annotated[
        Path, typer.Option("--store", metavar="DIR", help="Folder that keeps the features.")
    ],
    image: Annotated[
        str | None,
        typer.Argument(metavar="IMAGE", help="TIFF, PNG, JPEG, OME-Zarr folder or URL."),
    ] = None,
    model: Model = "micro",
    checkpoint: Checkpoint = None,
    device: Device = "auto",
    precision: Precision = "auto",
    compile: Compile = False,
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
    zoom_out: Annotated[
        list[int] | None,
        typer.Option(
            metavar="N",
            help="0: windows 1:1; 1, 2, …: shrunk 2, 4, … times, for larger objects; -1, …: "
            "magnified, for smaller ones; repeatable. 0 by default.",
        ),
    ] = None,
    overlap: Annotated[
        float, typer.Option(metavar="SHARE", help="Of neighbouring windows, 0 to below 1.")
    ] = 0.25,
    batch: Annotated[
        str,
        typer.Option(
            metavar="N",
            help="Windows encoded at once, or auto: what fits into a CUDA GPU, 16 at most; else 1.",
        ),
    ] = "auto",
    channels: Channels = None,
    contrast: Contrast = None,
    axes: Axes = None,
    level: Level = 0,
    estimate_only: Annotated[
        bool, typer.Option("--estimate", help="Say what it would cost, and stop.")
    ] = False,
    status: Annotated[bool, typer.Option("--status", help="Say what the folder holds.")] = False,
    prune: Annotated[
        float | None,
        typer.Option(metavar="GB", help="Delete what was not used for longest, until GB are left."),
    ] = None,
) -> None:
    """Encode an image ahead of the clicks, into a folder that any computer can use.

    First it says how many windows, GB and hours that takes. It may be stopped at any time, and goes
    on from there when it is started again; several may fill one folder at once.

    Example: napari-hqsam embed slide.ome.zarr --store slide.embeddings --model vit_l
    """
    if image is None:
        if not (status or prune is not None):
            raise HQSAMError("no IMAGE: give one to encode, or --status or --prune")
        _look_after(store, status, prune)
        return
    from napari_hqsam.images import open_image
    from napari_hqsam.weights import model_info

    model_info(model)  # an unknown name is told before anything is read
    limits = contrast_limits(contrast)
    box = None if region is None else numbers("--region", region, "y0,x0,y1,x1")
    planes = [whole_numbers("--plane", text) for text in plane] if plane else None
    at_once = _batch(batch)
    chosen = None if channels is None else whole_numbers("--channels", channels)
    with open_image(image, axes=axes, channels=chosen) as source:
        from napari_hqsam.segmentation import Segmenter

        with Segmenter(
            source,
            level=level,
            contrast_limits=limits,
            model=load(model, checkpoint, device, precision, compile),
            store=store,
        ) as segmenter:
            job = segmenter.embed(planes, box, zoom_out or (0,), overlap, at_once)
            left = [w for w in job.plan if w not in segmenter.features]
            expected = _estimate(segmenter.model, job, len(left))
            there = len(job.plan) - len(left)
            typer.echo(f"{len(job.plan):,} windows, {there:,} there already; {_describe(expected)}")
            if not estimate_only:
                _check_space(store, expected)
                _run(job)
    if not estimate_only:
        _look_after(store, True, prune)


def _batch(text: str) -> Batch:
    from napari_hqsam.embedding.batch import check_batch

    batch: Any = int(text) if text.isdecimal() else text
    try:
        check_batch(batch)
    except HQSAMError:
        raise HQSAMError(f"--batch {text}: give a whole number from 1 up, or auto") from None
    return batch


def _estimate(model: HQSam, job: EmbedJob, windows: int) -> Estimate:
    """From the time of one batch, encoded twice: the first one also warms up."""
    from torch import OutOfMemoryError

    from napari_hqsam.embedding.plan import estimate

    if not windows:
        return estimate(model, 0, 0.0)
    try:
        seconds = _seconds(model, min(job.batch, windows))
    except OutOfMemoryError:  # the job will find a smaller one
        seconds = _seconds(model, 1)
    return estimate(model, windows, seconds)


def _seconds(model: HQSam, batch: int) -> float:
    import torch

    blank = torch.zeros(batch, 3, model.input_size, model.input_size, device=model.device)
    for _ in range(2):
        began = time.perf_counter()
        with torch.inference_mode():
            model.encode(blank).embedding.sum().item()  # waits for a GPU
    return (time.perf_counter() - began) / batch


def _describe(expected: Estimate) -> str:
    hours = expected.seconds / 3600
    time_ = f"{hours:.1f} h" if hours >= 1 else f"{expected.seconds / 60:.1f} min"
    return f"{expected.windows:,} to encode: {expected.bytes / 1e9:.2f} GB, about {time_}"


def _check_space(store: Path, expected: Estimate) -> None:
    import shutil

    free = shutil.disk_usage(store).free
    if expected.bytes > free:
        warn(f"{store}: {free / 1e9:.1f} GB are free, {expected.bytes / 1e9:.1f} GB needed")


def _run(job: EmbedJob) -> None:
    from rich.progress import MofNCompleteColumn, TimeRemainingColumn

    with job, progress_bar(MofNCompleteColumn(), TimeRemainingColumn()) as bar:
        task = bar.add_task("windows", total=len(job.plan))
        for step in job:
            bar.update(task, completed=step.done)


def _look_after(store: Path, status: bool, prune: float | None) -> None:
    from rich.console import Console
    from rich.table import Table

    from napari_hqsam.embedding.eviction import prune as prune_store
    from napari_hqsam.embedding.eviction import status as store_status

    if prune is not None:
        freed = prune_store(store, round(prune * 1e9))
        typer.echo(f"{store}: {freed.windows:,} windows deleted, {freed.bytes / 1e9:.2f} GB freed")
    if not status:
        return
    found = store_status(store)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("model", "precision", "channels", "intensity", "windows", "GB"):
        table.add_column(heading, justify="left" if heading in ("model", "precision") else "right")
    for run in found.runs:
        intensity = " ".join(f"{low:g}–{high:g}" for low, high in run.key["intensity"])
        seen = ",".join(map(str, run.key["image"]["channels"]))
        gigabytes = f"{run.bytes / 1e9:.2f}"
        of = str(run.key["model"]), str(run.key.get("precision", "float32"))
        table.add_row(*of, seen, intensity, f"{run.windows:,}", gigabytes)
    Console().print(table)
    typer.echo(f"{store}: {found.windows:,} windows, {found.bytes / 1e9:.2f} GB")
