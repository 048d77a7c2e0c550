"""What the encoder knows of an image, and what of decoding can be known of it beforehand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from napari_hqsam.modeling.two_way import Hoisted


class TileFeatures(NamedTuple):
    """What the encoder knows of a batch of images; all that prompts need.

    Attributes
    ----------
    embedding : Tensor
        (B, 256, S/16, S/16).
    hq : Tensor or None
        (B, 32, S/4, S/4), the HQ features before the mask's own part is added. None for plain SAM.
    """

    embedding: Tensor
    hq: Tensor | None

    def to(self, device: torch.device | str) -> TileFeatures:
        """The same features on `device`."""
        return TileFeatures(
            self.embedding.to(device), None if self.hq is None else self.hq.to(device)
        )

    @property
    def nbytes(self) -> int:
        """Memory that the tensors take."""
        return _nbytes(self)


class PreparedFeatures(TileFeatures):
    """Features of one image, with what of decoding is the same for all its prompts.

    From `HQSam.prepare`; of no use to a model of other weights.

    Attributes
    ----------
    image : Tensor
        (1, P, 256), the embedding, position by position, with what SAM adds without a mask.
    image_pe : Tensor
        (1, P, 256), the positional encoding.
    hoisted : Hoisted or None
        Of the first layer; None if all prompts are added to the image, as in `micro`.
    """

    image: Tensor
    image_pe: Tensor
    hoisted: Hoisted | None = None

    @property
    def nbytes(self) -> int:
        """Memory that the tensors take."""
        return _nbytes((*self, self.image, self.image_pe, *(self.hoisted or ())))


def _nbytes(tensors: Iterable[Tensor | None]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors if t is not None)
