"""How many of the objects `Segmenter.segment_all` finds, beside other ways to find them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.benchmark.clock import Clock
from napari_hqsam.benchmark.figures import Figure, Table
from napari_hqsam.benchmark.held_out import median_diameter
from napari_hqsam.benchmark.other_tools import Tool, cellpose, stardist, threshold_watershed
from napari_hqsam.evaluation.data import LabelledPlane
from napari_hqsam.evaluation.detection import average_precision, cutouts, similarity
from napari_hqsam.modeling import HQSam
from napari_hqsam.segmentation import Segmenter
from napari_hqsam.segmentation.automatic.settings import Method

WATERSHED = "threshold + watershed"
_OWN: tuple[Method, ...] = ("grid", "threshold")
_OTHERS: dict[str, Callable[[], Tool | None]] = {"Cellpose": cellpose, "StarDist": stardist}

COLUMNS = (
    "set",
    "method",
    "images",
    "objects",
    "AP50",
    "mean AP",
    "recall",
    "precision",
    "s per image",
    "note",
)


@dataclass(frozen=True)
class Detections:
    """What a method found in the images of a set.

    Attributes
    ----------
    set, method : str
    images, objects : int
        Of the set.
    ap50, mean_ap : float
        Average precision at an IoU of 0.5, and its mean from 0.5 to 0.95. Labels have no score:
        they are taken in order of their numbers.
    recall, precision : float
        Share of the true objects found, and of the found ones that are true, at an IoU of 0.5.
    seconds : float
        For an image.
    """

    set: str
    method: str
    images: int
    objects: int
    ap50: float
    mean_ap: float
    recall: float
    precision: float
    seconds: float


def measure_automatic(
    model: HQSam,
    sets: Mapping[str, Sequence[LabelledPlane]],
    *,
    tell: Callable[[str], object] = lambda _: None,
) -> tuple[list[Figure], Table]:
    """Find every object in images whose objects are known, with each method.

    Every method is told how large the objects of the set are: their median diameter, as somebody
    who has measured one would say.

    Parameters
    ----------
    model : HQSam
    sets : mapping of str to sequence of LabelledPlane
    tell : callable
        Takes a line on what is done now.
    """
    table = Table("automatic", COLUMNS)
    others = {name: find() for name, find in _OTHERS.items()}
    here = {name: tool for name, tool in others.items() if tool is not None}
    figures = []
    for name, planes in sets.items():
        results = list(_detect(model, name, planes, here, tell))
        table.rows += [_row(r) for r in results]
        missing = (name, len(planes), results[0].objects)
        for method in others:
            if method not in here:
                table.rows.append(_not_here(*missing, method))
        figures.append(_figure(name, {r.method: r for r in results}))
    return figures, table


def detections(
    name: str,
    method: str,
    pairs: Sequence[tuple[NDArray[Any], NDArray[Any]]],
    seconds: Sequence[float],
) -> Detections:
    """Compare labels that were found with the true ones.

    Parameters
    ----------
    name, method : str
    pairs : sequence of (ndarray of int, ndarray of int)
        (H, W) each: found and true labels of an image.
    seconds : sequence of float
        Of each image.
    """
    matrices = [similarity(predicted=cutouts(f), truth=cutouts(t)) for f, t in pairs]
    scored = [(m, np.ones(len(m))) for m in matrices]
    hits = sum(int((m > 0.5).sum()) for m in matrices)  # above a half no object has two partners
    predicted, true = (sum(m.shape[axis] for m in matrices) for axis in (0, 1))
    return Detections(
        name,
        method,
        len(pairs),
        true,
        average_precision(scored, (0.5,)),
        average_precision(scored),
        hits / true if true else float("nan"),
        hits / predicted if predicted else float("nan"),
        float(np.mean(seconds)),
    )


def _detect(
    model: HQSam,
    name: str,
    planes: Sequence[LabelledPlane],
    others: Mapping[str, Tool],
    tell: Callable[[str], object],
) -> Iterator[Detections]:
    """Each method on the same images, in turn."""
    clock, diameter = Clock(), median_diameter(planes)
    found: dict[str, list[tuple[NDArray[Any], NDArray[Any]]]] = {}
    for i, plane in enumerate(planes, start=1):

        def note(method: str, labels: NDArray[Any], truth: NDArray[Any] = plane.labels) -> None:
            found.setdefault(method, []).append((labels, truth))

        for own in _OWN:
            tell(f"finding {name}, {i} of {len(planes)}, {own}")
            axes = "yxc"[: plane.image.ndim]
            # each encodes for itself: a time is that of somebody who takes this method
            with clock(own), Segmenter(plane.image, axes=axes, model=model) as segmenter:
                note(own, segmenter.segment_all(own, diameter=diameter).result())
        for method, tool in ({WATERSHED: threshold_watershed} | dict(others)).items():
            tell(f"finding {name}, {i} of {len(planes)}, {method}")
            with clock(method):
                note(method, tool(plane.image, diameter))
    for method, pairs in found.items():
        yield detections(name, method, pairs, clock.times[method])


def _figure(name: str, by_method: Mapping[str, Detections]) -> Figure:
    best = max((by_method[m] for m in _OWN), key=lambda d: d.ap50)
    base = by_method[WATERSHED]
    about = (
        f"{best.method} over {WATERSHED}: {100 * best.ap50:.1f} and {100 * base.ap50:.1f}; mean AP "
        f"{100 * best.mean_ap:.1f} and {100 * base.mean_ap:.1f}; {best.objects:,} objects"
    )
    return Figure(f"{name}: gain of AP50", 100 * (best.ap50 - base.ap50), "points", about=about)


def _row(found: Detections) -> tuple[str | int | float | None, ...]:
    measured = (found.ap50, found.mean_ap, found.recall, found.precision, found.seconds)
    return found.set, found.method, found.images, found.objects, *measured, ""


def _not_here(
    name: str, images: int, objects: int, method: str
) -> tuple[str | int | float | None, ...]:
    return name, method, images, objects, None, None, None, None, None, "not installed"
