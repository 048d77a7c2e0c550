"""How fast a click on an encoded window is answered, alone and among others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from napari_hqsam.benchmark.figures import Figure, Report
from napari_hqsam.benchmark.speed.machine import finisher, setting
from napari_hqsam.benchmark.speed.pairs import Run, Times, in_turn
from napari_hqsam.benchmark.speed.parity import largest_difference
from napari_hqsam.benchmark.speed.stock import Stock
from napari_hqsam.benchmark.speed.windows import (
    batches,
    clicks,
    objects,
    of_image,
    picture,
    windows,
)
from napari_hqsam.modeling import Decoded, HQSam, Mode, PromptBatch, TileFeatures
from napari_hqsam.modeling.graphs import GraphedDecoder
from napari_hqsam.segmentation import Segmenter

_OFFICIAL = "official"
_KINDS = ("a click", "a box")
_GRAPH = "a click, as a CUDA graph"
# Of a variant on a CPU how many times as fast, and milliseconds; milliseconds on a GPU.
_RATIOS, _CPU_MS, _GPU_MS = {"vit_b": 2.5}, {"vit_b": 80.0, "micro": 50.0}, 5.0
_BATCH_RATIO, _LOGITS = 2.0, 1e-3
# Clicks of a batch along a side; it takes long, so that fewer rounds do.
_PER_SIDE, _BATCH_ROUNDS = 8, 3

Decode = Callable[[PromptBatch], Decoded]


def measure_click(
    model: HQSam,
    *,
    rounds: int = 20,
    against: bool = True,
    tell: Callable[[str], object] = lambda _: None,
) -> Report:
    """Decode clicks and boxes on one encoded window, in turn with the official way.

    Both are given the same embedding. The official way fuses the HQ features anew at each call.

    Parameters
    ----------
    model : HQSam
    rounds : int
        Of the batch of 64 clicks there are three at most.
    against : bool
        Whether the official way takes its turns.
    tell : callable
        Takes a line on what is done now.
    """
    name = "HQ-SAM's decoder, its features recomputed at each click" if against else None
    report = Report("click", setting(model, rounds, name))
    tell("encoding a window")
    decode, official = _decoders(model)
    point, box, many = clicks(model, 1), objects(model, 1), clicks(model, _PER_SIDE)
    turns = partial(in_turn, finish=finisher(model.device), tell=tell)
    on_cpu = _is_cpu(model)
    ways = [decode] if on_cpu else [decode, _graphed(model, decode)]
    with Segmenter(picture(model.input_size), model=model) as segmenter, torch.inference_mode():
        runs: dict[str, Run] = {}
        for kind, prompts in zip(_KINDS, (point, box), strict=True):
            if against:
                runs[f"{kind}, {_OFFICIAL}"] = partial(official, prompts, hq=model.has_hq)
            if model.has_hq:
                runs[kind] = partial(decode, prompts, hq=True)
            runs[f"{kind}, SAM alone"] = partial(decode, prompts, hq=False)
        if not on_cpu:
            runs[_GRAPH] = partial(ways[-1], point, hq=model.has_hq)
        middle = [(model.input_size / 2, model.input_size / 2)]
        mode: Mode = "hq+sam" if model.has_hq else "sam"
        runs["Segmenter.predict"] = partial(segmenter.predict, middle, mode=mode, fine=False)
        times = turns(runs, rounds)
        alone = batches(many)
        together: dict[str, Run] = {
            "one by one": lambda: [decode(prompt, hq=model.has_hq) for prompt in alone],
            "in a batch": lambda: decode(many, hq=model.has_hq),
        }
        if against:
            together[_OFFICIAL] = lambda: [official(prompt, hq=model.has_hq) for prompt in alone]
        crowd = turns(together, min(rounds, _BATCH_ROUNDS))
        report.figures += _singles(times, model, on_cpu)
        report.figures += _together(crowd, len(alone), on_cpu)
        if against:
            tell("comparing logits")
            pairs = [(prompts, official(prompts, hq=model.has_hq)) for prompts in (point, box)]
            found = [official(prompt, hq=model.has_hq) for prompt in alone]
            pairs.append((many, _joined(found)))
            apart = max(
                _apart(way(prompts, hq=model.has_hq), expected)
                for prompts, expected in pairs
                for way in ways
            )
            about = f"of a click, a box and a batch of {len(alone)} clicks"
            report.figures.append(Figure("logits: difference", apart, "", _LOGITS, about))
    report.tables.append(times.table("times"))
    report.tables.append(crowd.table(f"times of {len(alone)} clicks"))
    return report


def _is_cpu(model: HQSam) -> bool:
    return model.device.type == "cpu"


def _graphed(model: HQSam, decode: Callable[..., Decoded]) -> Callable[..., Decoded]:
    graph = GraphedDecoder(model.mask_decoder)

    def replayed(prompts: PromptBatch, *, hq: bool) -> Decoded:
        before, model.graphed = model.graphed, graph
        try:
            return decode(prompts, hq=hq)
        finally:
            model.graphed = before

    return replayed


def _decoders(model: HQSam) -> tuple[Callable[..., Decoded], Callable[..., Decoded]]:
    """What decodes prompts on a window with `hq` or without: the model, and the official way."""
    stock = Stock(model)
    with torch.inference_mode():
        embedding, early = model.image_encoder(windows(model, 1))
        fused = model.mask_decoder.hq_features(embedding, early) if model.has_hq else None
        features = model.prepare(TileFeatures(embedding, fused))

    def decode(prompts: PromptBatch, *, hq: bool) -> Decoded:
        return model.decode(features, of_image(prompts), prompts, hq=hq)

    def official(prompts: PromptBatch, *, hq: bool) -> Decoded:
        return stock.decode(embedding, early, of_image(prompts), prompts, hq=hq)

    return decode, official


def _singles(times: Times, model: HQSam, on_cpu: bool) -> Iterator[Figure]:
    target = _CPU_MS.get(model.variant) if on_cpu else _GPU_MS
    for kind in _KINDS:
        best = kind if kind in times.rounds else f"{kind}, SAM alone"
        shipped = f"{kind}, {_OFFICIAL}"
        if shipped in times.rounds:
            ratio = _RATIOS.get(model.variant) if on_cpu else None
            about = f"{1e3 * times.median(best):.3g} against {1e3 * times.median(shipped):.3g} ms"
            yield times.figure(f"{kind}, against the official way", shipped, best, ratio, about)
        about = f"median of {len(times.rounds[best])}"
        yield Figure(kind, 1e3 * times.median(best), "ms", target, about)
        if kind == best:
            sam = times.median(f"{kind}, SAM alone")
            about = f"{1e3 * sam:.3g} ms by itself: what a preview could come earlier"
            yield Figure(
                f"{kind}, more than SAM alone", 1e3 * (times.median(kind) - sam), "ms", None, about
            )
    if _GRAPH in times.rounds:
        plain = _KINDS[0] if _KINDS[0] in times.rounds else f"{_KINDS[0]}, SAM alone"
        about = f"{1e3 * times.median(plain):.3g} ms without"
        yield Figure(_GRAPH, 1e3 * times.median(_GRAPH), "ms", target, about)
    whole = 1e3 * times.median("Segmenter.predict")
    yield Figure("a click, by Segmenter.predict", whole, "ms", target, "to a mask of the image")


def _together(times: Times, count: int, on_cpu: bool) -> Iterator[Figure]:
    batch = 1e3 * times.median("in a batch")
    target = _BATCH_RATIO if on_cpu else None
    for name, against in (("single clicks", "one by one"), ("official single clicks", _OFFICIAL)):
        if against in times.rounds:
            about = f"{batch:,.0f} against {1e3 * times.median(against):,.0f} ms"
            yield times.figure(
                f"{count} clicks in a batch, against {name}", against, "in a batch", target, about
            )
        target = None


def _joined(parts: list[Decoded]) -> Decoded:
    sam, hq, iou = (
        None if column[0] is None else torch.cat(column) for column in zip(*parts, strict=True)
    )
    assert sam is not None
    assert iou is not None
    return Decoded(sam, hq, iou)


def _apart(found: Decoded, expected: Decoded) -> float:
    """The largest difference of the logits of all masks."""
    pairs: list[tuple[Tensor, Tensor]] = [(found.sam, expected.sam)]
    if found.hq is not None and expected.hq is not None:
        pairs.append((found.hq, expected.hq))
    return max(largest_difference(a, b) for a, b in pairs)
