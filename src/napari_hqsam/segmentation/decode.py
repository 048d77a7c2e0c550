"""Prompts of one form and the features of their window → low-res logits → masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_hqsam.images.windows import Window
from napari_hqsam.modeling import Decoded, HQSam, Mode, TileFeatures
from napari_hqsam.segmentation.fit import fitting_threshold
from napari_hqsam.segmentation.mask import Mask, mask_from_logits, seen, trimmed, upscale
from napari_hqsam.segmentation.prompts import Prompts, to_batch

# Logits so far below the threshold play no part in a mask: no box moves it by as much.
_MARGIN = 2.0


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the network says of one object, before a mask of it is chosen and thresholded.

    Attributes
    ----------
    window : Window
    prompts : Prompts
    given : ndarray or None
        Logits (S/4, S/4) that the network was given beside the prompts.
    decoded : Decoded
        Of this object alone.
    fits_box : bool
        Whether the mask should fill the box, see `fitting_threshold`.
    """

    window: Window
    prompts: Prompts
    given: NDArray[Any] | None
    decoded: Decoded
    fits_box: bool
    _drawn: dict[tuple[Mode, float], Mask] = field(default_factory=dict, repr=False)

    def mask(self, mode: Mode, threshold: float = 0.0) -> Mask:
        """SAM's single mask, with the HQ token's by `mode`."""
        key = (mode, threshold)
        if key not in self._drawn:
            self._drawn[key] = self._masks(mode, threshold, multimask=False)[0]
        return self._drawn[key]

    def candidates(self, mode: Mode, threshold: float = 0.0) -> list[Mask]:
        """SAM's three masks, best predicted IoU first; "hq" has only one."""
        return self._masks(mode, threshold, multimask=True)

    def _masks(self, mode: Mode, threshold: float, multimask: bool) -> list[Mask]:
        with torch.inference_mode():
            logits, scores = self.decoded.select(mode, multimask)
            sam, _ = self.decoded.select("sam", multimask)
            hq = None if self.decoded.hq is None else self.decoded.hq[0, 0]
            box = self.prompts.box if self.fits_box else None
            masks = []
            for k in range(logits.shape[1]):
                shown, origin = above(logits[0, k], self.window, threshold, box)
                of_sam = sam[0, min(k, sam.shape[1] - 1)]
                score = float(scores[0, k])
                about = (self.window, score, of_sam, hq, self.prompts, self.given)
                masks.append(mask_from_logits(shown, origin, *about))
            return masks


def decode(
    model: HQSam,
    features: TileFeatures,
    window: Window,
    prompts: Sequence[Prompts],
    previous: Sequence[NDArray[Any] | None],
    *,
    hq: bool = True,
    first: Callable[[Prediction], None] | None = None,
) -> list[Prediction]:
    """Decode objects that are looked at in one window, in one batch.

    Parameters
    ----------
    model : HQSam
    features : TileFeatures
        Of `window`, a batch of one.
    window : Window
    prompts : sequence of Prompts
        One for each object, all of one form.
    previous : sequence of (ndarray or None)
        SAM's logits (S/4, S/4) in this window of the masks that they correct.
    hq : bool
        False for exact SAM, which the HQ token would shift slightly.
    first : callable, optional
        Called with the first object as SAM sees it, before the HQ masks are made.
    """

    def early(decoded: Decoded) -> None:
        alone = Decoded(decoded.sam[:1].float(), None, decoded.iou[:1].float())
        assert first is not None
        first(Prediction(window, prompts[0], previous[0], alone, model.trusts_boxes))

    told: dict[str, Any] = {} if first is None else {"first": early}
    with torch.inference_mode():
        batch = to_batch(prompts, window, previous, model.device)
        image_index = torch.zeros(len(prompts), dtype=torch.long, device=model.device)
        found = model.decode(features, image_index, batch, hq=hq, **told)
        # in full precision, so that a mask drawn again from its kept logits is the same
        sam, token, iou = (None if t is None else t.float() for t in found)
        assert sam is not None
        assert iou is not None
        out = []
        for i, (p, earlier) in enumerate(zip(prompts, previous, strict=True)):
            of_object = slice(i, i + 1)
            alone = Decoded(
                sam[of_object], None if token is None else token[of_object], iou[of_object]
            )
            out.append(Prediction(window, p, earlier, alone, model.trusts_boxes))
        return out


def above(
    logits: Tensor, window: Window, threshold: float, box: tuple[float, ...] | None
) -> tuple[Tensor, tuple[int, int]]:
    """Where low-res logits exceed a threshold, in full resolution.

    Parameters
    ----------
    logits : Tensor
        (S/4, S/4).
    window : Window
    threshold : float
    box : tuple of float or None
        (y0, x0, y1, x1), the outermost pixels of the object, if the mask should fill it: another
        threshold is counted from the one at which it does.

    Returns
    -------
    Tensor
        (h, w), more than 0 in the mask.
    tuple of int
        (y, x) of its first pixel in the plane.
    """
    region = seen(logits[None, None], window, min(threshold, 0.0) - _MARGIN)
    origin = (window.origin[0] + region[0], window.origin[1] + region[1])
    full = upscale(logits[None, None], window, region)[0]
    if box is not None:
        threshold += fitting_threshold(full, np.asarray(box) - np.tile(origin, 2))
    return full - threshold, origin


def redrawn(mask: Mask, mode: Mode, threshold: float, *, fits_box: bool) -> Mask:
    """A mask thresholded again, from the low-res logits that it keeps."""
    box = mask.prompts.box if fits_box and mask.prompts is not None else None
    logits = torch.from_numpy(mask.low_res(mode))
    with torch.inference_mode():
        shown, origin = above(logits, mask.window, threshold, box)
    data, bbox = trimmed((shown > 0).numpy(), origin)
    return replace(mask, data=data, bbox=bbox)
