"""The mask decoder as a CUDA graph: a few hundred small kernels launched as one.

For a click a GPU takes less time than its host takes to launch what it is to do. A graph (NVIDIA,
"CUDA C++ Programming Guide", section CUDA graphs) is recorded once for each form of prompts and
replayed with other numbers.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Any, NamedTuple

import torch
from torch import Tensor

from napari_hqsam.modeling.compiled import TOLERANCE
from napari_hqsam.modeling.onednn import needs_gradient
from napari_hqsam.modeling.two_way import Hoisted

_DEVICE = "cuda"
# More prompts keep a GPU busy anyway, and a graph keeps its memory.
_MOST_PROMPTS = 4
_MOST_GRAPHS = 8
# Before the recording: libraries choose their ways, and ask for memory, in the first runs.
_WARM_UPS = 3

Found = tuple[Tensor, Tensor | None, Tensor]
Pool = Any  # torch's handle of a memory


class _Given(NamedTuple):
    """What a decoder is given, see `MaskDecoderHQ.forward`."""

    image: Tensor
    image_pe: Tensor
    sparse: Tensor
    hq_features: Tensor | None
    hoisted: Hoisted | None

    @property
    def tensors(self) -> list[Tensor]:
        own = [self.image, self.image_pe, self.sparse, *(self.hoisted or ())]
        return own if self.hq_features is None else [*own, self.hq_features]

    def copied(self) -> _Given:
        hq = None if self.hq_features is None else self.hq_features.clone()
        hoisted = None if self.hoisted is None else Hoisted(*(x.clone() for x in self.hoisted))
        return _Given(self.image.clone(), self.image_pe.clone(), self.sparse.clone(), hq, hoisted)


class GraphedDecoder:
    """A mask decoder that is replayed as a CUDA graph where that is possible.

    Prompts of a form that was not met before are decoded three times more, and recorded: tens of
    milliseconds. The graph is used if it gives the decoder's own masks up to `TOLERANCE`. Else, or
    if there is any error, that form is decoded as ever, and one warning says why. So are more than
    four prompts at once, those with gradients or under autocast, and all on other devices.

    Parameters
    ----------
    decoder : MaskDecoderHQ
        Its weights may be changed in place, or replaced: graphs of others are dropped.

    Attributes
    ----------
    tell : callable
        Is given the warning.

    Notes
    -----
    Safe to call from several threads, one of which decodes at a time. The graphs of the last eight
    forms are kept, each with a copy of the features of one window; the rest of their memory is one.
    """

    def __init__(self, decoder: Any) -> None:
        self.decoder = decoder
        self.tell: Callable[[str], object] = _warn
        self._graphs: OrderedDict[tuple[Any, ...], _Graph | None] = OrderedDict()
        self._weights: tuple[int, ...] = ()
        self._pool: Pool | None = None
        self._lock = Lock()

    def __reduce__(self) -> tuple[type[GraphedDecoder], tuple[Any]]:
        return GraphedDecoder, (self.decoder,)  # a copy begins anew

    def __call__(
        self,
        image: Tensor,
        image_pe: Tensor,
        sparse: Tensor,
        hq_features: Tensor | None,
        hoisted: Hoisted | None = None,
        first: Callable[[Tensor, Tensor], None] | None = None,
    ) -> Found:
        """What the decoder gives, see `MaskDecoderHQ.forward`.

        A graph makes all masks at once: `first` is called when they are all there.
        """
        given = _Given(image, image_pe, sparse, hq_features, hoisted)
        found: Found | None = None
        if self._suits(given):
            with self._lock:
                graph = self._of(given)
                found = None if graph is None else graph(given)
        if found is None:
            return self.decoder(*given, first)  # type: ignore[no-any-return]
        if first is not None and hq_features is not None:
            first(found[0], found[2])
        return found

    def _suits(self, given: _Given) -> bool:
        device = given.sparse.device.type
        return (
            device == _DEVICE
            and len(given.sparse) <= _MOST_PROMPTS
            and not torch.is_autocast_enabled(device)
            and not needs_gradient(*given.tensors, *self.decoder.parameters())
        )

    def _of(self, given: _Given) -> _Graph | None:
        weights = tuple(x.data_ptr() for x in self.decoder.parameters())
        if weights != self._weights:
            self._graphs.clear()
            self._weights, self._pool = weights, None
        form = (
            tuple((x.shape, x.dtype, x.device) for x in given.tensors),
            given.hoisted is None,
            torch.is_inference_mode_enabled(),
        )
        if form not in self._graphs:
            self._graphs[form] = self._made(given)
            while len(self._graphs) > _MOST_GRAPHS:
                self._graphs.popitem(last=False)
        self._graphs.move_to_end(form)
        return self._graphs[form]

    def _made(self, given: _Given) -> _Graph | None:
        try:
            graph = _Graph(self.decoder, given, self._pool)
            self._pool = graph.pool
            fault = _fault(graph(given), self.decoder(*given))
        except Exception as error:
            fault = " ".join(str(error).split("\n\n")[0].split())[:200] or type(error).__name__
        if not fault:
            return graph
        self.tell(f"a CUDA graph is not used for {len(given.sparse)} prompt(s): {fault}")
        return None


class _Graph:
    """A recorded run of a decoder."""

    def __init__(self, decoder: Callable[..., Found], given: _Given, pool: Pool | None) -> None:
        self._given = given.copied()
        self._replay, self._found, self.pool = record(
            lambda: decoder(*self._given), given.sparse.device, pool
        )

    def __call__(self, given: _Given) -> Found:
        for own, new in zip(self._given.tensors, given.tensors, strict=True):
            own.copy_(new)
        self._replay()
        # the next replay writes to the same memory
        sam, hq, iou = self._found
        return sam.clone(), None if hq is None else hq.clone(), iou.clone()


def record(
    run: Callable[[], Found], device: torch.device, pool: Pool | None
) -> tuple[Callable[[], None], Found, Pool]:
    """Record what a function has a GPU do.

    Parameters
    ----------
    run : callable
    device : torch.device
    pool : handle or None
        Memory that other graphs use at other times; None for a new one.

    Returns
    -------
    callable
        Does it again.
    tuple of Tensor
        What the function gave: its memory, to which a replay writes anew.
    handle
        The memory of all the rest.
    """
    current, own = torch.cuda.current_stream(device), torch.cuda.Stream(device)
    own.wait_stream(current)
    with torch.cuda.stream(own):
        for _ in range(_WARM_UPS):
            run()
        graph = torch.cuda.CUDAGraph()
        # other threads may go on encoding meanwhile
        graph.capture_begin(pool, capture_error_mode="thread_local")
        try:
            found = run()
        finally:
            graph.capture_end()
    current.wait_stream(own)
    return graph.replay, found, graph.pool()


def _fault(found: Found, right: Found) -> str:
    """Why a graph is not to be used; "" if its logits and scores are right."""
    for ours, theirs in zip(found, right, strict=True):
        if ours is None or theirs is None:
            continue
        off = float((ours - theirs).abs().max()) / max(1.0, float(theirs.abs().max()))
        if not off <= TOLERANCE:  # nor nan
            return f"its masks are off by {off:.1g}"
    return ""


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=3)
