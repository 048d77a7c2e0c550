"""What the dock asks the engine for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
    model, device, precision, compile
        As for `load_model`.
    store : pathlib.Path or None
        Folder that keeps what is encoded; None for memory only.
    """

    source: ImageSource
    limits: Any
    model: str
    device: str = "auto"
    store: Path | None = None
    precision: str = "auto"
    compile: bool = False


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
    threshold : float
        Logits above it are in the masks.
    candidate : int
        Of a single object: 0 for SAM's single mask, 1 to 3 for its candidates, best first.
    multimask : bool
        Whether the candidates of a single object are wanted, to choose from.
    fill_holes, min_size, keep_to_box
        As for `polish`.
    """

    subject: Subject
    prompts: tuple[Prompts, ...]
    plane: ArrayPlane
    index: tuple[int, ...]
    mode: Mode
    previous: tuple[Mask | None, ...] = ()
    threshold: float = 0.0
    candidate: int = 0
    multimask: bool = False
    fill_holes: bool = False
    min_size: int = 0
    keep_to_box: bool = False

    def polish(self, masks: Sequence[Mask]) -> list[Mask]:
        """What the user wants done with predicted masks."""
        from napari_hqsam.segmentation.polish import polish

        return [
            polish(
                mask,
                fill_holes=self.fill_holes,
                min_size=self.min_size,
                keep_to_box=self.keep_to_box,
            )
            for mask in masks
        ]


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
    if before is None or before.plane != plane:
        return ()
    shown = list(zip(before.prompts, masks, strict=False))
    return tuple(next((mask for old, mask in shown if new.more_than(old)), None) for new in prompts)
