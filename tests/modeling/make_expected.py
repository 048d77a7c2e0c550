"""Write the expected numbers of this folder by running the official HQ-SAM packages.

    python tests/modeling/make_expected.py FOLDER

FOLDER is a checkout of https://github.com/SysCV/sam-hq (see README.md for the commit). Needs torch,
numpy and Pillow. What that code imports and does not need here (torchvision, timm) is stubbed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import recipe
import torch
from PIL import Image
from torch import nn

HERE = Path(__file__).parent


def stub(name: str, **attributes: Any) -> None:
    module = ModuleType(name)
    vars(module).update(attributes)
    sys.modules[name] = module


def stub_imports() -> None:
    """Put in the few functions of torchvision and timm, which do what the originals do."""
    for name in ("torchvision", "torchvision.ops", "torchvision.transforms", "timm", "timm.models"):
        stub(name)
    stub("torchvision.ops.boxes", batched_nms=None, box_area=None)
    stub(
        "torchvision.transforms.functional",
        to_pil_image=Image.fromarray,
        resize=lambda pil, size: pil.resize(size[::-1], Image.Resampling.BILINEAR),
    )
    stub(
        "timm.models.layers",
        DropPath=nn.Identity,
        to_2tuple=lambda n: (n, n),
        trunc_normal_=nn.init.trunc_normal_,
    )
    stub("timm.models.registry", register_model=lambda function: function)


def prompt_tensors(prompt: dict[str, list]) -> dict[str, Any]:
    points = boxes = masks = None
    if "points" in prompt:
        points = torch.tensor([prompt["points"]]), torch.tensor([prompt["labels"]])
    if "box" in prompt:
        boxes = torch.tensor([prompt["box"]])
    if "mask" in prompt:
        masks = torch.from_numpy(recipe.mask_logits(256))[None, None]
    return {"points": points, "boxes": boxes, "masks": masks}


def layouts(registry: dict, plain_registry: dict) -> dict[str, Any]:
    result = {}
    for variant in ("vit_tiny", "vit_b", "vit_l", "vit_h"):
        for kind, builders in (("hq", registry), ("sam", plain_registry)):
            # On "meta" the large ones cost nothing; TinyViT's constructor computes with numbers.
            with torch.device("cpu" if variant == "vit_tiny" else "meta"):
                model = builders[variant]()
            parameters = sum(p.numel() for p in model.parameters())
            result[f"{variant} {kind}"] = recipe.layout(model.state_dict()) | {
                "parameters": parameters
            }
    return result


def network(sam: nn.Module, plain: nn.Module) -> dict[str, Any]:
    pixels = torch.from_numpy(recipe.image(1024, 1024)).permute(2, 0, 1)[None]
    embedding, early = sam.image_encoder(sam.preprocess(pixels))
    result: dict[str, Any] = {
        "embedding": recipe.summary(embedding),
        "early": recipe.summary(early[0].permute(0, 3, 1, 2)),
        "prompts": {},
    }
    for name, prompt in recipe.prompts(1024).items():
        sparse, dense = sam.prompt_encoder(**prompt_tensors(prompt))
        common = {
            "image_embeddings": embedding,
            "image_pe": sam.prompt_encoder.get_dense_pe(),
            "sparse_prompt_embeddings": sparse,
            "dense_prompt_embeddings": dense,
        }
        cases = {
            f"{mode} {'multimask' if multimask else 'single'}": sam.mask_decoder(
                **common,
                multimask_output=multimask,
                hq_token_only=mode == "hq",
                interm_embeddings=early,
            )
            for mode in ("hq+sam", "hq")
            for multimask in (False, True)
        }
        for multimask in (False, True):
            cases[f"sam {'multimask' if multimask else 'single'}"] = plain.mask_decoder(
                **common, multimask_output=multimask, hq_token_only=False, interm_embeddings=None
            )
        result["prompts"][name] = {
            case: {"logits": recipe.summary(logits), "iou": iou[0].tolist()}
            for case, (logits, iou) in cases.items()
        }
    return result


def official_coordinates(xy: list, old: tuple[int, int], new: tuple[int, int]) -> np.ndarray:
    """Coordinates that the official predictor maps where this project maps `xy` (see README.md)."""
    scale = np.array([new[1] / old[1], new[0] / old[0]])
    return (np.array(xy, dtype=float).reshape(-1, 2) + 0.5) - 0.5 / scale


def predictor(sam: nn.Module, predictor_class: type) -> list[dict[str, Any]]:
    table = []
    for height, width in ((600, 850), (333, 200)):
        pixels = recipe.image(height, width)
        for resize in ("uint8", "float"):
            p = predictor_class(sam)
            if resize == "uint8":
                p.set_image(pixels)
            else:
                tensor = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
                p.set_torch_image(p.transform.apply_image_torch(tensor), (height, width))
            point = [width * 0.5, height * 0.4]
            negative = [width * 0.2, height * 0.8]
            box = [width * 0.25, height * 0.125, width * 0.75, height * 0.625]
            for prompt, flags in (
                ({"points": [point], "labels": [1]}, {}),
                ({"points": [point], "labels": [1]}, {"multimask_output": True}),
                ({"points": [point, negative], "labels": [1, 0]}, {"hq_token_only": True}),
                ({"box": box}, {}),
                ({"points": [point, negative], "labels": [1, 0], "box": box}, {}),
            ):
                table.append(
                    {"image": [height, width], "resize": resize, "prompt": prompt, **flags}
                    | predict(p, prompt, flags)
                )
    return table


def predict(p: Any, prompt: dict[str, list], flags: dict[str, bool]) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    if "points" in prompt:
        arguments["point_coords"] = official_coordinates(
            prompt["points"], p.original_size, p.input_size
        )
        arguments["point_labels"] = np.array(prompt["labels"])
    if "box" in prompt:
        corners = official_coordinates(prompt["box"], p.original_size, p.input_size)
        arguments["box"] = corners.reshape(4)
    masks, iou, low_res = p.predict(**arguments, **{"multimask_output": False} | flags)
    mask = masks[0]
    ys, xs = np.nonzero(mask)
    return {
        "low_res": recipe.summary(torch.from_numpy(low_res[0])),
        "iou": float(iou[0]),
        "area": int(mask.sum()),
        "bbox": [int(ys.min()), int(xs.min()), int(ys.max()) + 1, int(xs.max()) + 1],
        "rows": mask.sum(axis=1)[:: len(mask) // 16].tolist(),
    }


def rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.8g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list) else value


def write(name: str, data: Any) -> None:
    items = data.items() if isinstance(data, dict) else enumerate(data)
    lines = [
        (f"{json.dumps(key)}: " if isinstance(data, dict) else "") + json.dumps(rounded(item))
        for key, item in items
    ]
    opening, closing = "{}" if isinstance(data, dict) else "[]"
    body = ",\n".join(lines)
    (HERE / f"expected_{name}.json").write_text(f"{opening}\n{body}\n{closing}\n")


@torch.no_grad()
def main(folder: str) -> None:
    stub_imports()
    sys.path.insert(0, folder)
    from segment_anything import SamPredictor, sam_model_registry, sam_model_registry_baseline

    write("layout", layouts(sam_model_registry, sam_model_registry_baseline))

    sam, plain = sam_model_registry["vit_tiny"](), sam_model_registry_baseline["vit_tiny"]()
    for model in (sam, plain):
        model.load_state_dict(recipe.weights(model.state_dict()), strict=True)
        model.eval()  # once more: the official attention keeps a copy of its biases from here on
    write("vit_tiny", network(sam, plain))
    write("predictor", predictor(sam, SamPredictor))


if __name__ == "__main__":
    main(sys.argv[1])
