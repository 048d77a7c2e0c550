"""How fast windows are encoded, how near to what the machine can do, and how exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor

from napari_hqsam.benchmark.figures import Figure, Report, Table
from napari_hqsam.benchmark.models import is_random
from napari_hqsam.benchmark.speed.busy import measure_busy
from napari_hqsam.benchmark.speed.machine import finisher, setting, working_bytes
from napari_hqsam.benchmark.speed.pairs import Run, Times, in_turn
from napari_hqsam.benchmark.speed.parity import largest_difference, mask_ious
from napari_hqsam.benchmark.speed.peak import Matmul
from napari_hqsam.benchmark.speed.stock import Stock
from napari_hqsam.benchmark.speed.windows import objects, of_image, windows
from napari_hqsam.embedding.batch import automatic_batch
from napari_hqsam.modeling import (
    PRECISIONS,
    Decoded,
    HQSam,
    Mode,
    Precision,
    PromptBatch,
    TileFeatures,
)
from napari_hqsam.modeling.compiled import CompiledEncoder

_SHIPPED = "as shipped"
# Of each variant, way and device: how many times as fast, the share of the matmul rate in percent,
# and seconds of a window.
_Targets = tuple[float | None, float | None, float | None]
_TARGETS: dict[tuple[str, str, str], _Targets] = {
    ("vit_b", "float32", "cpu"): (2.0, 70.0, None),
    ("vit_b", "bfloat16", "cpu"): (4.0, None, None),
    ("vit_tiny", "float32", "cpu"): (1.5, None, None),
    ("vit_tiny", "float32 compiled", "cpu"): (2.0, None, None),
    ("micro", "float32", "cpu"): (None, None, 0.35),
    ("vit_b", "bfloat16", "cuda"): (8.0, 50.0, None),
    ("vit_l", "bfloat16", "cuda"): (8.0, 50.0, None),
    ("vit_h", "bfloat16", "cuda"): (8.0, 50.0, None),
}
_LOGITS, _IOU = 1e-3, 0.995
_BOXES = 16
_COLUMNS = ("way", "embedding", "of its largest", "logits", "mean IoU", "least IoU")


@dataclass(frozen=True)
class Way:
    """A way to encode.

    Attributes
    ----------
    precision : {"float32", "bfloat16"}
    compiled : CompiledEncoder, optional
        Of the model that encodes.
    """

    precision: Precision
    compiled: CompiledEncoder | None = None

    @property
    def name(self) -> str:
        """What it is called in a report."""
        return self.precision + (" compiled" if self.compiled else "")

    def encode(self, model: HQSam, images: Tensor) -> TileFeatures:
        """Encode images (B, 3, S, S) that way, whatever the model's own is."""
        before = model.precision, model.compiled
        model.precision, model.compiled = self.precision, self.compiled
        try:
            return model.encode(images)
        finally:
            model.precision, model.compiled = before


def measure_encode(
    model: HQSam,
    folder: Path,
    *,
    precisions: Sequence[Precision] = PRECISIONS,
    compiled: bool = False,
    batch: int | None = None,
    rounds: int = 3,
    against: bool = True,
    side: int | None = None,
    tell: Callable[[str], object] = lambda _: None,
) -> Report:
    """Encode windows in each precision, in turn with the network as it is shipped.

    Parameters
    ----------
    model : HQSam
    folder : pathlib.Path
        Empty; on the disk that an image and its store are to lie on.
    precisions : sequence of str
    compiled : bool
        Whether to encode with torch.compile as well.
    batch : int, optional
        Windows encoded at once, by default as many as `Segmenter.embed` takes. The network as
        shipped takes one, as its predictor does.
    rounds : int
    against : bool
        Whether the network as shipped, in float32, takes its turns.
    side : int, optional
        Of the image that is encoded end to end, in pixels; 0 for none. By default four windows'
        on a CPU, and 20,000 on a GPU.
    tell : callable
        Takes a line on what is done now.
    """
    device, finish, stock = model.device, finisher(model.device), Stock(model)
    batch = automatic_batch(model) if batch is None else batch
    report = Report("encode", setting(model, rounds, _baseline(stock) if against else None))
    report.setting |= {"batch": batch}
    images = windows(model, batch)
    with torch.inference_mode():
        ways = [Way(precision) for precision in precisions]
        if compiled:
            tell("torch.compile")
            ways += _compiled(model, images, precisions, report)
        runs: dict[str, Run] = {way.name: partial(way.encode, model, images) for way in ways}
        if against:
            runs = {_SHIPPED: partial(_encode_plainly, stock, images)} | runs
        tell("the matmul rate")
        peaks = {precision: Matmul(device, precision, finish) for precision in precisions}
        products = {f"matmul {precision}": peak for precision, peak in peaks.items()}
        times = in_turn(runs | products, rounds, finish=finish, tell=tell)
        tell("memory")
        memory = {name: working_bytes(run, device) for name, run in runs.items()}
    flop = encoder_flop(stock)
    for way in ways:
        targets = _TARGETS.get((model.variant, way.name, device.type), (None, None, None))
        work = (flop * batch, peaks[way.precision])
        report.figures += _speed(times, memory, way, batch, work, targets)
    if against:
        tell("comparing masks")
        figures, table = _exactness(model, stock, images, ways)
        report.figures += figures
        report.tables.append(table)
    report.tables.insert(0, times.table("times of a batch"))
    if side != 0:
        busy = measure_busy(model, folder, side=side, batch=batch, rounds=rounds, tell=tell)
        report.figures.append(busy)
    return report


