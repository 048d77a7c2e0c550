"""`napari-hqsam segment`: prompts in, a label image out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from napari_hqsam.cli.console import progress_bar, warn
from napari_hqsam.cli.label_image import LabelImage, check_output
from napari_hqsam.cli.models import load
from napari_hqsam.cli.options import (
    Axes,
    Channels,
    Checkpoint,
    Compile,
    Contrast,
    Device,
    FillHoles,
    KeepToBox,
    Level,
    MinSize,
    Model,
    Precision,
    Threshold,
    contrast_limits,
)
from napari_hqsam.cli.prompts import (
    PromptedObject,
    from_options,
    from_table,
    whole_numbers,
)
from napari_hqsam.errors import HQSAMError

if TYPE_CHECKING:
    from rich.table import Table

    from napari_hqsam.modeling import Mode
    from napari_hqsam.segmentation import Mask, Segmenter


def segment(
    image: Annotated[
        str, typer.Argument(metavar="IMAGE", help="TIFF, PNG, JPEG, OME-Zarr folder or URL.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="PATH", help="Label image to write: .tif, .zarr or .png."
        ),
    ],
    box: Annotated[
        list[str] | None,
        typer.Option(metavar="Y0,X0,Y1,X1", help="Box of an object; repeatable."),
    ] = None,
    point: Annotated[
        list[str] | None,
        typer.Option(metavar="Y,X", help="Point on the object; repeatable."),
    ] = None,
    negative: Annotated[
        list[str] | None,
        typer.Option(metavar="Y,X", help="Point that is not on the object; repeatable."),
    ] = None,
    plane: Annotated[
        str | None,
        typer.Option(metavar="Z", help="Plane of a stack, from 0; t,z if it has both."),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV", help="Table of prompts, columns object,kind,y,x,y0,x0,y1,x1,z,t."
        ),
    ] = None,
    model: Model = "micro",
    checkpoint: Checkpoint = None,
    device: Device = "auto",
    precision: Precision = "auto",
    compile: Compile = False,
    mode: Annotated[
        str,
        typer.Option(
            metavar="MODE", help="hq+sam (the paper's sum), hq (the HQ token alone) or sam."
        ),
    ] = "hq+sam",
    threshold: Threshold = 0.0,
    fill_holes: FillHoles = False,
    min_size: MinSize = 0,
    keep_to_box: KeepToBox = False,
    channels: Channels = None,
    contrast: Contrast = None,
    axes: Axes = None,
    level: Level = 0,
    store: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder that keeps features, as `embed` fills it."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the label image if it exists.")
    ] = False,
) -> None:
    """Segment objects of an image from prompts.

    Coordinates are pixels, y before x, counted from 0. Each --box is one object; all --point and
    --negative together are one object, or refine a single --box. Objects are numbered in the order
    given, and where two overlap the first keeps the pixels.

    Example: napari-hqsam segment cells.tif -o labels.tif --box 40,60,120,150
    """
    from rich.console import Console

    from napari_hqsam.images import open_image
    from napari_hqsam.weights import model_info

    if prompts is None and not (box or point or negative):
        raise HQSAMError("no prompts: give --box, --point or --prompts")
    if prompts is not None and (box or point or negative):
        raise HQSAMError("--prompts with --box or --point: put them all into the table")
    model_info(model)  # an unknown name is told before anything is read
    limits = contrast_limits(contrast)
    index = None if plane is None else whole_numbers("--plane", plane)
    chosen = None if channels is None else whole_numbers("--channels", channels)
    with open_image(image, axes=axes, channels=chosen) as source:
        target, stack = out.expanduser(), bool(source.plane_axes)
        check_output(target, Path(image).expanduser(), planes=stack, overwrite=overwrite)
        if prompts is None:
            objects = from_options(box or (), point or (), negative or (), index, source, level)
        else:
            objects = from_table(prompts, index, source, level)
        highest = max(item.label for item in objects)

        from napari_hqsam.modeling import describe_device
        from napari_hqsam.segmentation import Segmenter
        from napari_hqsam.segmentation.polish import polish

        with LabelImage(source, target, level=level, highest=highest) as labels:
            segmenter = Segmenter(
                source,
                level=level,
                contrast_limits=limits,
                model=load(model, checkpoint, device, precision, compile),
                store=store,
            )
            masks = [
                polish(mask, fill_holes=fill_holes, min_size=min_size, keep_to_box=keep_to_box)
                for mask in predict(segmenter, objects, mode, threshold)
            ]
            areas = draw(objects, masks, labels)
            labels.write()
    Console().print(_table(objects, masks, areas, labels))
    on = describe_device() if device == "auto" else str(segmenter.model.device)
    rounded = ", bfloat16" if segmenter.model.precision == "bfloat16" else ""
    typer.echo(f"{model} ({mode}) on {on}{rounded}")
    typer.echo(f"{target}: {labels.describe()}")


def predict(
    segmenter: Segmenter, objects: Sequence[PromptedObject], mode: str, threshold: float = 0.0
) -> list[Mask]:
    """The mask of each object, window by window, so that each is encoded once."""
    windows = defaultdict(list)
    for i, item in enumerate(objects):
        windows[item.plane, segmenter.choose_window(item.prompts, item.plane)].append(i)
    masks: list[Any] = [None] * len(objects)
    with progress_bar("{task.completed} of {task.total}") as bar:
        task = bar.add_task("objects", total=len(objects))
        for (plane, _), members in windows.items():
            prompts = [objects[i].prompts for i in members]
            found = segmenter.predict_many(
                prompts, plane=plane, mode=cast("Mode", mode), threshold=threshold
            )
            for i, mask in zip(members, found, strict=True):
                masks[i] = mask
            bar.advance(task, len(members))
    return masks


def draw(objects: Sequence[PromptedObject], masks: Sequence[Mask], labels: LabelImage) -> list[int]:
    """Draw the masks in their order; the pixels that each one got."""
    areas = []
    for item, mask in zip(objects, masks, strict=True):
        areas.append(labels.draw(mask, item.label, item.plane))
        where = f" on plane {','.join(map(str, item.plane))}" if item.plane else ""
        if mask.area == 0:
            warn(f"object {item.name}{where} is empty: move its prompts, or add some")
        elif areas[-1] == 0:
            warn(f"object {item.name}{where} is hidden by those before it")
    return areas


def _table(
    objects: Sequence[PromptedObject],
    masks: Sequence[Mask],
    areas: Sequence[int],
    labels: LabelImage,
) -> Table:
    from rich.table import Table

    square = labels.square_micrometers()
    names = any(item.name != str(item.label) for item in objects)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading, wanted in (
        ("label", True),
        ("object", names),
        (f"plane ({labels.plane_axes})", bool(labels.plane_axes)),
        ("area px", True),
        ("area µm²", square is not None),
        ("score", True),
    ):
        if wanted:
            table.add_column(heading, justify="right", no_wrap=True)
    for item, mask, area in zip(objects, masks, areas, strict=True):
        row = [str(item.label)]
        row += [item.name] if names else []
        row += [",".join(map(str, item.plane))] if labels.plane_axes else []
        row += [str(area)]
        row += [f"{area * square:.4g}"] if square is not None else []
        table.add_row(*row, f"{mask.score:.2f}")
    return table
