"""Pictures of objects: what was prompted, and where the masks are right and wrong."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.evaluation.detection import Located
from napari_hqsam.evaluation.metrics import mask_iou
from napari_hqsam.evaluation.prompting import on_one_grid
from napari_hqsam.evaluation.scores import Scores, foremost
from napari_hqsam.images import open_image
from napari_hqsam.images.intensity import IntensityMapping

if TYPE_CHECKING:
    from PIL import Image

    from napari_hqsam.segmentation import Prompts

# Longest side of a picture, in pixels.
_SIDE = 420
# What is shown around an object, as a share of its extent, and in pixels at least.
_MARGIN, _LEAST = 0.25, 8
# Colours that are told apart with any colour vision (Okabe and Ito), and how much they cover.
AGREED, MISSED, EXTRA = (0, 158, 115), (230, 159, 0), (86, 180, 233)
_COVER = {AGREED: 0.35, MISSED: 0.8, EXTRA: 0.8}
_POSITIVE, _NEGATIVE = (0, 158, 115), (213, 94, 0)

View = tuple[int, int, int, int]
"""(y0, x0, y1, x1): the part of an image that is shown."""


@dataclass(frozen=True, eq=False)
class Example:
    """One object: its part of the image, its prompts, its masks; compressed.

    Attributes
    ----------
    image : str
    label : int
    ious : dict of str to float
        Of the masks that are shown, by method; where there were several trials, of the first.
    """

    image: str
    label: int
    ious: dict[str, float]
    _view: View
    _picture: bytes
    _truth: NDArray[np.uint8]
    _masks: dict[str, NDArray[np.uint8]]
    _box: tuple[float, float, float, float] | None
    _points: NDArray[np.float64]
    _labels: NDArray[np.int64]
    _rough: NDArray[np.uint8] | None

    def prompted(self) -> Image.Image:
        """The image with the prompts."""
        from PIL import ImageDraw

        small = self._pixels()
        if self._rough is not None:
            _cover(small, self._mask(self._rough), EXTRA)
        picture = self._magnified(small)
        draw = ImageDraw.Draw(picture)
        scale = picture.width / (self._view[3] - self._view[1])

        def place(y: float, x: float) -> tuple[float, float]:
            return (x - self._view[1] + 0.5) * scale, (y - self._view[0] + 0.5) * scale

        if self._box is not None:
            y0, x0, y1, x1 = self._box
            corners = [place(y0 - 0.5, x0 - 0.5), place(y1 + 0.5, x1 + 0.5)]
            draw.rectangle(corners, outline="black", width=4)
            draw.rectangle(corners, outline=EXTRA, width=2)
        for point, label in zip(self._points, self._labels, strict=True):
            x, y = place(*point)
            colour = _POSITIVE if label else _NEGATIVE
            draw.ellipse((x - 6, y - 6, x + 6, y + 6), fill=colour, outline="white", width=1)
            draw.line((x - 3, y, x + 3, y), fill="white", width=2)
            if label:
                draw.line((x, y - 3, x, y + 3), fill="white", width=2)
        return picture

    def compared(self, method: str) -> Image.Image:
        """The image with what the mask of `method` has right, has missed, and has too much."""
        pixels = self._pixels()
        truth, mask = self._mask(self._truth), self._mask(self._masks[method])
        _cover(pixels, truth & mask, AGREED)
        _cover(pixels, truth & ~mask, MISSED)
        _cover(pixels, mask & ~truth, EXTRA)
        return self._magnified(pixels)

    def _pixels(self) -> NDArray[np.float64]:
        from PIL import Image

        with Image.open(io.BytesIO(self._picture)) as picture:
            return np.asarray(picture.convert("RGB"), np.float64).copy()

    def _mask(self, packed: NDArray[np.uint8]) -> NDArray[np.bool_]:
        height, width = _size(self._view)
        bits = np.unpackbits(packed, count=height * width)
        return bits.reshape(height, width).astype(bool)

    def _magnified(self, pixels: NDArray[np.float64]) -> Image.Image:
        from PIL import Image

        picture = Image.fromarray(pixels.round().astype(np.uint8))
        times = max(1, _SIDE // max(picture.size))
        size = (picture.width * times, picture.height * times)
        return picture.resize(size, Image.Resampling.NEAREST)


class Picture:
    """An image from which examples are cut.

    Parameters
    ----------
    image : ndarray
        (H, W) or (H, W, channels).
    """

    def __init__(self, image: NDArray[Any]) -> None:
        self.image = image if image.ndim == 3 else image[:, :, None]

    @cached_property
    def _mapping(self) -> IntensityMapping:
        return IntensityMapping.from_percentiles(open_image(self.image, axes="yxc"))

    def example(self, scores: Sequence[Scores]) -> Example:
        """One object; `scores` are those of all methods, with their masks."""
        truth, answers = scores[0].truth, {s.method: s.answer for s in scores if s.answer}
        assert truth is not None
        given = answers[foremost(answers)].given
        view = self._view(truth, given)
        return Example(
            scores[0].image,
            scores[0].label,
            {m: mask_iou(*on_one_grid(truth, a.mask)[:2]) for m, a in answers.items()},
            view,
            self._cut(view),
            _pack(truth, view),
            {method: _pack(answer.mask, view) for method, answer in answers.items()},
            given.box,
            given.points,
            given.labels,
            None if given.mask is None else _pack_array(given.mask[_slices(view)], view),
        )

    def _view(self, truth: Located, given: Prompts) -> View:
        low, high = np.reshape(truth.bbox, (2, 2))
        margin = max(_LEAST, round(_MARGIN * float((high - low).max())))
        low, high = low - margin, high + margin
        if len(given.points):
            low = np.minimum(low, given.points.min(axis=0) - _LEAST)
            high = np.maximum(high, given.points.max(axis=0) + _LEAST)
        y0, x0 = np.maximum(low, 0).astype(int)
        y1, x1 = np.minimum(high, self.image.shape[:2]).astype(int)
        return int(y0), int(x0), int(y1), int(x1)

    def _cut(self, view: View) -> bytes:
        from PIL import Image

        part = self.image[_slices(view)][:, :, :3]
        pixels = self._mapping.apply(part).round().astype(np.uint8)
        picture = Image.fromarray(pixels[:, :, 0] if part.shape[2] == 1 else pixels)
        height, width = _size(view)
        return png(picture.resize((width, height), Image.Resampling.BOX), level=1)


def png(picture: Image.Image, level: int = 6) -> bytes:
    """A picture as a PNG file, in memory."""
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=level)
    return out.getvalue()


def _size(view: View) -> tuple[int, int]:
    """(height, width) at which a part of an image is kept: not larger than it is shown."""
    height, width = view[2] - view[0], view[3] - view[1]
    share = min(1.0, _SIDE / max(height, width))
    return max(1, round(height * share)), max(1, round(width * share))


def _slices(view: View) -> tuple[slice, slice]:
    return slice(view[0], view[2]), slice(view[1], view[3])


def _pack(mask: Located, view: View) -> NDArray[np.uint8]:
    """The part of a mask that lies in `view`."""
    part = np.zeros((view[2] - view[0], view[3] - view[1]), dtype=bool)
    low = np.maximum(view[:2], mask.bbox[:2])
    high = np.minimum(view[2:], mask.bbox[2:])
    if (low < high).all():
        here, there = (
            tuple(slice(a, b) for a, b in zip(low - at, high - at, strict=True))
            for at in (view[:2], mask.bbox[:2])
        )
        part[here] = mask.data[there]
    return _pack_array(part, view)


def _pack_array(part: NDArray[np.bool_], view: View) -> NDArray[np.uint8]:
    """Eight pixels in a byte, after shrinking; there, what covers a third of a pixel counts."""
    from PIL import Image

    height, width = _size(view)
    grey = Image.fromarray(part.astype(np.uint8) * 255)
    return np.packbits(np.asarray(grey.resize((width, height), Image.Resampling.BOX)) > 255 / 3)


def _cover(pixels: NDArray[np.float64], region: NDArray[np.bool_], colour: Any) -> None:
    share = _COVER[colour]
    pixels[region] = pixels[region] * (1 - share) + np.multiply(colour, share)
