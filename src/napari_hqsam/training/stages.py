"""What the two stages learn from a batch: SAM's losses, and HQ-SAM's."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_hqsam.modeling import HQSam, TileFeatures
from napari_hqsam.training.batch import Batch
from napari_hqsam.training.losses import hq_mask_loss, sam_mask_loss, soft_iou
from napari_hqsam.training.prompts import correction, first_prompts


def _features(model: HQSam, batch: Batch) -> tuple[Tensor, Tensor]:
    # fp32: on a CPU the backward of a bf16 depthwise convolution is the slower one.
    images = model.preprocess(batch.images).to(memory_format=torch.channels_last)
    return model.image_encoder(images)


def sam_losses(
    model: HQSam, batch: Batch, step: int, generator: torch.Generator, autocast: bool
) -> dict[str, Tensor]:
    """Stage 1: one prompt, then (every other step) a correction click with the mask fed back."""
    embedding, _ = _features(model, batch)
    features = TileFeatures(embedding, None)
    kind = ("box", "point", "box", "box+point", "box", "point")[step % 6]
    prompts = first_prompts(batch.masks, kind, generator)
    target = F.avg_pool2d(batch.masks[:, None], 2)
    losses: list[Tensor] = []
    iou_losses: list[Tensor] = []
    for round_ in range(1 + (step // 6) % 2):
        with torch.autocast(model.device.type, torch.bfloat16, enabled=autocast):
            decoded = model.decode(features, batch.image_index, prompts, hq=False)
        logits = F.interpolate(decoded.sam.float(), scale_factor=2.0, mode="bilinear")
        each = torch.stack([sam_mask_loss(logits[:, k : k + 1], target) for k in range(4)], dim=1)
        # The single mask always learns; of the three candidates only the best one, as in SAM.
        losses.append(each[:, 0].mean() + 0.5 * each[:, 1:].min(dim=1).values.mean())
        with torch.no_grad():
            iou = torch.stack([soft_iou(logits[:, k : k + 1], target) for k in range(4)], dim=1)
        iou_losses.append(F.mse_loss(decoded.iou.float(), iou))
        if round_ == 0:
            first_iou = iou[:, 0].mean()
            prompts = correction(
                prompts, decoded.sam[:, :1].detach().float(), batch.masks, generator
            )
    loss = torch.stack(losses).mean()
    iou_loss = torch.stack(iou_losses).mean()
    return {"loss": loss + iou_loss, "mask": loss, "iou_head": iou_loss, f"iou_{kind}": first_iou}


def hq_losses(
    model: HQSam, batch: Batch, step: int, generator: torch.Generator, autocast: bool
) -> dict[str, Tensor]:
    """Stage 2: the paper's loss on the HQ mask, and half of it on the sum that users see."""
    with torch.no_grad():
        embedding, early = _features(model, batch)
    features = TileFeatures(embedding, model.mask_decoder.hq_features(embedding, early))
    kind = ("box", "point", "box", "box+point")[step % 4]
    prompts = first_prompts(batch.masks, kind, generator)
    if (step // 4) % 3 == 2:
        with torch.no_grad():
            before, _ = model.decode(features, batch.image_index, prompts).select()
        prompts = correction(prompts, before, batch.masks, generator)
    decoded = model.decode(features, batch.image_index, prompts)
    (hq, _), (summed, _) = decoded.select("hq"), decoded.select()
    truth = batch.masks[:, None]
    hq_loss = hq_mask_loss(hq, truth, generator)
    sum_loss = hq_mask_loss(summed, truth, generator)
    target = F.avg_pool2d(truth, 4)
    with torch.no_grad():
        sam_iou = soft_iou(decoded.sam[:, :1], target).mean()
        sum_iou = soft_iou(summed, target).mean()
    return {
        "loss": hq_loss + 0.5 * sum_loss,
        "hq": hq_loss,
        "sum": sum_loss,
        "sam_iou": sam_iou,
        "sum_iou": sum_iou,
    }
