"""Objects that a threshold shows: one for the whole image, on what stands out from its surround."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray

from napari_hqsam.embedding.encode import read_window, resize
from napari_hqsam.images import ImageSource, IntensityMapping
from napari_hqsam.images.windows import Window, grid
from napari_hqsam.segmentation.automatic.layout import octaves_of

Floats = NDArray[np.float32]

# Windows that the threshold is made from, and those among which they are chosen.
_SAMPLE, _LOOKED_AT = 32, 128
_GLANCE = 64  # model pixels along the side of a window that is only looked at
_STRIDE = 4  # of the pixels that are kept of a sample
# Where the threshold lies between background, 0, and foreground, 1.
_BETWEEN = 0.4
_LEAST = 1.0  # that they differ, of 255; what is less is rounding
# In diameters of a typical object: how far background is averaged, what is smoothed of the image
# and of the distances, how far apart two objects are at least, how small one may be.
_SURROUND, _SMOOTH, _SMOOTH_DISTANCE, _APART, _SMALLEST = 1.0, 0.025, 0.06, 0.35, 0.25
_SPECK = 0.05


@dataclass(frozen=True)
class Cut:
    """What counts as foreground.

    Attributes
    ----------
    level : float
        Of the brightness above the surround, 0 to 255; infinite if nothing stands out.
    bright : bool
        Whether the objects are brighter than that, or darker.
    """

    level: float
    bright: bool


class Foreground:
    """Objects that stand out from their surround by their brightness.

    Otsu's threshold of a bounded sample of the image is applied everywhere, so that an object is
    the same in two windows. The rarer side of it is the foreground. Objects that touch are parted
    where they are narrow, by a watershed of the distance to the background.

    Parameters
    ----------
    source : ImageSource
    mapping : IntensityMapping
    level : int
        Pyramid level worked on.
    input_size : int
        S: windows are looked at in model pixels.
    diameter : float, optional
        Of a typical object, in pixels of `level`; if not given, it is estimated.
    """

    def __init__(
        self,
        source: ImageSource,
        mapping: IntensityMapping,
        level: int,
        input_size: int,
        diameter: float | None = None,
    ) -> None:
        self.source, self.mapping, self.level = source, mapping, level
        self._input_size, self._given = input_size, diameter

    @cached_property
    def diameter(self) -> float:
        """Of a typical object, in pixels: as given, or that of half of the foreground's pixels."""
        if self._given is not None:
            return self._given
        from scipy.ndimage import label

        areas = []
        for window in self._windows:
            grey = self._grey(window)
            foreground = (grey > self._otsu) == self._bright
            parts, _ = label(foreground)
            areas.append(np.bincount(parts.ravel())[1:] / window.scale**2)
        sizes = np.sort(np.concatenate([*areas, np.empty(0)]))
        if not len(sizes):
            return float(self._input_size) / 8
        # specks are many, but have few pixels
        half = np.searchsorted(np.cumsum(sizes), sizes.sum() / 2)
        return float(2 * np.sqrt(sizes[min(half, len(sizes) - 1)] / np.pi))

    @cached_property
    def cut(self) -> Cut:
        """The threshold of the whole image."""
        values = np.concatenate(
            [self._standing_out(window)[::_STRIDE, ::_STRIDE].ravel() for window in self._windows]
        )
        high = values > _otsu(values)
        if not high.any() or high.all():
            return Cut(np.inf, True)
        ends = float(values[~high].mean()), float(values[high].mean())
        if ends[1] - ends[0] < _LEAST:
            return Cut(np.inf, True)
        background, foreground = ends if self._bright else ends[::-1]
        level = background + _BETWEEN * (foreground - background)
        return Cut(level, self._bright)

    def boxes(self, window: Window) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The objects of a window by their boxes and their centres.

        Returns
        -------
        boxes : ndarray of int64
            (N, 4), (y0, x0, y1, x1), half-open, in model pixels.
        centres : ndarray of float64
            (N, 2), (y, x) in pixels of the plane: of each the point farthest from its edge.
        """
        from scipy.ndimage import distance_transform_edt, find_objects

        labels = self.objects(window)
        boxes, centres = [], []
        for number, (rows, columns) in enumerate(find_objects(labels), start=1):
            inside = np.pad(labels[rows, columns] == number, 1)
            distance = distance_transform_edt(inside)[1:-1, 1:-1]
            y, x = np.unravel_index(distance.argmax(), distance.shape)
            boxes.append((rows.start, columns.start, rows.stop, columns.stop))
            centres.append((rows.start + y, columns.start + x))
        pixels = np.divide(window.shape, window.model_shape)
        at = (np.array(centres, dtype=np.float64).reshape(-1, 2) + 0.5) * pixels - 0.5
        return np.array(boxes, dtype=np.int64).reshape(-1, 4), at + window.origin

    def objects(self, window: Window) -> NDArray[np.int32]:
        """Label the objects of a window, from 1 on, in its model pixels (mh, mw)."""
        from scipy.ndimage import (
            binary_fill_holes,
            binary_opening,
            distance_transform_edt,
            gaussian_filter,
            label,
        )
        from skimage.feature import peak_local_max
        from skimage.segmentation import relabel_sequential, watershed

        if not np.isfinite(self.cut.level):
            return np.zeros(window.model_shape, np.int32)
        diameter = self.diameter * window.scale
        shown = gaussian_filter(self._standing_out(window), _SMOOTH * diameter)
        foreground = shown > self.cut.level if self.cut.bright else shown < self.cut.level
        foreground = binary_opening(foreground, iterations=max(1, int(_SPECK * diameter)))
        foreground = binary_fill_holes(foreground)
        distance = distance_transform_edt(foreground)
        distance = gaussian_filter(distance, _SMOOTH_DISTANCE * diameter)
        parts, _ = label(foreground)
        peaks = peak_local_max(
            distance,
            min_distance=max(1, int(_APART * diameter)),
            labels=parts,
            exclude_border=False,
        )
        markers = np.zeros(parts.shape, np.int32)
        markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
        labels = watershed(-distance, markers, mask=foreground)
        small = np.bincount(labels.ravel()) < np.pi / 4 * (_SMALLEST * diameter) ** 2
        labels[small[labels]] = 0
        return relabel_sequential(labels)[0].astype(np.int32)

    def _standing_out(self, window: Window) -> Floats:
        """The brightness of a window less that of the surround, in model pixels."""
        from scipy.ndimage import gaussian_filter

        grey = self._grey(window)
        sigma = _SURROUND * self.diameter * window.scale
        factor = max(1.0, sigma / 8)
        small = tuple(max(1, round(n / factor)) for n in grey.shape)
        image = torch.from_numpy(grey)[None, None]
        coarse = resize(image, (small[0], small[1]))[0, 0].numpy()
        coarse = gaussian_filter(coarse, sigma / factor)
        surround = resize(torch.from_numpy(coarse)[None, None], (grey.shape[0], grey.shape[1]))
        return grey - surround[0, 0].numpy()

    def _grey(self, window: Window) -> Floats:
        """The mean of the image's channels in model pixels, 0 to 255."""
        channels = len(self.mapping.limits)
        return read_window(self.source, self.mapping, window)[0, :channels].mean(dim=0).numpy()

    @cached_property
    def _windows(self) -> list[Window]:
        """Of windows spread over the image those with the most contrast: elsewhere is nothing."""
        octave = octaves_of(self._given, 0, self._input_size)[0]
        planes = _spread(list(product(*map(range, self.source.plane_shape))), _LOOKED_AT)
        shape = self.source.yx_shape(self.level)
        each = -(-_LOOKED_AT // len(planes))
        windows = [
            window
            for plane in planes
            for window in _spread(
                grid(shape, self._input_size, octave, plane=plane, level=self.level), each
            )
        ]
        if len(windows) <= _SAMPLE:
            return windows
        contrast = [self._contrast(window) for window in windows]
        best = np.argsort(np.negative(contrast), kind="stable")[:_SAMPLE]
        return [windows[i] for i in sorted(best.tolist())]

    def _contrast(self, window: Window) -> float:
        size = min(_GLANCE, window.side)
        glance = Window(window.plane, window.level, window.origin, window.side, window.shape, size)
        return float(self._grey(glance).std())

    @cached_property
    def _sampled(self) -> Floats:
        parts = [self._grey(window)[::_STRIDE, ::_STRIDE].ravel() for window in self._windows]
        return np.concatenate(parts)

    @cached_property
    def _otsu(self) -> float:
        return _otsu(self._sampled)

    @cached_property
    def _bright(self) -> bool:
        return bool((self._sampled > self._otsu).mean() <= 0.5)


def _otsu(values: Floats) -> float:
    from skimage.filters import threshold_otsu

    return float(threshold_otsu(values))


def _spread(items: list, limit: int) -> list:
    """At most `limit` of a list, evenly from its first to its last."""
    if len(items) <= limit:
        return items
    return [items[(2 * i + 1) * len(items) // (2 * limit)] for i in range(limit)]
