"""Figures as a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from napari_hqsam.evaluation.protocol import Scores


def markdown_table(scores: Mapping[str, Iterable[Scores]]) -> str:
    """Mean IoU / mean boundary IoU (2 px) of each method, a row for each data set."""
    by_set = {name: list(rows) for name, rows in scores.items()}
    methods = list(dict.fromkeys(s.method for rows in by_set.values() for s in rows))
    lines = [
        "| set | images | objects | " + " | ".join(methods) + " |",
        "|---" * (3 + len(methods)) + "|",
    ]
    for name, rows in by_set.items():
        cells = []
        for method in methods:
            of_method = [s for s in rows if s.method == method]
            iou = np.mean([s.iou for s in of_method])
            boundary = np.mean([s.boundary_iou for s in of_method])
            cells.append(f"{iou:.3f} / {boundary:.3f}")
        images = len({s.image for s in rows})
        objects = len({(s.image, s.label) for s in rows})
        lines.append(f"| {name} | {images} | {objects} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
