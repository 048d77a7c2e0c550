"""The network as the paper draws it: encoder, prompt encoder, mask decoder with the HQ branch."""

from napari_hqsam.modeling.device import (
    PRECISIONS,
    Precision,
    choose_device,
    choose_precision,
    describe_device,
    list_devices,
)
from napari_hqsam.modeling.features import PreparedFeatures, TileFeatures
from napari_hqsam.modeling.hq_sam import MODES, Decoded, HQSam, Mode, PromptBatch
from napari_hqsam.modeling.variants import VARIANTS, build

__all__ = [
    "MODES",
    "PRECISIONS",
    "VARIANTS",
    "Decoded",
    "HQSam",
    "Mode",
    "Precision",
    "PreparedFeatures",
    "PromptBatch",
    "TileFeatures",
    "build",
    "choose_device",
    "choose_precision",
    "describe_device",
    "list_devices",
]
