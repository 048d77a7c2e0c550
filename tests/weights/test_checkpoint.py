from __future__ import annotations

import json
import os
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from napari_hqsam.errors import HQSAMError
from napari_hqsam.weights import read_checkpoint


def sam_state(width: int = 768, *, hq: bool = False) -> dict[str, Tensor]:
    """As much of a ViT SAM as it takes to recognise one."""
    state = {
        "image_encoder.patch_embed.proj.weight": torch.randn(width, 3, 2, 2),
        "prompt_encoder.no_mask_embed.weight": torch.randn(1, 256),
        "mask_decoder.iou_token.weight": torch.randn(1, 256),
    }
    return state | ({"mask_decoder.hf_token.weight": torch.randn(1, 256)} if hq else {})


def refusal(path: Path) -> str:
    with pytest.raises(HQSAMError) as caught:
        read_checkpoint(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.fixture
def pth(tmp_path: Path) -> Path:
    return tmp_path / "some weights.pth"


@pytest.mark.parametrize(("width", "variant"), [(768, "vit_b"), (1024, "vit_l"), (1280, "vit_h")])
@pytest.mark.parametrize("hq", [True, False])
def test_flat_files(pth: Path, width: int, variant: str, hq: bool) -> None:
    state = sam_state(width, hq=hq)
    torch.save(state | {"pixel_mean": torch.zeros(3, 1, 1)}, pth)
    checkpoint = read_checkpoint(pth)
    assert (checkpoint.kind, checkpoint.variant) == ("hq-sam" if hq else "sam", variant)
    assert checkpoint.has_hq == hq
    torch.testing.assert_close(checkpoint.state, state, rtol=0, atol=0)


def test_mobile_sam(pth: Path) -> None:
    state = sam_state()
    del state["image_encoder.patch_embed.proj.weight"]
    state["image_encoder.patch_embed.seq.0.c.weight"] = torch.randn(32, 3, 3, 3)
    state["image_encoder.patch_embed.seq.0.bn.num_batches_tracked"] = torch.tensor(7)
    torch.save(state, pth)
    checkpoint = read_checkpoint(pth)
    assert (checkpoint.kind, checkpoint.variant) == ("sam", "vit_tiny")


def test_micro(pth: Path) -> None:
    state = sam_state(hq=True)
    del state["image_encoder.patch_embed.proj.weight"]
    state["image_encoder.backbone.stem.0.weight"] = torch.randn(32, 3, 3, 3)
    torch.save(state, pth)
    assert read_checkpoint(pth).variant == "micro"


def test_micro_sam(pth: Path) -> None:
    state = sam_state()
    torch.save(
        {
            "model_state": {f"sam.{name}": tensor for name, tensor in state.items()},
            "decoder_state": {"out_conv.weight": torch.zeros(3)},
            "epoch": 3,
        },
        pth,
    )
    checkpoint = read_checkpoint(pth)
    assert (checkpoint.kind, checkpoint.variant) == ("micro-sam", "vit_b")
    assert checkpoint.state.keys() == state.keys()


def test_data_parallel(pth: Path) -> None:
    state = sam_state(hq=True)
    torch.save({f"module.{name}": tensor for name, tensor in state.items()}, pth)
    assert read_checkpoint(pth).state.keys() == state.keys()


def test_decoder_alone(pth: Path) -> None:
    torch.save(
        {
            "transformer.layers.0.norm1.weight": torch.zeros(256),
            "iou_token.weight": torch.zeros(1, 256),
            "mask_tokens.weight": torch.zeros(4, 256),
            "hf_token.weight": torch.zeros(1, 256),
        },
        pth,
    )
    checkpoint = read_checkpoint(pth)
    assert (checkpoint.kind, checkpoint.variant, checkpoint.has_hq) == ("decoder", None, True)
    assert all(name.startswith("mask_decoder.") for name in checkpoint.state)


def test_the_content_counts_not_the_suffix(pth: Path, tmp_path: Path) -> None:
    save_file(sam_state(), pth)
    assert read_checkpoint(pth).kind == "sam"
    torch.save(sam_state(), other := tmp_path / "torch.safetensors")
    assert read_checkpoint(other).kind == "sam"


def test_the_old_torch_format(pth: Path) -> None:
    torch.save(sam_state(), pth, _use_new_zipfile_serialization=False)
    assert read_checkpoint(pth).variant == "vit_b"


@pytest.mark.parametrize(
    ("state", "found"),
    [
        ({"layer1.weight": torch.zeros(2), "fc.bias": torch.zeros(2)}, "2 tensors such as fc.bias"),
        ({"image_encoder.trunk.x": torch.zeros(2), "sam_mask_decoder.y": torch.zeros(2)}, "SAM 2"),
        (sam_state(384), "a ViT of width 384, which is none of vit_b 768"),
        ({"epoch": 3}, "'epoch' is a int"),
        ({"mask_decoder.x": None, "image_encoder.y": None}, "is a NoneType"),
        ([1, 2], "no state dict but a list"),
        ({}, "no state dict"),
    ],
)  # fmt: skip
def test_what_is_not_sam_is_named(pth: Path, state: object, found: str) -> None:
    torch.save(state, pth)
    assert found in refusal(pth)


def test_sam_2_nested(pth: Path) -> None:
    torch.save({"model": {"sam_mask_decoder.hf_token.weight": torch.zeros(1)}}, pth)
    assert "SAM 2" in refusal(pth)


# --- hostile and damaged files


class _RunsCode:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("new_format", [True, False])
def test_code_in_a_pickle_is_refused_and_not_run(
    pth: Path, tmp_path: Path, new_format: bool
) -> None:
    marker = tmp_path / "it ran"
    torch.save(
        sam_state() | {"x": _RunsCode(marker)}, pth, _use_new_zipfile_serialization=new_format
    )
    message = refusal(pth)
    assert ".mkdir" in message
    assert "was not opened" in message
    assert not marker.exists()
    torch.load(pth, weights_only=False)  # the bait works
    assert marker.exists()


def test_an_expanded_tensor_is_refused(pth: Path) -> None:
    state = sam_state() | {"mask_decoder.x.weight": torch.zeros(1).expand(1 << 40)}
    torch.save(state, pth)
    assert "mask_decoder.x.weight is larger than its data" in refusal(pth)


@pytest.mark.parametrize(
    ("true", "claimed"),
    [(b"K\x05\x85", b"K\xf0\x85"), (b"K\x05t", b"K\xf0t"), (b"K\x05", b"K\xf0")],
    ids=["tensor", "storage", "both"],
)
def test_false_sizes_are_refused(pth: Path, tmp_path: Path, true: bytes, claimed: bytes) -> None:
    torch.save(sam_state() | {"mask_decoder.x.weight": torch.ones(5)}, pth)
    forged = tmp_path / "forged.pth"
    with zipfile.ZipFile(pth) as source, zipfile.ZipFile(forged, "w") as target:
        for item in source.infolist():
            content = source.read(item)
            if item.filename.endswith("data.pkl"):
                assert true in content
                content = content.replace(true, claimed)
            target.writestr(item, content)
    assert "damaged" in refusal(forged)


def test_a_compressed_archive_is_refused(pth: Path, tmp_path: Path) -> None:
    torch.save(sam_state(), pth)
    packed = tmp_path / "packed.pth"
    with (
        zipfile.ZipFile(pth) as source,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            target.writestr(name, source.read(name))
    assert "compressed" in refusal(packed)


@pytest.mark.parametrize("share", [0.0, 0.0005, 0.3, 0.9, 0.9999])
@pytest.mark.parametrize("form", ["safetensors", "torch", "old torch"])
def test_truncated(tmp_path: Path, form: str, share: float) -> None:
    path = tmp_path / "weights"
    if form == "safetensors":
        save_file(sam_state(), path)
    else:
        torch.save(sam_state(), path, _use_new_zipfile_serialization=form == "torch")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    assert "download it again" in refusal(path)


def safetensors_bytes(header: object, data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def f32(start: int, end: int) -> dict:
    return {"dtype": "F32", "shape": [(end - start) // 4], "data_offsets": [start, end]}


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<Q", 200_000_000) + b"{" + bytes(1000),
        struct.pack("<Q", 1 << 62) + b"{" + bytes(1000),
        safetensors_bytes({"a": f32(0, 16), "b": f32(8, 24)}, bytes(24)),
        safetensors_bytes({"a": f32(0, 8), "b": f32(16, 24)}, bytes(24)),
        safetensors_bytes({"a": f32(0, 8) | {"shape": [1 << 40]}}, bytes(8)),
        safetensors_bytes({"a": f32(0, 8)}, bytes(24)),
    ],
    ids=["200 MB header", "huge header", "overlap", "hole", "false shape", "bytes left over"],
)  # fmt: skip
def test_malformed_safetensors(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    assert "damaged" in refusal(path)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_nan_and_infinity_are_refused(pth: Path, bad: float, dtype: torch.dtype) -> None:
    state = {name: tensor.to(dtype) for name, tensor in sam_state().items()}
    state["prompt_encoder.no_mask_embed.weight"][0, 200] = bad
    torch.save(state, pth)
    assert "prompt_encoder.no_mask_embed.weight has NaN or infinite" in refusal(pth)


def test_too_large_for_float32_is_refused(pth: Path) -> None:
    state = sam_state()
    state["mask_decoder.iou_token.weight"] = torch.full((1, 256), 1e300, dtype=torch.float64)
    torch.save(state, pth)
    assert "mask_decoder.iou_token.weight has NaN or infinite" in refusal(pth)


@pytest.mark.parametrize(
    ("tensor", "why"),
    [
        (torch.zeros(4, dtype=torch.int8), "torch.int8"),
        (torch.zeros(4, dtype=torch.complex64), "torch.complex64"),
        (torch.eye(4).to_sparse(), "not a dense tensor"),
        (torch.zeros(4, device="meta"), "not a dense tensor"),
    ],
)
def test_other_tensors_are_refused(pth: Path, tensor: Tensor, why: str) -> None:
    torch.save(sam_state() | {"mask_decoder.x": tensor}, pth)
    assert why in refusal(pth)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b"hello, this is a text", "not a weights file"),
        (b"<!doctype html><html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
    ],
)
def test_no_weights_at_all(pth: Path, content: bytes, why: str) -> None:
    pth.write_bytes(content)
    assert why in refusal(pth)


def test_no_file(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "absent.pth")
    assert "cannot be read" in refusal(tmp_path)
