"""Prompts of one form and the features of their window → masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_hqsam.images.windows import Window
from napari_hqsam.modeling import HQSam, Mode, TileFeatures
from napari_hqsam.segmentation.fit import fitting_threshold
from napari_hqsam.segmentation.mask import Mask, mask_from_logits, seen, upscale
from napari_hqsam.segmentation.prompts import Prompts, to_batch

# Logits below this play no part in a mask: no threshold that a box may choose is lower.
_LOWEST = -2.0


def decode_masks(
    model: HQSam,
    features: TileFeatures,
    window: Window,
    prompts: Sequence[Prompts],
    previous: Sequence[NDArray[Any] | None],
    mode: Mode,
    multimask: bool = False,
) -> list[list[Mask]]:
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
    mode : {"hq+sam", "hq", "sam"}
    multimask : bool
        Three candidates for each object.

    Returns
    -------
    list of list of Mask
        The candidates, one or three, of each object.
    """
    with torch.inference_mode():
        batch = to_batch(prompts, window, previous, model.device)
        image_index = torch.zeros(len(prompts), dtype=torch.long, device=model.device)
        decoded = model.decode(features, image_index, batch, hq=mode != "sam")
        logits, scores = decoded.select(mode, multimask)
        sam, _ = decoded.select("sam", multimask)
        out = []
        for i in range(len(prompts)):
            region = seen(logits[i][:, None], window, _LOWEST)
            origin = (window.origin[0] + region[0], window.origin[1] + region[1])
            full = upscale(logits[i][:, None], window, region)
            box = prompts[i].box
            if model.trusts_boxes and box is not None:
                ends = np.asarray(box) - np.tile(origin, 2)
                full = torch.stack([plane - fitting_threshold(plane, ends) for plane in full])
            out.append(
                [
                    mask_from_logits(
                        full[k],
                        origin,
                        window,
                        float(scores[i, k]),
                        sam[i, min(k, sam.shape[1] - 1)],
                        None if decoded.hq is None else decoded.hq[i, 0],
                        prompts[i],
                    )
                    for k in range(logits.shape[1])
                ]
            )
        return out
