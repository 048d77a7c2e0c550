"""Means, their spread over seeds, and which differences are a claim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from experiments.experiment import Scores

Metric = Literal["iou", "boundary_iou"]


@dataclass(frozen=True)
class Measured:
    """What was measured of one variant.

    Attributes
    ----------
    runs : sequence of dict
        For each seed, the scores of each group.
    random : bool
        Whether another seed would give other figures.
    """

    runs: Sequence[dict[str, Scores]]
    random: bool

    def means(self, groups: Sequence[str], metric: Metric) -> NDArray[np.float64]:
        """The mean over the groups, in percent, for each seed."""
        by_group = [[np.mean(run[group][metric]) for group in groups] for run in self.runs]
        return 100 * np.mean(by_group, axis=1)

    def windows(self, group: str, metric: Metric) -> NDArray[np.float64]:
        """The figure of each window, in percent, averaged over the seeds."""
        return 100 * np.mean([run[group][metric] for run in self.runs], axis=0)


@dataclass(frozen=True)
class Difference:
    """A mean difference in points, and whether it is more than chance."""

    points: float
    certain: bool

    def __str__(self) -> str:
        return f"{self.points:+.1f}" if self.certain else f"({self.points:+.1f})"


def compare(a: Measured, b: Measured, groups: Sequence[str], metric: Metric) -> Difference:
    """`a` minus `b`.

    It is certain if the seeds of the two do not overlap (of a variant that seeds change, two are
    needed to know), and if it is more than twice its standard error over the windows, in pairs.
    """
    means_a, means_b = a.means(groups, metric), b.means(groups, metric)
    apart = means_a.min() > means_b.max() or means_a.max() < means_b.min()
    known = all(not m.random or len(m.runs) > 1 for m in (a, b))
    per_window = [a.windows(g, metric) - b.windows(g, metric) for g in groups]
    points = float(means_a.mean() - means_b.mean())
    return Difference(points, bool(apart and known and beyond_error(per_window)))


def beyond_error(per_window: Sequence[NDArray[np.float64]]) -> bool:
    """Whether the mean over groups of differences of windows is beyond two standard errors."""
    variances = [float(d.var(ddof=1)) / len(d) if len(d) > 1 else np.inf for d in per_window]
    error = float(np.sqrt(sum(variances))) / len(per_window)
    return bool(abs(np.mean([d.mean() for d in per_window])) > 2 * error)


def spread(values: NDArray[np.float64], digits: int = 1) -> str:
    """Mean ± standard deviation over the seeds."""
    mean = f"{values.mean():.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {values.std(ddof=1):.{digits}f}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
