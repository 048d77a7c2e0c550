"""`napari-hqsam train`: the embedded model from labelled images, or HQ-SAM as published."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_hqsam.cli.hqseg44k import train_hqseg44k
from napari_hqsam.cli.micro import train_micro
from napari_hqsam.errors import HQSAMError

# Options that only one recipe has.
_OPTIONS = {
    "micro": ("stage", "also", "skip", "data_weight", "synthetic", "steps_factor"),
    "hqseg44k": ("variant", "epochs", "batch", "images_at_once", "workers"),
}


def train(
    context: typer.Context,
    data: Annotated[
        list[Path],
        typer.Argument(
            metavar="DATA...",
            help="micro: data sets, or folders of them, NAME/images and NAME/masks. "
            "hqseg44k: the folder of HQSeg-44K.",
        ),
    ],
    run: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER", help="Folder of this run; given again, the run is taken up again."
        ),
    ],
    recipe: Annotated[
        str, typer.Option(metavar="RECIPE", help="micro, or hqseg44k, the paper's training.")
    ] = "micro",
    base: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Weights to start from; by default those of ImageNet. "
            "micro: also the word micro, the embedded weights. "
            "hqseg44k: the SAM that stays as it is.",
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps.")
    ] = "auto",
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="Of samples, prompts and random weights.")
    ] = 0,
    stage: Annotated[
        str,
        typer.Option(
            metavar="STAGE",
            help="micro: all (SAM, then HQ), sam, or hq (the HQ part of --base alone).",
        ),
    ] = "all",
    also: Annotated[
        list[str] | None,
        typer.Option(metavar="FOLDER", help="micro: use these labels too where a set has them."),
    ] = None,
    skip: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="micro: leave this data set out.")
    ] = None,
    data_weight: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=W", help="micro: how often this set is drawn from; others 1."),
    ] = None,
    synthetic: Annotated[
        float,
        typer.Option(metavar="W", help="micro: how often synthetic micrographs are drawn."),
    ] = 0.0,
    steps_factor: Annotated[
        float, typer.Option(metavar="X", help="micro: multiplies the number of steps.")
    ] = 1.0,
    variant: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="hqseg44k: vit_b, vit_l, vit_h or vit_tiny; --base tells by itself.",
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(metavar="N", min=1, help="hqseg44k: epochs.")] = 12,
    batch: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="hqseg44k: pictures of a step, on all GPUs."),
    ] = 32,
    images_at_once: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="hqseg44k: pictures on a GPU at once; fewer need less memory."
        ),
    ] = 4,
    workers: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="hqseg44k: threads that read pictures, per GPU."),
    ] = 4,
) -> None:
    """Train a model.

    --recipe micro trains the model micro on labelled images. A data set is a folder with images/
    and masks/: files of the same name, PNG or TIFF; a mask is a label image, 0 for background and
    a number for each object. A fifth of each set is left out, for validation. The run folder gets
    micro.safetensors, for --checkpoint, each time the state is saved.

    --recipe hqseg44k is HQ-SAM's published training, on HQSeg-44K: SAM (--base) stays as it is and
    the HQ part learns. The run folder gets the mask decoder at each epoch, and at the end
    sam_hq_VARIANT.safetensors. Several GPUs:
    torchrun --nproc-per-node 8 -m -- napari_hqsam train ...

    After an interruption the same command goes on.
    """
    if recipe not in _OPTIONS:
        raise HQSAMError(f"--recipe {recipe}: unknown; use {' or '.join(_OPTIONS)}")
    _refuse_options_of_others(context, recipe)
    if recipe == "micro":
        train_micro(
            data,
            run,
            stage=stage,
            base=base,
            also=also or (),
            skip=skip or (),
            data_weight=data_weight or (),
            synthetic=synthetic,
            steps_factor=steps_factor,
            device=device,
            seed=seed,
        )
    else:
        train_hqseg44k(
            data,
            run,
            base=base,
            variant=variant,
            epochs=epochs,
            batch=batch,
            images_at_once=images_at_once,
            workers=workers,
            device=device,
            seed=seed,
        )


def _refuse_options_of_others(context: typer.Context, recipe: str) -> None:
    for other, names in _OPTIONS.items():
        for name in names if other != recipe else ():
            source = context.get_parameter_source(name)
            if source is not None and source.name == "COMMANDLINE":
                raise HQSAMError(
                    f"--{name.replace('_', '-')}: an option of --recipe {other}, not of {recipe}; "
                    "leave it out"
                )
