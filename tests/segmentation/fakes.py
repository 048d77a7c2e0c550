"""A model that one can look through: its masks are what is bright, or the box that it is given."""

from __future__ import annotations

import threading

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_hqsam.modeling import Decoded, PromptBatch, TileFeatures

IOU = (0.5, 0.6, 0.9, 0.7)


class LookingGlass:
    """Stands in for HQSam.

    Its features are the image's mean brightness in each pixel of the mask, -1 to 1, padding 0.
    SAM's and the HQ mask are half of these each, so that "hq+sam" is positive where the image is
    bright. With a box the mask is cut to it. The candidates 1 to 3 are smaller from one to the
    next, by their threshold; `IOU` are their scores.

    Attributes
    ----------
    encoded : int
        How many images have been encoded.
    batches : list of PromptBatch
        What `decode` was given.
    """

    has_hq = True
    refines_parts = trusts_boxes = False
    device = torch.device("cpu")

    def __init__(self, input_size: int = 256, *, draw_boxes: bool = False) -> None:
        self.input_size = input_size
        self.draw_boxes = draw_boxes
        self.encoded = 0
        self.batches: list[PromptBatch] = []
        self._lock = threading.Lock()

    def preprocess(self, pixels: Tensor) -> Tensor:
        h, w = pixels.shape[-2:]
        return F.pad(pixels / 127.5 - 1, (0, self.input_size - w, 0, self.input_size - h))

    def encode(self, images: Tensor, between: object = None) -> TileFeatures:
        assert images.shape == (1, 3, self.input_size, self.input_size)
        with self._lock:
            self.encoded += 1
        brightness = F.avg_pool2d(images[:, :1], 4)
        return TileFeatures(F.avg_pool2d(brightness, 4), brightness)

    def prepare(self, features: TileFeatures) -> TileFeatures:
        return features

    def decode(
        self, features: TileFeatures, image_index: Tensor, prompts: PromptBatch, *, hq: bool = True
    ) -> Decoded:
        self.batches.append(prompts)
        logits = features.hq.index_select(0, image_index)
        if prompts.boxes is not None:
            inside = self._signed_distance(prompts.boxes)[:, None]
            # a cut leaves the mask a pixel of its own around the box, so that only light counts
            logits = inside if self.draw_boxes else torch.minimum(logits, inside + 4)
        half = logits / 2
        candidates = half - torch.tensor([0, 0.1, 0.2, 0.3])[:, None, None]
        n = len(image_index)
        return Decoded(candidates, half if hq else None, torch.tensor(IOU).expand(n, 4))

    def _signed_distance(self, boxes: Tensor) -> Tensor:
        """(N, S/4, S/4): to the edge of boxes (N, 4) whose corners are the outermost pixels."""
        grid = torch.arange(self.input_size // 4) * 4 + 1.5  # as to_model counts
        x0, y0, x1, y1 = (v[:, None] for v in boxes.T)
        x = torch.minimum(grid - x0, x1 - grid)[:, None, :]
        y = torch.minimum(grid - y0, y1 - grid)[:, :, None]
        return torch.minimum(x, y) + 0.5
