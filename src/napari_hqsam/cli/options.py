"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from napari_hqsam.cli.prompts import numbers

Model = Annotated[str, typer.Option(metavar="NAME", help="A name from `napari-hqsam models`.")]
Checkpoint = Annotated[
    Path | None, typer.Option(metavar="PATH", help="Weights of your own for that model.")
]
Device = Annotated[str, typer.Option(metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps.")]
Precision = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Of the encoder: float32 (exact), bfloat16, or auto: bfloat16 on a CUDA GPU made for "
        "it. A --store finds what was encoded in the same one.",
    ),
]
Compile = Annotated[
    bool,
    typer.Option(
        "--compile",
        help="For GPUs and many windows: let torch compile the encoder in the background, and "
        "replay clicks as CUDA graphs; used once found equal, the encoder if it is faster.",
    ),
]
Threshold = Annotated[
    float,
    typer.Option(metavar="T", help="Logits above it are the object: below 0 it grows."),
]
FillHoles = Annotated[bool, typer.Option("--fill-holes", help="Take in what a mask surrounds.")]
MinSize = Annotated[
    int, typer.Option(metavar="PIXELS", min=0, help="Remove parts of a mask smaller than that.")
]
KeepToBox = Annotated[
    bool, typer.Option("--keep-to-box", help="Remove what reaches out of an object's box.")
]
Channels = Annotated[
    str | None, typer.Option(metavar="C,..", help="One to three channels to look at, from 0.")
]
Contrast = Annotated[
    list[str] | None,
    typer.Option(
        metavar="LO,HI",
        help="Intensities that become black and white; once, or once for each channel. "
        "By default percentiles of the image.",
    ),
]
Axes = Annotated[
    str | None,
    typer.Option(metavar="LETTERS", help="What each dimension is, such as zyx, if misread."),
]
Level = Annotated[int, typer.Option(metavar="N", help="Pyramid level to work on, 0 the finest.")]


def contrast_limits(
    texts: Sequence[str] | None,
) -> tuple[float, ...] | list[tuple[float, ...]] | None:
    """What --contrast says, as `Segmenter` takes it."""
    limits = [numbers("--contrast", text, "lo,hi") for text in texts or ()]
    return (limits[0] if len(limits) == 1 else limits) or None
