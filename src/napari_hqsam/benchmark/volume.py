"""Objects followed through stacks: how well, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from napari_hqsam.benchmark.figures import Report, setting_of
from napari_hqsam.benchmark.volume_cost import measure_cost
from napari_hqsam.benchmark.volume_data import stacks
from napari_hqsam.benchmark.volume_quality import measure_quality
from napari_hqsam.errors import HQSAMError
from napari_hqsam.modeling import HQSam

PARTS = ("quality", "cost")
# Without labelled stacks.
_ALONE = ("cost",)


def choose_parts(parts: Sequence[str] | None, data: Path | None) -> tuple[str, ...]:
    """What is to be measured; all that can be, if nothing is asked for.

    Raises
    ------
    HQSAMError
        If a part is unknown, or needs data.
    """
    chosen = tuple(parts or (_ALONE if data is None else PARTS))
    for part in chosen:
        if part not in PARTS:
            raise HQSAMError(f"--part {part}: choose {' or '.join(PARTS)}")
        if data is None and part not in _ALONE:
            raise HQSAMError(f"--part {part}: it needs labelled stacks; give --data DIR")
    return chosen


def measure_volume(
    model: HQSam,
    folder: Path,
    data: Path | None = None,
    *,
    parts: Sequence[str] | None = None,
    objects: int = 12,
    only: str = "",
    tell: Callable[[str], object] = lambda _: None,
) -> Report:
    """Measure how objects are followed through stacks.

    Parameters
    ----------
    model : HQSam
    folder : pathlib.Path
        Empty; for what is made meanwhile.
    data : pathlib.Path, optional
        A data set, or a folder of them; what is no stack is passed over. Without it there is only
        the part that needs none: cost.
    parts : sequence of str, optional
        As for `choose_parts`.
    objects : int
        Of a stack, at most.
    only : str
        Part of the names of the stacks that are wanted.
    tell : callable
        Takes a line on what is done now.

    Raises
    ------
    HQSAMError
        If a part is unknown or needs data, or there is no stack of that name with objects.
    """
    chosen = choose_parts(parts, data)
    report = Report("volume", setting_of(model))
    if data is not None and "quality" in chosen:
        found = measure_quality(model, stacks(data, only), folder, objects=objects, tell=tell)
        report.figures, report.tables = found[0], [found[1]]
        if not found[1].rows:
            named = f" whose name contains {only!r}" if only else ""
            raise HQSAMError(
                f"{data}: there is no labelled stack{named} with an object on four slices; it "
                "needs images/ and masks/ with TIFF files of equal names"
            )
        report.setting |= {
            "data": data.name,
            "objects of a stack at most": objects,
            "in training": "of micro; its slices, one by one",
            "same box, copied": "on the slices of the true object, so their ends are given",
            "oracle": "the exact box of every slice",
        }
    if "cost" in chosen:
        report.figures += measure_cost(model, folder, tell=tell)
    return report
