"""What the dock asks the engine for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_hqsam.images.source import ImageSource
    from napari_hqsam.labels.plane import ArrayPlane
    from napari_hqsam.modeling import Mode
    from napari_hqsam.segmentation import Mask, Prompts


@dataclass(frozen=True)
class Subject:
    """What a `Segmenter` is made for. Equal ones share it.

    Attributes
    ----------
    source : ImageSource
        The image, along the axes on display.
    limits : tuple of (float, float) or None, or None
        Contrast limits of each channel, None for those of the image's percentiles; None for
        colours.
    model, device : str
        As for `load_model`.
    store : pathlib.Path or None
        Folder that keeps what is encoded; None for memory only.
    """

    source: ImageSource
    limits: Any
    model: str
    device: str = "auto"
    store: Path | None = None


@dataclass(frozen=True, eq=False)
class Request:
    """What is asked of the engine; made on the main thread, from arrays only.

    Attributes
    ----------
    subject : Subject
    prompts : tuple of Prompts
        One for each object.
    plane : ArrayPlane
        In the axes of the layer.
    index : tuple of int
        The same in the axes of the source, which leaves out those of length 1.
    mode : str
    previous : tuple of Mask or None
        The masks that the prompts correct, in the same order; () for none.
    """

    subject: Subject
    prompts: tuple[Prompts, ...]
    plane: ArrayPlane
    index: tuple[int, ...]
    mode: Mode
    previous: tuple[Mask | None, ...] = ()


def corrected(
    before: Request | None,
    masks: Sequence[Mask],
    plane: ArrayPlane,
    prompts: Sequence[Prompts],
) -> tuple[Mask | None, ...]:
    """Which masks `prompts` correct: they only add points to those that made them.

    Parameters
    ----------
    before : Request or None
        What `masks` answer.
    masks : sequence of Mask
        Those on show.
    plane : ArrayPlane
        Where `prompts` lie.
    prompts : sequence of Prompts

    Returns
    -------
    tuple of Mask or None
        One for each of `prompts`; () if they are of other objects.
    """
    if before is None or before.plane != plane or len(masks) != len(prompts):
        return ()
    grown = [
        new.box == old.box
        and len(new.points) > len(old.points)
        and np.array_equal(new.points[: len(old.points)], old.points)
        and np.array_equal(new.labels[: len(old.points)], old.labels)
        for new, old in zip(prompts, before.prompts, strict=True)
    ]
    return tuple(m if g else None for m, g in zip(masks, grown, strict=True))
