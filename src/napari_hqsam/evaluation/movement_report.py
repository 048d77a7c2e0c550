"""The report of how far boundaries moved: a table, and a page with the largest changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.evaluation.examples import png
from napari_hqsam.evaluation.html import _STYLE, _about, _image, _table
from napari_hqsam.evaluation.plots import line_plot
from napari_hqsam.evaluation.summary import count
from napari_hqsam.images import ImageSource, IntensityMapping
from napari_hqsam.labels import place
from napari_hqsam.labels.document import writing
from napari_hqsam.labels.frame import LabelFrame
from napari_hqsam.labels.given import as_label_array
from napari_hqsam.labels.measurements import write_csv
from napari_hqsam.labels.polygons import outlines
from napari_hqsam.labels.pyramid import Box
from napari_hqsam.labels.rows import Rows, row_runs

if TYPE_CHECKING:
    import pandas as pd

PAGE, TABLE = "report.html", "moved.csv"

_PICTURES = 10
_SIDE = 420  # pictures are magnified to about that
_LARGEST = 640  # pixels of the image in a picture; of larger objects the place that moved most
_MARGIN, _LEAST = 0.25, 8  # around an object, as a share of its extent, and in pixels at least
_NAMED = 50  # lost labels that are listed
# Okabe and Ito, told apart with any colour vision; a dark line below shows them on any image
_OLD, _NEW, _BELOW = (230, 159, 0), (86, 180, 233), (0, 0, 0)


def write_movement_report(
    folder: Path,
    table: pd.DataFrame,
    before: Any,
    after: Any,
    frame: LabelFrame,
    source: ImageSource,
    mapping: IntensityMapping,
    *,
    level: int = 0,
    about: Mapping[str, str] | None = None,
) -> Path:
    """Write `moved.csv` and `report.html`; each complete or not at all, the page last.

    Parameters
    ----------
    folder : Path
        Made if it is not there. What is in it under these names is replaced.
    table : pandas.DataFrame
        Of `movement`, with one row at least.
    before, after : labels
        Those that were compared.
    frame : LabelFrame
    source : ImageSource
        Of which pictures are shown.
    mapping : IntensityMapping
        How it is shown.
    level : int
        Level of the image whose pixels the labels have.
    about : mapping of str to str, optional
        What the labels were made with, for the head of the page.

    Returns
    -------
    Path
        The page, one file that needs no network.

    Raises
    ------
    HQSAMError
        If something cannot be read or written.
    """
    both = as_label_array(before, frame, "before"), as_label_array(after, frame, "after")
    places = {frame.index(plane): plane for plane in frame.planes()}
    letters = list(frame.axes[:-2])

    def pictures(row: Any) -> tuple[bytes, bytes]:
        index = tuple(int(getattr(row, axis)) for axis in letters)
        plane, view = places[index], _view(row, frame.plane_shape)
        pixels = mapping.apply(source.read(plane, *view, level))
        masks = [labels.read(frame.plane(plane), view) == row.label for labels in both]
        return _drawn(pixels, []), _drawn(pixels, list(zip(masks, (_OLD, _NEW), strict=True)))

    shown = largest(table)
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width">',
        f"<title>Boundaries of {escape(source.name)}</title>",
        f"<style>{_STYLE}</style></head><body>",
        "<h1>How far the boundaries moved</h1>",
        _about(about or {}),
        f"<p>{escape(summary(table))}</p>",
        *_missing(table),
        *_figures(table),
        "<h2>The largest changes</h2>",
        '<p class="key">On the left the image, on the right the boundary'
        f'<b style="background: rgb{_OLD}"></b>before and'
        f'<b style="background: rgb{_NEW}"></b>after; lost and new labels come first.</p>'
        if len(shown)
        else "<p>All labels are as they were.</p>",
        '<div class="pictures" style="grid-template-columns: repeat(2, minmax(0, max-content))">',
    ]
    for row in shown.itertuples():
        image, compared = pictures(row)
        name = ", ".join([f"label {row.label}", *(f"{a} {getattr(row, a)}" for a in letters)])
        parts += [_image(image, name), _image(compared, _caption(row))]
    parts.append("</div></body></html>\n")

    with place.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / PAGE).unlink(missing_ok=True)
    write_csv(folder / TABLE, table.round(4))
    with writing(folder / PAGE, ".html") as file:
        file.write("\n".join(parts).encode())
    return folder / PAGE


def summary(table: pd.DataFrame) -> str:
    """One line: how many objects, how far they moved, what was lost."""
    moved = table["moved_mean"].dropna()
    texts = [count(table["label"].nunique(), "object")]
    if len(moved):
        um = f" ({table['moved_mean_um'].mean():.3g} µm)" if "moved_mean_um" in table else ""
        texts.append(f"boundaries moved {moved.mean():.2f} px on average{um}")
        texts.append(f"{100 * (moved <= 1).mean():.3g} % of them by 1 px or less")
    for name, labels in lost_and_new(table).items():
        if name == "lost" or len(labels):
            texts.append(f"{count(len(labels), 'label') if len(labels) else 'no label'} {name}")
    return "; ".join(texts)


def lost_and_new(table: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """The labels that are nowhere afterwards, and those that were nowhere before."""
    areas = table.groupby("label")[["area_before", "area_after"]].sum()
    names = {"lost": "area_after", "new": "area_before"}
    return {name: areas.index[areas[column] == 0].to_numpy() for name, column in names.items()}


def largest(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the largest changes: lost and new labels, then by the mean distance."""
    changed = table[table["iou"] < 1]
    return changed.sort_values(
        ["moved_mean", "moved_max"], ascending=False, na_position="first", kind="stable"
    ).head(_PICTURES)


