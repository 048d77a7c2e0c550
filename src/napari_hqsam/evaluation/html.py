"""The page of a report: everything in one file, pictures and plots inside."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from html import escape

import numpy as np

from napari_hqsam.evaluation.examples import AGREED, EXTRA, MISSED, png
from napari_hqsam.evaluation.metrics import RECALL_THRESHOLDS
from napari_hqsam.evaluation.plots import line_plot, scatter_plot
from napari_hqsam.evaluation.prompting import prompt_kind
from napari_hqsam.evaluation.scores import foremost
from napari_hqsam.evaluation.summary import (
    SetScores,
    Summary,
    best_of,
    by_key,
    click_curve,
    count,
    difference,
    measures,
    recall_key,
    used,
)

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1180px; margin: 2em auto; padding: 0 1em;
  color: #222; background: #fff }
h2 { margin-top: 2.5em; border-bottom: 2px solid #ddd } h3 { margin-top: 2em }
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 1em 0 }
th, td { padding: .25em .8em; text-align: right; border-bottom: 1px solid #e4e4e4 }
th:first-child, td:first-child { text-align: left } thead th { border-bottom: 2px solid #999 }
td.best { font-weight: 700 }
figure { display: inline-block; margin: .5em 1em .5em 0; vertical-align: top }
.legend span { margin-right: 1em; white-space: nowrap; font-size: 13px }
svg text { font: 11px system-ui, sans-serif; fill: #444 } svg .title { font-weight: 600 }
svg .grid { stroke: #e4e4e4 } svg .line { fill: none; stroke-width: 2 }
svg .equal { stroke: #888; stroke-dasharray: 4 3 } svg .dots { fill: #0072b2; fill-opacity: .45 }
.pictures { display: grid; gap: .6em; justify-content: start; align-items: end }
.pictures figure { margin: 0 } .pictures img { max-width: 100%; image-rendering: pixelated }
.pictures figcaption { font-size: 13px }
.key b { display: inline-block; width: 1em; height: 1em; border: 1px solid #888;
  vertical-align: -2px; margin: 0 .3em 0 1em }
.note { color: #555 }
"""

_GLOSSARY = {
    "mIoU": "overlap of mask and truth, 1 is perfect; mean over the objects",
    "mBIoU": "the same of the two boundaries, as wide as the heading says; strict about edges",
    "AP, AP_B, AP_B strict": (
        "COCO's average precision, with the prompted masks as detections and the model's score as "
        "confidence: by mask IoU, and by the lesser of mask and boundary IoU (2 %, strict 1 % of "
        "the image's diagonal). Scores that know which masks are good raise it."
    ),
    "clDice, missed length, false branches": (
        "of thin objects: agreement of the centrelines; share of the true course that is missed; "
        "branches that are not there, per object"
    ),
    "NoC@85, NoC@90": "clicks until an IoU of 0.85 or 0.90; 20 where it is not reached",
    "did not grow, click obeyed": (
        "share of negative clicks after which the mask was not larger; of those in what was too "
        "much, share after which that pixel was out of the mask"
    ),
    "encode s, decode s": (
        "seconds for an object's windows, shared among the objects in the same, and for its prompts"
    ),
}


def page(sets: Sequence[SetScores], about: Mapping[str, str]) -> str:
    """The report as HTML.

    Parameters
    ----------
    sets : sequence of SetScores
    about : mapping of str to str
        What the figures were made with: model, device, options.
    """
    return "\n".join(
        (
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width">',
            f"<title>Evaluation of {escape(about.get('model', 'HQ-SAM'))}</title>",
            f"<style>{_STYLE}</style></head><body>",
            "<h1>Evaluation</h1>",
            _about(about),
            *_overview(sets),
            *(part for s in sets for part in _of_set(s)),
            *_glossary(),
            "</body></html>\n",
        )
    )


def _about(about: Mapping[str, str]) -> str:
    rows = (f"<tr><td>{escape(k)}</td><td>{escape(v)}</td></tr>" for k, v in about.items())
    return f'<table class="note">{"".join(rows)}</table>'


