"""What the table says of each model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_hqsam.plugin.models.timing import Timing
    from napari_hqsam.weights import ModelInfo

HEADINGS = ("Model", "Size", "Here", "Window", "Licence", "Trained on")


@dataclass(frozen=True)
class Row:
    """One model.

    Attributes
    ----------
    info : ModelInfo
    default : bool
        Whether new docks begin with it.
    timing : Timing or None
        On the device and in the precision chosen.
    """

    info: ModelInfo
    default: bool = False
    timing: Timing | None = None

    @property
    def cells(self) -> tuple[str, ...]:
        """Texts under `HEADINGS`."""
        info = self.info
        name = f"★ {info.name}" if self.default else info.name
        seconds = "" if self.timing is None else f"{self.timing.encode:.2g} s"
        return name, _size(info.bytes), self.here, seconds, info.licence, info.trained_on

    @property
    def here(self) -> str:
        """Whether it is on this computer."""
        if self.info.installed:
            return "yes"
        if self.info.added is None:
            return "no" if self.info.url else "missing"
        return "changed" if self.info.path.is_file() else "moved"

    @property
    def details(self) -> str:
        """All that there is to say, one line each."""
        info = self.info
        lines = [
            f"{info.name}: {info.description}" + (" (★ by default)" if self.default else ""),
            f"Trained on: {info.trained_on}",
            f"Licence: {info.licence}. From: {info.source}",
        ]
        if self.here in ("moved", "changed"):
            lines.append(
                f"The file is {'no longer there' if self.here == 'moved' else 'another one now'}: "
                "remove the model, and add the file where it is now."
            )
        if self.timing is not None:
            t = self.timing
            lines.append(
                f"Here: {t.encode:.2g} s to encode a window of {t.input_size} × {t.input_size} "
                f"pixels, {1000 * t.decode:.0f} ms for a prompt."
            )
        return "\n".join(lines)


def _size(count: int | None) -> str:
    if count is None:
        return ""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
