"""Meta's ``segment_anything`` as it is installed, beside the copy that `modeling.sam` speeds up."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_hqsam.modeling.sam import load_modeling

_PACKAGE, _PRIVATE_NAME = "segment_anything", "_napari_hqsam_segment_anything_as_shipped"


def shipped_modeling() -> ModuleType:
    """``segment_anything.modeling``, nothing of it replaced."""
    return load_modeling(_PRIVATE_NAME)


def shipped_generator() -> ModuleType:
    """``segment_anything.automatic_mask_generator``, on the classes of `shipped_modeling`.

    It asks for torchvision, of which it uses a few functions. Where that is missing or does not
    match torch it gets others that do the same. Neither they nor a package of segment-anything
    stay behind: what another plugin has imported is left alone.
    """
    modeling = shipped_modeling()
    package = ModuleType(_PACKAGE)
    package.__path__ = [str(Path(str(modeling.__file__)).parents[1])]
    instead = {_PACKAGE: package, f"{_PACKAGE}.modeling": modeling}
    if not _has_torchvision():
        instead |= _torchvision()
    with _imported(instead):
        return import_module(f"{_PACKAGE}.automatic_mask_generator")


def _has_torchvision() -> bool:
    try:
        import_module("torchvision.ops.boxes")
        import_module("torchvision.transforms.functional")
    except (ImportError, RuntimeError, AttributeError, OSError):  # of another build of torch
        return False
    return True


@contextmanager
def _imported(modules: Mapping[str, ModuleType]) -> Iterator[None]:
    """Have imports find these modules, and nothing else of their packages."""
    packages = {name.partition(".")[0] for name in modules}

    def ours() -> list[str]:
        return [name for name in sys.modules if name.partition(".")[0] in packages]

    hidden = {name: sys.modules.pop(name) for name in ours()}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in ours():
            del sys.modules[name]
        sys.modules.update(hidden)


def _torchvision() -> dict[str, ModuleType]:
    """Modules that hold what the generator and the predictor use of torchvision."""
    holding: dict[str, dict[str, Any]] = {
        "torchvision": {"__path__": []},
        "torchvision.ops": {"__path__": []},
        "torchvision.ops.boxes": {"batched_nms": batched_nms, "box_area": _box_area},
        "torchvision.transforms": {"__path__": []},
        "torchvision.transforms.functional": {"resize": _resize, "to_pil_image": _to_pil_image},
    }
    modules = {name: ModuleType(name) for name in holding}
    for name, module in modules.items():
        vars(module).update(holding[name])
    return modules


def batched_nms(boxes: Tensor, scores: Tensor, classes: Tensor, iou_threshold: float) -> Tensor:
    """Which boxes (N, 4) no better one of their class overlaps by more than an IoU, best first."""
    order = scores.argsort(descending=True, stable=True)
    found, kinds = boxes[order], classes.to(boxes.device)[order]
    low = torch.maximum(found[:, None, :2], found[None, :, :2])
    high = torch.minimum(found[:, None, 2:], found[None, :, 2:])
    shared = (high - low).clamp(min=0).prod(dim=2)
    areas = _box_area(found)
    union = areas[:, None] + areas[None] - shared
    same = (shared > iou_threshold * union) & (kinds[:, None] == kinds[None])
    overlaps, left = same.cpu().numpy(), np.ones(len(found), dtype=bool)
    for i in range(len(found)):
        if left[i]:
            left[i + 1 :] &= ~overlaps[i, i + 1 :]
    return order[torch.from_numpy(left).to(order.device)]


def _box_area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _to_pil_image(pixels: NDArray[np.uint8]) -> Any:
    from PIL import Image

    return Image.fromarray(pixels)


def _resize(image: Any, shape: tuple[int, int]) -> Any:
    from PIL import Image

    return image.resize(shape[::-1], Image.Resampling.BILINEAR)
