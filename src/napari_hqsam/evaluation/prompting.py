"""Prompts made from true masks, as a user would give them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.errors import HQSAMError
from napari_hqsam.evaluation.detection import Located
from napari_hqsam.evaluation.metrics import BoolArray
from napari_hqsam.evaluation.strokes import strokes_along
from napari_hqsam.images.windows import CONTEXT
from napari_hqsam.segmentation import Prompts

Shape = tuple[int, int]
Maker = Callable[[Located, Shape, np.random.Generator], Prompts]

# A negative click lies this far outside the object, as shares of the root of its area...
_NEAR, _FAR = 0.05, 0.5
# ... but where the boundary is not in doubt: in pixels.
_CLEAR = 2.0
_TRIALS = 3
# The official recipe makes coarse masks at this size.
_COARSE = 256

PROMPT_NAMES = (
    "box",
    "box-noise-0.2",
    "click",
    "clicks-3",
    "clicks-3-neg",
    "strokes-2",
    "mask",
    "correction",
    "click-then-negative",
    "box-then-negative",
)


@dataclass(frozen=True)
class PromptKind:
    """A way to prompt objects.

    Attributes
    ----------
    name : str
    about : str
        In words.
    make : callable
        (true object, shape of the plane, generator) → the first prompts.
    trials : int
        How often it is drawn; the figures are means.
    then : {"", "correct", "negative"}
        What follows the first prediction: nothing, clicks in its errors, or one negative click.
    """

    name: str
    about: str
    make: Maker
    trials: int = 1
    then: Literal["", "correct", "negative"] = ""


def prompt_kind(name: str) -> PromptKind:
    """Find the way to prompt that is called `name`; numbers in it may be changed.

    Raises
    ------
    HQSAMError
        If there is none.
    """
    match re.split(r"-(?=[\d.])", name, maxsplit=1):
        case ["box"]:
            return PromptKind(name, "the exact box", exact_box)
        case ["box-noise", amount] if _is_number(amount) and float(amount) <= 1:
            about = f"a box that is off by up to {float(amount):.0%} of its side"
            return PromptKind(name, about, partial(noisy_box, amount=float(amount)))
        case ["click"]:
            return PromptKind(name, "one click, farthest from the edge", centre_click)
        case ["clicks", count] if _is_count(count.removesuffix("-neg")):
            n = int(count.removesuffix("-neg"))
            negative = n if count.endswith("-neg") else 0
            about = f"{n} random click{'s' if n > 1 else ''} on the object"
            about += f" and {n} beside it" if negative else ""
            make = partial(random_clicks, positive=n, negative=negative)
            return PromptKind(name, f"{about}, mean of {_TRIALS} trials", make, _TRIALS)
        case ["strokes", count] if _is_count(count):
            about = f"{count} stroke{'s' if count != '1' else ''} along the object"
            return PromptKind(name, about, partial(strokes, count=int(count)))
        case ["mask"]:
            return PromptKind(name, "a coarse mask", rough_mask)
        case ["correction"]:
            about = "clicks in the middle of the largest error, one after the other"
            return PromptKind(name, about, centre_click, then="correct")
        case ["click-then-negative"]:
            about = "one click, then a negative click in what is too much"
            return PromptKind(name, about, centre_click, then="negative")
        case ["box-then-negative"]:
            about = "the exact box, then a negative click in what is too much"
            return PromptKind(name, about, exact_box, then="negative")
    raise HQSAMError(f"prompt {name!r} is unknown: use one like {', '.join(PROMPT_NAMES)}")


def exact_box(truth: Located, shape: Shape, rng: np.random.Generator) -> Prompts:
    """The box of the outermost pixels."""
    y0, x0, y1, x1 = truth.bbox
    return Prompts(box=(y0, x0, y1 - 1, x1 - 1))


def noisy_box(truth: Located, shape: Shape, rng: np.random.Generator, amount: float) -> Prompts:
    """A box that is off: its centre by up to `amount` of half its side, its sides by `amount`.

    As in HQ-SAM's appendix; cut to the plane.
    """
    low, high = np.reshape(truth.bbox, (2, 2)).astype(float)
    side = high - low
    centre = (low + high) / 2 + amount * rng.uniform(-1, 1, 2) * side / 2
    side = np.maximum(1, side * (1 + amount * rng.uniform(-1, 1, 2)))
    low = np.clip(centre - side / 2, 0, np.subtract(shape, 1))
    high = np.clip(centre + side / 2, low + 1, shape)
    last = np.maximum(low, high - 1)
    return Prompts(box=(*low.tolist(), *last.tolist()))


def centre_click(truth: Located, shape: Shape, rng: np.random.Generator) -> Prompts:
    """A click on the pixel that is farthest from the object's edge."""
    return Prompts(points=[np.add(middle(truth.data), truth.bbox[:2])])


