"""The figures of data sets: means over objects, average precision, differences of methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.evaluation.data import LabelledImage
from napari_hqsam.evaluation.detection import average_precision, similarity
from napari_hqsam.evaluation.examples import Example, Picture
from napari_hqsam.evaluation.metrics import RECALL_THRESHOLDS, boundary_width
from napari_hqsam.evaluation.metrics import biou_recall as recall
from napari_hqsam.evaluation.scores import MOST_CLICKS, Scores, foremost

# Where fewer of the objects are thin, the figures of thin objects say nothing about the set.
_THIN_SHARE = 0.2
# Width of the boundary region as a share of the diagonal, as Boundary IoU's authors define these.
_AP = {"ap": None, "ap_b": 0.02, "ap_b_strict": 0.01}

Key = tuple[str, str]
"""(prompt, method)."""


@dataclass(frozen=True)
class Measure:
    """A column of the tables.

    Attributes
    ----------
    key : str
        In `Summary.values`, and the heading in CSV.
    heading : str
    digits : int
        Behind the decimal point.
    better : {"more", "less", ""}
    """

    key: str
    heading: str
    digits: int = 3
    better: Literal["more", "less", ""] = "more"

    def text(self, value: float) -> str:
        """The figure for a table; empty for NaN."""
        return "" if np.isnan(value) else f"{value:.{self.digits}f}"


@dataclass(frozen=True)
class Summary:
    """The figures of one data set, one way to prompt, and one method.

    Attributes
    ----------
    data_set, prompt, method : str
    images, objects : int
    values : dict of str to float
        By `Measure.key`; NaN where a measure does not apply.
    """

    data_set: str
    prompt: str
    method: str
    images: int
    objects: int
    values: dict[str, float]


@dataclass
class SetScores:
    """What a data set gave, image by image.

    Attributes
    ----------
    name : str
    rows : list of Scores
        Without their masks.
    examples : dict of str to list of Example
        Pictures of all objects, by prompt.
    """

    name: str
    rows: list[Scores] = field(default_factory=list)
    examples: dict[str, list[Example]] = field(default_factory=dict)
    _pairs: dict[tuple[Key, str], list[tuple[NDArray[np.float64], list[float]]]] = field(
        default_factory=dict, repr=False
    )

    def add(self, image: LabelledImage, scores: Sequence[Scores]) -> None:
        """Take in what `evaluate` gave for one image.

        Parameters
        ----------
        image : LabelledImage
        scores : sequence of Scores
            With their masks.
        """
        if not scores:
            return
        picture = Picture(image.image)
        for (prompt, method), group in by_key(scores).items():
            if not np.isnan(group[0].score):
                self._add_pairs((prompt, method), group, image.labels.shape)
        for prompt, methods in _by_object(scores).items():
            shown = [picture.example(of_object) for of_object in methods]
            self.examples.setdefault(prompt, []).extend(shown)
        self.rows += [s.without_masks() for s in scores]

    def summaries(self) -> list[Summary]:
        """The figures of each way to prompt and each method."""
        return [
            Summary(
                self.name,
                *key,
                images=len({s.image for s in rows}),
                objects=len(rows),
                values={**_means(rows), **self._precision(key), **_recalls(rows)},
            )
            for key, rows in by_key(self.rows).items()
        ]

    def extremes(self, prompt: str) -> list[tuple[str, Example]]:
        """The best, the median and the worst object, by the IoU of the foremost method."""
        ranked = sorted(self.examples[prompt], key=lambda e: -e.ious[foremost(e.ious)])
        last = len(ranked) - 1
        if last < 2:
            at = {0: "best", 1: "worst"} if last else {0: "the only one"}
        else:
            at = {0: "best", len(ranked) // 2: "median", last: "worst"}
        return [(name, ranked[i]) for i, name in at.items()]

    def _add_pairs(self, key: Key, group: Sequence[Scores], shape: tuple[int, ...]) -> None:
        truth = [s.truth for s in group if s.truth is not None]
        masks = [s.answer.mask for s in group if s.answer is not None]
        for name, ratio in _AP.items():
            width = None if ratio is None else boundary_width(shape, ratio)
            pairs = similarity(predicted=masks, truth=truth, width=width)
            self._pairs.setdefault((key, name), []).append((pairs, [s.score for s in group]))

    def _precision(self, key: Key) -> dict[str, float]:
        return {
            name: average_precision(self._pairs[key, name])
            for name in _AP
            if (key, name) in self._pairs
        }


def measures(bands: Sequence[str]) -> list[Measure]:
    """The columns of the tables, in order; `bands` are the names of the boundary bands."""
    return [
        Measure("miou", "mIoU"),
        *(Measure(_of_band(b), f"mBIoU {b}") for b in bands),
        Measure("ap", "AP"),
        Measure("ap_b", "AP_B"),
        Measure("ap_b_strict", "AP_B strict"),
        Measure("cl_dice", "clDice"),
        Measure("missed_length", "missed length", 3, "less"),
        Measure("false_branches", "false branches", 2, "less"),
        Measure("noc85", "NoC@85", 2, "less"),
        Measure("noc90", "NoC@90", 2, "less"),
        Measure("not_grown", "did not grow"),
        Measure("cut", "click obeyed"),
        Measure("encode_seconds", "encode s", 3, ""),
        Measure("decode_seconds", "decode s", 3, ""),
    ]


def used(columns: Sequence[Measure], summaries: Sequence[Summary]) -> list[Measure]:
    """Those columns in which there is a figure."""
    return [m for m in columns if any(not np.isnan(s.values.get(m.key, np.nan)) for s in summaries)]


def best_of(column: Measure, summaries: Sequence[Summary]) -> set[str]:
    """The methods with the best figure, as it is printed; none if there is nothing to choose."""
    figures = {s.method: s.values.get(column.key, np.nan) for s in summaries}
    known = {m: round(v, column.digits) for m, v in figures.items() if not np.isnan(v)}
    if not column.better or len(known) < 2:
        return set()
    best = max(known.values()) if column.better == "more" else min(known.values())
    return {m for m, v in known.items() if v == best}


def count(number: int, thing: str) -> str:
    """For example "1 object", "2 objects"."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def recall_key(band: str, threshold: float) -> str:
    """Key of the share of masks whose boundary IoU is above a threshold."""
    return f"recall_{band.replace(' ', '')}>{threshold}"


