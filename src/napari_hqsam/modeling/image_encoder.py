"""SAM's ViT image encoder, which also hands out the early feature that HQ-SAM fuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from napari_hqsam.modeling.sam import ImageEncoderViT

Between = Callable[[], None]
"""Called between an encoder's blocks: it may wait there for more urgent work, or raise to stop."""


def uninterrupted() -> None:
    """Go on at once with the next block."""


class ViTImageEncoder(ImageEncoderViT):  # type: ignore[misc, valid-type]
    """SAM's ViT with the output of its first global-attention block.

    Parameters
    ----------
    early_block : int
        0-based index of the block whose output is the early feature: the first block with global
        attention (HQ-SAM, section 3.2).
    **kwargs
        As for ``segment_anything.modeling.ImageEncoderViT``.
    """

    def __init__(self, *, early_block: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.early_block = early_block

    def forward(self, images: Tensor, between: Between = uninterrupted) -> tuple[Tensor, Tensor]:
        """Encode images.

        Parameters
        ----------
        images : Tensor
            (B, 3, S, S), normalised and padded.
        between : callable
            Called after each block.

        Returns
        -------
        embedding : Tensor
            (B, 256, S/16, S/16).
        early : Tensor
            (B, V, S/16, S/16), V being the width of the ViT.
        """
        x = self.patch_embed(images)
        if self.pos_embed is not None:
            x = x + self.pos_embed
        early = x
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i == self.early_block:
                early = x
            between()
        return self.neck(x.permute(0, 3, 1, 2)), early.permute(0, 3, 1, 2)
