"""The folder that downloaded weights are kept in."""

from __future__ import annotations

import os
from pathlib import Path

CACHE_VARIABLE = "NAPARI_HQSAM_CACHE"


def cache_dir() -> Path:
    """The cache folder: ``$NAPARI_HQSAM_CACHE``, else the usual one of the operating system.

    The folder need not exist yet.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs

    return platformdirs.user_cache_path("napari-hqsam", appauthor=False)
