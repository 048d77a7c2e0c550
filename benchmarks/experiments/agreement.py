"""Where our miniature agrees with the paper: each of its statements beside our figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from experiments import paper
from experiments.curves import CLICKS, NOISE
from experiments.figures import Difference, Measured, beyond_error, compare
from experiments.windows import GENERAL, THIN

Verdict = Literal["agrees", "does not agree", "cannot be told"]
VERDICTS: tuple[Verdict, ...] = ("agrees", "does not agree", "cannot be told")
# Differences of the paper below this many points count as none.
_TIE = 0.5
# Those of the paper's recall curve.
_THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)

# Kind and amount of prompts, method → what was measured.
Curves = Mapping[tuple[str, float, str], Measured]


@dataclass(frozen=True)
class Statement:
    """A statement of the paper and what we find."""

    text: str
    paper: str
    ours: str
    verdict: Verdict


def statements(variants: Mapping[str, Measured], curves: Curves) -> list[Statement]:
    """All statements for which there are figures."""
    return [*_of_variants(variants), *_of_curves(curves)]


def verdict(paper_points: float, ours: Difference) -> Verdict:
    """Compare two differences.

    Where the paper finds next to none, we agree if ours is no claim or as small.
    """
    if abs(paper_points) < _TIE:
        same = not ours.certain or abs(ours.points) < _TIE
        return "agrees" if same else "does not agree"
    if not ours.certain:
        return "cannot be told"
    return "agrees" if ours.points * paper_points > 0 else "does not agree"


def _of_variants(variants: Mapping[str, Measured]) -> Iterator[Statement]:
    for claim in paper.CLAIMS:
        if claim.a not in variants or claim.b not in variants:
            continue
        groups = list(THIN if claim.where == "thin" else GENERAL)
        ours = compare(variants[claim.a], variants[claim.b], groups, "boundary_iou")
        what = "mBIoU, thin sets" if claim.where == "thin" else "AP_B, COCO"
        what_ours = "mBIoU, thin" if claim.where == "thin" else "mBIoU, nuclei and axons"
        yield Statement(
            claim.text,
            f"{claim.points:+.1f} ({what})",
            f"{ours} ({what_ours})",
            verdict(claim.points, ours),
        )


def _of_curves(curves: Curves) -> Iterator[Statement]:
    if all(("box noise", n, m) in curves for n in NOISE for m in ("SAM", "HQ + SAM")):
        leads = [_lead(curves, "box noise", n) for n in NOISE]
        growth = [last - first for last, first in zip(leads[-1], leads[0], strict=True)]
        told = [paper.BOX_NOISE[n][1] - paper.BOX_NOISE[n][0] for n in NOISE]
        yield _growing("HQ-SAM's lead grows with the noise of the box", told, leads, growth)
        shares = [_lead(curves, "box noise", 0.0, threshold=t) for t in _THRESHOLDS]
        growth = [last - first for last, first in zip(shares[-1], shares[0], strict=True)]
        # Where no mask passes the strictest threshold there is no lead to be had.
        passed = any(lead.any() for lead in shares[-1])
        text = "HQ-SAM's lead in recall grows from BIoU above 0.5 to above 0.9"
        yield _growing(text, None, shares, growth, possible=passed)
    for n in CLICKS:
        if ("clicks", n, "SAM") not in curves:
            continue
        lead = _lead(curves, "clicks", n)
        ours = Difference(_mean(lead), beyond_error(lead))
        text = f"HQ-SAM is ahead with {n} click{'s' if n > 1 else ''}"
        yield Statement(text, "ahead (figure 5)", f"{ours} (mBIoU, thin)", verdict(1.0, ours))


def _lead(
    curves: Curves, kind: str, amount: float, threshold: float | None = None
) -> list[NDArray[np.float64]]:
    """HQ + SAM minus SAM on each window of the thin groups: BIoU, or whether it is above t."""

    def of(method: str, group: str) -> NDArray[np.float64]:
        values = curves[kind, amount, method].windows(group, "boundary_iou")
        return values if threshold is None else np.where(values > 100 * threshold, 100.0, 0.0)

    return [of("HQ + SAM", group) - of("SAM", group) for group in THIN]


def _growing(
    text: str,
    paper_leads: Sequence[float] | None,
    leads: Sequence[list[NDArray[np.float64]]],
    growth: list[NDArray[np.float64]],
    *,
    possible: bool = True,
) -> Statement:
    told = "grows (figure 4)"
    if paper_leads is not None:
        told = " → ".join(f"{lead:+.1f}" for lead in paper_leads)
    ours = Difference(_mean(growth), possible and beyond_error(growth))
    series = " → ".join(f"{_mean(lead):+.1f}" for lead in leads)
    return Statement(text, told, f"{series}, growth {ours}", verdict(1.0, ours))


def _mean(per_window: Sequence[NDArray[np.float64]]) -> float:
    return float(np.mean([values.mean() for values in per_window]))
