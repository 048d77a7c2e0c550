"""Where there is something: windows of bare background need not be searched."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.embedding.encode import read_window
from napari_hqsam.images import ImageSource, IntensityMapping
from napari_hqsam.images.windows import Window

Floats = NDArray[np.float32]

# Pixels of the overview along the side of a window: what spans an eighth of it has 16 of them.
_OVERVIEW = 128
# Windows that the background is learnt from, and the side of a block of their overviews.
_SAMPLE, _BLOCK = 64, 16
# Sides of the squares whose means show what is too faint to stand out of the noise of pixels.
_SQUARES = (1, 3, 9)
# How far a mean may lie from the background, in its standard deviations: of 16,000 pixels of mere
# noise hardly one lies farther off than 5.
_FAR = 6.0
# Differences that count for nothing, in steps of 8-bit intensity: of a pixel, and of a mean.
_NOTHING, _NOTHING_OF_MEAN = 1.5, 0.75
_PATCH = 4  # side of those that a flat block has alike
# Of the blocks that are sampled, how many must be background, and how many of them must agree.
_SHARE, _FEWEST, _AGREE = 0.02, 4, 0.9
_CLOSE = 6.0  # to the level of the background


@dataclass(frozen=True, eq=False)
class Background:
    """What bare background looks like in an overview.

    Attributes
    ----------
    level : ndarray
        (3,) its colour, 0 to 255.
    noise : float
        Standard deviation of a pixel, in the noisiest channel.
    """

    level: Floats
    noise: float


class Tissue:
    """Which windows of an image may show objects.

    A window is left out only if all of its overview is flat and has the colour of the background:
    what is flat and alike in many places of the image. An object fainter than the noise of single
    pixels still counts, and so does a dark one on bright ground. If nothing clearly is background,
    no window is left out.

    Parameters
    ----------
    source : ImageSource
        It is read window by window, coarsely where it has a pyramid.
    mapping : IntensityMapping
    level : int
        Pyramid level of the windows.
    """

    def __init__(self, source: ImageSource, mapping: IntensityMapping, level: int) -> None:
        self._source, self._mapping, self._level = source, mapping, level
        self._backgrounds: dict[int, Background | None] = {}

    def __contains__(self, window: Window) -> bool:
        """Whether there may be something in a window."""
        background = self.background(window.side)
        return background is None or not _bare(self._overview(window), background)

    def background(self, side: int) -> Background | None:
        """What background looks like in overviews of windows of a side; None if there is none."""
        if side not in self._backgrounds:
            blocks = [b for w in self._sampled(side) for b in _blocks(self._overview(w))]
            self._backgrounds[side] = _background(blocks)
        return self._backgrounds[side]

    def _overview(self, window: Window) -> Floats:
        """(3, h, w) of a window, 0 to 255; of 128 pixels at most along each side."""
        size = min(_OVERVIEW, window.side)
        coarse = Window(window.plane, window.level, window.origin, window.side, window.shape, size)
        return read_window(self._source, self._mapping, coarse)[0].numpy()

    def _sampled(self, side: int) -> list[Window]:
        """Windows of a side spread over the image, which a given image always gives alike."""
        plane_shape, shape = self._source.plane_shape, self._source.yx_shape(self._level)
        n_planes = math.prod(plane_shape)
        found: dict[Window, None] = {}
        for i in range(_SAMPLE):
            at = np.unravel_index((2 * i + 1) * n_planes // (2 * _SAMPLE), plane_shape or (1,))
            plane = tuple(int(k) for k in at) if plane_shape else ()
            # the R2 sequence covers a rectangle evenly, whatever the number of points
            shares = (0.5 + i * 0.7548776662466927) % 1, (0.5 + i * 0.5698402909980532) % 1
            origin = [
                int(share * (max(n - side, 0) + 1)) for share, n in zip(shares, shape, strict=True)
            ]
            inside = [min(side, n - o) for n, o in zip(shape, origin, strict=True)]
            y, x = origin
            h, w = inside
            found[Window(plane, self._level, (y, x), side, (h, w), side)] = None
        return list(found)


def _bare(overview: Floats, background: Background) -> bool:
    """Whether an overview (3, h, w) shows nothing but background."""
    from scipy.ndimage import uniform_filter

    middle = np.median(overview, axis=(1, 2))
    if np.abs(middle - background.level).max() > _CLOSE + background.noise:
        return False
    for side in _SQUARES:
        means = overview if side == 1 else uniform_filter(overview, (0, side, side))
        nothing = _NOTHING if side == 1 else _NOTHING_OF_MEAN
        off = float(np.abs(means - middle[:, None, None]).max())
        if off > _FAR * background.noise / side + nothing:
            return False
    return True


def _blocks(overview: Floats) -> list[Floats]:
    """The square blocks (3, n, n) of an overview; what is left over at its end does not count."""
    _, h, w = overview.shape
    n = min(_BLOCK, h, w)
    return [
        overview[:, y : y + n, x : x + n]
        for y in range(0, h - n + 1, n)
        for x in range(0, w - n + 1, n)
    ]


def _background(blocks: list[Floats]) -> Background | None:
    """What the quietest flat blocks have in common; None if they are few, or disagree."""
    noise = np.array([_noise(block) for block in blocks])
    flat = np.array([_flat(b, s) for b, s in zip(blocks, noise, strict=True)], dtype=bool)
    if not flat.any():
        return None
    quiet = flat & (noise <= 2 * np.percentile(noise[flat], 5) + 0.5)
    if np.count_nonzero(quiet) < max(_FEWEST, _SHARE * len(blocks)):
        return None
    levels = np.array([block.mean(axis=(1, 2)) for block in blocks])[quiet]
    level = np.median(levels, axis=0)
    close = np.abs(levels - level).max(axis=1) <= _CLOSE
    if close.mean() < _AGREE:
        return None
    return Background(level.astype(np.float32), float(np.median(noise[quiet])))


def _noise(block: Floats) -> float:
    """Standard deviation of the pixels, from neighbours: a slope across the block is no noise."""
    steps = np.diff(block, axis=2)
    return float(steps.std(axis=(1, 2)).max() / math.sqrt(2)) if steps.size else 0.0


def _flat(block: Floats, noise: float) -> bool:
    """Whether the patches of a block differ no more than noise makes them."""
    means = _patches(block)
    spread = means.max(axis=(1, 2)) - means.min(axis=(1, 2))
    return bool(spread.max() <= _FAR * noise / _PATCH + 2 * _NOTHING_OF_MEAN)


def _patches(overview: Floats) -> Floats:
    """Means (3, h', w') of patches of an overview; of a narrow one of fewer pixels."""
    _, h, w = overview.shape
    n, m = min(_PATCH, h), min(_PATCH, w)
    rows, columns = h // n, w // m
    cut = overview[:, : rows * n, : columns * m]
    return cut.reshape(3, rows, n, columns, m).mean(axis=(2, 4))
