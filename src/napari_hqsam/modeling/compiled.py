"""torch.compile of an image encoder: in the background, checked before it is used."""

from __future__ import annotations

import atexit
import ctypes
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from threading import Lock, Thread
from typing import NamedTuple

import torch
from torch import Tensor, nn

from napari_hqsam.modeling.image_encoder import Between, ViTImageEncoder, uninterrupted

Encode = Callable[[Tensor], tuple[Tensor, Tensor]]

TOLERANCE = 1e-3
"""Of float32: the largest difference, relative to the largest value, or to 1 if that is less."""
ROUNDED_TOLERANCE = 5e-2
"""Of bfloat16, which is rounded after each layer, or after several that are computed as one."""

# Both are timed so often, in turn.
_ROUNDS = 3

# While one is built, a flag of torch.fx that all threads share forbids compiled ones to run.
_building = Lock()
# One that is within C++ when Python ends aborts the program: at exit they are ended first.
_threads: list[Thread] = []
_EXIT_S = 10.0


class CompiledEncoder:
    """An image encoder that is compiled for each form of input that it meets.

    Nobody waits for that: a thread compiles while the encoder itself goes on encoding. The result
    is used if it is the encoder's own up to `TOLERANCE` (`ROUNDED_TOLERANCE` under autocast), and
    faster. Else, or if there is any error, images of that form are encoded as ever, and one warning
    says why.

    Parameters
    ----------
    encoder : nn.Module
        (B, 3, S, S) → (embedding, early feature). Its weights are inputs of what is compiled: they
        may be changed, and are saved under their own names. A ViT is not compiled for a CPU: it is
        taken apart by hand there, into a graph that takes long to compile for little.

    Attributes
    ----------
    tell : callable
        Is given the warning; in the thread that compiles.

    Notes
    -----
    Safe to call from several threads. While a form is compiled the encoder is run on it a few
    times more, in that thread: a GPU needs memory for two. Forms are told apart by shape, type,
    device, autocast and inference mode; torch compiles eight of one architecture at most.
    """

    def __init__(self, encoder: nn.Module) -> None:
        self.encoder = encoder
        self.tell: Callable[[str], object] = _warn
        # None while a form is being compiled, and for good if it is of no use
        self._compiled: dict[_Form, Encode | None] = {}
        self._lock = Lock()
        self._threads: list[Thread] = []
        self._told: set[str] = set()

    def __reduce__(self) -> tuple[type[CompiledEncoder], tuple[nn.Module]]:
        return CompiledEncoder, (self.encoder,)  # a copy begins anew

    def __call__(self, images: Tensor, between: Between = uninterrupted) -> tuple[Tensor, Tensor]:
        """What the encoder gives.

        What is compiled calls `between` only before and after: work in the background gives way
        less often.
        """
        if self.encoder.training or torch.is_grad_enabled():
            return self.encoder(images, between)
        images = images.contiguous()
        form = _Form.of(images)
        compiled = self._get(form, images)
        if compiled is None or _building.locked():
            return self.encoder(images, between)
        between()
        try:
            found = compiled(images)
        except Exception as error:
            self._give_up(form, _line(error))
            return self.encoder(images, between)
        between()
        return found

    def wait(self, check: Between = uninterrupted) -> None:
        """Until nothing is being compiled; `check` is called meanwhile, and may raise to stop."""
        for thread in list(self._threads):
            while thread.is_alive():
                thread.join(0.05)
                check()

    def _get(self, form: _Form, images: Tensor) -> Encode | None:
        with self._lock:
            if form in self._compiled:
                return self._compiled[form]
            self._compiled[form] = None
        if form.device.type == "cpu" and isinstance(self.encoder, ViTImageEncoder):
            self._give_up(form, "on a CPU a ViT gains nothing by it")
            return None
        with torch.inference_mode(images.is_inference()):
            own = images.clone()  # the caller may write into its images
        thread = Thread(target=self._build, args=(form, own), name="torch.compile", daemon=True)
        thread.start()
        self._threads.append(thread)
        _threads.append(thread)
        return None

    def _build(self, form: _Form, images: Tensor) -> None:
        try:
            with _building, torch.inference_mode(form.inference), torch.no_grad(), form.autocast():
                compiled = compile_encoder(self.encoder, images)
                fault = _fault(self.encoder, compiled, images, form.tolerance)
        except Exception as error:
            fault = _line(error)
        if fault:
            self._give_up(form, fault)
        else:
            self._compiled[form] = compiled

    def _give_up(self, form: _Form, why: str) -> None:
        with self._lock:
            self._compiled[form] = None
            known = str(form) in self._told
            self._told.add(str(form))
        if not known:
            self.tell(f"torch.compile is not used for {form}: {why}")


def compile_encoder(encoder: nn.Module, images: Tensor) -> Encode:
    """Compile for images like these; what is returned never compiles by itself.

    For others it is the encoder as it is.
    """
    from torch import _dynamo

    compiled = torch.compile(encoder, fullgraph=True, dynamic=False)
    compiled(images)
    return _dynamo.run(compiled)


class _Form(NamedTuple):
    """What an encoder is compiled for."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    rounded: torch.dtype | None
    """What autocast rounds to."""
    inference: bool
    """Whether in inference mode."""
    made_there: bool
    """Whether the images were made in inference mode."""

    @classmethod
    def of(cls, images: Tensor) -> _Form:
        kind = images.device.type
        return cls(
            tuple(images.shape),
            images.dtype,
            images.device,
            torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None,
            torch.is_inference_mode_enabled(),
            images.is_inference(),
        )

    def __str__(self) -> str:
        shape = " × ".join(map(str, self.shape))
        dtype = str(self.rounded or self.dtype).removeprefix("torch.")
        return f"{shape} in {dtype} on {self.device}"

    def autocast(self) -> torch.autocast | nullcontext[None]:
        if self.rounded is None:
            return nullcontext()
        return torch.autocast(self.device.type, self.rounded)

    @property
    def tolerance(self) -> float:
        return TOLERANCE if self.rounded is None else ROUNDED_TOLERANCE


def _fault(encoder: Encode, compiled: Encode, images: Tensor, tolerance: float) -> str:
    """Why the compiled encoder is not to be used; "" if it is right, and faster."""
    pairs = zip(("embedding", "early feature"), compiled(images), encoder(images), strict=True)
    for name, found, right in pairs:
        found, right = found.float(), right.float()
        off = float((found - right).abs().max()) / max(1.0, float(right.abs().max()))
        if not off <= tolerance:  # nor nan
            return f"its {name} is off by {off:.1g}"
    times = [(_seconds(compiled, images), _seconds(encoder, images)) for _ in range(_ROUNDS)]
    after, before = map(min, zip(*times, strict=True))
    return "" if after < before else f"it takes {after:.2g} s, and {before:.2g} s without"


def _seconds(encode: Encode, images: Tensor) -> float:
    began = time.perf_counter()
    float(encode(images)[0].sum())  # waits for a GPU
    return time.perf_counter() - began


def _line(error: Exception) -> str:
    """What an error says, in one line that can be read."""
    text = " ".join(str(error).split("\n\n")[0].split())
    return f"{text[:200]}…" if len(text) > 200 else text or type(error).__name__


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=3)


@atexit.register
def _stop() -> None:
    """End what is being compiled: by an exception in its thread, as nothing else ends it."""
    until = time.monotonic() + _EXIT_S
    while (alive := [t for t in _threads if t.is_alive()]) and time.monotonic() < until:
        for thread in alive:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit)
            )
        alive[0].join(0.2)
