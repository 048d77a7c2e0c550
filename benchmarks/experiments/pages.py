"""The pages of docs/experiments/, from whatever has been measured so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments import paper, plots, prompt_section
from experiments.agreement import VERDICTS, Curves, statements
from experiments.figures import Measured, compare, spread, table
from experiments.windows import BAND, GENERAL, THIN, TRAINING

Results = Mapping[str, Sequence[dict[str, Any]]]


def render(
    results: Results, curves: Curves, facts: Mapping[str, Any], out: Path, command: str
) -> Path:
    """Write `index.md` and its plots into `out`.

    Parameters
    ----------
    results : mapping of str to sequence of dict
        For each variant, in the order of the table, its runs (`experiment.run`).
    curves : mapping
        (kind, amount, method) → figures.
    facts : mapping
        Settings to be told: size, train, validation, steps, batch, rates, weights.
    out : Path
    command : str
        What rebuilds the page.

    Returns
    -------
    Path
        Of `index.md`.
    """
    out.mkdir(parents=True, exist_ok=True)
    measured = {
        name: Measured([run["scores"] for run in runs], random=runs[0]["parameters"] > 0)
        for name, runs in results.items()
        if runs
    }
    parts = [_HEADER, _method(results, facts, command)]
    if measured:
        parts += [_ablation(results, measured), _differences(measured), _PLOTS]
        _write_dots(results, measured, out)
    if curves:
        parts += prompt_section.render(curves, out)
    parts.append(_agreement(measured, curves))
    page = out / "index.md"
    page.write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")
    return page


_HEADER = """\
# HQ-SAM's experiments in miniature

The ablation study of HQ-SAM (Ke et al., NeurIPS 2023, arXiv 2306.01567), repeated with `micro`:
from one frozen SAM, which addition gives better boundaries, and what does it cost elsewhere?
This page is written by a program; its figures and its verdicts are computed."""


_PLOTS = """\
![mBIoU on the thin sets](thin.svg)

![mBIoU on the general sets](general.svg)"""


def _method(results: Results, facts: Mapping[str, Any], command: str) -> str:
    seeds = max((len(runs) for runs in results.values()), default=0)
    size = facts["size"]
    sets = ", ".join(f"{share:.0%} `{name}`" for name, share in TRAINING.items())
    rates = ", ".join(f"{rate:g}" for rate in facts["rates"])
    return f"""\
## What was done

- **Base**: `micro`'s encoder, prompt encoder and SAM decoder, frozen (weights
  {facts["weights"][:12]}). What HQ-SAM adds is drawn anew for each of up to {seeds} seeds.
- **Learning**: {facts["train"]} augmented windows of {size} × {size} model pixels, the same for
  all ({sets}), encoded once; {facts["steps"]} steps of {facts["batch"]} objects; prompts as in the
  paper (exact boxes, ten points, coarse masks); BCE + dice at sampled points. Adam, at that of the
  rates {rates} which does best in a trial of a third of the steps, on windows of training pictures
  kept aside.
- **Measuring**: about {facts["validation"]} fixed windows of held-out pictures in each group, one
  object each, exact box, one mask. *Thin* ({", ".join(THIN)}): windows of {size} pixels at 1:1, the
  part of the tree inside. *General* ({", ".join(GENERAL)}): the window that the Segmenter chooses.
  The general sets are not learnt from again, so they show what an addition costs elsewhere.
  Masks are compared in the pixels of the window: these figures are not those of the model card.
- **mIoU / mBIoU**, in percent; mBIoU in a band of {BAND} pixels of the picture, which are more in a
  magnified window. ± is the standard deviation over seeds.
- **A difference is called one** only if the seeds of both variants do not overlap and if it is
  more than twice its standard error over the windows, in pairs. All others stand in (brackets):
  they are within the spread of the seeds or of the windows, and no claim. The windows come from few
  pictures, so other pictures may differ more than that.

