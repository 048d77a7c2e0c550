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

from napari_hqsam.errors import HQSAMError

_PRIVATE_NAME = "_napari_hqsam_segment_anything_modeling"


def _load() -> ModuleType:
    if _PRIVATE_NAME in sys.modules:
        return sys.modules[_PRIVATE_NAME]
    # By the installed distribution: a folder of that name on the path may be anything.
    try:
        package = Path(str(distribution("segment-anything").locate_file("segment_anything")))
    except PackageNotFoundError:
        raise HQSAMError(
            "segment-anything is not installed: run `pip install segment-anything`"
        ) from None
    folder = package / "modeling"
    spec = spec_from_file_location(
        _PRIVATE_NAME, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None or not folder.is_dir():
        raise HQSAMError(f"{folder} cannot be imported: reinstall segment-anything")
    module = module_from_spec(spec)
    sys.modules[_PRIVATE_NAME] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[_PRIVATE_NAME]
        raise
    return module


_modeling = _load()

ImageEncoderViT = _modeling.ImageEncoderViT
PromptEncoder = _modeling.PromptEncoder
MaskDecoder = _modeling.MaskDecoder
TwoWayTransformer = _modeling.TwoWayTransformer
LayerNorm2d = _modeling.image_encoder.LayerNorm2d
PositionEmbeddingRandom = _modeling.prompt_encoder.PositionEmbeddingRandom
MLP = _modeling.mask_decoder.MLP
