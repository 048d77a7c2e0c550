"""The Models dock: which models there are, on which device, and where embeddings are kept."""

from __future__ import annotations

from napari_hqsam.plugin.models.widget import ModelsWidget

__all__ = ["ModelsWidget"]