```sh
{command}
```"""


def _ablation(results: Results, measured: Mapping[str, Measured]) -> str:
    header = [
        "variant",
        "**thin**",
        *THIN,
        "**general**",
        *GENERAL,
        "learnable parameters",
        "rate",
        "training s",
        "seeds",
        "paper, thin",
    ]
    rows = []
    for name, m in measured.items():
        runs = results[name]
        columns = [list(THIN), *([g] for g in THIN), list(GENERAL), *([g] for g in GENERAL)]
        cells = [f"{_of(m, g, 'iou')} / {_of(m, g, 'boundary_iou')}" for g in columns]
        seconds = [run["seconds"] for run in runs if run["seconds"] is not None]
        told = paper.THIN.get(name)
        rows.append(
            [
                runs[0]["title"],
                *cells,
                f"{runs[0]['parameters']:,}",
                "–" if runs[0]["rate"] is None else f"{runs[0]['rate']:g}",
                f"{np.mean(seconds):.0f}" if seconds else "–",
                str(len(runs)) if m.random else "–",
                "" if told is None else f"{told[0]} / {told[1]}",
            ]
        )
    notes = []
    walked = results.get("post-refinement")
    if walked:
        s = walked[0]["settings"]
        notes.append(
            f"The random walker learns nothing; tuned on training pictures (certain beyond a logit "
            f"of {s['certain']:g}, β = {s['beta']:g}); {s['seconds_per_object']:.2f} s an object."
        )
    return "\n\n".join(["## Ablation", table(header, rows), *notes])


def _differences(measured: Mapping[str, Measured]) -> str:
    against = [name for name in ("sam", "hq-sam") if name in measured]
    if not against:
        return ""
    names = {"sam": "SAM", "hq-sam": "HQ-SAM"}
    header = ["variant"]
    for other in against:
        header += [f"thin − {names[other]}", f"general − {names[other]}"]
    header.append("paper, thin − SAM")
    rows = []
    for name, m in measured.items():
        cells = []
        for other in against:
            for groups in (list(THIN), list(GENERAL)):
                same = name == other
                cells.append(
                    "" if same else str(compare(m, measured[other], groups, "boundary_iou"))
                )
        told = paper.THIN.get(name) if name != "sam" else None
        cells.append("" if told is None else f"{told[1] - paper.THIN['sam'][1]:+.1f}")
        rows.append([f"`{name}`", *cells])
    return "\n\n".join(
        [
            "## Differences in mBIoU",
            "Points of mBIoU; in brackets what is no claim.",
            table(header, rows),
        ]
    )


def _write_dots(results: Results, measured: Mapping[str, Measured], out: Path) -> None:
    for file, groups in (("thin", THIN), ("general", GENERAL)):
        rows = {
            results[name][0]["title"]: m.means(list(groups), "boundary_iou").tolist()
            for name, m in measured.items()
        }
        text = plots.dots(rows, f"mBIoU in percent, {' and '.join(groups)}; a dot for each seed")
        (out / f"{file}.svg").write_text(text, encoding="utf-8")


def _agreement(measured: Mapping[str, Measured], curves: Curves) -> str:
    found = statements(measured, curves)
    if not found:
        return ""
    count = {v: sum(s.verdict == v for s in found) for v in VERDICTS}
    missing = [c for c in paper.CLAIMS if c.a not in measured or c.b not in measured]
    parts = [
        "## Where our miniature agrees with the paper, and where it does not",
        f"Of {len(found)} statements that the paper makes, our figures agree with "
        f"{count['agrees']}, do not agree with {count['does not agree']}, and leave "
        f"{count['cannot be told']} open: the difference is within the spread. The paper's figures "
        "are ViT-L's on photographs, with boxes and the sum of both masks; only the signs of "
        "differences can be compared, not their sizes. Differences of the paper below half a point "
        "count as none.",
    ]
    for heading, kind in (
        ("It agrees", "agrees"),
        ("It does not agree", "does not agree"),
        ("It cannot be told", "cannot be told"),
    ):
        chosen = [s for s in found if s.verdict == kind]
        if chosen:
            rows = [[s.text, s.paper, s.ours] for s in chosen]
            parts += [f"### {heading}", table(["the paper says", "its figures", "ours"], rows)]
    if missing:
        parts.append(f"Not measured yet: {'; '.join(c.text for c in missing)}.")
    return "\n\n".join(parts)


def _of(m: Measured, groups: Sequence[str], metric: Any) -> str:
    return spread(m.means(groups, metric))
