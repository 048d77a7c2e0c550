"""Prompts made from true masks, as a user would give them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from napari_hqsam.modeling import PromptBatch
from napari_hqsam.segmentation.prompts import STROKE_POINTS

# How many boxes are exact, and by which share of their side the corners of others are off.
_EXACT, _NEAR, _FAR = 0.7, 0.05, 0.25


def exact_boxes(masks: Tensor) -> Tensor:
    """Tight boxes of (N, S, S) masks: (N, 4) x0, y0, x1, y1, the outermost pixel centres."""
    out = []
    for mask in masks > 0.5:
        ys, xs = torch.where(mask)
        out.append(torch.stack([xs.min(), ys.min(), xs.max(), ys.max()]))
    return torch.stack(out).float()


def drawn_boxes(masks: Tensor, generator: torch.Generator) -> Tensor:
    """Boxes as people draw them: most exact, others nearly so, some not, (N, 4)."""
    boxes = exact_boxes(masks)
    kind = torch.rand((len(boxes), 1), generator=generator).to(boxes.device)
    amount = torch.where(kind < _EXACT, 0.0, torch.where(kind < 0.9, _NEAR, _FAR))
    shift = torch.rand(boxes.shape, generator=generator).to(boxes.device) * 2 - 1
    side = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    moved = (boxes + shift * amount * side).clamp(0, masks.shape[-1] - 1)
    return torch.cat([torch.minimum(moved[:, :2], boxes[:, 2:]), moved[:, 2:]], dim=1)


def random_points(region: Tensor, generator: torch.Generator) -> Tensor:
    """One point (N, 1, 2), (x, y), in each non-empty region of (N, S, S)."""
    out = []
    for mask in region > 0.5:
        pixels = torch.nonzero(mask)
        y, x = pixels[torch.randint(len(pixels), (), generator=generator)]
        out.append(torch.stack([x, y]))
    return torch.stack(out)[:, None].float()


def strokes(masks: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` strokes along each of (N, S, S) masks, as points (N, count * STROKE_POINTS, 2).

    A stroke is a path between two pixels far from each other that keeps to the middle.
    """
    grids = F.max_pool2d(masks[:, None], 4)[:, 0].cpu().numpy() > 0.5
    seed = int(torch.randint(2**31, (), generator=generator))
    paths = [_paths(grid, count, np.random.default_rng((seed, i))) for i, grid in enumerate(grids)]
    return (torch.from_numpy(np.stack(paths)) * 4 + 1.5).float().to(masks.device)


def _paths(grid: NDArray[np.bool_], count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    from scipy.ndimage import distance_transform_edt
    from skimage.graph import route_through_array

    depth = distance_transform_edt(grid)
    costs = np.where(grid, 1 + 6 / (depth + 0.5), 200.0)
    pixels = np.argwhere(grid)
    out = []
    for _ in range(count):
        start = pixels[rng.integers(len(pixels))]
        others = pixels[rng.integers(len(pixels), size=8)]
        end = others[np.hypot(*(others - start).T).argmax()]
        route, _ = route_through_array(costs, start, end)
        path = np.asarray(route, dtype=np.float64)
        at = np.linspace(0, len(path) - 1, STROKE_POINTS)
        out.append(np.stack([np.interp(at, np.arange(len(path)), path[:, i]) for i in (1, 0)], 1))
    return np.concatenate(out)


def rough_logits(masks: Tensor, generator: torch.Generator) -> Tensor:
    """Low-res logits (N, 1, S/4, S/4) of masks as a coarser window would have given them.

    The masks are averaged down, up to eightfold below the stride of a low-res mask, shifted
    towards too wide or too narrow, disturbed, and in places lost.
    """
    n, size = masks.shape[0], masks.shape[-1]
    down = 4 * int(2 ** (3.2 * torch.rand((), generator=generator).item()))
    side = max(4, size // down)

    def field(cells: int) -> Tensor:
        noise = torch.randn((n, 1, cells, cells), generator=generator).to(masks.device)
        return F.interpolate(noise, (side, side), mode="bicubic")

    share = F.interpolate(masks[:, None], (side, side), mode="area")
    uniform = torch.rand((3, n, 1, 1, 1), generator=generator).to(masks.device)
    logits = 2 * share - 1 + 0.8 * (uniform[0] - 0.5)
    logits = logits + 0.4 * uniform[1] * field(max(4, side // 4))
    lost = (field(6) > 1.2) & (uniform[2] < 0.5)
    logits = torch.where(lost, logits.clamp(max=-0.5), logits)
    strength = 2 + 8 * torch.rand((n, 1, 1, 1), generator=generator).to(masks.device)
    return F.interpolate(logits * strength, (size // 4, size // 4), mode="bilinear")


def first_prompts(masks: Tensor, kind: str, generator: torch.Generator) -> PromptBatch:
    """The prompt that starts an object.

    Parameters
    ----------
    masks : Tensor
        (N, S, S) truth.
    kind : {"box", "point", "box+point", "strokes", "mask"}
        "mask" is a rough mask, half of the time with a box as well.
    generator : torch.Generator
    """
    points = labels = boxes = rough = None

    def maybe() -> bool:
        return torch.rand((), generator=generator).item() < 0.5

    if "point" in kind:
        points = random_points(masks, generator)
    elif kind == "strokes":
        points = strokes(masks, 1 + maybe(), generator)
    elif kind == "mask":
        rough = rough_logits(masks, generator)
    if "box" in kind or (kind == "mask" and maybe()):
        boxes = drawn_boxes(masks, generator)
    if points is not None:
        labels = torch.ones(points.shape[:2], device=points.device)
    return PromptBatch(points, labels, boxes, rough)


def correction(
    prompts: PromptBatch, logits: Tensor, masks: Tensor, generator: torch.Generator
) -> PromptBatch:
    """Add a click in the error of `logits`: positive in what is missed, negative in what is not.

    Where there is both, the odds are those of the roots of their areas: the larger error is more
    likely to be clicked, but a model that sees few negative clicks takes them for positive ones.

    Parameters
    ----------
    prompts : PromptBatch
        What has been given so far.
    logits : Tensor
        (N, 1, S/4, S/4) of the prediction, given back as the mask prompt.
    masks : Tensor
        (N, S, S) truth.
    generator : torch.Generator
    """
    size = masks.shape[-1]
    predicted = F.interpolate(logits, (size, size), mode="bilinear")[:, 0] > 0
    truth = masks > 0.5
    missed, too_much = truth & ~predicted, predicted & ~truth
    areas = torch.stack([missed, too_much]).flatten(2).sum(2).float()
    share = areas[0].sqrt() / areas.sqrt().sum(0).clamp(min=1)
    positive = torch.rand(len(masks), generator=generator).to(masks.device) < share
    region = torch.where(positive[:, None, None], missed, too_much)
    perfect = areas.sum(0) == 0
    positive, region = positive | perfect, torch.where(perfect[:, None, None], truth, region)
    new = random_points(region, generator)
    label = positive.float()[:, None]
    if prompts.points is None or prompts.labels is None:
        points, labels = new, label
    else:
        points = torch.cat([prompts.points, new], dim=1)
        labels = torch.cat([prompts.labels, label], dim=1)
    return PromptBatch(points, labels, prompts.boxes, logits.detach())
