"""What features depend on is in their key, and nothing else is."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from napari_hqsam.embedding.key import (
    describe_image,
    digest,
    encoder_hash,
    head_hash,
    image_fingerprint,
    pixels_hash,
    run_key,
)
from napari_hqsam.embedding.mark import SLOTS, Mark, named_window, slot, window_name
from napari_hqsam.images import IntensityMapping, open_image
from napari_hqsam.images.windows import Window

from .tiny import MAPPING, WINDOWS, image, model


def low(network):
    network.precision = "bfloat16"
    return network


def key(source=None, mapping=MAPPING, network=None) -> str:
    return digest(run_key(source or image(), mapping, network or model()))


def test_the_same_image_look_and_weights_have_one_key(tmp_path) -> None:
    """Opened from a file here or an array there, by other objects."""
    np.save(tmp_path / "x.npy", np.zeros((6, 64, 88), "uint16"))
    mapped = open_image(np.load(tmp_path / "x.npy", mmap_mode="r"))
    limits = IntensityMapping(((-0.0, 1000),))
    assert key(mapped, limits, model()) == key()
    # with an axis of length 1, and of the other byte order
    assert key(open_image(np.zeros((1, 6, 64, 88), ">u2"), axes="tzyx")) == key()


@pytest.mark.parametrize(
    "other",
    [
        {"mapping": IntensityMapping.from_limits((0, 1000.5))},
        {"source": image().displaying("z", "x")},
        {"network": model(encoder=1.5)},
        {"network": model(head=2.5)},
        {"network": model(hq=False)},
        {"network": low(model())},
    ],
    ids=["intensity", "another view", "encoder", "HQ head", "plain SAM", "precision"],
)
def test_another_look_or_other_weights_have_another_key(other) -> None:
    assert key(**other) != key()


def test_another_channel_or_pyramid_has_another_key() -> None:
    assert key(image((3, 64, 88), axes="cyx", channels=0)) != key(
        image((3, 64, 88), axes="cyx", channels=1)
    )
    plane = np.zeros((64, 88), "uint16")
    assert key(open_image([plane, plane[::2, ::2]])) != key(open_image([plane]))


def test_weights_that_make_no_features_are_not_in_the_key() -> None:
    assert key(network=model(tail=7)) == key()


def test_the_key_is_kept_as_json() -> None:
    found = run_key(image(), IntensityMapping(((np.float32(0.1), 3),)), model())
    assert json.loads(json.dumps(found)) == found
    assert digest(json.loads(json.dumps(found))) == digest(found)


@pytest.mark.parametrize("hash_of", [encoder_hash, head_hash])
def test_weights_changed_in_place_are_noticed(hash_of) -> None:
    """A model goes on being trained after its hash was taken."""
    trained = model()
    before = hash_of(trained)
    assert hash_of(trained) == before
    for part in (trained.image_encoder, trained.mask_decoder.compress_vit_feat):
        part.requires_grad_()
        part(torch.ones(1)).sum().backward()
        with torch.no_grad():
            part.weight -= 0.1 * part.weight.grad
    assert hash_of(trained) != before


def test_weights_are_hashed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    used = model()
    first = encoder_hash(used)
    monkeypatch.setattr("hashlib.sha256", None)
    assert encoder_hash(used) == first


def test_all_that_the_encoder_computes_with_counts() -> None:
    """Running statistics, which are no parameters, and the normalisation of the pixels."""
    network = model()
    network.image_encoder = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    tensors = [*network.image_encoder.parameters(), *network.image_encoder.buffers()]
    found = {encoder_hash(network)}
    for tensor in (*tensors, network.pixel_mean, network.pixel_std):
        with torch.no_grad():
            tensor += 1
        found.add(encoder_hash(network))
    assert len(found) == 1 + 4 + 3 + 2


def test_numbers_of_another_type_are_other_weights() -> None:
    assert encoder_hash(model().to(torch.bfloat16)) != encoder_hash(model())


@pytest.mark.parametrize("other", [image((6, 64, 89)), image((5, 64, 88)), image(dtype="int16")])
def test_another_image_has_another_fingerprint(other) -> None:
    assert image_fingerprint(other) != image_fingerprint(image())
    assert describe_image(image_fingerprint(other)) != describe_image(image_fingerprint(image()))


@pytest.mark.parametrize("shape", [(6, 64, 88), (6, 1, 88), (1, 1, 88), (1, 1, 1)])
def test_views_along_other_axes_are_of_the_same_image(shape: tuple[int, ...]) -> None:
    straight = image(shape, axes="zyx")
    found = image_fingerprint(straight)
    if shape[0] > 1:
        for view in (("z", "x"), ("z", "y"), ("x", "y")):
            assert image_fingerprint(straight.displaying(*view)) == found
    assert describe_image(found).startswith(" × ".join(str(n) for n in shape if n > 1) or "1")


def test_the_channels_of_an_image_are_of_the_same_image() -> None:
    colours = image((2, 64, 88), axes="cyx", channels=1)
    assert image_fingerprint(colours) == image_fingerprint(image((64, 88)))


def test_an_image_edited_in_place_has_another_hash() -> None:
    pixels = np.random.default_rng(0).integers(0, 1000, (64, 40, 1), np.uint16)
    before = pixels_hash(pixels)
    assert pixels_hash(pixels.copy()) == before
    assert pixels_hash(np.asfortranarray(pixels).astype(">u2")) == before
    pixels[63, 39] += 1
    assert pixels_hash(pixels) != before


def test_hashes_of_pixels_know_shape_and_type() -> None:
    shapes = [(1, 3, 8, 8), (1, 3, 4, 16), (3, 8, 8)]
    found = {pixels_hash(torch.zeros(shape)) for shape in shapes}
    found |= {pixels_hash(np.zeros((1, 3, 8, 8), t)) for t in ("int32", "float64", "bool")}
    assert len(found) == 6
    assert pixels_hash(torch.zeros(1, 3, 8, 8)) == pixels_hash(np.zeros((1, 3, 8, 8), "float32"))


@pytest.mark.parametrize(
    "window",
    [
        *WINDOWS[:2],
        Window((), 0, (0, 0), 8, (1, 1), 64),
        Window((12, 3), 2, (-4, 100_000), 2048, (512, 2048), 64),
    ],
)
def test_a_window_is_read_back_from_its_name(window: Window) -> None:
    assert named_window(window_name(window), 64) == window


def test_windows_that_differ_in_anything_have_names_and_slots_of_their_own() -> None:
    window = Window((1, 23), 0, (4, 5), 64, (64, 60), 64)
    others = [
        window,
        replace(window, plane=(12, 3)),
        replace(window, plane=(1,)),
        replace(window, plane=()),
        replace(window, level=1),
        replace(window, origin=(5, 4)),
        replace(window, side=128),
        replace(window, shape=(60, 64)),
    ]
    names = {window_name(w) for w in others}
    assert len(names) == len({slot(name) for name in names}) == len(others)
    assert all(0 <= slot(name) < SLOTS for name in names)


@pytest.mark.parametrize("name", ["", "x", "p_l0_y0_x0_s8_1x1 (1)", "p1._l0_y0_x0_s8_1x1"])
def test_other_names_are_no_windows(name: str) -> None:
    assert named_window(name, 64) is None


def test_a_mark_is_read_back() -> None:
    mark = Mark("p_l0_y0_x0_s8_1x1", {"embedding": 1, "hq": 2**32 - 1}, "abc")
    assert Mark.from_json(mark.to_json()) == mark
    assert Mark.from_json(mark.to_json()).created == mark.created


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", "\xff", '{"checksums": 1}'])
def test_a_damaged_mark_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"mark|Expecting|decode"):
        Mark.from_json(text.encode("latin1"))
