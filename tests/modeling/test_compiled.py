"""A compiled encoder is never waited for, and never wrong."""

from __future__ import annotations

import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from copy import deepcopy
from threading import Event
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from napari_hqsam.modeling import build
from napari_hqsam.modeling import compiled as module
from napari_hqsam.modeling.compiled import CompiledEncoder, compile_encoder
from napari_hqsam.modeling.folding import conv_norm
from napari_hqsam.modeling.image_encoder import Between, uninterrupted

from .models import small_vit


class Slow(nn.Module):
    """An encoder that takes 5 ms, and counts."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()), requires_grad=False)
        self.calls = 0

    def forward(self, images: Tensor, between: Between = uninterrupted) -> tuple[Tensor, Tensor]:
        self.calls += 1
        for _ in range(3):
            between()
        time.sleep(0.005)
        return images * self.weight, images + 1


class Compiler:
    """In place of torch's: what it makes counts, and is `off` from the encoder."""

    def __init__(self) -> None:
        self.off, self.early_off, self.seconds, self.error = 0.0, 0.0, 0.0, ""
        self.built: list[tuple[int, ...]] = []
        self.calls = 0
        self.go = Event()
        self.go.set()

    def __call__(self, encoder: nn.Module, images: Tensor) -> module.Encode:
        assert self.go.wait(10)
        self.built.append(tuple(images.shape))
        if self.error == "compile":
            raise RuntimeError("no compiler\nfor you\n\nand much more")

        def encode(images: Tensor) -> tuple[Tensor, Tensor]:
            self.calls += 1
            if self.error == "run":
                raise RuntimeError("out of luck")
            time.sleep(self.seconds)
            return images + self.off, images + 1 + self.early_off

        return encode


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> Compiler:
    made = Compiler()
    monkeypatch.setattr(module, "compile_encoder", made)
    return made


@pytest.fixture
def slow() -> Slow:
    return Slow().eval()


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def encoder(slow: Slow, told: list[str]) -> CompiledEncoder:
    made = CompiledEncoder(slow)
    made.tell = told.append
    return made


IMAGES = torch.rand(1, 3, 8, 8)


def used(encoder: CompiledEncoder, compiler: Compiler, images: Tensor = IMAGES) -> bool:
    """Whether images like these are encoded by what was compiled."""
    encoder(images)
    encoder.wait()
    before = compiler.calls
    encoder(images)
    return compiler.calls > before


def test_nobody_waits_for_it(encoder: CompiledEncoder, compiler: Compiler, slow: Slow) -> None:
    compiler.go.clear()
    for times in (1, 2):
        assert torch.equal(encoder(IMAGES)[0], IMAGES)
        assert slow.calls == times
    assert not compiler.built
    compiler.go.set()
    encoder.wait()
    calls = slow.calls
    encoder(IMAGES)
    assert (slow.calls, len(compiler.built)) == (calls, 1)


def test_each_shape_is_compiled_by_itself(encoder: CompiledEncoder, compiler: Compiler) -> None:
    assert used(encoder, compiler)
    assert used(encoder, compiler, IMAGES.repeat(2, 1, 1, 1))
    assert compiler.built == [(1, 3, 8, 8), (2, 3, 8, 8)]
    compiler.go.clear()
    with torch.autocast("cpu", torch.bfloat16):
        before = compiler.calls
        encoder(IMAGES)
    compiler.go.set()
    encoder.wait()
    assert compiler.calls > before
    assert len(compiler.built) == 3


def test_while_another_is_compiled_none_is_used(
    encoder: CompiledEncoder, compiler: Compiler
) -> None:
    """torch refuses to run one then."""
    assert used(encoder, compiler)
    compiler.go.clear()
    encoder(IMAGES[..., :4])
    before = compiler.calls
    while not module._building.locked():
        time.sleep(0.001)
    encoder(IMAGES)
    assert compiler.calls == before
    compiler.go.set()
    encoder.wait()


@pytest.mark.parametrize(
    ("attribute", "value", "why"),
    [
        ("off", 0.002, "its embedding is off by 0.002"),
        ("off", float("nan"), "its embedding is off by nan"),
        ("early_off", 0.01, "its early feature is off by 0.005"),
        ("error", "compile", "no compiler for you"),
        ("error", "run", "out of luck"),
        ("seconds", 0.02, "it takes 0.0"),
    ],
)
def test_what_is_of_no_use_is_left_out(
    attribute: str,
    value: object,
    why: str,
    encoder: CompiledEncoder,
    compiler: Compiler,
    told: list[str],
) -> None:
    images = IMAGES / IMAGES.max()
    setattr(compiler, attribute, value)
    assert not used(encoder, compiler, images)
    with torch.inference_mode():
        assert not used(encoder, compiler, images)
    setattr(compiler, attribute, type(value)())
    assert not used(encoder, compiler, images)  # for good
    (line,) = told
    assert line.startswith(f"torch.compile is not used for 1 × 3 × 8 × 8 in float32 on cpu: {why}")
    assert "\n" not in line
    assert "much more" not in line
    assert used(encoder, compiler, images[..., :4])


def test_bfloat16_may_be_further_off(encoder: CompiledEncoder, compiler: Compiler) -> None:
    compiler.off = 0.01
    with torch.autocast("cpu", torch.bfloat16):
        assert used(encoder, compiler)
    assert not used(encoder, compiler)


def test_one_that_fails_later_is_used_no_more(
    encoder: CompiledEncoder, compiler: Compiler, told: list[str]
) -> None:
    assert used(encoder, compiler)
    compiler.error = "run"
    assert torch.equal(encoder(IMAGES)[0], IMAGES)
    compiler.error = ""
    assert not used(encoder, compiler)
    assert len(told) == 1


