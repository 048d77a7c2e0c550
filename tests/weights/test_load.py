from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from napari_hqsam.errors import HQSAMError
from napari_hqsam.modeling.hq_sam import HQSam
from napari_hqsam.modeling.variants import build
from napari_hqsam.weights import (
    ModelInfo,
    load_hq_base,
    load_model,
    model_info,
    read_checkpoint,
    registry,
    save_model,
)
from napari_hqsam.weights.layout import HQ_PREFIXES

from .conftest import Hub
from .test_checkpoint import sam_state

Publish = Callable[[str, bytes], ModelInfo]


@pytest.fixture(scope="module")
def micro() -> HQSam:
    torch.manual_seed(1)
    return build("micro")


@pytest.fixture(scope="module")
def micro_file(micro: HQSam, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(micro, tmp_path_factory.mktemp("micro") / "micro.safetensors")


@pytest.fixture(scope="module")
def plain_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(2)
    path = tmp_path_factory.mktemp("sam") / "plain.safetensors"
    return save_model(build("micro", hq=False), path)


@pytest.fixture(scope="module")
def tiny() -> HQSam:
    torch.manual_seed(3)
    return build("vit_tiny")


def same(left: HQSam, right: HQSam) -> bool:
    one, other = left.state_dict(), right.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def snapshot(model: HQSam) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_load_a_file(micro: HQSam, micro_file: Path) -> None:
    model = load_model("micro", checkpoint=micro_file, device="cpu")
    assert same(model, micro)
    assert (model.variant, model.name, model.has_hq) == ("micro", "micro", True)
    assert model.weights_sha256 == hashlib.sha256(micro_file.read_bytes()).hexdigest()
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert model.device.type == "cpu"


def test_half_precision_files_load_as_float32(micro: HQSam, tmp_path: Path) -> None:
    path = save_model(micro, tmp_path / "half.safetensors", dtype="float16")
    model = load_model(checkpoint=path)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    kernels = {name for name, p in micro.named_parameters() if p.ndim > 1}
    loaded = model.state_dict()
    for name, tensor in micro.state_dict().items():
        expected = tensor.half().float() if name in kernels else tensor
        assert torch.equal(loaded[name], expected), name


def test_the_embedded_model(
    micro: HQSam, micro_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_PACKAGE_DATA", micro_file.parent)
    info = replace(model_info("micro"), bytes=micro_file.stat().st_size)
    monkeypatch.setitem(registry._MODELS, "micro", info)
    assert info.installed
    model = load_model()
    assert same(model, micro)
    assert model.weights_sha256 == hashlib.sha256(micro_file.read_bytes()).hexdigest()


def test_missing_embedded_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_PACKAGE_DATA", tmp_path)
    assert not model_info("micro").installed
    with pytest.raises(
        HQSAMError, match=r"micro\.safetensors are missing: reinstall.*--checkpoint"
    ):
        load_model("micro")


def test_load_by_name_downloads_the_official_layout(
    hub: Hub, publish: Publish, tiny: HQSam, tmp_path: Path
) -> None:
    torch.save(tiny.state_dict(), tmp_path / "tiny.pth")
    info = publish("vit_tiny", (tmp_path / "tiny.pth").read_bytes())
    seen: list[tuple[int, int]] = []
    model = load_model("vit_tiny", progress=lambda *both: seen.append(both))
    assert seen[-1] == (info.bytes, info.bytes)
    assert same(model, tiny)
    assert model.weights_sha256 == info.sha256
    assert same(load_model("vit_tiny"), tiny)
    assert len(hub.requests) == 1


def test_mobile_sam_gives_plain_sam(tiny: HQSam, tmp_path: Path) -> None:
    state = {k: t for k, t in tiny.state_dict().items() if not k.startswith(HQ_PREFIXES)}
    torch.save(state, tmp_path / "mobile_sam.pt")
    model = load_model("vit_tiny", checkpoint=tmp_path / "mobile_sam.pt")
    assert not model.has_hq
    assert model.state_dict().keys() == state.keys()


def test_a_model_loaded_twice_computes_the_same(micro_file: Path) -> None:
    image = torch.randn(1, 3, 128, 128)
    with torch.no_grad():
        one, other = (load_model(checkpoint=micro_file).encode(image) for _ in range(2))
    assert torch.equal(one.embedding, other.embedding)
    assert one.embedding.std() > 0


def test_the_architecture_is_never_switched(micro_file: Path, tmp_path: Path) -> None:
    with pytest.raises(HQSAMError, match=r"micro\.safetensors holds micro weights, not vit_b: "):
        load_model("vit_b", checkpoint=micro_file)
    torch.save(sam_state(768), tmp_path / "b.pth")
    with pytest.raises(HQSAMError, match=r"b\.pth holds vit_b weights, not vit_l: "):
        load_model("vit_l", checkpoint=tmp_path / "b.pth")


def test_unknown_names_fail_before_anything_is_read() -> None:
    with pytest.raises(HQSAMError, match="model 'vit_x' is unknown"):
        load_model("vit_x", checkpoint="nowhere.pth")
    with pytest.raises(HQSAMError, match="device 'gpu' is unknown"):
        load_model("micro", checkpoint="nowhere.pth", device="gpu")


def test_a_misfit_names_the_tensors(micro: HQSam, tmp_path: Path) -> None:
    state = micro.state_dict()
    del state["prompt_encoder.not_a_point_embed.weight"]
    state["mask_decoder.extra.weight"] = torch.zeros(3)
    state["mask_decoder.iou_token.weight"] = torch.zeros(2, 256)
    torch.save(state, tmp_path / "misfit.pth")
    with pytest.raises(HQSAMError) as caught:
        load_model(checkpoint=tmp_path / "misfit.pth")
    message = str(caught.value)
    assert "misfit.pth does not fit HQ-SAM micro" in message
    assert "1 tensors are missing (first: prompt_encoder.not_a_point_embed.weight)" in message
    assert "1 tensors are unknown (first: mask_decoder.extra.weight)" in message
    assert "mask_decoder.iou_token.weight is 2×256 and not 1×256" in message


def test_half_an_hq_part_is_refused(micro: HQSam, tmp_path: Path) -> None:
    state = micro.state_dict()
    del state["mask_decoder.hf_token.weight"]
    torch.save(state, tmp_path / "half.pth")
    with pytest.raises(HQSAMError, match=r"1 tensors are missing .*hf_token"):
        load_model(checkpoint=tmp_path / "half.pth")


def test_a_decoder_needs_a_base(micro: HQSam, plain_file: Path, tmp_path: Path) -> None:
    decoder = tmp_path / "epoch_11.pth"
    torch.save(micro.mask_decoder.state_dict(), decoder)
    with pytest.raises(HQSAMError, match=r"epoch_11\.pth is a mask decoder alone \(145 tensors\)"):
        load_model(checkpoint=decoder)
    with pytest.raises(HQSAMError, match="the base needs the encoders"):
        load_model(checkpoint=decoder, base=decoder)

    model = load_model(checkpoint=decoder, base=plain_file)
    assert model.has_hq
    plain, whole = read_checkpoint(plain_file).state, micro.state_dict()
    for name, tensor in model.state_dict().items():
        source = whole if name.startswith("mask_decoder.") else plain
        assert torch.equal(tensor, source[name]), name
    hashes = {model.weights_sha256, load_model(checkpoint=plain_file).weights_sha256}
    assert len(hashes) == 2


def test_a_base_for_a_whole_model_is_a_mistake(micro_file: Path) -> None:
    with pytest.raises(HQSAMError, match="is a whole model"):
        load_model(checkpoint=micro_file, base=micro_file)


def test_sam_as_the_base_of_training(plain_file: Path) -> None:
    model = build("micro")
    before = snapshot(model)
    load_hq_base(model, plain_file)
    plain = read_checkpoint(plain_file).state
    after = model.state_dict()
    added = [name for name in after if name.startswith(HQ_PREFIXES)]
    assert len(added) == 25
    for name in after:
        assert torch.equal(after[name], before[name] if name in added else plain[name]), name


def test_hq_weights_as_the_base_of_training(micro: HQSam, micro_file: Path) -> None:
    model = build("micro")
    load_hq_base(model, micro_file)
    assert same(model, micro)


@pytest.mark.parametrize(
    "fault", ["missing", "misshapen", "nan", "half an HQ part", "truncated", "other", "decoder"]
)
def test_a_bad_base_leaves_the_model_as_it_was(micro: HQSam, tmp_path: Path, fault: str) -> None:
    state = {k: t for k, t in micro.state_dict().items() if not k.startswith(HQ_PREFIXES)}
    path = tmp_path / "base.pth"
    last = list(state)[-1]
    if fault == "missing":
        del state[last]
    elif fault == "misshapen":
        state[last] = torch.zeros(3)
    elif fault == "nan":
        state[last] = torch.full_like(state[last], float("nan"))
    elif fault == "half an HQ part":
        state["mask_decoder.hf_token.weight"] = torch.zeros(1, 256)
    elif fault == "other":
        state = sam_state()
    elif fault == "decoder":
        state = micro.mask_decoder.state_dict()
    torch.save(state, path)
    if fault == "truncated":
        path.write_bytes(path.read_bytes()[:-1000])
    model = build("micro")
    before = snapshot(model)
    with pytest.raises(HQSAMError, match=r"base\.pth"):
        load_hq_base(model, path)
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)


# --- saving


def test_saved_files_say_what_they_are(micro_file: Path, micro: HQSam, tmp_path: Path) -> None:
    path = save_model(micro, tmp_path / "m.safetensors", metadata={"trained_on": "nothing"})
    with safe_open(path, "pt") as file:
        assert file.metadata() == {"variant": "micro", "trained_on": "nothing"}
    half = save_model(micro, tmp_path / "half.safetensors", dtype="float16")
    assert 0.5 <= half.stat().st_size / path.stat().st_size < 0.52
    assert sorted(p.name for p in tmp_path.iterdir()) == ["half.safetensors", "m.safetensors"]


def test_others_can_read_what_is_saved(micro_file: Path, tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    assert micro_file.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_unusable_weights_are_not_saved(tmp_path: Path) -> None:
    model = build("micro")
    path = save_model(model, tmp_path / "m.safetensors")
    good = path.read_bytes()
    with torch.no_grad():
        model.mask_decoder.iou_token.weight[0, 0] = 1e6
    with pytest.raises(HQSAMError, match=r"iou_token\.weight is not finite in torch\.float16"):
        save_model(model, path, dtype="float16")
    assert path.read_bytes() == good
    with torch.no_grad():
        model.mask_decoder.iou_token.weight[0, 0] = float("nan")
    with pytest.raises(HQSAMError, match=r"iou_token\.weight is not finite in torch\.float32"):
        save_model(model, path)


def test_an_unwritable_place(micro: HQSam, tmp_path: Path) -> None:
    with pytest.raises(HQSAMError, match="cannot be written"):
        save_model(micro, tmp_path / "absent" / "m.safetensors")


def test_it_is_compiled_only_if_asked_for(micro_file: Path) -> None:
    def loaded(**options: bool) -> HQSam:
        return load_model("micro", checkpoint=micro_file, device="cpu", **options)

    plain, compiled = loaded(), loaded(compile=True)
    assert plain.compiled is plain.graphed is None
    assert compiled.compiled is not None
    assert compiled.compiled.encoder is compiled.image_encoder
    assert compiled.graphed is not None
    assert compiled.graphed.decoder is compiled.mask_decoder
    assert list(compiled.state_dict()) == list(plain.state_dict())
    assert compiled.weights_sha256 == plain.weights_sha256


def test_the_precision_is_that_of_the_device_or_the_one_asked_for(micro_file: Path) -> None:
    def chosen(**options: str) -> str:
        return load_model("micro", checkpoint=micro_file, device="cpu", **options).precision

    assert chosen() == "float32"
    assert chosen(precision="bfloat16") == "bfloat16"
    with pytest.raises(HQSAMError, match="precision 'half' is unknown"):
        load_model("micro", checkpoint=micro_file.with_name("none"), precision="half")
