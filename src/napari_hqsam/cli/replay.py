"""`napari-hqsam replay`: the labels of a session again, from its journal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_hqsam.cli.canvas import Canvas
from napari_hqsam.cli.console import progress_bar, warn
from napari_hqsam.cli.label_image import check_output
from napari_hqsam.cli.models import load
from napari_hqsam.cli.options import Axes, Checkpoint, Compile, Device, Precision
from napari_hqsam.errors import HQSAMError

if TYPE_CHECKING:
    from rich.table import Table

    from napari_hqsam.labels.objects import PlaneMask
    from napari_hqsam.labels.plane import ArrayPlane
    from napari_hqsam.modeling import HQSam
    from napari_hqsam.segmentation import Segmenter
    from napari_hqsam.session.header import Header
    from napari_hqsam.session.history import History


def replay(
    journal: Annotated[
        Path, typer.Argument(metavar="JOURNAL", help="The journal that Annotate has written.")
    ],
    image: Annotated[
        str, typer.Argument(metavar="IMAGE", help="The image that it is about: a file or URL.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="PATH", help="Label image to write: .tif, .zarr or .png."
        ),
    ],
    until: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Stop after N steps; undo and redo are steps, too."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Predict every object anew from its prompts with this model, and say how much "
            "that changes.",
        ),
    ] = None,
    checkpoint: Checkpoint = None,
    device: Device = "auto",
    precision: Precision = "auto",
    compile: Compile = False,
    any_image: Annotated[
        bool, typer.Option("--any-image", help="Take another image of the same size as well.")
    ] = False,
    axes: Axes = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the label image if it exists.")
    ] = False,
) -> None:
    """Do again what was done in Annotate: the same labels, to the pixel.

    The labels come from the steps in the journal, and need no model; the image gives their scale.
    With --model, every object that has prompts is predicted anew instead.

    Example: napari-hqsam replay cells.journal cells.tif -o labels.tif
    """
    from rich.console import Console

    from napari_hqsam.images import open_image
    from napari_hqsam.session.journal import read_header
    from napari_hqsam.session.replay import replay as replay_journal

    if model is None and checkpoint is not None:
        raise HQSAMError(f"--checkpoint {checkpoint}: name the --model that it is for")
    if model is not None:
        from napari_hqsam.weights import model_info

        model_info(model)  # an unknown name is told before anything is read
    header, target = read_header(journal), out.expanduser()
    channels, warning = _channels(image, axes, header, journal, any_image)
    with open_image(image, axes=axes, channels=channels) as source:
        stack = bool(source.plane_axes)
        check_output(target, Path(image).expanduser(), planes=stack, overwrite=overwrite)
        with Canvas(source, target, header, journal) as labels:
            if warning:
                warn(warning)
            with progress_bar("{task.completed} of {task.total}") as bar:
                task = bar.add_task("steps", total=None)

                def show(done: int, total: int) -> None:
                    bar.update(task, completed=done, total=total)

                history = replay_journal(journal, labels, until=until, progress=show)
            table = None
            if model is not None:
                network = load(model, checkpoint, device, precision, compile)
                table = _predict(history, labels, network)
            labels.image.write()
    if table is not None:
        Console().print(table)
    count = f"{len(history.objects)} object{'' if len(history.objects) == 1 else 's'}"
    typer.echo(f"{target}: {count}; {labels.image.describe()}")


def _channels(
    image: str, axes: str | None, header: Header, journal: Path, any_image: bool
) -> tuple[tuple[int, ...] | None, str]:
    """The channels of the image that the session looked at, and a warning if it is another image.

    Raises
    ------
    HQSAMError
        If it is another image, and that was not asked for.
    """
    from napari_hqsam.images import open_image
    from napari_hqsam.session.fingerprint import Fingerprint

    with open_image(image, axes=axes) as source:
        count = source.n_channels
    number: dict[str, int] = {}  # of a channel, by what its pixels are
    for first in range(0, count, 3):
        chosen = tuple(range(first, min(first + 3, count)))
        with open_image(image, axes=axes, channels=chosen) as source:
            found = Fingerprint.of(source)
        number |= {pixels: channel for channel, pixels in found.pixels.items()}
    seen = header.image.pixels
    alike = (found.shape, found.dtype) == (header.image.shape, header.image.dtype)
    if alike and all(pixels in number for pixels in seen.values()):
        return tuple(number[pixels] for pixels in seen.values()), ""
    other = f"{image}: is not the image of {journal.name}, which is {header.name}"
    if not any_image:
        raise HQSAMError(f"{other} ({header.image}); give that one, or add --any-image")
    return tuple(seen) if all(channel < count for channel in seen) else None, other


def _predict(history: History, labels: Canvas, model: HQSam) -> Table:
    """Predict all objects that have prompts anew, and draw them instead; what has changed."""
    from rich.table import Table

    from napari_hqsam.segmentation import Segmenter
    from napari_hqsam.session.prediction import iou, predict_anew, redraw

    segmenters: dict[tuple[int, int], Segmenter] = {}

    def place(plane: ArrayPlane) -> tuple[Segmenter, tuple[int, ...]]:
        if plane.axes not in segmenters:
            limits = labels.header.contrast
            source = labels.source_of(plane)
            segmenters[plane.axes] = Segmenter(source, contrast_limits=limits, model=model)
        return segmenters[plane.axes], labels.source_index(plane)

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("label", "prompts", "area px", "before", "IoU"):
        table.add_column(heading, justify="right", no_wrap=True)
    masks: dict[int, tuple[PlaneMask, ...]] = {}
    agreement: list[float] = []
    with progress_bar("{task.completed} of {task.total}") as bar:
        total = sum(bool(record.prompts) for record in history.objects.values())
        task = bar.add_task("objects", total=total)
        for number, new in predict_anew(history.objects, place):
            record = history.objects[number]
            masks[number] = new
            agreement.append(iou(record.masks, new))
            area = sum(mask.area for mask in new)
            row = number, len(record.prompts), area, record.area, f"{agreement[-1]:.3f}"
            table.add_row(*map(str, row))
            bar.advance(task)
            if not new:
                warn(f"object {number} is empty with this model, and is left out")
    for segmenter in segmenters.values():
        segmenter.encoding.close()
    redraw(history, masks)
    if agreement:
        table.add_row("mean", "", "", "", f"{sum(agreement) / len(agreement):.3f}")
    kept = len(history.objects) - len(masks)
    if kept:
        warn(f"objects without prompts stay as they are: {kept}")
    return table