def test_the_warning_is_one_by_default(slow: Slow, compiler: Compiler) -> None:
    compiler.error = "compile"
    encoder = CompiledEncoder(slow)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert not used(encoder, compiler)
    assert [w.category for w in caught] == [UserWarning]


def test_more_urgent_work_goes_first(encoder: CompiledEncoder, compiler: Compiler) -> None:
    assert used(encoder, compiler)
    asked: list[int] = []
    encoder(IMAGES, lambda: asked.append(compiler.calls))
    assert asked == [compiler.calls - 1, compiler.calls]

    def stop() -> None:
        raise KeyError("stop")

    with pytest.raises(KeyError):
        encoder(IMAGES, stop)
    assert used(encoder, compiler)


def test_waiting_may_be_stopped(encoder: CompiledEncoder, compiler: Compiler) -> None:
    compiler.go.clear()
    encoder(IMAGES)

    def stop() -> None:
        raise KeyError("stop")

    with pytest.raises(KeyError):
        encoder.wait(stop)
    compiler.go.set()
    encoder.wait()


def test_images_may_be_written_to_meanwhile(encoder: CompiledEncoder, compiler: Compiler) -> None:
    compiler.go.clear()
    images = IMAGES.clone()
    encoder(images)
    images.fill_(float("nan"))
    compiler.go.set()
    encoder.wait()
    assert used(encoder, compiler)


def test_training_is_left_alone(encoder: CompiledEncoder, compiler: Compiler, slow: Slow) -> None:
    with torch.enable_grad():
        assert not used(encoder, compiler)
    slow.train()
    assert not used(encoder, compiler)
    assert not compiler.built


def test_a_vit_is_not_compiled_for_a_cpu(compiler: Compiler, told: list[str]) -> None:
    encoder = CompiledEncoder(small_vit().eval().image_encoder)
    encoder.tell = told.append
    assert not used(encoder, compiler, torch.zeros(1, 3, 256, 256))
    assert not compiler.built
    assert len(told) == 1


def test_a_copy_of_a_model_compiles_its_own_encoder(compiler: Compiler) -> None:
    model = build("micro", input_size=64).eval()
    model.compiled = CompiledEncoder(model.image_encoder)
    model.compiled.tell = lambda _: None
    keys = list(model.state_dict())
    model.encode(torch.zeros(1, 3, 64, 64))
    model.compiled.wait()
    copy = deepcopy(model)
    assert list(copy.state_dict()) == keys == list(build("micro", input_size=64).state_dict())
    assert copy.compiled is not None
    assert copy.compiled.encoder is copy.image_encoder is not model.image_encoder


# torch's own, without a C++ compiler


class Small(nn.Module):
    """An encoder of a folded convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)

    def forward(self, images: Tensor, between: Between = uninterrupted) -> tuple[Tensor, Tensor]:
        early = conv_norm(self.conv, self.norm, images)
        between()
        return early.sin(), early


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows whenever torch compiles a graph, or runs one."""
    noted: list[str] = []

    def backend(graph: torch.fx.GraphModule, _inputs: object) -> Callable[..., object]:
        noted.append("compiled")

        def run(*inputs: object) -> object:
            noted.append("ran")
            return graph.forward(*inputs)

        return run

    original = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **kw: original(f, backend=backend, **kw))
    return noted


@pytest.mark.parametrize(
    "make",
    [
        Small,
        pytest.param(lambda: build("micro", input_size=64).image_encoder, marks=pytest.mark.slow),
        pytest.param(lambda: small_vit().image_encoder, marks=pytest.mark.slow),
    ],
    ids=["small", "micro", "vit"],
)
def test_an_encoder_is_one_graph_whose_weights_are_never_stale(
    make: Callable[[], nn.Module], ran: list[str]
) -> None:
    encoder = make().eval().requires_grad_(False)
    images = torch.rand(1, 3, 256, 256)
    fast = compile_encoder(encoder, images)
    assert ran == ["compiled", "ran"]
    for tensor in (*encoder.parameters(), *encoder.buffers()):
        if tensor.is_floating_point():
            tensor.mul_(1.1)
    for found, right in zip(fast(images), encoder(images), strict=True):
        torch.testing.assert_close(found, right, atol=1e-5, rtol=1e-5)
    assert ran == ["compiled", "ran", "ran"]
    # another form is encoded as ever, without compiling
    two = images.repeat(2, 1, 1, 1)
    torch.testing.assert_close(fast(two)[0], encoder(two)[0], atol=1e-5, rtol=1e-5)
    assert ran == ["compiled", "ran", "ran"]


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_what_a_thread_has_compiled_runs_in_others(
    mode: Callable[[], Any], ran: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_seconds", lambda encode, _: 1.0 if encode is small else 0.5)
    small = Small().eval()
    encoder = CompiledEncoder(small)
    with mode():
        right = encoder(IMAGES)
        encoder.wait()
        assert ran == ["compiled", "ran", "ran"]
        assert torch.allclose(encoder(IMAGES)[0], right[0], atol=1e-5)
    assert ran == ["compiled", "ran", "ran", "ran"]


def test_a_program_that_ends_meanwhile_ends_at_once() -> None:
    """Python aborts if it ends while a thread is within C++."""
    program = """
import torch
from napari_hqsam.modeling import compiled
def forever(encoder, images):
    while True:
        images @ images
compiled.compile_encoder = forever
class Encoder(torch.nn.Module):
    def forward(self, images, between):
        return images, images
with torch.inference_mode():
    compiled.CompiledEncoder(Encoder().eval())(torch.zeros(200, 200))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