def _overview(sets: Sequence[SetScores]) -> Iterator[str]:
    """One line for each set and prompt: mIoU and the first mBIoU of each method."""
    summaries = [s for of_set in sets for s in of_set.summaries()]
    methods = list(dict.fromkeys(s.method for s in summaries))
    columns = measures(list(sets[0].rows[0].boundary_iou))[:2]
    yield "<h2>At a glance</h2>"
    yield f'<p class="note">{" / ".join(c.heading for c in columns)}</p>'
    lines: dict[tuple[str, str], dict[str, Summary]] = {}
    for s in summaries:
        lines.setdefault((s.data_set, s.prompt), {})[s.method] = s
    body = []
    for (data_set, prompt), of in lines.items():
        cells = [f"<td>{escape(data_set)}</td><td>{escape(prompt)}</td>"]
        best = best_of(columns[0], list(of.values()))
        for method in methods:
            figures = [c.text(of[method].values[c.key]) for c in columns] if method in of else []
            mark = ' class="best"' if method in best else ""
            cells.append(f"<td{mark}>{' / '.join(figures)}</td>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    head = "".join(f"<th>{escape(h)}</th>" for h in ("data set", "prompt", *methods))
    yield _table(head, body)


def _of_set(scores: SetScores) -> Iterator[str]:
    summaries = scores.summaries()
    bands = list(scores.rows[0].boundary_iou)
    objects = {(r.image, r.label) for r in scores.rows}
    images = len({image for image, _ in objects})
    yield f"<h2>{escape(scores.name)}</h2>"
    yield f"<p>{count(len(objects), 'object')} in {count(images, 'image')}.</p>"
    for prompt in dict.fromkeys(s.prompt for s in summaries):
        chosen = [s for s in summaries if s.prompt == prompt]
        yield f"<h3>{escape(prompt)}: {escape(prompt_kind(prompt).about)}</h3>"
        yield _figures(chosen, bands)
        yield _gain(scores, prompt, bands)
        yield "".join(_plots(scores, chosen, prompt, bands))
        yield _pictures(scores, prompt)


def _figures(summaries: Sequence[Summary], bands: Sequence[str]) -> str:
    columns = used(measures(bands), summaries)
    best = {c.key: best_of(c, summaries) for c in columns}
    body = []
    for s in summaries:
        cells = [f"<td>{escape(s.method)}</td>"]
        for c in columns:
            mark = ' class="best"' if s.method in best[c.key] else ""
            cells.append(f"<td{mark}>{c.text(s.values.get(c.key, np.nan))}</td>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    head = "".join(f"<th>{escape(h)}</th>" for h in ("method", *(c.heading for c in columns)))
    return _table(head, body)


def _gain(scores: SetScores, prompt: str, bands: Sequence[str]) -> str:
    """What HQ adds, object by object."""
    parts = []
    for name, band in (("mIoU", None), *((f"mBIoU {b}", b) for b in bands)):
        gain = difference(scores.rows, prompt, "hq+sam", "sam", band)
        if gain is None:
            return ""
        margin = "" if np.isnan(gain[1]) else f" ± {gain[1]:.3f}"
        parts.append(f"{name} {gain[0]:+.3f}{margin}")
    return f"<p>hq+sam less sam, over the same objects (95 %): {escape('; '.join(parts))}</p>"


def _plots(
    scores: SetScores, summaries: Sequence[Summary], prompt: str, bands: Sequence[str]
) -> Iterator[str]:
    for band in bands:
        series = {
            s.method: [(t, s.values[recall_key(band, t)]) for t in RECALL_THRESHOLDS]
            for s in summaries
        }
        yield line_plot(f"Boundary IoU, {band}", "threshold", "share of masks above", series)
    rows = by_key(scores.rows)
    if (prompt, "hq+sam") in rows:
        pairs = zip(rows[prompt, "sam"], rows[prompt, "hq+sam"], strict=True)
        points = [(a.boundary_iou[bands[0]], b.boundary_iou[bands[0]]) for a, b in pairs]
        title = f"Each object, boundary IoU {bands[0]}"
        yield scatter_plot(title, "sam", "hq+sam", points)
    curves = {s.method: click_curve(rows[prompt, s.method]) for s in summaries}
    if any(curves.values()):
        yield line_plot("Correction", "clicks", "mean IoU", curves)


def _pictures(scores: SetScores, prompt: str) -> str:
    extremes = scores.extremes(prompt)
    ious = extremes[0][1].ious
    methods = [m for m in ious if m in ("sam", "hq+sam")] or [foremost(ious)]
    cells = []
    for rank, example in extremes:
        name = f"{rank}: {example.image}, object {example.label}"
        cells.append(_image(png(example.prompted()), name))
        for method in methods:
            title = f"{method}, IoU {example.ious[method]:.3f}"
            cells.append(_image(png(example.compared(method)), title))
    columns = f"repeat({1 + len(methods)}, minmax(0, max-content))"
    key = "".join(
        f'<b style="background: rgb{colour}"></b>{name}'
        for colour, name in ((AGREED, "right"), (MISSED, "missed"), (EXTRA, "too much"))
    )
    leading = foremost(ious)
    whose = f" The clicks are those given to {leading}." if prompt_kind(prompt).then else ""
    return (
        f'<p class="key">The best, the median and the worst object by IoU of {escape(leading)}.'
        f"{escape(whose)}{key}</p>"
        f'<div class="pictures" style="grid-template-columns: {columns}">{"".join(cells)}</div>'
    )


def _image(data: bytes, caption: str) -> str:
    source = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    text = escape(caption)
    return f'<figure><img src="{source}" alt="{text}"><figcaption>{text}</figcaption></figure>'


def _table(head: str, body: Sequence[str]) -> str:
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _glossary() -> Iterator[str]:
    yield "<h2>What the figures mean</h2><dl>"
    for name, meaning in _GLOSSARY.items():
        yield f"<dt><b>{escape(name)}</b></dt><dd>{escape(meaning)}</dd>"
    yield "</dl>"
