"""Whether an image's objects stay the same where it is one part of a larger one.

Nine images are laid out as a mosaic. What is found in it is compared with what the same method
finds in each image alone, so that differences are those of windows and seams, not of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice, product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.benchmark.clock import seconds_of
from napari_hqsam.benchmark.figures import Cell, Figure, Table
from napari_hqsam.benchmark.held_out import median_diameter, of_instances
from napari_hqsam.benchmark.mosaic import lay_out
from napari_hqsam.evaluation.data import LabelledPlane, labelled_files, spread
from napari_hqsam.evaluation.detection import cutouts
from napari_hqsam.modeling import HQSam
from napari_hqsam.segmentation import Segmenter
from napari_hqsam.segmentation.automatic.layout import octave_for
from napari_hqsam.segmentation.automatic.settings import Method
from napari_hqsam.training.data import find_data_sets

METHODS: tuple[Method, ...] = ("threshold", "grid")
COLUMNS = ("pictures", "method", "objects", "match", "mean IoU", "cut", "s", "linking", "drawing")

_COLUMNS = 3
# An object matches one of the mosaic that has so large an IoU with it.
_MATCH = 0.9
# It is cut if two of the mosaic's objects have so large a share of it.
_SHARE = 0.1
# Share of objects that must match, in percent.
_TARGET = 98.0
# Share of the time that linking and drawing may take, in percent.
_STITCHING = 5.0
_SAMPLE_DIAMETER = 32.0
# A set gives at most so many tiles from one plane.
_FROM_A_PLANE = 4


@dataclass(frozen=True)
class Pictures:
    """What a mosaic is made of.

    Attributes
    ----------
    tiles : list of LabelledPlane
        Nine of one size; their labels are not used.
    diameter : float
        Of a typical object, in pixels.
    """

    tiles: list[LabelledPlane]
    diameter: float


@dataclass(frozen=True)
class Sameness:
    """How an image's objects are found again in a mosaic.

    Attributes
    ----------
    ious : ndarray
        (n,) the best IoU of each with an object of the mosaic.
    cut : int
        Those of which two objects of the mosaic have a tenth or more each.
    """

    ious: NDArray[np.float64]
    cut: int

    @property
    def match(self) -> float:
        """Percent of the objects that match."""
        return 100 * float((self.ious >= _MATCH).mean())


def measure_mosaic_seams(
    model: HQSam,
    pictures: Mapping[str, Pictures],
    *,
    tell: Callable[[str], object] = lambda _: None,
) -> tuple[list[Figure], Table]:
    """Find the objects of mosaics, and of each of their images alone.

    Parameters
    ----------
    model : HQSam
    pictures : mapping of str to Pictures
    tell : callable
        Takes a line on what is done now.
    """
    table = Table("mosaics", COLUMNS)
    figures: list[Figure] = []
    for name, of in pictures.items():
        for method in METHODS:
            found, spent = _compare(model, of, method, partial(_prefixed, tell, name, method))
            if len(found.ious):
                table.rows.append(_row(name, method, found, spent))
                figures += _figures(f"mosaic of {name}, {method}", found, spent)
    return figures, table


def sameness(alone: NDArray[Any], whole: NDArray[Any], box: tuple[slice, slice]) -> Sameness:
    """Look for the objects of an image in the mosaic that it is a part of.

    Parameters
    ----------
    alone : ndarray of int
        (h, w), the labels of the image. What touches its edge does not count: the mosaic shows
        more of it.
    whole : ndarray of int
        (H, W), the labels of the mosaic.
    box : tuple of slice
        Where the image lies in it.
    """
    areas = dict(zip(*(a.tolist() for a in np.unique(whole, return_counts=True)), strict=True))
    height, width = alone.shape
    ious, cut = [], 0
    for one in cutouts(alone):
        y0, x0, y1, x1 = one.bbox
        if y0 == 0 or x0 == 0 or y1 == height or x1 == width:
            continue
        under = whole[box][y0:y1, x0:x1][one.data]
        values, counts = np.unique(under[under != 0], return_counts=True)
        shared = zip(values.tolist(), counts.tolist(), strict=True)
        ious.append(max((n / (under.size + areas[v] - n) for v, n in shared), default=0.0))
        cut += int((counts >= _SHARE * under.size).sum() > 1)
    return Sameness(np.array(ious, dtype=np.float64), cut)


def labelled_pictures(folder: Path, input_size: int) -> dict[str, Pictures]:
    """Tiles of each data set whose planes show several objects, and are large enough.

    Parameters
    ----------
    folder : pathlib.Path
        A data set, or a folder of them. Its labels say what a typical object is.
    input_size : int
        Of the model.
    """
    planes = {p.name: [f.planes(1) for f in labelled_files(p)] for p in find_data_sets(folder)}
    found = {}
    for name, own in of_instances({n: list(chain(*p)) for n, p in planes.items()}).items():
        diameter = median_diameter(own)
        side = tile_side(diameter, input_size)
        tiles = chain.from_iterable(_with_objects(plane, side) for plane in own)
        if len(chosen := list(islice(tiles, _COLUMNS**2))) == _COLUMNS**2:
            found[name] = Pictures(chosen, diameter)
    return found


def sample_pictures(input_size: int) -> dict[str, Pictures]:
    """Tiles of the pictures that scikit-image brings along."""
    from skimage import data

    side = tile_side(_SAMPLE_DIAMETER, input_size)
    tiles: list[LabelledPlane] = []
    for name in ("coins", "cell", "immunohistochemistry"):
        image = getattr(data, name)()
        plane = LabelledPlane(name, image, np.ones(image.shape[:2], np.uint8))
        tiles += list(_squares(plane, side))
    return {"scikit-image's pictures": Pictures(tiles[: _COLUMNS**2], _SAMPLE_DIAMETER)}


def tile_side(diameter: float, input_size: int) -> int:
    """Twice the side of a window for objects of a diameter: a tile has seams of its own, too."""
    return round(2 * input_size * 2.0 ** octave_for(diameter, input_size))


def _with_objects(plane: LabelledPlane, side: int) -> list[LabelledPlane]:
    """A few of the squares of a plane with several objects."""
    several = [t for t in _squares(plane, side) if len(np.unique(t.labels)) > 2]
    return spread(several, _FROM_A_PLANE)


def _squares(plane: LabelledPlane, side: int) -> Iterator[LabelledPlane]:
    corners = (range(0, n - side + 1, side) for n in plane.labels.shape)
    for y, x in product(*corners):
        box = (slice(y, y + side), slice(x, x + side))
        yield replace(plane, image=plane.image[box], labels=plane.labels[box])


def _parts(
    image: NDArray[Any], shape: Sequence[int]
) -> Iterator[tuple[NDArray[Any], tuple[slice, slice]]]:
    """The tiles of a mosaic, and where each lies."""
    height, width = shape
    for y, x in product(range(0, image.shape[0], height), range(0, image.shape[1], width)):
        box = (slice(y, y + height), slice(x, x + width))
        yield image[box], box


def _compare(
    model: HQSam, pictures: Pictures, method: Method, tell: Callable[[str], object]
) -> tuple[Sameness, dict[str, float]]:
    """How the objects of the tiles are found again, and the seconds that the mosaic took."""
    image = lay_out(pictures.tiles, _COLUMNS).image
    whole, spent = _find(model, image, method, pictures.diameter, tell)
    found = []
    for i, (part, box) in enumerate(_parts(image, pictures.tiles[0].labels.shape), start=1):
        tell(f"image {i} of {len(pictures.tiles)} alone")
        alone, _ = _find(model, part, method, pictures.diameter)
        found.append(sameness(alone, whole, box))
    return Sameness(np.concatenate([f.ious for f in found]), sum(f.cut for f in found)), spent


def _find(
    model: HQSam,
    image: NDArray[Any],
    method: Method,
    diameter: float,
    tell: Callable[[str], object] = lambda _: None,
) -> tuple[NDArray[Any], dict[str, float]]:
    """The labels of an image, and how many seconds each step took."""
    limits = (0.0, 255.0)
    with Segmenter(image, axes="yxc", contrast_limits=limits, model=model) as segmenter:
        job = segmenter.segment_all(method, diameter=diameter)
        spent = seconds_of(job, tell)
        return job.result(), spent


def _prefixed(tell: Callable[[str], object], name: str, method: str, line: str) -> None:
    tell(f"mosaic of {name}, {method}: {line}")


def _shares(spent: Mapping[str, float]) -> list[float]:
    """Of the time of a run linking and drawing, in percent."""
    return [100 * spent[step] / sum(spent.values()) for step in ("linking", "drawing")]


def _row(name: str, method: str, found: Sameness, spent: Mapping[str, float]) -> tuple[Cell, ...]:
    same = (len(found.ious), found.match, float(found.ious.mean()), found.cut)
    return name, method, *same, sum(spent.values()), *_shares(spent)


def _figures(what: str, found: Sameness, spent: Mapping[str, float]) -> Iterator[Figure]:
    count, shares = f"of {len(found.ious):,}", _shares(spent)
    about = f"{count} with an IoU of {_MATCH:g} or more with one found alone"
    yield Figure(f"{what}: objects that match", found.match, "%", _TARGET, about, True)
    yield Figure(f"{what}: objects cut", found.cut, "", 0, count)
    about = f"of {sum(spent.values()):.1f} s; linking {shares[0]:.2g} %"
    yield Figure(f"{what}: linking and drawing", sum(shares), "%", _STITCHING, about)
