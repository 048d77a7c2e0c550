"""The network as the paper draws it: encoder, prompt encoder, mask decoder with the HQ branch."""

from napari_hqsam.modeling.device import choose_device, describe_device
from napari_hqsam.modeling.hq_sam import MODES, Decoded, HQSam, Mode, PromptBatch, TileFeatures
from napari_hqsam.modeling.variants import VARIANTS, build

__all__ = [
    "MODES",
    "VARIANTS",
    "Decoded",
    "HQSam",
    "Mode",
    "PromptBatch",
    "TileFeatures",
    "build",
    "choose_device",
    "describe_device",
]
