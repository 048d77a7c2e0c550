"""A network that costs next to nothing: its masks are what is bright inside a prompt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_hqsam.modeling import Decoded, HQSam, PromptBatch, TileFeatures
from napari_hqsam.modeling.hq_sam import check_mode
from napari_hqsam.modeling.image_encoder import Between, uninterrupted

# Of the logits; what it expects of its masks; and how far from a click it looks, in model pixels.
_STEEP, _IOU, _REACH = 10.0, 0.95, 64.0


class Instant(HQSam):
    """Stands in for a network where only what is around it is measured.

    Its features are the brightness under each pixel of a mask, its logits the same, cut to the
    box, to what surrounds the clicks on the object, or to the mask that it is given; SAM's and
    the HQ mask are half of them each.

    Parameters
    ----------
    input_size : int
        S.
    """

    def __init__(self, input_size: int = 512) -> None:
        decoder: Any = nn.Module()
        decoder.has_hq = True
        # what hashes of a model are made of
        decoder.compress_vit_feat = decoder.embedding_encoder = decoder.hf_mlp = nn.Identity()
        decoder.weight = nn.Parameter(torch.zeros(1), requires_grad=False)
        super().__init__(
            "instant",
            nn.Identity(),
            nn.Identity(),
            cast("Any", decoder),
            input_size=input_size,
            pixel_mean=(127.5,) * 3,
            pixel_std=(127.5,) * 3,
        )

    def encode(self, images: Tensor, between: Between = uninterrupted) -> TileFeatures:
        """As of any model; a single channel each."""
        brightness = F.avg_pool2d(images[:, :1], self.mask_stride)
        # as many channels as an embedding store takes, all of them the same
        embedding = F.avg_pool2d(brightness, 4).expand(-1, 256, -1, -1)
        return TileFeatures(embedding, brightness.expand(-1, 32, -1, -1))

    def prepare(self, features: TileFeatures) -> TileFeatures:
        """As they are."""
        return features

    def decode(
        self,
        features: TileFeatures,
        image_index: Tensor,
        prompts: PromptBatch,
        *,
        hq: bool = True,
        first: Callable[[Decoded], None] | None = None,
    ) -> Decoded:
        """As of any model; nothing is early."""
        check_mode("hq+sam" if hq else "sam", has_hq=True)
        assert features.hq is not None
        brightness = features.hq[:, :1].float().index_select(0, image_index)
        logits = torch.minimum(_STEEP * brightness, self._allowed(prompts))
        sam = (logits / 2).expand(-1, 4, -1, -1)
        iou = logits.new_full((len(logits), 4), _IOU)
        return Decoded(sam, logits / 2 if hq else None, iou)

    def _allowed(self, prompts: PromptBatch) -> Tensor:
        """(N, 1, S/4, S/4), more than 0 where prompts let the object be."""
        stride = self.mask_stride
        at = torch.arange(self.input_size // stride, device=self.device) * stride + 1.5
        if prompts.boxes is not None:
            x0, y0, x1, y1 = (v[:, None] for v in prompts.boxes.T)
            x = torch.minimum(at - x0, x1 - at)[:, None, :]
            y = torch.minimum(at - y0, y1 - at)[:, :, None]
            return torch.minimum(x, y)[:, None] + stride
        if prompts.masks is not None:
            return F.max_pool2d(prompts.masks, 5, stride=1, padding=2)
        assert prompts.points is not None
        assert prompts.labels is not None
        dx = at - prompts.points[:, :, :1]
        dy = at - prompts.points[:, :, 1:]
        away = (dx[:, :, None, :] ** 2 + dy[:, :, :, None] ** 2).sqrt()
        away = away + 1e4 * (prompts.labels != 1)[:, :, None, None]
        return _REACH - away.amin(dim=1)[:, None]
