"""What `refine` and `auto` share: labels of a whole image, from what is asked to the file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from napari_hqsam.cli.label_image import check_folder, check_output
from napari_hqsam.cli.prompts import numbers, whole_numbers
from napari_hqsam.errors import HQSAMError

if TYPE_CHECKING:
    from napari_hqsam.images import ImageSource
    from napari_hqsam.labels.frame import LabelFrame
    from napari_hqsam.labels.given import GivenLabels
    from napari_hqsam.labels.progress import Progress
    from napari_hqsam.labels.pyramid import Box
    from napari_hqsam.labels.store import LabelStore
    from napari_hqsam.segmentation import Segmenter

_SIDE = 2048  # of the labels that are read at once
# What may differ between two runs of the same job.
_NOT_OF_THE_JOB = ("out", "overwrite", "report", "measurements")


def check_target(
    target: Path, inputs: Sequence[str], frame: LabelFrame, *, level: int, overwrite: bool
) -> None:
    """Find out before any work whether the labels can be written, and are none of the inputs.

    Raises
    ------
    HQSAMError
        If not.
    """
    from napari_hqsam.labels.place import check_target as check_place

    for name in inputs:
        given = Path(name).expanduser()
        if target.exists() and given.exists() and target.samefile(given):
            raise HQSAMError(f"{target}: is what is read; give another name with -o")
        if given.is_dir() and given.resolve() in target.resolve().parents:
            raise HQSAMError(f"{target}: lies inside {given}; write it elsewhere")
    if target.suffix.lower() != ".geojson":
        if target.suffix.lower() not in (".tif", ".tiff", ".zarr", ".png"):
            raise HQSAMError(f"{target}: give a name that ends in .tif, .zarr, .png or .geojson")
        image, planes = Path(inputs[0]).expanduser(), len(frame.axes) > 2
        check_output(target, image, planes=planes, overwrite=overwrite)
        check_place(target)
        return
    if level:
        raise HQSAMError(f"{target}: outlines are in pixels of --level 0; write a .tif or .zarr")
    if target.exists() and not overwrite:
        raise HQSAMError(f"{target}: exists already; add --overwrite, or give another name")
    check_folder(target.parent, target)


def check_extra(option: str, path: Path, suffix: str, *, overwrite: bool) -> Path:
    """The same for a file that is written beside the labels; its full path."""
    target = path.expanduser()
    if target.suffix.lower() != suffix:
        raise HQSAMError(f"{option} {target}: the name must end in {suffix}")
    if target.is_dir():
        raise HQSAMError(f"{option} {target}: is a folder; give the name of a file")
    if target.exists() and not overwrite:
        raise HQSAMError(f"{option} {target}: exists already; add --overwrite, or another name")
    check_folder(target.parent, target)
    return target


def chosen_planes(texts: Sequence[str] | None, source: ImageSource) -> list[tuple[int, ...]] | None:
    """The planes of ``--plane``, each once; None for all."""
    if not texts:
        return None
    planes = (source.check_plane(whole_numbers("--plane", text)) for text in texts)
    return list(dict.fromkeys(planes))


def chosen_region(text: str | None, frame: LabelFrame) -> Box | None:
    """The box of ``--region``; None for all of each plane."""
    if text is None:
        return None
    height, width = frame.plane_shape
    y0, x0, y1, x1 = (int(v) for v in numbers("--region", text, "y0,x0,y1,x1"))
    if not (0 <= y0 < y1 <= height and 0 <= x0 < x1 <= width):
        raise HQSAMError(
            f"--region {text}: it must lie within the plane of {height} x {width} pixels, y0,x0 "
            "first"
        )
    return y0, x0, y1, x1


def check_labels(
    labels: GivenLabels,
    frame: LabelFrame,
    planes: Sequence[Sequence[int]] | None,
    region: Box | None,
    progress: Progress,
) -> None:
    """Read labels through, as far as it takes to know that there are some, and none is negative.

    Raises
    ------
    HQSAMError
        If there are none, or they cannot be read.
    """
    from napari_hqsam.labels.pyramid import tiles

    boxes = list(tiles(region or (0, 0, *frame.plane_shape), (_SIDE, _SIDE)))
    wanted = list(frame.planes() if planes is None else planes)
    found, done, total = False, 0, len(boxes) * len(wanted)
    for plane in wanted:
        for box in boxes:
            found = bool(labels.read(frame.plane(plane), box).any()) or found
            done += 1
            progress(done, total, "reading labels")
            if found and labels.dtype.kind != "i":
                return
    if not found:
        part = "" if planes is None and region is None else " on these planes or in this region"
        raise HQSAMError(f"{labels.name}: there are no labels{part}; all of it is 0")


def settings_of(
    ctx: typer.Context, source: ImageSource, inputs: Sequence[object]
) -> dict[str, Any]:
    """What a job is: the same command, about the same files.

    Parameters
    ----------
    ctx : typer.Context
    source : ImageSource
    inputs : sequence of str, path or None
        What is read; that it was changed since then shows by its size and time.
    """
    options = {k: v for k, v in ctx.params.items() if _given(v) and k not in _NOT_OF_THE_JOB}
    settings: dict[str, Any] = {name: _json(value) for name, value in sorted(options.items())}
    settings["image fingerprint"] = source.fingerprint()
    paths = {str(name): Path(str(name)).expanduser() for name in inputs if name}
    stats = {name: path.stat() for name, path in paths.items() if path.exists()}
    return settings | {f"{name} as of": [s.st_size, s.st_mtime_ns] for name, s in stats.items()}


def move_or_write(store: LabelStore, target: Path) -> None:
    """Make the labels of a job the label image `target`, complete or not at all."""
    from napari_hqsam.labels import place
    from napari_hqsam.labels.export import write_labels

    if target.suffix.lower() == ".zarr":
        with place.writing(target):
            place.check_target(target)
            place.replace(store.path, target)
        return
    write_labels(target, store, scale=store.scale, units=store.units, axes=store.axes)


def write_about(
    target: Path, ctx: typer.Context, source: ImageSource, segmenter: Segmenter
) -> None:
    """Write the sidecar of a label image."""
    from hashlib import file_digest

    from napari_hqsam.labels.sidecar import write_sidecar
    from napari_hqsam.weights import model_info

    model, checkpoint = ctx.params["model"], ctx.params["checkpoint"]
    weights = Path(checkpoint or model_info(model).path).expanduser()
    digest = None
    if weights.is_file():
        with weights.open("rb") as file:
            digest = file_digest(file, "sha256").hexdigest()
    write_sidecar(
        target,
        image=source,
        mapping=segmenter.mapping,
        model=model,
        weights=digest,
        device=str(segmenter.model.device),
        parameters={k: _json(v) for k, v in ctx.params.items() if v not in (None, [], ())},
        command=command_words(ctx),
    )


def command_words(ctx: typer.Context) -> list[object]:
    """The command as it was given, without options that have their default."""
    words: list[object] = ["napari-hqsam", ctx.info_name]
    for param in ctx.command.params:
        value, option = ctx.params.get(str(param.name)), min(param.opts, key=len)
        if param.param_type_name == "argument":
            words.append(value)
        elif value is True:
            words.append(option)
        elif _given(value) and value != param.default:
            values = value if isinstance(value, (list, tuple)) else [value]
            words += [word for each in values for word in (option, each)]
    return words


def _given(value: object) -> bool:
    """Whether an option was given a value; 0 is one."""
    empty = isinstance(value, (str, list, tuple)) and not value
    return value is not None and value is not False and not empty


def describe(store: LabelStore, objects: int) -> str:
    """Labels in words, such as ``24 objects; y 303, x 384``."""
    sizes = ", ".join(f"{a} {n}" for a, n in zip(store.axes, store.shape, strict=True))
    return f"{objects:,} object{'' if objects == 1 else 's'}; {sizes}"


def count_labels(store: LabelStore, progress: Progress) -> int:
    """How many labels there are."""
    import numpy as np

    from napari_hqsam.labels.pyramid import tiles

    height, width = store.shape[-2:]
    boxes = list(tiles((0, 0, height, width), (_SIDE, _SIDE)))
    planes = list(np.ndindex(*store.shape[:-2]))
    labels = np.empty(0, store.dtype)
    for i, plane in enumerate(planes):
        for j, box in enumerate(boxes):
            labels = np.union1d(labels, store.read(plane, *box))
            progress(i * len(boxes) + j + 1, len(planes) * len(boxes), "counting objects")
    return int(np.count_nonzero(labels))


def _json(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value
