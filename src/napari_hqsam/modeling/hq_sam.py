"""HQ-SAM: image encoder, prompt encoder and mask decoder behind one contract.

Every model, from the embedded `micro` to ViT-H, has the same two steps:

    encode  images (B, 3, S, S) → TileFeatures        once per image, slow
    decode  features + prompts  → Decoded              once per click, fast
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_hqsam.errors import HQSAMError
from napari_hqsam.modeling.compiled import CompiledEncoder
from napari_hqsam.modeling.device import Precision
from napari_hqsam.modeling.features import PreparedFeatures, TileFeatures
from napari_hqsam.modeling.graphs import GraphedDecoder
from napari_hqsam.modeling.image_encoder import Between, uninterrupted
from napari_hqsam.modeling.mask_decoder_hq import MaskDecoderHQ
from napari_hqsam.modeling.two_way import Hoisted, hoist

Mode = Literal["hq+sam", "hq", "sam"]
MODES: tuple[Mode, ...] = get_args(Mode)


@dataclass(frozen=True)
class PromptBatch:
    """N prompts of the same form, in model pixels; x before y, as SAM has it.

    Attributes
    ----------
    points : Tensor or None
        (N, P, 2), (x, y). Integer coordinates are pixel centres.
    labels : Tensor or None
        (N, P): 1 object, 0 background, -1 padding.
    boxes : Tensor or None
        (N, 4): x0, y0, x1, y1.
    masks : Tensor or None
        (N, 1, S/4, S/4) logits of an earlier prediction.
    """

    points: Tensor | None = None
    labels: Tensor | None = None
    boxes: Tensor | None = None
    masks: Tensor | None = None


class Decoded(NamedTuple):
    """Masks of N prompts as low-res logits.

    Attributes
    ----------
    sam : Tensor
        (N, 4, S/4, S/4): the single mask, then the three candidates.
    hq : Tensor or None
        (N, 1, S/4, S/4); None in exact SAM mode.
    iou : Tensor
        (N, 4), the IoU that SAM predicts for its masks.
    """

    sam: Tensor
    hq: Tensor | None
    iou: Tensor

    def select(self, mode: Mode = "hq+sam", multimask: bool = False) -> tuple[Tensor, Tensor]:
        """The logits to threshold at 0, and their scores.

        Parameters
        ----------
        mode : {"hq+sam", "hq", "sam"}
            The sum of both (the paper's benchmark output), the HQ token's mask alone, or SAM's.
        multimask : bool
            False gives SAM's single mask; True its three candidates, best predicted IoU first
            ("hq" has only one mask, scored by the best candidate).

        Returns
        -------
        logits : Tensor
            (N, K, S/4, S/4), K = 3 for multimask in the modes with SAM, else 1.
        iou : Tensor
            (N, K).
        """
        check_mode(mode, has_hq=self.hq is not None)
        sam, iou = self.sam[:, :1], self.iou[:, :1]
        if multimask:
            iou, order = self.iou[:, 1:].sort(dim=1, descending=True)
            sam = self.sam[:, 1:].gather(
                1, order[:, :, None, None].expand(-1, -1, *self.sam.shape[2:])
            )
        if mode == "sam":
            return sam, iou
        assert self.hq is not None
        return (self.hq, iou[:, :1]) if mode == "hq" else (sam + self.hq, iou)


def check_mode(mode: str, *, has_hq: bool) -> None:
    """Raise HQSAMError if `mode` is unknown, or needs HQ tensors that are not there."""
    if mode not in MODES:
        raise HQSAMError(f"mode {mode!r} is unknown: choose one of {', '.join(MODES)}")
    if mode != "sam" and not has_hq:
        raise HQSAMError(f"mode {mode!r} needs an HQ-SAM checkpoint; this is plain SAM: use 'sam'")


class HQSam(nn.Module):
    """The network.

    Parameters
    ----------
    variant : str
        "micro", "vit_tiny", "vit_b", "vit_l" or "vit_h".
    image_encoder : nn.Module
        (B, 3, S, S) → (embedding, early feature).
    prompt_encoder : nn.Module
        SAM's call: ``(points=(coords, labels), boxes=, masks=) → (sparse, dense)``.
    mask_decoder : MaskDecoderHQ
    input_size : int
        S, in model pixels. The embedding has stride 16, masks stride 4.
    pixel_mean, pixel_std : tuple of float
        Normalisation of RGB intensities in 0-255.

    Attributes
    ----------
    refines_parts : bool
        Whether it was trained to refine a rough mask in a window that shows a part of the object.
    trusts_boxes : bool
        Whether most of the boxes that it was trained with were exact. SAM's were not.
    precision : {"float32", "bfloat16"}
        What the image encoder computes in. Weights and features are float32 in either case.
    compiled : CompiledEncoder or None
        The image encoder compiled by torch, if that was asked for.
    graphed : GraphedDecoder or None
        The mask decoder as a CUDA graph, if that was asked for.
    """

    refines_parts = False
    trusts_boxes = False
    precision: Precision = "float32"
    compiled: CompiledEncoder | None = None
    graphed: GraphedDecoder | None = None
    embedding_stride = 16
    mask_stride = 4

    pixel_mean: Tensor
    pixel_std: Tensor
    prompt_encoder: Any
    mask_decoder: MaskDecoderHQ

    def __init__(
        self,
        variant: str,
        image_encoder: nn.Module,
        prompt_encoder: nn.Module,
        mask_decoder: MaskDecoderHQ,
        *,
        input_size: int,
        pixel_mean: tuple[float, float, float],
        pixel_std: tuple[float, float, float],
    ) -> None:
        super().__init__()
        self.variant = variant
        self.name = variant
        self.weights_sha256: str | None = None
        self.image_encoder = image_encoder
        self.prompt_encoder = prompt_encoder
        self.mask_decoder = mask_decoder
        self.input_size = input_size
        # Not persistent: official files carry neither.
        for key, values in (("pixel_mean", pixel_mean), ("pixel_std", pixel_std)):
            self.register_buffer(key, torch.tensor(values).view(3, 1, 1), persistent=False)

    @property
    def has_hq(self) -> bool:
        """Whether the model carries HQ-SAM's tensors; without them it is plain SAM."""
        return bool(self.mask_decoder.has_hq)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def preprocess(self, pixels: Tensor) -> Tensor:
        """Normalise (B, 3, h, w) intensities in 0-255, h, w ≤ S, and pad them to (B, 3, S, S).

        As in SAM, padding is added below and to the right, and is 0 *after* normalisation.
        """
        h, w = pixels.shape[-2:]
        x = (pixels - self.pixel_mean) / self.pixel_std
        return F.pad(x, (0, self.input_size - w, 0, self.input_size - h))

    def encode(self, images: Tensor, between: Between = uninterrupted) -> TileFeatures:
        """Encode images.

        Parameters
        ----------
        images : Tensor
            (B, 3, S, S), normalised and padded.
        between : callable
            Called between the encoder's blocks: a place to wait while something more urgent is
            computed, or to stop by raising.

        Returns
        -------
        TileFeatures
            In float32; rounded on the way if `precision` is "bfloat16".
        """
        low = self.precision == "bfloat16"
        # Not autocast(enabled=low): a training loop's own autocast is to stay.
        with torch.autocast(images.device.type, torch.bfloat16) if low else nullcontext():
            embedding, early = (self.compiled or self.image_encoder)(images, between)
        if low:
            embedding, early = embedding.float(), early.float()
        hq = self.mask_decoder.hq_features(embedding, early) if self.has_hq else None
        return TileFeatures(embedding, hq)

    def decode(
        self,
        features: TileFeatures,
        image_index: Tensor,
        prompts: PromptBatch,
        *,
        hq: bool = True,
        first: Callable[[Decoded], None] | None = None,
    ) -> Decoded:
        """Decode N prompts on the images they belong to.

        Parameters
        ----------
        features : TileFeatures
            Of B images.
        image_index : Tensor
            (N,) int64: the image, 0..B-1, of each prompt.
        prompts : PromptBatch
        hq : bool
            False leaves the HQ token out: exact SAM, whose masks the token would shift slightly.
        first : callable, optional
            Called with SAM's masks alone once they are there, before the HQ masks are made.
        """
        if hq and features.hq is None:
            check_mode("hq+sam", has_hq=False)
        points = None
        if prompts.points is not None:
            if prompts.labels is None:
                raise HQSAMError("points need labels: 1 for the object, 0 for background")
            points = prompts.points, prompts.labels
        sparse, dense = self.prompt_encoder(points=points, boxes=prompts.boxes, masks=prompts.masks)
        image, image_pe, hoisted = self._image_of(features, image_index, dense, prompts)
        hq_features = None
        if hq and features.hq is not None:
            hq_features = _of_images(features.hq, image_index)
        told = None if first is None else lambda sam, iou: first(Decoded(sam, None, iou))
        decoder = self.graphed or self.mask_decoder
        return Decoded(*decoder(image, image_pe, sparse, hq_features, hoisted, told))

    def prepare(self, features: TileFeatures) -> TileFeatures:
        """The features of one image, with what of decoding does not depend on the prompt.

        Worth its memory, about as much again, where an image is prompted more than once.
        """
        prepared = PreparedFeatures(*features)
        prepared.image = _positions(features.embedding)
        prepared.image_pe = _positions(self.prompt_encoder.get_dense_pe())
        if self._added_without_mask is not None:
            prepared.image = prepared.image + self._added_without_mask
            transformer = self.mask_decoder.transformer
            prepared.hoisted = hoist(transformer, prepared.image, prepared.image_pe)
        return prepared

    @property
    def _added_without_mask(self) -> Tensor | None:
        """What SAM adds to each position of an image without a mask prompt; (1, 256)."""
        added = getattr(self.prompt_encoder, "no_mask_embed", None)
        return None if added is None else added.weight

    def _image_of(
        self, features: TileFeatures, image_index: Tensor, dense: Tensor, prompts: PromptBatch
    ) -> tuple[Tensor, Tensor, Hoisted | None]:
        """The image with its dense prompt, (N or 1, P, 256), the positions, what is hoisted."""
        added = self._added_without_mask
        if isinstance(features, PreparedFeatures):
            if added is None:
                return features.image + _positions(dense), features.image_pe, None
            if prompts.masks is None:
                return features.image, features.image_pe, features.hoisted
            return features.image + (_positions(dense) - added), features.image_pe, None
        if prompts.masks is None and added is not None:
            dense = dense[:1]  # the same for all prompts
        image = _of_images(features.embedding, image_index) + dense
        return _positions(image), _positions(self.prompt_encoder.get_dense_pe()), None


def _positions(x: Tensor) -> Tensor:
    """(N, C, h, w) → (N, h w, C)."""
    return x.flatten(2).mT.contiguous()


def _of_images(x: Tensor, image_index: Tensor) -> Tensor:
    """Of images (B, ...) that of each prompt; of one image that one, for all."""
    return x if len(x) == 1 else x.index_select(0, image_index)
