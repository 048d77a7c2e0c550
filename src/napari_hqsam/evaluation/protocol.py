"""What is measured: each true object is prompted, and the answer compared with the truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_hqsam.evaluation.metrics import boundary_iou, boundary_width, mask_iou
from napari_hqsam.modeling import MODES, HQSam
from napari_hqsam.segmentation import Prompts, Segmenter

BAND = 2


class LabelledImage(Protocol):
    """An image and its objects; `training.data.LabelledPlane` is one."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def image(self) -> NDArray[Any]: ...  # noqa: D102
    @property
    def labels(self) -> NDArray[Any]: ...  # noqa: D102


@dataclass(frozen=True)
class Scores:
    """Figures of one object and one method.

    Attributes
    ----------
    image : str
    label : int
    method : str
        "filled box", "in-box Otsu", or a mode of the model: "sam", "hq", "hq+sam".
    iou : float
    boundary_iou : float
        In a band of `BAND` pixels.
    boundary_iou_2pc : float
        In a band of 2 % of the image's diagonal.
    """

    image: str
    label: int
    method: str
    iou: float
    boundary_iou: float
    boundary_iou_2pc: float


def evaluate(
    model: HQSam,
    images: Sequence[LabelledImage],
    *,
    prompt: Literal["box", "click"] = "box",
    objects_per_image: int = 50,
    smallest: int = 16,
    seed: int = 0,
) -> Iterator[Scores]:
    """Prompt objects and compare with the truth.

    Parameters
    ----------
    model : HQSam
    images : sequence of LabelledImage
    prompt : {"box", "click"}
        The exact box, or one click on the pixel that is farthest from the object's edge.
    objects_per_image : int
        At most so many objects of an image are drawn, at random.
    smallest : int
        Objects of fewer pixels are left out.
    seed : int

    Yields
    ------
    Scores
        For each object: two baselines that need no model, then each mode of the model.
    """
    from skimage.measure import regionprops

    rng = np.random.default_rng(seed)
    for item in images:
        regions = [r for r in regionprops(item.labels) if r.area >= smallest]
        if len(regions) > objects_per_image:
            chosen = rng.choice(len(regions), objects_per_image, replace=False)
            regions = [regions[i] for i in sorted(chosen)]
        if not regions:
            continue
        wide = boundary_width(item.labels.shape)
        prompts = [_exact_box(r) if prompt == "box" else _centre(r) for r in regions]
        with Segmenter(item.image, model=model) as segmenter:
            modes = [m for m in MODES if m == "sam" or model.has_hq]
            masks = {m: segmenter.predict_many(prompts, mode=m) for m in modes}
        grey = _grey(item.image)
        for i, region in enumerate(regions):
            truth = item.labels == region.label
            y0, x0, y1, x1 = region.bbox
            filled = np.zeros(truth.shape, dtype=bool)
            filled[y0:y1, x0:x1] = True
            answers = {"filled box": filled, "in-box Otsu": _otsu(grey, region.bbox, truth.shape)}
            answers.update({m: found[i].full(truth.shape) for m, found in masks.items()})
            for method, answer in answers.items():
                crop = _around(truth, answer, margin=wide + 2)
                t, a = truth[crop], answer[crop]
                yield Scores(
                    item.name,
                    int(region.label),
                    method,
                    mask_iou(t, a),
                    boundary_iou(t, a, BAND),
                    boundary_iou(t, a, wide),
                )


def _exact_box(region: Any) -> Prompts:
    y0, x0, y1, x1 = region.bbox
    return Prompts(box=(y0, x0, y1 - 1, x1 - 1))


def _centre(region: Any) -> Prompts:
    from scipy.ndimage import distance_transform_edt

    distance = distance_transform_edt(np.pad(region.image, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(int(distance.argmax()), distance.shape)
    return Prompts(points=[(region.bbox[0] + y, region.bbox[1] + x)])


def _grey(image: NDArray[Any]) -> NDArray[np.float64]:
    return image.mean(axis=-1) if image.ndim == 3 else image.astype(np.float64)


def _otsu(
    grey: NDArray[np.float64], box: tuple[int, int, int, int], shape: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Otsu's threshold inside the box; the side that is rarer on the box's rim is the object."""
    from skimage.filters import threshold_otsu

    y0, x0, y1, x1 = box
    inside = grey[y0:y1, x0:x1]
    out = np.zeros(shape, dtype=bool)
    if inside.min() == inside.max():
        out[y0:y1, x0:x1] = True
        return out
    bright = inside > threshold_otsu(inside)
    rim = np.concatenate([bright[0], bright[-1], bright[:, 0], bright[:, -1]])
    out[y0:y1, x0:x1] = ~bright if rim.mean() > 0.5 else bright
    return out


def _around(a: NDArray[np.bool_], b: NDArray[np.bool_], margin: int) -> tuple[slice, ...]:
    """The part of the image that holds both masks, with a margin.

    The margin is wider than the boundary band, so that cutting changes no figure, except where
    the image itself ends.
    """
    both = a | b
    out = []
    for axis in (1, 0):
        at = np.flatnonzero(both.any(axis=axis))
        out.append(slice(max(0, int(at[0]) - margin), int(at[-1]) + 1 + margin))
    return tuple(out)
