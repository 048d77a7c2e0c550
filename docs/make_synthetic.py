"""Draw the sheet of synthetic micrographs: ``python docs/make_synthetic.py``.

Each picture is a scene under a look; its right half shows the outlines of the labelled objects.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from napari_hqsam.training.synthetic import LOOKS, SCENES, looks_of, synthetic_plane

PATH = Path(__file__).parent / "images" / "synthetic.png"
TILE, GAP, HEAD, LEFT = 120, 4, 18, 98
OUTLINE = (255, 214, 0)
SEED = 13


def tile(scene: str, look: str) -> Image.Image:
    """One picture at half of its resolution."""
    rng = np.random.default_rng((SEED, SCENES.index(scene), LOOKS.index(look)))
    plane = synthetic_plane(rng, 2 * TILE, scene, look)
    picture = np.array(Image.fromarray(plane.image).convert("RGB"))
    labels = plane.labels.astype(int)
    edge = np.zeros(labels.shape, bool)
    edge[1:] |= labels[1:] != labels[:-1]
    edge[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    edge[:, :TILE] = False
    picture[edge] = OUTLINE
    return Image.fromarray(picture).reduce(2)


def sheet() -> Image.Image:
    """All scenes, from left to right, under all looks, from top to bottom."""
    step = TILE + GAP
    page = Image.new("RGB", (LEFT + step * len(SCENES), HEAD + step * len(LOOKS)), "white")
    draw = ImageDraw.Draw(page)
    for column, scene in enumerate(SCENES):
        draw.text((LEFT + column * step + TILE / 2, HEAD / 2), scene, "black", anchor="mm")
        for row, look in enumerate(LOOKS):
            if look in looks_of(scene):
                page.paste(tile(scene, look), (LEFT + column * step, HEAD + row * step))
    for row, look in enumerate(LOOKS):
        draw.text((LEFT - 8, HEAD + row * step + TILE / 2), look, "black", anchor="rm")
    return page


if __name__ == "__main__":
    # Five bits of eight: noise is what makes the file large.
    sheet().point(lambda v: min((v + 4) // 8 * 8, 255)).save(PATH, optimize=True)
    print(f"{PATH}: {PATH.stat().st_size / 1000:.0f} kB")
