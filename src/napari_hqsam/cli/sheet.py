"""A sheet of pictures: rows of panels with titles, objects filled and outlined, prompts drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image, ImageDraw

    from napari_hqsam.segmentation import Prompts

_PANEL = 560
_GAP = 14
_TITLE = 34
_FILL = 0.28
# Colours that are told apart with any colour vision (Okabe and Ito).
_COLOURS = ((0, 158, 255), (240, 228, 66), (0, 200, 130), (230, 130, 200), (255, 160, 0))
_POSITIVE, _NEGATIVE = (40, 220, 60), (240, 40, 40)

View = tuple[int, int, int, int]
"""(y0, x0, y1, x1): the part of a picture that is shown, a square."""


def panel(image: NDArray[Any], view: View) -> Image.Image:
    """The part `view` of an 8-bit picture (H, W) or (H, W, 3), at the size of a panel."""
    from PIL import Image

    y0, x0, y1, x1 = view
    part = Image.fromarray(image[y0:y1, x0:x1]).convert("RGB")
    return part.resize((_PANEL, _PANEL), Image.Resampling.LANCZOS)


def with_objects(picture: Image.Image, labels: NDArray[Any], view: View) -> Image.Image:
    """A panel with the objects of a label image (H, W) filled lightly and outlined."""
    import numpy as np
    from PIL import Image
    from skimage.segmentation import find_boundaries

    y0, x0, y1, x1 = view
    shown = Image.fromarray(labels[y0:y1, x0:x1].astype(np.int32))
    large = np.asarray(shown.resize(picture.size, Image.Resampling.NEAREST))
    colours = np.array([(0, 0, 0), *_COLOURS], float)
    colour = colours[np.where(large > 0, (large - 1) % len(_COLOURS) + 1, 0)]
    share = np.where(large > 0, _FILL, 0.0)
    # Two pixels inside the object: the outer edge of the line is the boundary of the mask.
    outermost = find_boundaries(large, mode="inner")
    share[outermost | find_boundaries(np.where(outermost, 0, large), mode="inner")] = 1.0
    pixels = np.asarray(picture, float)
    mixed = pixels * (1 - share[..., None]) + colour * share[..., None]
    return Image.fromarray(mixed.round().astype(np.uint8))


def with_prompts(picture: Image.Image, prompts: Sequence[Prompts], view: View) -> Image.Image:
    """A panel with boxes in the colours of their objects, and points."""
    from PIL import ImageDraw

    out = picture.copy()
    draw = ImageDraw.Draw(out)
    y0, x0, y1, _ = view
    scale = _PANEL / (y1 - y0)

    def place(y: float, x: float) -> tuple[float, float]:
        return (x - x0 + 0.5) * scale, (y - y0 + 0.5) * scale

    for i, prompt in enumerate(prompts):
        if prompt.box is not None:
            corners = [place(*prompt.box[:2]), place(*prompt.box[2:])]
            draw.rectangle(corners, outline=_COLOURS[i % len(_COLOURS)], width=3)
        for point, label in zip(prompt.points, prompt.labels, strict=True):
            _draw_point(draw, place(*point), bool(label))
    return out


def save_sheet(
    path: Path, rows: Sequence[tuple[str, Sequence[Image.Image]]], columns: Sequence[str]
) -> None:
    """Write rows of a title and its panels, below the titles of the columns, as one PNG."""
    from PIL import Image, ImageDraw, ImageFont

    step = _PANEL + _GAP
    size = (_GAP + len(columns) * step, _TITLE + len(rows) * (step + _TITLE))
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=20)
    for i, title in enumerate(columns):
        middle = (_GAP + i * step + _PANEL / 2, _TITLE / 2 + 4)
        draw.text(middle, title, fill="black", font=font, anchor="mm")
    for i, (title, panels) in enumerate(rows):
        top = _TITLE + i * (step + _TITLE)
        draw.text((_GAP, top + _TITLE / 2), title, fill="black", font=font, anchor="lm")
        for k, picture in enumerate(panels):
            sheet.paste(picture, (_GAP + k * step, top + _TITLE))
    sheet.save(path)


def _draw_point(draw: ImageDraw.ImageDraw, at: tuple[float, float], positive: bool) -> None:
    """A disc with a plus or a minus, as the sign of the click."""
    x, y = at
    colour = _POSITIVE if positive else _NEGATIVE
    draw.ellipse((x - 9, y - 9, x + 9, y + 9), fill=colour, outline="white", width=2)
    draw.line((x - 5, y, x + 5, y), fill="white", width=2)
    if positive:
        draw.line((x, y - 5, x, y + 5), fill="white", width=2)