def by_key(rows: Sequence[Scores]) -> dict[Key, list[Scores]]:
    """Rows by (prompt, method), in the order of their first."""
    out: dict[Key, list[Scores]] = {}
    for row in rows:
        out.setdefault((row.prompt, row.method), []).append(row)
    return out


def difference(
    rows: Sequence[Scores], prompt: str, method: str, other: str, band: str | None = None
) -> tuple[float, float] | None:
    """Mean of the differences of two methods over the objects, and its 95 % margin.

    Parameters
    ----------
    rows : sequence of Scores
    prompt, method, other : str
        The figure of `method` less that of `other`.
    band : str, optional
        Of the boundary IoU; without one it is the IoU.

    Returns
    -------
    (float, float) or None
        The margin is 1.96 standard errors; None if one of the methods is not there.
    """
    values: dict[str, list[float]] = {}
    for name in (method, other):
        chosen = [r for r in rows if (r.prompt, r.method) == (prompt, name)]
        values[name] = [r.iou if band is None else r.boundary_iou[band] for r in chosen]
    if not values[method] or not values[other]:
        return None
    gain = np.subtract(values[method], values[other])
    error = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else np.nan
    return float(gain.mean()), float(1.96 * error)


def click_curve(rows: Sequence[Scores]) -> list[tuple[float, float]]:
    """(clicks, mean IoU); an object that was good enough earlier keeps its last IoU."""
    curves = [r.iou_after for r in rows if r.iou_after]
    if not curves:
        return []
    padded = [(*c, *[c[-1]] * (MOST_CLICKS - len(c))) for c in curves]
    return [(i, float(v)) for i, v in enumerate(np.mean(padded, axis=0), start=1)]


def _by_object(scores: Sequence[Scores]) -> dict[str, list[list[Scores]]]:
    """Prompt → objects → methods."""
    out: dict[str, dict[int, list[Scores]]] = {}
    for s in scores:
        out.setdefault(s.prompt, {}).setdefault(s.label, []).append(s)
    return {prompt: list(objects.values()) for prompt, objects in out.items()}


def _of_band(band: str) -> str:
    return f"mbiou_{band.replace(' ', '')}"


def _means(rows: Sequence[Scores]) -> dict[str, float]:
    corrected = [r for r in rows if r.iou_after]
    thin = [r for r in rows if not np.isnan(r.cl_dice)]
    if len(thin) < _THIN_SHARE * len(rows):
        thin = []
    means: dict[str, list[Any]] = {
        "miou": [r.iou for r in rows],
        **{_of_band(b): [r.boundary_iou[b] for r in rows] for b in rows[0].boundary_iou},
        "cl_dice": [r.cl_dice for r in thin],
        "missed_length": [r.missed_length for r in thin],
        "false_branches": [r.false_branches for r in thin],
        "noc85": [r.clicks_to(0.85) for r in corrected],
        "noc90": [r.clicks_to(0.9) for r in corrected],
        "not_grown": [not r.grew for r in rows if r.grew is not None],
        "cut": [r.cut for r in rows if r.cut is not None],
    }
    if not np.isnan(rows[0].score):
        means["score"] = [r.score for r in rows]
        means["encode_seconds"] = [r.encode_seconds for r in rows]
        means["decode_seconds"] = [r.decode_seconds for r in rows]
    return {name: float(np.mean(v)) if v else float("nan") for name, v in means.items()}


def _recalls(rows: Sequence[Scores]) -> dict[str, float]:
    return {
        recall_key(band, t): float(share)
        for band in rows[0].boundary_iou
        for t, share in zip(
            RECALL_THRESHOLDS, recall(r.boundary_iou[band] for r in rows), strict=True
        )
    }
