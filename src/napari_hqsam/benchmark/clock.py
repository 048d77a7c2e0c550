"""Taking times."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_hqsam.segmentation.blocks import LabelJob


def seconds(function: Callable[[], object]) -> float:
    """How long a call takes."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


class Clock:
    """Times of steps, by their names.

    Attributes
    ----------
    times : dict of str to list of float
        In seconds.
    """

    def __init__(self) -> None:
        self.times: defaultdict[str, list[float]] = defaultdict(list)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Take the time of a `with` block."""
        began = time.perf_counter()
        yield
        self.times[name].append(time.perf_counter() - began)


def seconds_of(job: LabelJob, tell: Callable[[str], object] = lambda _: None) -> dict[str, float]:
    """Run a job; how long it took to find, to link, and to draw objects.

    Parameters
    ----------
    job : LabelJob
        It finds objects in windows.
    tell : callable
        Takes a line on how far it is.

    Returns
    -------
    dict of str to float
        "finding", "linking" and "drawing", in seconds; the last one with all that is left to do.
    """
    from napari_hqsam.images.windows import Window
    from napari_hqsam.segmentation.blocks import Block

    spent = dict.fromkeys(("finding", "linking", "drawing"), 0.0)
    began, drawing = time.perf_counter(), False
    for item, step in zip(job.plan, job, strict=True):
        drawing = drawing or isinstance(item, Block)
        step_name = "finding" if isinstance(item, Window) else "drawing" if drawing else "linking"
        now = time.perf_counter()
        spent[step_name] += now - began
        began = now
        tell(f"{step_name}, {step.done:,} of {step.total:,}")
    return spent
