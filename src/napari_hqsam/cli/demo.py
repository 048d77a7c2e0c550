"""`napari-hqsam demo`: real pictures, several prompts each, SAM and HQ-SAM side by side."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_hqsam.cli.console import progress_bar
from napari_hqsam.cli.label_image import check_folder
from napari_hqsam.errors import HQSAMError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image
    from rich.table import Table

    from napari_hqsam.cli.sheet import View
    from napari_hqsam.modeling import HQSam, Mode

_MODES: tuple[Mode, ...] = ("sam", "hq+sam")
_COLUMNS = ("picture and prompts", "SAM", "HQ-SAM")


@dataclass(frozen=True)
class _Picture:
    """A picture in scikit-image's wheel, the prompts of its objects, and the part to show.

    Attributes
    ----------
    name, title : str
    function : str
        In `skimage.data`.
    view : View
    objects : tuple of dict
        Arguments of `Prompts`, one for each object.
    """

    name: str
    function: str
    title: str
    view: View
    objects: tuple[dict[str, Any], ...]


_PICTURES = (
    _Picture(
        "retina",
        "retina",
        "Retina, fundus photograph: vessels",
        (100, 420, 640, 960),
        (
            {"box": (420, 440, 525, 770)},
            {"box": (300, 420, 445, 960), "points": [(318, 500), (340, 630), (428, 900)]},
            {"box": (140, 560, 205, 960)},
        ),
    ),
    _Picture(
        "ihc",
        "immunohistochemistry",
        "Colon, immunohistochemistry: nuclei",
        (228, 226, 344, 342),
        (
            {"box": (247, 291, 256, 304)},
            {"box": (236, 300, 246, 310)},
            {"box": (266, 325, 276, 340)},
            {"box": (283, 311, 298, 321)},
            {"box": (291, 331, 298, 341)},
            {"box": (288, 279, 299, 292)},
            {"box": (266, 264, 275, 276)},
            {"box": (262, 251, 267, 266)},
        ),
    ),
    _Picture(
        "cell",
        "cell",
        "Cell, quantitative phase: a granule, and the cell",
        (265, 320, 475, 530),
        (
            {"box": (391, 405, 408, 420)},
            {"points": [(350, 450)]},
        ),
    ),
)


def demo(
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="FOLDER", help="Folder for the results; made if need be."
        ),
    ] = Path("napari-hqsam-demo"),
) -> None:
    """Segment some real pictures, to see what to expect.

    The pictures come with scikit-image: it takes no network, no GPU, and less than a minute.

    Writes demo.png, with SAM and HQ-SAM side by side, and a label image of each picture.
    """
    from rich.console import Console
    from rich.table import Table

    from napari_hqsam.cli.sheet import save_sheet
    from napari_hqsam.modeling import describe_device
    from napari_hqsam.weights import load_model

    began = time.monotonic()
    folder = out.expanduser()
    _make(folder)
    model = load_model("micro")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("picture", "label", "area px", "score", "IoU of SAM and HQ-SAM"):
        table.add_column(heading, justify="left" if heading == "picture" else "right")
    rows = []
    with progress_bar("{task.completed} of {task.total}") as bar:
        for picture in bar.track(_PICTURES, description="pictures"):
            rows.append((picture.title, _segment(picture, model, folder, table)))
    sheet = folder / "demo.png"
    save_sheet(sheet, rows, _COLUMNS)
    Console().print(table)
    typer.echo(f"{time.monotonic() - began:.0f} s on {describe_device()}")
    typer.echo(f"Label images: {folder / '*-labels.tif'}")
    typer.echo(f"Side by side: {sheet}")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HQSAMError(
            f"{folder}: cannot be made ({error.strerror}); choose another -o"
        ) from None
    check_folder(folder, folder / "demo.png")


def _segment(picture: _Picture, model: HQSam, folder: Path, table: Table) -> list[Image.Image]:
    """Write the labels of a picture and add its objects to the table; its panels."""
    import numpy as np
    import skimage.data

    from napari_hqsam.cli.sheet import panel, with_objects, with_prompts
    from napari_hqsam.labels.export import write_labels
    from napari_hqsam.segmentation import Prompts, Segmenter

    pixels = getattr(skimage.data, picture.function)()
    prompts = [Prompts(**given) for given in picture.objects]
    shown = panel(pixels, picture.view)
    panels = [with_prompts(shown, prompts, picture.view)]
    with Segmenter(pixels, model=model) as segmenter:
        found = {mode: segmenter.predict_many(prompts, mode=mode) for mode in _MODES}
    for masks in found.values():
        labels = np.zeros(pixels.shape[:2], np.uint16)
        areas = [mask.draw(labels, i) for i, mask in enumerate(masks, start=1)]
        panels.append(with_objects(shown, labels, picture.view))
    # What is left in `labels` and `areas` is of the last mode, HQ-SAM.
    write_labels(folder / f"{picture.name}-labels.tif", labels)
    for i, (sam, hq) in enumerate(zip(*found.values(), strict=True)):
        same = _iou(sam.full(labels.shape), hq.full(labels.shape))
        table.add_row(picture.name, str(i + 1), str(areas[i]), f"{hq.score:.2f}", f"{same:.2f}")
    return panels


def _iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0
