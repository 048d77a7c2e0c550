"""The figures of one object, one way to prompt it, and one method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from napari_hqsam.evaluation.detection import Cutout, Located
from napari_hqsam.evaluation.metrics import boundary_iou, mask_iou
from napari_hqsam.evaluation.prompting import on_one_grid
from napari_hqsam.evaluation.thin import cl_dice, false_branches, missed_length
from napari_hqsam.segmentation import Prompts

MOST_CLICKS = 20
_NAN = float("nan")
# Whose masks decide which objects are the best and the worst: the first that is there.
_FOREMOST = ("hq+sam", "hq", "sam")


class Answer(NamedTuple):
    """A method's mask of one object in one trial.

    Attributes
    ----------
    mask : Located
    given : Prompts
        The last prompts.
    score : float
        The IoU that the model expects.
    encode_seconds, decode_seconds : float
    iou_after : tuple of float
        IoU after 1, 2, … correction clicks.
    grew : bool or None
        Whether the mask grew by a negative click.
    cut : bool or None
        Whether a negative click in what was too much took its pixel out of the mask.
    """

    mask: Located
    given: Prompts
    score: float = _NAN
    encode_seconds: float = 0.0
    decode_seconds: float = 0.0
    iou_after: tuple[float, ...] = ()
    grew: bool | None = None
    cut: bool | None = None


@dataclass(frozen=True)
class Scores:
    """What `evaluate` yields; means over the trials, where there are several.

    Attributes
    ----------
    image : str
    label : int
        In the label image.
    area : int
        Pixels of the object.
    prompt : str
        The way to prompt, see `prompt_kind`.
    method : str
        A mode of the model, "sam", "hq" or "hq+sam"; or "filled box", "in-box Otsu".
    iou : float
    boundary_iou : dict of str to float
        By the name of the band.
    score : float
        The IoU that the model expects; NaN where there is no model.
    encode_seconds, decode_seconds : float
        The object's share of the time for encoding its windows and for answering its prompts.
    cl_dice, missed_length, false_branches : float
        Of thin objects; else NaN.
    iou_after, grew, cut
        As in `Answer`.
    truth : Cutout or None
        None in a row that `without_masks` made.
    answer : Answer or None
        That of the first trial; None likewise.
    """

    image: str
    label: int
    area: int
    prompt: str
    method: str
    iou: float
    boundary_iou: dict[str, float]
    score: float
    encode_seconds: float
    decode_seconds: float
    cl_dice: float
    missed_length: float
    false_branches: float
    iou_after: tuple[float, ...]
    grew: bool | None
    cut: bool | None
    truth: Cutout | None = field(repr=False, compare=False)
    answer: Answer | None = field(repr=False, compare=False)

    def clicks_to(self, iou: float) -> int:
        """Correction clicks up to an IoU, NoC; `MOST_CLICKS` where it is not reached."""
        reached = (i for i, value in enumerate(self.iou_after, start=1) if value >= iou)
        return next(reached, MOST_CLICKS)

    def without_masks(self) -> Scores:
        """The same figures alone, which take little memory."""
        return replace(self, truth=None, answer=None)


def foremost(methods: Iterable[str]) -> str:
    """The method to judge by: the sum, if it is there."""
    there = list(methods)
    return next((m for m in _FOREMOST if m in there), there[0])


def score_trials(
    image: str,
    label: int,
    prompt: str,
    method: str,
    truth: Cutout,
    trials: Sequence[Answer],
    widths: Mapping[str, int],
    thin: bool,
) -> Scores:
    """Compare a method's answers with the truth.

    Parameters
    ----------
    image, label, prompt, method
        As in `Scores`.
    truth : Cutout
    trials : sequence of Answer
        One at least.
    widths : mapping of str to int
        Names of bands, and their widths in pixels.
    thin : bool
        Whether to measure what matters for thin structures.
    """
    rows = []
    for answer in trials:
        t, p, _ = on_one_grid(truth, answer.mask)
        rows.append(
            Scores(
                image=image,
                label=label,
                area=int(np.count_nonzero(truth.data)),
                prompt=prompt,
                method=method,
                iou=mask_iou(t, p),
                boundary_iou={name: boundary_iou(t, p, width) for name, width in widths.items()},
                score=answer.score,
                encode_seconds=answer.encode_seconds,
                decode_seconds=answer.decode_seconds,
                cl_dice=cl_dice(t, p) if thin else _NAN,
                missed_length=missed_length(t, p) if thin else _NAN,
                false_branches=float(false_branches(t, p)) if thin else _NAN,
                iou_after=answer.iou_after,
                grew=answer.grew,
                cut=answer.cut,
                truth=truth,
                answer=answer,
            )
        )
    return rows[0] if len(rows) == 1 else _mean(rows)


def _mean(rows: Sequence[Scores]) -> Scores:
    def mean(name: str) -> float:
        return float(np.mean([getattr(row, name) for row in rows]))

    bands = {
        band: float(np.mean([row.boundary_iou[band] for row in rows]))
        for band in rows[0].boundary_iou
    }
    return replace(
        rows[0],
        boundary_iou=bands,
        iou=mean("iou"),
        score=mean("score"),
        encode_seconds=mean("encode_seconds"),
        decode_seconds=mean("decode_seconds"),
        cl_dice=mean("cl_dice"),
        missed_length=mean("missed_length"),
        false_branches=mean("false_branches"),
    )
