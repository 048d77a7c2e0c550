"""The files of a report: figures as CSV, and a page to look at."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from napari_hqsam.evaluation.metrics import RECALL_THRESHOLDS
from napari_hqsam.evaluation.scores import Scores
from napari_hqsam.evaluation.summary import SetScores, Summary, measures, recall_key

PAGE = "index.html"


def write_report(folder: Path, sets: Sequence[SetScores], about: Mapping[str, str]) -> Path:
    """Write `scores.csv`, `summary.csv` and `index.html`.

    Each file is complete or not there at all; the page, which stands for the whole, comes last.

    Parameters
    ----------
    folder : Path
        Exists. What is in it under these names is replaced.
    sets : sequence of SetScores
        One at least, with one object at least in each.
    about : mapping of str to str
        What the figures were made with, for the head of the page.

    Returns
    -------
    Path
        The page.
    """
    from napari_hqsam.evaluation.html import page

    bands = list(sets[0].rows[0].boundary_iou)
    texts = {
        "scores.csv": _csv(_score_table(sets, bands)),
        "summary.csv": _csv(_summary_table([s for x in sets for s in x.summaries()], bands)),
        PAGE: page(sets, about),
    }
    (folder / PAGE).unlink(missing_ok=True)
    for name, text in texts.items():
        part = folder / f".{name}.part"
        try:
            part.write_text(text, encoding="utf-8", newline="")
            os.replace(part, folder / name)
        finally:
            part.unlink(missing_ok=True)
    return folder / PAGE


def _score_table(sets: Sequence[SetScores], bands: Sequence[str]) -> Iterable[list[str]]:
    yield [
        *("data_set", "image", "label", "area", "prompt", "method", "iou"),
        *(f"boundary_iou_{band.replace(' ', '')}" for band in bands),
        *("score", "encode_seconds", "decode_seconds"),
        *("cl_dice", "missed_length", "false_branches"),
        *("clicks_to_85", "clicks_to_90", "grew", "click_obeyed"),
    ]
    for data_set in sets:
        for row in data_set.rows:
            yield [data_set.name, *_cells(row)]


def _cells(row: Scores) -> list[str]:
    clicks = [str(row.clicks_to(t)) if row.iou_after else "" for t in (0.85, 0.9)]
    return [
        *(row.image, str(row.label), str(row.area), row.prompt, row.method),
        *(_number(v) for v in (row.iou, *row.boundary_iou.values())),
        *(_number(v) for v in (row.score, row.encode_seconds, row.decode_seconds)),
        *(_number(v) for v in (row.cl_dice, row.missed_length, row.false_branches)),
        *clicks,
        *("" if v is None else str(int(v)) for v in (row.grew, row.cut)),
    ]


def _summary_table(summaries: Sequence[Summary], bands: Sequence[str]) -> Iterable[list[str]]:
    keys = [m.key for m in measures(bands)]
    keys += [recall_key(band, t) for band in bands for t in RECALL_THRESHOLDS]
    yield ["data_set", "prompt", "method", "images", "objects", *keys]
    for s in summaries:
        figures = [_number(s.values.get(key, np.nan)) for key in keys]
        yield [s.data_set, s.prompt, s.method, str(s.images), str(s.objects), *figures]


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.6g}"


def _csv(rows: Iterable[list[str]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()
