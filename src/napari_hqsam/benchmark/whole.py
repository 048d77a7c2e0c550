"""Everything in an image: labels refined, objects found, seams, and very many windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from napari_hqsam.benchmark.automatic import measure_automatic
from napari_hqsam.benchmark.figures import Figure, Report, Table, setting_of
from napari_hqsam.benchmark.held_out import held_out, of_instances
from napari_hqsam.benchmark.linear import WINDOWS, measure_linear
from napari_hqsam.benchmark.mosaic_seams import measure_mosaic_seams
from napari_hqsam.benchmark.refinement import measure_refinement
from napari_hqsam.benchmark.tiles import labelled_pictures, sample_pictures
from napari_hqsam.errors import HQSAMError
from napari_hqsam.modeling import HQSam

PARTS = ("refinement", "automatic", "seams", "linear")
# Without labelled images.
_ALONE = ("seams", "linear")


def choose_parts(parts: Sequence[str] | None, data: Path | None) -> tuple[str, ...]:
    """What is to be measured; all that can be, if nothing is asked for.

    Raises
    ------
    HQSAMError
        If a part is unknown, or needs data.
    """
    chosen = tuple(parts or (_ALONE if data is None else PARTS))
    for part in chosen:
        if part not in PARTS:
            raise HQSAMError(f"--part {part}: choose {', '.join(PARTS[:-1])} or {PARTS[-1]}")
        if data is None and part not in _ALONE:
            raise HQSAMError(f"--part {part}: it needs labelled images; give --data DIR")
    return chosen


def measure_whole(
    model: HQSam,
    folder: Path,
    data: Path | None = None,
    *,
    parts: Sequence[str] | None = None,
    images: int = 8,
    windows: Sequence[int] = WINDOWS,
    tell: Callable[[str], object] = lambda _: None,
) -> Report:
    """Measure what is done to whole images.

    Parameters
    ----------
    model : HQSam
    folder : pathlib.Path
        Empty; for what is made meanwhile.
    data : pathlib.Path, optional
        A data set, or a folder of them. Without it there are only the parts that need none: seams
        on pictures that scikit-image brings along, and very many windows.
    parts : sequence of str, optional
        As for `choose_parts`.
    images : int
        Planes of each set, at most.
    windows : sequence of int
        As for `measure_linear`.
    tell : callable
        Takes a line on what is done now.

    Raises
    ------
    HQSAMError
        If a part is unknown or needs data, or the folder holds no data set.
    """
    chosen = choose_parts(parts, data)
    setting = setting_of(model)
    if data is None:
        setting["data"] = "scikit-image's pictures; refinement and automatic need --data"
    else:
        setting |= {"data": data.name, "images of a set at most": images}
    report = Report("whole", setting)

    def add(measured: tuple[list[Figure], Table]) -> None:
        report.figures.extend(measured[0])
        report.tables.append(measured[1])

    if data is not None and {"refinement", "automatic"} & set(chosen):
        sets = held_out(data, images, tell=tell)
        if "refinement" in chosen:
            add(measure_refinement(model, sets, tell=tell))
        if "automatic" in chosen:
            add(measure_automatic(model, of_instances(sets), tell=tell))
    if "seams" in chosen:
        size = model.input_size
        pictures = sample_pictures(size) if data is None else labelled_pictures(data, size)
        if not pictures:
            setting["mosaics"] = "none: no set gives nine large enough images with objects"
        add(measure_mosaic_seams(model, pictures, tell=tell))
    if "linear" in chosen:
        add(measure_linear(folder, windows, tell=tell))
    return report