def random_clicks(
    truth: Located, shape: Shape, rng: np.random.Generator, positive: int, negative: int = 0
) -> Prompts:
    """Clicks on random pixels of the object, and on random pixels that are near but not of it."""
    inside = np.argwhere(truth.data) + truth.bbox[:2]
    points = _draw(inside, positive, rng)
    labels = [1] * len(points)
    if negative:
        reach = max(_FAR * np.sqrt(len(inside)), 4 * _CLEAR)
        mask, origin = surroundings(truth, shape, int(np.ceil(reach)))
        away = _away(mask)
        ring = np.argwhere((away > max(_CLEAR, _NEAR * np.sqrt(len(inside)))) & (away <= reach))
        if len(ring):  # else the object fills the plane
            points = np.concatenate([points, _draw(ring + origin, negative, rng)])
            labels += [0] * negative
    return Prompts(points=points, labels=labels)


def strokes(truth: Located, shape: Shape, rng: np.random.Generator, count: int) -> Prompts:
    """Strokes along the object, see `strokes_along`."""
    return Prompts(scribble=[s + truth.bbox[:2] for s in strokes_along(truth.data, count)])


def rough_mask(truth: Located, shape: Shape, rng: np.random.Generator) -> Prompts:
    """A coarse mask by HQ-SAM's recipe, in a square around the object brought to 256²."""
    import torch
    from torch.nn import functional as F

    from napari_hqsam.evaluation.coarse import coarse_mask

    extent = max(truth.data.shape)
    crop, (y0, x0) = surroundings(truth, shape, int(np.ceil((CONTEXT - 1) / 2 * extent)))
    side = max(crop.shape)
    square = np.zeros((side, side), np.float32)
    square[: crop.shape[0], : crop.shape[1]] = crop
    share = F.interpolate(
        torch.from_numpy(square)[None, None], (_COARSE, _COARSE), mode="bilinear", antialias=True
    )
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    coarse = coarse_mask((share > 0.5).float(), generator)
    back = F.interpolate(coarse, (side, side), mode="bilinear", antialias=True)[0, 0].numpy() > 0.5
    out = np.zeros(shape, dtype=bool)
    out[y0 : y0 + crop.shape[0], x0 : x0 + crop.shape[1]] = back[: crop.shape[0], : crop.shape[1]]
    if not out.any():  # finer than the coarse grid
        out[y0 : y0 + crop.shape[0], x0 : x0 + crop.shape[1]] = crop
    return Prompts(mask=out)


def correction_click(
    truth: Located, predicted: Located, taken: NDArray[np.float64]
) -> tuple[tuple[int, int], int] | None:
    """The click in the middle of the largest error, as measured by the disc that fits into it.

    Parameters
    ----------
    truth, predicted : Located
    taken : ndarray
        (P, 2), (y, x) of the clicks before; a pixel is not clicked on twice.

    Returns
    -------
    ((y, x), label) or None
        Label 1 where something was missed, 0 where the mask is too large; None without error.
    """
    t, p, origin = on_one_grid(truth, predicted)
    free = np.ones(t.shape, dtype=bool)
    at = np.rint(taken - origin).astype(int)
    at = at[((at >= 0) & (at < t.shape)).all(axis=1)]
    free[tuple(at.T)] = False
    depths = {0: _depth(p & ~t) * free, 1: _depth(t & ~p) * free}
    label = int(depths[1].max() >= depths[0].max())
    if not depths[label].any():
        return None
    y, x = np.unravel_index(int(depths[label].argmax()), t.shape)
    return (int(y) + origin[0], int(x) + origin[1]), label


