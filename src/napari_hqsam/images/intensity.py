"""One intensity mapping for a whole image: from its numbers to the 0..255 that SAM expects."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.errors import HQSAMError
from napari_hqsam.images.source import Box, ImageSource

_SAMPLE = 512  # side of the boxes sampled from planes too large to read
_MAX_BOXES = 256


@dataclass(frozen=True)
class IntensityMapping:
    """A straight line per channel from limits (low, high) to 0..255, clipped at both ends.

    It is fixed once for an image and serves every window of it, so that one object looks the
    same in two windows. It is hashable: what is kept of an image is keyed by it.

    Attributes
    ----------
    limits : tuple of (float, float)
        Low and high for each of one to three channels, in the numbers of the image. Where both
        are equal the line becomes a step: what lies above is white, the rest black.
    """

    limits: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.limits) <= 3:
            raise HQSAMError(f"contrast limits: {len(self.limits)} channels; 1 to 3 are possible")
        for low, high in self.limits:
            if not (math.isfinite(low) and math.isfinite(high) and low <= high):
                raise HQSAMError(
                    f"contrast limits ({low}, {high}): give two finite numbers, the lower first"
                )

    @classmethod
    def from_limits(
        cls, limits: Sequence[float] | Sequence[Sequence[float]], n_channels: int = 1
    ) -> IntensityMapping:
        """Make a mapping from given limits, such as the contrast limits of a napari layer.

        Parameters
        ----------
        limits : (float, float) or sequence of (float, float)
            One pair for all channels, or one for each.
        n_channels : int
            Number of channels that are read from the image: ``len(source.channels)``.
        """
        try:
            values = np.asarray(limits, dtype=float)
        except (TypeError, ValueError):
            values = np.empty(0)
        if values.shape == (2,):
            values = np.tile(values, (n_channels, 1))
        if values.shape != (n_channels, 2):
            raise HQSAMError(
                f"contrast limits {limits!r}: give (low, high), or one such pair for each of the "
                f"{n_channels} channel(s)"
            )
        return cls(tuple((low, high) for low, high in values.tolist()))

    @classmethod
    def from_percentiles(
        cls,
        source: ImageSource,
        low: float = 0.1,
        high: float = 99.9,
        max_pixels: int = 4_000_000,
    ) -> IntensityMapping:
        """Make the mapping of an image from percentiles of a sample of its pixels.

        An 8-bit colour image keeps its numbers, because it is what SAM was trained on, and so
        does a boolean image, as black and white. The channels of other colour images share their
        limits, which keeps the hues; of all other images each channel has its own.

        Parameters
        ----------
        source : ImageSource
            The image, whichever way it is turned. All of it is used if it is small; otherwise
            boxes of level 0 spread evenly over its planes, which a given image always gives alike.
        low, high : float
            The percentiles, 0 to 100. NaN and infinities do not count.
        max_pixels : int
            Pixels to read, in each channel.
        """
        if not 0 <= low < high <= 100:
            raise HQSAMError(f"percentiles {low} and {high}: choose 0 <= low < high <= 100")
        n = len(source.channels)
        if source.dtype == bool:
            return cls(((0.0, 1.0),) * n)
        if source.rgb and source.dtype == np.uint8:
            return cls(((0.0, 255.0),) * n)
        sample = [pixels.reshape(-1, n) for pixels in _sample(source.upright, max_pixels)]
        if source.rgb:
            return cls((_limits([pixels.ravel() for pixels in sample], low, high),) * n)
        return cls(tuple(_limits([pixels[:, c] for pixels in sample], low, high) for c in range(n)))

    @classmethod
    def choose(
        cls,
        source: ImageSource,
        limits: Sequence[float] | Sequence[Sequence[float] | None] | None = None,
    ) -> IntensityMapping:
        """Make the mapping of an image from given limits, and percentiles where none are given.

        Parameters
        ----------
        source : ImageSource
            The image. It is read only if limits are missing.
        limits : (float, float), or sequence of (float, float) or None, optional
            One pair for all channels, or for each channel a pair or None.
        """
        if limits is None:
            return cls.from_percentiles(source)
        n = len(source.channels)
        try:
            given = list(limits)
        except TypeError:
            given = []
        if len(given) != n or not any(pair is None for pair in given):
            return cls.from_limits(limits, n)  # type: ignore[arg-type]
        found = cls.from_percentiles(source).limits
        pairs: list[Any] = [f if g is None else g for g, f in zip(given, found, strict=True)]
        return cls.from_limits(pairs, n)

    def apply(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Map pixels to what the network takes.

        Parameters
        ----------
        pixels : numpy.ndarray
            Shape (height, width, channels), any real dtype, as `ImageSource.read` returns them.

        Returns
        -------
        numpy.ndarray
            Shape (height, width, 3), float32 in 0..255. One channel is repeated; two become red
            and green, with blue 0. NaN becomes 0.
        """
        n = len(self.limits)
        if pixels.ndim != 3 or pixels.shape[2] != n:
            raise HQSAMError(
                f"pixels of shape {pixels.shape}: this intensity mapping is for {n} channel(s)"
            )
        # float32 would blur the last digits of large integers and of doubles
        work = np.result_type(pixels.dtype, np.float32)
        out = np.zeros((*pixels.shape[:2], 3), np.float32)
        for c, (low, high) in enumerate(self.limits):
            channel = pixels[:, :, c].astype(work)
            with np.errstate(all="ignore"):
                if high > low:
                    channel = (channel - low) * (255.0 / (high - low))
                else:
                    channel = np.where(channel > low, 255.0, 0.0)
                out[:, :, c] = np.nan_to_num(np.clip(channel, 0.0, 255.0), nan=0.0)
        if n == 1:
            out[:, :, 1:] = out[:, :, :1]
        return out


def _limits(parts: list[NDArray[Any]], low: float, high: float) -> tuple[float, float]:
    """Percentiles of what is finite; the extremes where the percentiles coincide."""
    values = np.concatenate(parts)
    if values.dtype.kind == "f":
        # float16 has too few digits to interpolate percentiles in
        values = values[np.isfinite(values)].astype(np.result_type(values.dtype, np.float32))
    if values.size == 0:
        return 0.0, 1.0
    lower, upper = (float(v) for v in np.percentile(values, (low, high)))
    if not lower < upper:
        lower, upper = float(values.min()), float(values.max())
    return lower, upper


def _sample(source: ImageSource, max_pixels: int) -> Iterator[NDArray[Any]]:
    """Read the whole image if it is small, else boxes spread over it; each read is bounded."""
    height, width = source.yx_shape()
    n_planes = math.prod(source.plane_shape)
    if n_planes * height * width <= max_pixels:
        h, w, n_boxes = height, width, n_planes
    else:
        h, w = min(_SAMPLE, height), min(_SAMPLE, width)
        n_boxes = min(max(1, max_pixels // (h * w)), _MAX_BOXES)
    boxes: dict[tuple[int, ...], list[Box]] = {}
    for i in range(n_boxes):
        flat = (2 * i + 1) * n_planes // (2 * n_boxes)
        plane = tuple(int(k) for k in np.unravel_index(flat, source.plane_shape or (1,)))
        plane = plane if source.plane_shape else ()
        # the R2 sequence covers a rectangle evenly, whatever the number of points
        y0 = int(((0.5 + i * 0.7548776662466927) % 1) * (height - h + 1))
        x0 = int(((0.5 + i * 0.5698402909980532) % 1) * (width - w + 1))
        boxes.setdefault(plane, []).append((plane, y0, x0, y0 + h, x0 + w))
    for of_plane in boxes.values():
        yield from source.read_many(of_plane)