def _compiled(
    model: HQSam, images: Tensor, precisions: Sequence[Precision], report: Report
) -> Iterator[Way]:
    """The precisions in which torch.compile is of use; the report says so of the others."""
    for precision in precisions:
        refused: list[str] = []
        encoder = CompiledEncoder(model.image_encoder)
        encoder.tell = refused.append
        way = Way(precision, encoder)
        way.encode(model, images)
        encoder.wait()
        if refused:
            report.setting[way.name] = refused[0]
        else:
            yield way


def _baseline(stock: Stock) -> str:
    if stock.is_eager:
        return "the same network, eager and contiguous, with the HQ features"
    about = "as shipped, float32, without HQ features"
    return f"segment-anything {version('segment-anything')} {about}"


def _encode_plainly(stock: Stock, images: Tensor) -> None:
    """Encode as shipped; the same network also with what `HQSam.encode` does beside its encoder."""
    for image in images.split(1):
        found = stock.encode(image)
        if stock.is_eager and stock.model.has_hq:
            stock.hq_features(*found)


def one_by_one(stock: Stock, images: Tensor) -> tuple[Tensor, Tensor]:
    """What the network as shipped makes of images, each encoded by itself."""
    embeddings, early = zip(*map(stock.encode, images.split(1)), strict=True)
    return torch.cat(embeddings), torch.cat(early)


def encoder_flop(stock: Stock) -> int:
    """What the plain encoder computes for a window, a multiplication and an addition being two.

    Counted by torch.utils.flop_counter, without computing anything: products and convolutions,
    those of SAM's padding included.
    """
    from torch._subclasses import FakeTensorMode
    from torch.utils.flop_counter import FlopCounterMode

    size, device = stock.model.input_size, stock.model.device
    with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True):
        with FlopCounterMode(display=False) as counter:
            stock.encode(torch.zeros(1, 3, size, size, device=device))
        return int(counter.get_total_flops())


def _speed(
    times: Times,
    memory: dict[str, int],
    way: Way,
    batch: int,
    work: tuple[int, Matmul],
    targets: _Targets,
) -> Iterator[Figure]:
    name, (faster, share, fast), (flop, peak) = way.name, targets, work
    took = times.median(name)
    if _SHIPPED in times.rounds:
        shipped = times.median(_SHIPPED)
        yield times.figure(
            f"encode, {name}, against {_SHIPPED}",
            _SHIPPED,
            name,
            faster,
            f"a window {took / batch:.3g} against {shipped / batch:.3g} s",
        )
    about = f"batches of {batch}; with the HQ features, which the official way leaves to clicks"
    yield Figure(f"a window, {name}", took / batch, "s", fast, about)
    rate = flop / took
    best = peak.flop / times.best(f"matmul {way.precision}")
    yield Figure(
        f"share of the matmul rate, {name}",
        100 * rate / best,
        "%",
        share,
        f"{rate / 1e9:,.0f} of {best / 1e9:,.0f} GFLOP/s ({peak.name}); "
        f"{flop / batch / 1e9:,.0f} GFLOP a window by torch.utils.flop_counter, as shipped",
        at_least=True,
    )
    megabytes = memory[name] / 1e6
    about = f"of a batch of {batch}, {megabytes / batch:,.0f} a window"
    if _SHIPPED in memory:
        about += f"; {_SHIPPED} {memory[_SHIPPED] / 1e6:,.0f}"
    yield Figure(f"memory beside the weights, {name}", megabytes, "MB", None, about)


def _exactness(
    model: HQSam, stock: Stock, images: Tensor, ways: Sequence[Way]
) -> tuple[list[Figure], Table]:
    """Embeddings, and the masks of boxes decoded from them, beside those of the plain network."""
    hq = model.has_hq
    mode: Mode = "hq+sam" if hq else "sam"
    prompts = [objects(model, _BOXES, seed) for seed in range(len(images))]
    about = f"of the boxes of {_BOXES} ellipses in each of {len(images)} window(s)"
    figures, table = [], Table("differences to the plain network", _COLUMNS)

    def logits(decode: Callable[[Tensor, PromptBatch], Decoded]) -> Tensor:
        found = [decode(of_image(part, i), part) for i, part in enumerate(prompts)]
        return torch.cat([decoded.select(mode)[0] for decoded in found])

    with torch.inference_mode():
        plain = one_by_one(stock, images)
        expected = logits(partial(stock.decode, *plain, hq=hq))
        for way in ways:
            features = way.encode(model, images)
            found = logits(partial(model.decode, features, hq=hq))
            ious, apart = mask_ious(found, expected), largest_difference(found, expected)
            away = largest_difference(features.embedding, plain[0])
            relative = away / float(plain[0].abs().max())
            mean, least = float(ious.mean()), float(ious.min())
            table.rows.append((way.name, away, relative, apart, mean, least))
            exact = way.precision == "float32"
            name, target = f"logits, {way.name}: difference", _LOGITS if exact else None
            figures.append(Figure(name, apart, "", target, about))
            if not exact:
                name = f"masks, {way.name}: mean, with the plain ones"
                target = None if is_random(model) else _IOU
                figures.append(Figure(name, mean, "IoU", target, about, at_least=True))
    return figures, table
