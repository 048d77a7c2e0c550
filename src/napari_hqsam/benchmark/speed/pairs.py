"""Runs in turn: on a noisy machine only their ratio, round by round, says something."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from napari_hqsam.benchmark.clock import seconds
from napari_hqsam.benchmark.figures import Figure, Table, median

Run = Callable[[], object]


def nothing() -> None:
    """What there is to wait for where nothing runs in the background."""


@dataclass(frozen=True)
class Times:
    """Seconds of several runs.

    Attributes
    ----------
    rounds : dict of str to list of float
        By the name of the run, round by round.
    """

    rounds: dict[str, list[float]] = field(default_factory=dict)

    def median(self, name: str) -> float:
        """The median of a run, in seconds."""
        return median(self.rounds[name])

    def best(self, name: str) -> float:
        """The fastest round of a run, in seconds."""
        return min(self.rounds[name])

    def ratios(self, slow: str, fast: str) -> list[float]:
        """How many times as long one run took as another, round by round."""
        pairs = zip(self.rounds[slow], self.rounds[fast], strict=True)
        return [a / b for a, b in pairs]

    def figure(
        self, name: str, slow: str, fast: str, target: float | None = None, about: str = ""
    ) -> Figure:
        """The median of the ratios, which is to reach a target."""
        ratios = self.ratios(slow, fast)
        spread = f"rounds {min(ratios):.2f} to {max(ratios):.2f}"
        about = "; ".join(filter(None, (spread, about)))
        return Figure(name, median(ratios), "", target, about, at_least=True)

    def table(self, name: str) -> Table:
        """All of them, in milliseconds, a row for each round."""
        rows = zip(*self.rounds.values(), strict=True)
        table = Table(f"{name}, ms", ("round", *self.rounds))
        table.rows += [(i, *(1e3 * t for t in row)) for i, row in enumerate(rows, 1)]
        return table


def in_turn(
    runs: Mapping[str, Run],
    rounds: int,
    *,
    first: Mapping[str, Run] | None = None,
    finish: Run = nothing,
    tell: Callable[[str], object] = lambda _: None,
) -> Times:
    """Time several runs, one after the other, again and again.

    A round before the first, in which caches are filled and kernels chosen, does not count. Every
    second round goes the other way round.

    Parameters
    ----------
    runs : mapping of str to callable
        By their names.
    rounds : int
    first : mapping of str to callable, optional
        Runs for the round that does not count, where shorter ones do.
    finish : callable
        Waits for what a run began on a GPU; it is part of the run.
    tell : callable
        Takes a line on what is done now.
    """
    times = Times({name: [] for name in runs})
    for i in range(rounds + 1):
        for name in list(runs)[:: -1 if i % 2 else 1]:
            tell(f"{name}, round {i} of {rounds}" if i else f"{name}, to warm up")

            def run(run: Run = (runs if i or first is None else first)[name]) -> None:
                run()
                finish()

            took = seconds(run)
            if i:
                times.rounds[name].append(took)
    return times
