"""What better and worse prompts give: the tables and plots of `curves`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from experiments import paper, plots
from experiments.agreement import Curves
from experiments.curves import CLICKS, METHODS, NOISE, THRESHOLDS
from experiments.figures import Measured, spread, table
from experiments.windows import GENERAL, GROUPS, THIN

Amounts = Sequence[float]
# Of an amount, a method and the groups.
Value = Callable[[float, str, list[str]], float]


def render(curves: Curves, out: Path) -> list[str]:
    """The parts of the page; the plots are written into `out`."""
    _write_lines(curves, out)
    return [_box_noise(curves), _thresholds(curves), _clicks(curves)]


def _box_noise(curves: Curves) -> str:
    header = ["noise", "method", *GROUPS, "paper, mBIoU"]
    rows = []
    for noise in NOISE:
        for i, method in enumerate(METHODS):
            m = curves["box noise", noise, method]
            told = f"{paper.BOX_NOISE[noise][i]}"
            rows.append([f"{noise:g}", method, *(_both(m, g) for g in GROUPS), told])
    return "\n\n".join(
        [
            "## Noise of the box",
            "The weights as they are shipped, mIoU / mBIoU. Centre and size of the exact box are "
            "off by up to that share of its size, at random; means of three trials.",
            table(header, rows),
            "![mBIoU and the noise of the box](noise.svg)",
        ]
    )


def _thresholds(curves: Curves) -> str:
    header = ["BIoU above", *(f"{method}, {name}" for name in GROUPS for method in METHODS)]
    rows = []
    for t in THRESHOLDS:
        found = [_recall(curves, method, [g], t) for g in GROUPS for method in METHODS]
        rows.append([f"{t:g}", *(f"{share:.0f}" for share in found)])
    return "\n\n".join(
        [
            "## Recall at thresholds of BIoU",
            "The share of masks, in percent, whose boundary IoU is above the threshold; exact "
            "boxes.",
            table(header, rows),
            "![Recall and the threshold of BIoU](thresholds.svg)",
        ]
    )


def _clicks(curves: Curves) -> str:
    header = ["clicks", "method", *GROUPS]
    rows = []
    for n in CLICKS:
        for method in METHODS:
            m = curves["clicks", n, method]
            rows.append([str(n), method, *(_both(m, g) for g in GROUPS)])
    return "\n\n".join(
        [
            "## Clicks",
            "One click on the pixel farthest from the edge, or several at random on the object "
            "(means of three trials). mIoU / mBIoU.",
            table(header, rows),
            "![mBIoU and the number of clicks](clicks.svg)",
        ]
    )


def _write_lines(curves: Curves, out: Path) -> None:
    sides = {"thin": list(THIN), "general": list(GENERAL)}
    lines = [(method, side) for side in sides for method in METHODS]

    def write(file: str, x_label: str, y_label: str, amounts: Amounts, value: Value) -> None:
        series = {
            f"{method}, {side}": [(float(a), value(a, method, sides[side])) for a in amounts]
            for method, side in lines
        }
        text = plots.lines(series, x_label, y_label)
        (out / f"{file}.svg").write_text(text, encoding="utf-8")

    def boundary(kind: str) -> Value:
        return lambda a, method, groups: float(
            curves[kind, a, method].means(groups, "boundary_iou").mean()
        )

    write("noise", "noise of the box", "mBIoU, percent", NOISE, boundary("box noise"))
    write("clicks", "clicks", "mBIoU, percent", CLICKS, boundary("clicks"))
    write(
        "thresholds",
        "threshold of BIoU",
        "masks above it, percent",
        THRESHOLDS,
        lambda t, method, groups: _recall(curves, method, groups, t),
    )


def _both(m: Measured, group: str) -> str:
    return f"{spread(m.means([group], 'iou'))} / {spread(m.means([group], 'boundary_iou'))}"


def _recall(curves: Curves, method: str, groups: Sequence[str], threshold: float) -> float:
    """Percent of the masks from exact boxes."""
    m = curves["box noise", 0.0, method]
    above = [(m.windows(g, "boundary_iou") > 100 * threshold).mean() for g in groups]
    return 100 * float(sum(above)) / len(above)
