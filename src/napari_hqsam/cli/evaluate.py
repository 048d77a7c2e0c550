"""`napari-hqsam evaluate`: prompt the objects of labelled images, and report how good masks are."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from napari_hqsam import __version__
from napari_hqsam.cli.console import progress_bar, warn
from napari_hqsam.cli.data_sets import SPLITS, Files, data_sets, read_files
from napari_hqsam.cli.label_image import check_folder
from napari_hqsam.cli.models import load
from napari_hqsam.cli.options import Checkpoint, Compile, Device, Model, Precision
from napari_hqsam.errors import HQSAMError

if TYPE_CHECKING:
    from rich.table import Table

    from napari_hqsam.evaluation import Scores, SetScores, Summary
    from napari_hqsam.modeling import Mode

_PROMPTS = ("box", "click")


def evaluate(
    data: Annotated[
        list[Path],
        typer.Argument(
            metavar="DATASET...",
            help="Data sets, or folders of them: NAME/images and NAME/masks.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="FOLDER", help="Folder for the report; made if need be."
        ),
    ],
    model: Model = "micro",
    checkpoint: Checkpoint = None,
    device: Device = "auto",
    precision: Precision = "auto",
    compile: Compile = False,
    prompt: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND",
            help="How objects are prompted; repeatable. box, box-noise-0.2, click, clicks-3, "
            "clicks-3-neg, strokes-2, mask, correction, click-then-negative, box-then-negative; "
            "the numbers can be others. By default box and click.",
        ),
    ] = None,
    mode: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODE", help="sam, hq or hq+sam; repeatable. By default all that there are."
        ),
    ] = None,
    split: Annotated[
        str,
        typer.Option(
            metavar="SPLIT", help="all, or the part that `train` uses or holds out: validation."
        ),
    ] = "all",
    masks: Annotated[
        str, typer.Option(metavar="FOLDER", help="Which labels, where a data set has several.")
    ] = "masks",
    images: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, help="At most so many files of each set, evenly chosen; 0: all."
        ),
    ] = 50,
    planes: Annotated[
        int, typer.Option(metavar="N", min=1, help="At most so many planes of a stack.")
    ] = 5,
    objects_per_image: Annotated[
        int, typer.Option(metavar="N", min=1, help="At most so many objects of a plane, by lot.")
    ] = 10,
    smallest: Annotated[
        int, typer.Option(metavar="PX", min=1, help="Objects of fewer pixels are left out.")
    ] = 16,
    band: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WIDTH",
            help="Width of boundaries: 2px, 2% of the diagonal, 0.5um; repeatable. By default 2px, "
            "2% and 1%.",
        ),
    ] = None,
    pixel_size: Annotated[
        float | None,
        typer.Option(metavar="UM", help="Micrometres per pixel, where files do not say."),
    ] = None,
    thin: Annotated[
        str,
        typer.Option(
            metavar="WHEN", help="Figures for thin structures: auto (by shape), always or never."
        ),
    ] = "auto",
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of all draws.")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the report if there is one.")
    ] = False,
) -> None:
    """Measure how good a model's masks are on labelled images.

    A data set is a folder with images/ and masks/: files of the same name, PNG or TIFF; a mask is
    a label image, 0 for background and a number for each object.

    Writes index.html, a page with tables, plots and pictures; scores.csv, a row for each object;
    and summary.csv.

    Example: napari-hqsam evaluate dsb2018_nuclei -o report/ --prompt box --prompt strokes-2
    """
    from rich.console import Console
    from rich.markup import escape

    from napari_hqsam.evaluation import Band, write_report
    from napari_hqsam.evaluation import evaluate as scores_of
    from napari_hqsam.evaluation.prompting import prompt_kind
    from napari_hqsam.evaluation.protocol import DEFAULT_BANDS, model_modes
    from napari_hqsam.modeling import describe_device
    from napari_hqsam.modeling.hq_sam import check_mode
    from napari_hqsam.weights import model_info

    began = time.monotonic()
    model_info(model)  # what is wrong with names and folders is told before anything is read
    prompts = list(dict.fromkeys(prompt or _PROMPTS))
    for name in prompts:
        prompt_kind(name)
    bands = [Band.parse(text) for text in dict.fromkeys(band or ())] or list(DEFAULT_BANDS)
    _choose("--split", split, SPLITS)
    _choose("--thin", thin, ("auto", "always", "never"))
    if pixel_size is not None and not pixel_size > 0:
        raise HQSAMError(f"--pixel-size {pixel_size:g}: give a number greater than 0")
    for name in mode or ():
        check_mode(name, has_hq=True)
    folder = _report_folder(out, overwrite=overwrite)
    sets = {
        name: read_files(
            path, split=split, masks=masks, most_files=images or None, most_planes=planes
        )
        for name, path in data_sets(data).items()
    }

    network = load(model, checkpoint, device, precision, compile)
    modes = cast("list[Mode]", list(dict.fromkeys(mode or model_modes(network))))
    for name in modes:
        check_mode(name, has_hq=network.has_hq)
    ask = partial(
        scores_of,
        network,
        prompts=prompts,
        modes=modes,
        bands=bands,
        objects_per_image=objects_per_image,
        smallest=smallest,
        thin=cast("Any", thin),
        pixel_size=pixel_size,
        seed=seed,
    )
    try:
        results = list(_measure(ask, sets, steps=len(prompts)))
    except KeyboardInterrupt:
        raise typer.Abort(f"stopped; nothing was written to {folder}") from None
    if not results:
        raise HQSAMError(f"--smallest {smallest}: no object has that many pixels")
    seconds = time.monotonic() - began
    about = {
        "model": model if checkpoint is None else f"{model}, {checkpoint}",
        "device": describe_device() if device == "auto" else str(network.device),
        "precision": network.precision,
        "objects": f"up to {objects_per_image} per image (seed {seed}), {smallest} pixels or more",
        "images": _describe(split, sets, planes),
        "labels": masks,
        "time": f"{seconds:.0f} s",
        "version": f"napari-hqsam {__version__}",
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        page = write_report(folder, results, about)
    except OSError as error:
        raise HQSAMError(f"{folder}: cannot be written ({error.strerror})") from None
    console = Console()
    for result in results:
        for title, table in _tables(result, [b.name for b in bands]):
            console.print(f"[bold]{escape(title)}[/]", table, "", sep="\n", highlight=False)
    typer.echo(about["images"])
    typer.echo(f"{seconds:.0f} s on {about['device']}")
    typer.echo(f"{page}: look at it in a browser")


def _choose(option: str, given: str, choices: Sequence[str]) -> None:
    if given not in choices:
        raise HQSAMError(f"{option} {given}: choose {', '.join(choices[:-1])} or {choices[-1]}")


def _report_folder(out: Path, *, overwrite: bool) -> Path:
    """Find out before any work whether the report can be written."""
    from napari_hqsam.evaluation.report import PAGE

    folder = out.expanduser()
    if folder.exists() and not folder.is_dir():
        raise HQSAMError(f"{folder}: is a file; give the name of a folder with -o")
    if (folder / PAGE).exists() and not overwrite:
        raise HQSAMError(f"{folder}: has a report already; add --overwrite, or give another folder")
    there = next(p for p in (folder, *folder.absolute().parents) if p.is_dir())
    check_folder(there, folder)
    return folder


def _measure(
    ask: Callable[..., Iterator[Scores]], sets: dict[str, Files], *, steps: int
) -> Iterator[SetScores]:
    """What each data set gives, with a bar that moves on with each way to prompt an image."""
    from napari_hqsam.evaluation import SetScores

    with _progress() as bar:
        total = sum(len(files.planes) for files in sets.values())
        task = bar.add_task("", total=total, done=0)
        done = 0
        for name, files in sets.items():
            bar.update(task, description=name)
            result = SetScores(name)
            for read in files.planes:
                planes = read()
                for plane in planes:
                    rows, prompts = [], set()
                    for row in ask([plane]):
                        rows.append(row)
                        if row.prompt not in prompts:
                            prompts.add(row.prompt)
                            bar.advance(task, 1 / len(planes) / steps)
                    result.add(plane, rows)
                done += 1
                bar.update(task, completed=done, done=done)
            if result.rows:
                yield result
            elif len(sets) > 1:
                warn(f"{name}: no object is large enough")


def _describe(split: str, sets: dict[str, Files], planes: int) -> str:
    counts = (f"{name}: {len(f.planes)} of {f.total}" for name, f in sets.items())
    part = "" if split == "all" else f" ({split} part)"
    return f"{', '.join(counts)} files{part}; of stacks up to {planes} planes"


def _progress() -> Any:
    from rich.progress import TextColumn, TimeRemainingColumn

    return progress_bar(
        "{task.fields[done]} of {task.total} files", TimeRemainingColumn(), TextColumn("left")
    )


def _tables(result: SetScores, bands: Sequence[str]) -> Iterator[tuple[str, Table]]:
    """For each way to prompt a title, and a table: figures in rows, methods in columns."""
    from rich.table import Table

    from napari_hqsam.evaluation.summary import best_of, count, measures, used

    by_prompt: dict[str, list[Summary]] = {}
    for s in result.summaries():
        by_prompt.setdefault(s.prompt, []).append(s)
    for prompt, summaries in by_prompt.items():
        objects, images = summaries[0].objects, summaries[0].images
        title = f"{result.name}, {prompt}: {count(objects, 'object')}, {count(images, 'image')}"
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column("")
        for s in summaries:
            table.add_column(s.method, justify="right", no_wrap=True)
        for measure in used(measures(bands), summaries):
            best = best_of(measure, summaries)
            cells = []
            for s in summaries:
                text = measure.text(s.values.get(measure.key, float("nan")))
                cells.append(f"[bold]{text}[/]" if s.method in best else text)
            table.add_row(measure.heading, *cells)
        yield title, table
