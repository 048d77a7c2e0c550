"""The Propagate dock: objects followed through a stack or a film, from a few slices of each."""

from napari_hqsam.plugin.propagate.widget import PropagateWidget

__all__ = ["PropagateWidget"]