def negative_click(
    truth: Located, predicted: Located, shape: Shape, rng: np.random.Generator
) -> tuple[tuple[int, int], bool] | None:
    """A click in the middle of the largest part that is too much; without one, next to the object.

    Returns
    -------
    ((y, x), bool) or None
        Where, and whether the mask is there; None if the object fills the plane.
    """
    from scipy.ndimage import label

    t, p, origin = on_one_grid(truth, predicted)
    parts, count = label(p & ~t, np.ones((3, 3)))
    if count:
        largest = parts == np.bincount(parts.ravel())[1:].argmax() + 1
        y, x = middle(largest)
        return (y + origin[0], x + origin[1]), True
    mask, origin = surroundings(truth, shape, int(2 * _CLEAR))
    away = _away(mask)
    beside = np.argwhere((away > _CLEAR - 1) & (away <= 2 * _CLEAR))
    if not len(beside):
        return None
    y, x = _draw(beside + origin, 1, rng)[0]
    return (int(y), int(x)), False


def middle(region: BoolArray) -> tuple[int, int]:
    """(y, x) of the pixel that is farthest from the edge of a region (H, W)."""
    y, x = np.unravel_index(int(_depth(region).argmax()), region.shape)
    return int(y), int(x)


def on_one_grid(a: Located, b: Located) -> tuple[BoolArray, BoolArray, tuple[int, int]]:
    """Both masks on the smallest part of the plane that holds them, and the origin of that."""
    boxes = [m.bbox for m in (a, b) if m.data.size] or [a.bbox]
    low, high = np.min(boxes, axis=0)[:2], np.max(boxes, axis=0)[2:]
    out = []
    for mask in (a, b):
        canvas = np.zeros(high - low, dtype=bool)
        if mask.data.size:
            y, x = np.subtract(mask.bbox[:2], low)
            canvas[y : y + mask.data.shape[0], x : x + mask.data.shape[1]] = mask.data
        out.append(canvas)
    return out[0], out[1], (int(low[0]), int(low[1]))


def surroundings(mask: Located, shape: Shape, margin: int) -> tuple[BoolArray, tuple[int, int]]:
    """A mask with `margin` pixels around its box, as far as the plane goes; and its origin."""
    low = np.maximum(0, np.subtract(mask.bbox[:2], margin))
    high = np.minimum(shape, np.add(mask.bbox[2:], margin))
    canvas = np.zeros(high - low, dtype=bool)
    y, x = np.subtract(mask.bbox[:2], low)
    canvas[y : y + mask.data.shape[0], x : x + mask.data.shape[1]] = mask.data
    return canvas, (int(low[0]), int(low[1]))


def _depth(region: BoolArray) -> NDArray[np.float64]:
    """Distance to the edge of a region; beyond the array is outside."""
    from scipy.ndimage import distance_transform_edt

    return np.asarray(distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1])


def _away(mask: BoolArray) -> NDArray[np.float64]:
    """Distance to a mask; 0 in it."""
    from scipy.ndimage import distance_transform_edt

    return np.asarray(distance_transform_edt(~mask))


def _draw(pixels: NDArray[np.intp], count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    chosen = rng.choice(len(pixels), count, replace=len(pixels) < count)
    return pixels[chosen].astype(np.float64)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\d*\.?\d+", text) is not None


def _is_count(text: str) -> bool:
    return text.isdecimal() and int(text) > 0
