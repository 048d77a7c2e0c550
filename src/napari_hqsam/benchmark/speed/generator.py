"""Segment-anything's automatic masks, with HQ-SAM's decoder on every point."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_hqsam.benchmark.speed.shipped import shipped_generator, shipped_modeling
from napari_hqsam.benchmark.speed.stock import Stock


class StockGenerator:
    """``SamAutomaticMaskGenerator`` on one encoded window.

    Of each point it brings the three masks to full resolution, and only then filters them. The HQ
    mask is added to all three.

    Parameters
    ----------
    stock : Stock
    embedding, early : Tensor
        From `Stock.encode`, of one image.
    points_per_side : int
    min_iou, min_stability : float
        Its filters.
    """

    def __init__(
        self,
        stock: Stock,
        embedding: Tensor,
        early: Tensor,
        *,
        points_per_side: int,
        min_iou: float,
        min_stability: float,
    ) -> None:
        model = stock.model
        sam = (
            shipped_modeling()
            .Sam(
                _Encoded(embedding, model.input_size),
                stock.prompt_encoder,
                _Decoder(stock, embedding, early),
                model.pixel_mean.flatten().tolist(),
                model.pixel_std.flatten().tolist(),
            )
            .to(model.device)
        )
        self._generator = shipped_generator().SamAutomaticMaskGenerator(
            sam,
            points_per_side=points_per_side,
            pred_iou_thresh=min_iou,
            stability_score_thresh=min_stability,
        )

    def generate(self, pixels: NDArray[np.uint8]) -> list[NDArray[np.bool_]]:
        """The masks (S, S) of the picture (S, S, 3) that was encoded."""
        found: list[dict[str, Any]] = self._generator.generate(pixels)
        return [record["segmentation"] for record in found]


class _Encoded(nn.Module):
    """In place of the encoder: the embedding is there."""

    def __init__(self, embedding: Tensor, input_size: int) -> None:
        super().__init__()
        self._embedding, self.img_size = embedding, input_size

    def forward(self, images: Tensor) -> Tensor:
        """The embedding, of any image."""
        return self._embedding


class _Decoder(nn.Module):
    """In place of SAM's decoder, with its call."""

    def __init__(self, stock: Stock, embedding: Tensor, early: Tensor) -> None:
        super().__init__()
        self._stock, self._encoded = stock, (embedding, early)

    def forward(
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
        multimask_output: bool,
    ) -> tuple[Tensor, Tensor]:
        """Logits (N, 3, S/4, S/4) and predicted IoUs (N, 3); of the single mask, 1."""
        sparse, dense = sparse_prompt_embeddings, dense_prompt_embeddings
        only = torch.zeros(len(sparse), dtype=torch.long, device=sparse.device)
        hq = self._stock.model.has_hq
        sam, token, iou = self._stock.predict_masks(
            *self._encoded, only, image_pe, sparse, dense, hq=hq
        )
        masks = sam if token is None else sam + token
        chosen = slice(1, None) if multimask_output else slice(1)
        return masks[:, chosen], iou[:, chosen]
