"""What the two stages learn from a batch: SAM's losses, and HQ-SAM's."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_hqsam.modeling import HQSam, TileFeatures
from napari_hqsam.training.batch import Batch
from napari_hqsam.training.losses import edge_weights, hq_mask_loss, sam_mask_loss, soft_iou
from napari_hqsam.training.prompts import correction, first_prompts


def _features(model: HQSam, batch: Batch) -> tuple[Tensor, Tensor]:
    # fp32: on a CPU the backward of a bf16 depthwise convolution is the slower one.
    images = model.preprocess(batch.images).to(memory_format=torch.channels_last)
    return model.image_encoder(images)


def sam_losses(
    model: HQSam, batch: Batch, generator: torch.Generator, autocast: bool
) -> dict[str, Tensor]:
    """Stage 1: a prompt, then corrections, each with a click in the error and the mask before."""
    embedding, _ = _features(model, batch)
    features = TileFeatures(embedding, None)
    prompts = first_prompts(batch.masks, batch.prompt, generator)
    target = F.avg_pool2d(batch.masks[:, None], 2)
    weights = edge_weights(target)
    losses: list[Tensor] = []
    iou_losses: list[Tensor] = []
    for round_ in range(batch.rounds):
        with torch.autocast(model.device.type, torch.bfloat16, enabled=autocast):
            decoded = model.decode(features, batch.image_index, prompts, hq=False)
        logits = F.interpolate(decoded.sam.float(), scale_factor=2.0, mode="bilinear")
        candidates = logits.split(1, dim=1)
        each = torch.stack([sam_mask_loss(k, target, weights) for k in candidates], dim=1)
        # The single mask always learns; of the three candidates only the best one, as in SAM.
        losses.append(each[:, 0].mean() + 0.5 * each[:, 1:].min(dim=1).values.mean())
        with torch.no_grad():
            iou = torch.stack([soft_iou(k, target) for k in candidates], dim=1)
        iou_losses.append(F.mse_loss(decoded.iou.float(), iou))
        if round_ == 0:
            first_iou = iou[:, 0].mean()
        before = decoded.sam[:, :1].detach().float()
        prompts = correction(prompts, before, batch.masks, generator)
    loss = torch.stack(losses).mean()
    iou_loss = torch.stack(iou_losses).mean()
    return {"loss": loss + iou_loss, "mask": loss, "iou_head": iou_loss, "iou": first_iou}


def hq_losses(
    model: HQSam, batch: Batch, generator: torch.Generator, autocast: bool
) -> dict[str, Tensor]:
    """Stage 2: the paper's loss on the HQ mask, and half of it on the sum that users see."""
    with torch.no_grad():
        embedding, early = _features(model, batch)
    features = TileFeatures(embedding, model.mask_decoder.hq_features(embedding, early))
    prompts = first_prompts(batch.masks, batch.prompt, generator)
    if batch.rounds > 1:
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
