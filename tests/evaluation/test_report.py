"""The report: its figures from scores made by hand, its files, its page."""

from __future__ import annotations

import base64
import csv
import io
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from napari_hqsam.evaluation import Scores, SetScores, write_report
from napari_hqsam.evaluation import html as html_page
from napari_hqsam.evaluation.detection import Cutout
from napari_hqsam.evaluation.examples import AGREED, EXTRA, MISSED
from napari_hqsam.evaluation.plots import line_plot, scatter_plot
from napari_hqsam.evaluation.scores import Answer
from napari_hqsam.evaluation.summary import best_of, click_curve, difference, measures
from napari_hqsam.segmentation import Prompts

NAN = float("nan")
SHAPE = (80, 100)


@dataclass(frozen=True)
class Item:
    name: str
    image: np.ndarray
    labels: np.ndarray


def square(y: int, x: int, side: int = 20) -> Cutout:
    return Cutout(np.ones((side, side), dtype=bool), (y, x, y + side, x + side))


def row(label: int = 1, method: str = "sam", shift: int = 0, **figures: object) -> Scores:
    """A true square of 20 pixels, and a mask that is shifted to the right."""
    truth, mask = square(10, 10 + 30 * (label - 1)), square(10, 10 + 30 * (label - 1) + shift)
    iou = (20 - shift) / (20 + shift)
    x = truth.bbox[1]
    given = Prompts(points=[(20, x + 10)], box=(10, x, 29, x + 19))
    values: dict[str, object] = {
        "image": "a",
        "label": label,
        "area": 400,
        "prompt": "box",
        "method": method,
        "iou": iou,
        "boundary_iou": {"2 px": iou / 2},
        "score": 0.9,
        "encode_seconds": 0.5,
        "decode_seconds": 0.25,
        "cl_dice": NAN,
        "missed_length": NAN,
        "false_branches": NAN,
        "iou_after": (),
        "grew": None,
        "cut": None,
        "truth": truth,
        "answer": Answer(mask, given),
    }
    return Scores(**{**values, **figures})  # type: ignore[arg-type]


def item() -> Item:
    rng = np.random.default_rng(0)
    return Item("a", rng.integers(0, 4000, SHAPE, np.uint16), np.zeros(SHAPE, int))


def scored(*rows: Scores, name: str = "cells") -> SetScores:
    result = SetScores(name)
    result.add(item(), rows)
    return result


def example_set() -> SetScores:
    return scored(
        *(row(1, m, shift) for m, shift in (("filled box", 10), ("sam", 4), ("hq+sam", 0))),
        *(row(2, m, shift) for m, shift in (("filled box", 10), ("sam", 8), ("hq+sam", 4))),
    )


def test_means_over_objects() -> None:
    _, sam, both = example_set().summaries()
    assert (sam.data_set, sam.prompt, sam.method, sam.images, sam.objects) == (
        "cells", "box", "sam", 1, 2,
    )  # fmt: skip
    assert sam.values["miou"] == pytest.approx((16 / 24 + 12 / 28) / 2)
    assert sam.values["mbiou_2px"] == pytest.approx(sam.values["miou"] / 2)
    assert both.values["miou"] == pytest.approx((1 + 16 / 24) / 2)
    assert np.isnan(sam.values["cl_dice"])
    assert sam.values["encode_seconds"] == 0.5


def test_average_precision_takes_the_masks_as_detections() -> None:
    _, sam, both = example_set().summaries()
    # IoU 0.667 and 0.429: one of two is found at thresholds 0.5 to 0.65.
    assert sam.values["ap"] == pytest.approx(0.4 * 51 / 101)
    # 1 and 0.667: both at 0.5 to 0.65, then one.
    assert both.values["ap"] == pytest.approx(0.4 + 0.6 * 51 / 101)
    assert both.values["ap_b"] <= both.values["ap"]
    nothing = scored(row(1, "filled box", 0, score=NAN))
    assert "ap" not in nothing.summaries()[0].values


def test_recall_counts_masks_above_a_threshold() -> None:
    values = scored(
        row(1, boundary_iou={"2 px": 0.55}), row(2, boundary_iou={"2 px": 0.85})
    ).summaries()[0].values  # fmt: skip
    shares = [values[f"recall_2px>{t}"] for t in (0.5, 0.6, 0.7, 0.8, 0.9)]
    assert shares == [1, 0.5, 0.5, 0.5, 0]