def _missing(table: pd.DataFrame) -> Iterator[str]:
    for name, labels in lost_and_new(table).items():
        if len(labels):
            more = f" and {len(labels) - _NAMED:,} more" if len(labels) > _NAMED else ""
            yield f"<p><b>{name}:</b> {', '.join(map(str, labels[:_NAMED]))}{more}</p>"


def _figures(table: pd.DataFrame) -> Iterator[str]:
    """Distributions of the mean and of the largest distance, as a table and as plots."""
    columns = {"mean": "moved_mean", "farthest place": "moved_max"}
    known = {name: table[column].dropna().to_numpy() for name, column in columns.items()}
    if not len(known["mean"]):
        return
    shares = (25, 50, 75, 95, 100)
    body = []
    for name, column in columns.items():
        values = np.percentile(known[name], shares)
        cells = "".join(f"<td>{v:.2f}</td>" for v in values)
        body.append(f"<tr><td>{name}, px</td>{cells}</tr>")
        if f"{column}_um" in table:
            values = np.percentile(table[f"{column}_um"].dropna(), shares)
            cells = "".join(f"<td>{v:.3g}</td>" for v in values)
            body.append(f"<tr><td>{name}, µm</td>{cells}</tr>")
    head = "".join(f"<th>{s} %</th>" for s in shares)
    yield '<p class="note">So many of the boundaries moved no farther than:</p>'
    yield _table(f"<th></th>{head}", body)
    for name, values in known.items():
        end = max(5.0, float(np.percentile(values, 99)))
        step = next((s for s in (0.25, 0.5, 1, 5, 25) if end / s <= 40), end / 40)
        at = step * np.arange(np.ceil(end / step) + 1)
        points = [(float(x), float((values <= x).mean())) for x in at]
        yield line_plot(f"Moved, {name}", "pixels", "share that moved no farther", {name: points})


def _caption(row: Any) -> str:
    if not row.area_after:
        return f"lost; {row.area_before:,} px before"
    if not row.area_before:
        return f"new; {row.area_after:,} px"
    return (
        f"moved {row.moved_mean:.1f} px on average, {row.moved_max:.1f} px at most; "
        f"{row.area_before:,} → {row.area_after:,} px, IoU {row.iou:.3f}"
    )


def _view(row: Any, shape: tuple[int, int]) -> Box:
    """What is shown of an object: all of it, or where it has moved farthest."""
    low, high = np.array([row.y0, row.x0]), np.array([row.y1, row.x1])
    margin = max(_LEAST, round(_MARGIN * int((high - low).max())))
    low, high = low - margin, high + margin
    wide = high - low > _LARGEST
    centre = np.array([row.y, row.x])
    low = np.where(wide, centre - _LARGEST // 2, low)
    high = np.where(wide, low + _LARGEST, high)
    (y0, x0), (y1, x1) = np.maximum(low, 0).tolist(), np.minimum(high, shape).tolist()
    return y0, x0, y1, x1


def _drawn(
    pixels: NDArray[Any], masks: list[tuple[NDArray[np.bool_], tuple[int, int, int]]]
) -> bytes:
    """The pixels (h, w, 3), magnified, with the outlines of masks along the edges of pixels."""
    from PIL import Image, ImageDraw

    h, w = pixels.shape[:2]
    times = max(1, _SIDE // max(h, w))
    picture = Image.fromarray(pixels.round().astype(np.uint8))
    picture = picture.resize((w * times, h * times), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(picture)
    edges = [(colour, _edges(mask)) for mask, colour in masks]
    for width, colours in ((5, {_OLD: _BELOW, _NEW: _BELOW}), (3, {_OLD: _OLD}), (2, {_NEW: _NEW})):
        for colour, lines in edges:
            for line in lines if colour in colours else ():
                draw.line([(x * times, y * times) for y, x in line], colours[colour], width)
    return png(picture)


def _edges(mask: NDArray[np.bool_]) -> list[list[tuple[int, int]]]:
    """The straight lines ((y, x), (y, x)) of the outline, without those on the picture's edge."""
    h, w = mask.shape
    lines = []
    for ring in (r for polygon in outlines(Rows.of(*row_runs(mask))) for r in polygon):
        for a, b in zip(ring.tolist(), np.roll(ring, -1, axis=0).tolist(), strict=True):
            if not (a[0] == b[0] and a[0] in (0, h)) and not (a[1] == b[1] and a[1] in (0, w)):
                lines.append([tuple(a), tuple(b)])
    return lines
