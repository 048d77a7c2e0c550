"""`napari-hqsam benchmark encode | click | auto`: how fast, beside segment-anything as shipped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_hqsam.cli.figures import Work, progress, show, workplace
from napari_hqsam.cli.options import Device, Model
from napari_hqsam.errors import HQSAMError

if TYPE_CHECKING:
    from napari_hqsam.benchmark.figures import Report

_AGAINST = ("segment-anything", "nothing")

Against = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="What takes its turns: segment-anything, with HQ-SAM's decoder, as it is shipped; for "
        "micro and vit_tiny the same network run plainly; or nothing.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", metavar="DIR", help="Also write the figures there, as JSON and a plot."
    ),
]


def encode(
    model: Model = "vit_b",
    device: Device = "auto",
    precision: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="float32 or bfloat16; repeatable. By default both."),
    ] = None,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Also with torch.compile, where it is of use.")
    ] = False,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Windows encoded at once; by default as `embed` does.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often each takes its turn.")] = 3,
    against: Against = "segment-anything",
    side: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="PIXELS",
            help="Of an image that is encoded end to end; 0 for none. By default 20,000 on a GPU, "
            "else four windows.",
        ),
    ] = None,
    out: Out = None,
    work: Work = None,
) -> None:
    """Measure how fast windows are encoded, in turn with segment-anything.

    Also the share of the rate at which this machine multiplies matrices, the memory, how far
    embeddings and masks are from the plain ones, and an image encoded end to end. A model whose
    weights are not on this computer gets random ones: they are as fast.

    Example: napari-hqsam benchmark encode --model vit_b --precision float32 -o figures/
    """
    plain = _plain(against)
    from napari_hqsam.benchmark.models import timing_model
    from napari_hqsam.benchmark.speed.encode import measure_encode
    from napari_hqsam.modeling import PRECISIONS

    wanted = precision or PRECISIONS
    for name in wanted:
        if name not in PRECISIONS:
            raise HQSAMError(f"--precision {name}: choose {' or '.join(PRECISIONS)}")
    with workplace(work) as folder, progress() as tell:
        report = measure_encode(
            timing_model(model, device),
            folder,
            precisions=[name for name in PRECISIONS if name in wanted],
            compiled=compiled,
            batch=batch,
            rounds=rounds,
            against=plain,
            side=side,
            tell=tell,
        )
    _show(report, out)


def click(
    model: Model = "vit_b",
    device: Device = "auto",
    rounds: Annotated[int, typer.Option(min=1, help="How often each takes its turn.")] = 20,
    against: Against = "segment-anything",
    out: Out = None,
) -> None:
    """Measure how fast a click on an encoded window is answered, in turn with the official way.

    Also a box, 64 clicks in a batch, and how far the logits are from the plain ones. A model whose
    weights are not on this computer gets random ones: they are as fast.

    Example: napari-hqsam benchmark click --model micro
    """
    plain = _plain(against)
    from napari_hqsam.benchmark.models import timing_model
    from napari_hqsam.benchmark.speed.click import measure_click

    with progress() as tell:
        made = timing_model(model, device)
        report = measure_click(made, rounds=rounds, against=plain, tell=tell)
    _show(report, out)


def auto(
    model: Model = "vit_b",
    device: Device = "auto",
    grid: Annotated[
        int, typer.Option(min=1, max=128, metavar="N", help="Clicks along a side.")
    ] = 32,
    rounds: Annotated[int, typer.Option(min=1, help="How often each takes its turn.")] = 3,
    against: Against = "segment-anything",
    out: Out = None,
) -> None:
    """Measure how fast all objects of a window are found, in turn with segment-anything.

    Its generator decodes every point with the HQ branch. A model whose weights are not on this
    computer gets random ones, of whose masks one in twenty passes the filters.

    Example: napari-hqsam benchmark auto --model micro --grid 16
    """
    plain = _plain(against)
    from napari_hqsam.benchmark.models import timing_model
    from napari_hqsam.benchmark.speed.auto import measure_auto

    with progress() as tell:
        made = timing_model(model, device)
        report = measure_auto(made, grid=grid, rounds=rounds, against=plain, tell=tell)
    _show(report, out)


def _plain(against: str) -> bool:
    """Whether the network as shipped takes its turns."""
    if against not in _AGAINST:
        raise HQSAMError(f"--against {against}: choose {' or '.join(_AGAINST)}")
    return against == _AGAINST[0]


def _show(report: Report, out: Path | None) -> None:
    """Print a report; into a folder also as JSON and as a plot."""
    from napari_hqsam.benchmark.speed.plot import draw

    show(report, out)
    if out is not None:
        path = out / f"benchmark-{report.name}.png"
        if draw(report, path):
            typer.echo(str(path))