def test_thin_figures_are_means_of_thin_objects() -> None:
    thin = {"cl_dice": 0.8, "missed_length": 0.1, "false_branches": 3.0}
    values = scored(row(1), row(2, **thin)).summaries()[0].values
    assert {k: values[k] for k in thin} == thin
    few = scored(*(row(1) for _ in range(5)), row(2, **thin)).summaries()[0].values
    assert np.isnan(few["cl_dice"])


def test_clicks() -> None:
    rows = [
        row(1, iou_after=(0.5, 0.86, 0.91)),
        row(2, iou_after=(0.7, 0.8)),
    ]
    values = scored(*rows).summaries()[0].values
    assert values["noc85"] == (2 + 20) / 2
    assert values["noc90"] == (3 + 20) / 2
    curve = click_curve(rows)
    assert curve[0] == (1, pytest.approx(0.6))
    assert curve[1] == (2, pytest.approx(0.83))
    assert curve[19] == (20, pytest.approx((0.91 + 0.8) / 2))
    assert click_curve([row()]) == []


def test_negative_clicks() -> None:
    rows = [row(1, grew=True, cut=True), row(2, grew=False, cut=None), row(3, grew=None)]
    values = scored(*rows).summaries()[0].values
    assert values["not_grown"] == 0.5
    assert values["cut"] == 1


def test_differences_are_paired() -> None:
    result = example_set()
    gain, margin = difference(result.rows, "box", "hq+sam", "sam")
    each = np.array([1 - 16 / 24, 16 / 24 - 12 / 28])
    assert gain == pytest.approx(each.mean())
    assert margin == pytest.approx(1.96 * each.std(ddof=1) / np.sqrt(2))
    band, _ = difference(result.rows, "box", "hq+sam", "sam", "2 px")
    assert band == pytest.approx(gain / 2)
    assert difference(result.rows, "box", "hq+sam", "hq") is None


def test_the_best_are_those_that_print_alike() -> None:
    columns = {m.key: m for m in measures(["2 px"])}
    summaries = example_set().summaries()
    assert best_of(columns["miou"], summaries) == {"hq+sam"}
    assert best_of(columns["decode_seconds"], summaries) == set()
    same = scored(row(1, "sam", iou=0.9001), row(1, "hq", iou=0.9003)).summaries()
    assert best_of(columns["miou"], same) == {"sam", "hq"}
    assert columns["miou"].text(0.12345) == "0.123"
    assert columns["miou"].text(NAN) == ""


def test_rows_are_kept_without_masks() -> None:
    assert all(r.truth is None and r.answer is None for r in example_set().rows)


def test_best_median_and_worst() -> None:
    result = scored(*(row(k, "sam", shift) for k, shift in ((1, 6), (2, 0), (3, 3))))
    assert [(rank, e.label) for rank, e in result.extremes("box")] == [
        ("best", 2), ("median", 3), ("worst", 1),
    ]  # fmt: skip
    two = scored(*(row(k, "sam", shift) for k, shift in ((1, 6), (2, 0))))
    assert [(rank, e.label) for rank, e in two.extremes("box")] == [("best", 2), ("worst", 1)]
    assert [e.label for _, e in scored(row()).extremes("box")] == [1]


def test_a_picture_shows_what_is_right_and_wrong() -> None:
    flat = Item("a", np.full((*SHAPE, 4), 128, np.uint8), np.zeros(SHAPE, int))
    result = SetScores("cells")
    result.add(flat, [row(1, "sam", 10)])
    ((_, example),) = result.extremes("box")
    picture = np.asarray(example.compared("sam"), float)
    times = picture.shape[0] // 36  # 20 pixels and a margin of 8
    at = {"missed": (18, 13), "right": (18, 23), "extra": (18, 33), "none": (2, 2)}
    seen = {k: picture[y * times, x * times] for k, (y, x) in at.items()}
    for name, colour in (("missed", MISSED), ("right", AGREED), ("extra", EXTRA)):
        towards = np.subtract(colour, 128)
        assert np.dot(seen[name] - 128, towards) > 0.2 * np.dot(towards, towards)
    assert (seen["none"] == 128).all()
    prompted = np.asarray(example.prompted(), float)
    assert prompted.shape == picture.shape
    assert (prompted != 128).any()


