"""The parts of Meta's ``segment_anything`` that HQ-SAM keeps unchanged.

``segment_anything/__init__.py`` imports torchvision, which HQ-SAM does not need and which often
does not match the installed torch. Its ``modeling`` folder needs torch only, so that folder is
loaded on its own, under a private name: the package itself is never imported, and a
``segment_anything`` that another plugin has imported (or replaced) is left alone.
"""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from torch import Tensor
from torch.nn import functional as F

from napari_hqsam.errors import HQSAMError

_PRIVATE_NAME = "_napari_hqsam_segment_anything_modeling"


def load_modeling(name: str) -> ModuleType:
    """``segment_anything.modeling`` as it is installed, imported under a name of ours.

    Raises
    ------
    HQSAMError
        If segment-anything is not installed, or cannot be imported.
    """
    if name in sys.modules:
        return sys.modules[name]
    # By the installed distribution: a folder of that name on the path may be anything.
    try:
        package = Path(str(distribution("segment-anything").locate_file("segment_anything")))
    except PackageNotFoundError:
        raise HQSAMError(
            "segment-anything is not installed: run `pip install segment-anything`"
        ) from None
    folder = package / "modeling"
    spec = spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None or not folder.is_dir():
        raise HQSAMError(f"{folder} cannot be imported: reinstall segment-anything")
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


_modeling = load_modeling(_PRIVATE_NAME)


class LayerNorm2d(_modeling.image_encoder.LayerNorm2d):  # type: ignore[misc, name-defined]
    """SAM's norm of the channels of an image (B, C, H, W), in one pass over it."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise; what comes out lies channels last in memory."""
        tokens = x.permute(0, 2, 3, 1)
        found = F.layer_norm(tokens, tokens.shape[-1:], self.weight, self.bias, self.eps)
        return found.permute(0, 3, 1, 2)


# The modules that are loaded here are ours alone: what they build uses the norm above.
for _module in (_modeling.image_encoder, _modeling.mask_decoder, _modeling.prompt_encoder):
    _module.LayerNorm2d = LayerNorm2d

ImageEncoderViT = _modeling.ImageEncoderViT
PromptEncoder = _modeling.PromptEncoder
MaskDecoder = _modeling.MaskDecoder
TwoWayTransformer = _modeling.TwoWayTransformer
PositionEmbeddingRandom = _modeling.prompt_encoder.PositionEmbeddingRandom
MLP = _modeling.mask_decoder.MLP