def test_large_objects_are_shown_smaller() -> None:
    big = np.zeros((3000, 2000), dtype=bool)
    big[100:2900, 1000:1004] = True  # a thin line must not vanish
    truth = Cutout(big[100:2900, 1000:1004], (100, 1000, 2900, 1004))
    answer = Answer(truth, Prompts(mask=big))
    result = SetScores("large")
    image = Item("big", np.zeros(big.shape, np.uint8), big.astype(int))
    result.add(image, [row(1, truth=truth, answer=answer)])
    ((_, example),) = result.extremes("box")
    picture = np.asarray(example.compared("sam"))
    assert max(picture.shape) <= 420
    assert (picture.max(axis=(1, 2)) > 0).sum() > 0.8 * len(picture) * 2800 / 3000


class Page(HTMLParser):
    """Tags, texts and images of a page; unclosed tags are found."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.images: list[bytes] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        of = dict(attributes)
        if tag == "img":
            assert of["alt"]
            self.images.append(base64.b64decode(str(of["src"]).partition("base64,")[2]))
        self.links += [str(v) for k, v in attributes if k in ("href", "src")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_is_whole_and_stands_alone() -> None:
    sets = [example_set(), scored(row(1, "sam", 2), name="<b>&more")]
    text = html_page.page(sets, {"model": "micro & mine"})
    page = Page(text)
    assert page.open == []
    assert all(link.startswith("data:") for link in page.links)
    assert "http" not in text
    words = " ".join(page.words)
    for expected in ("cells", "<b>&more", "micro & mine", "mBIoU 2 px", "AP_B strict", "best: a,"):
        assert expected in words
    # Of the first set two objects, prompted, by SAM and by the sum; of the second one.
    assert len(page.images) == 2 * 3 + 1 * 2
    for data in page.images:
        Image.open(io.BytesIO(data)).load()
    for svg in re.findall(r"<svg.*?</svg>", text):
        ElementTree.fromstring(svg)
    assert "hq+sam less sam" in words


def test_plots_are_drawings_within_their_frame() -> None:
    lines = line_plot("T & t", "x", "y", {"sam": [(0.5, 1.0), (0.9, 0.0)], "hq": [(0.5, 0.5)]})
    points = scatter_plot("S", "a", "b", [(0.0, 1.0), (1.0, 0.0)])
    for figure in (lines, points):
        svg = ElementTree.fromstring(figure).find("svg")
        width, height = (float(svg.get(k)) for k in ("width", "height"))
        circles = list(svg.iter("circle"))
        assert len(circles) >= 2
        for circle in circles:
            assert 0 < float(circle.get("cx")) < width
            assert 0 < float(circle.get("cy")) < height
    single = ElementTree.fromstring(line_plot("T", "x", "y", {"sam": [(1.0, 0.5)]}))
    assert len(list(single.iter("circle"))) == 1


def test_the_files(tmp_path: Path) -> None:
    page = write_report(tmp_path, [example_set()], {"model": "micro"})
    assert page == tmp_path / "index.html"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["index.html", "scores.csv", "summary.csv"]
    with (tmp_path / "scores.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert rows[1]["method"] == "sam"
    assert float(rows[1]["iou"]) == pytest.approx(16 / 24, abs=1e-6)
    assert float(rows[1]["boundary_iou_2px"]) == pytest.approx(8 / 24, abs=1e-6)
    assert rows[1]["cl_dice"] == rows[1]["grew"] == rows[1]["clicks_to_85"] == ""
    with (tmp_path / "summary.csv").open(encoding="utf-8", newline="") as file:
        summaries = list(csv.DictReader(file))
    assert [s["method"] for s in summaries] == ["filled box", "sam", "hq+sam"]
    assert float(summaries[2]["recall_2px>0.5"]) == 0
    assert summaries[0]["objects"] == "2"


def test_a_report_that_fails_leaves_no_page(tmp_path: Path, monkeypatch) -> None:
    write_report(tmp_path, [example_set()], {})
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space")))
    with pytest.raises(OSError, match="No space"):
        write_report(tmp_path, [example_set()], {})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["scores.csv", "summary.csv"]
