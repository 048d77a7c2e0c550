"""The folders of the user: what can be downloaded again, and what cannot."""

from __future__ import annotations

import os
from pathlib import Path

CACHE_VARIABLE = "NAPARI_HQSAM_CACHE"
DATA_VARIABLE = "NAPARI_HQSAM_DATA"


def cache_dir() -> Path:
    """The cache folder: ``$NAPARI_HQSAM_CACHE``, else the usual one of the operating system.

    Downloaded weights are kept in it. The folder need not exist yet.
    """
    return _chosen(CACHE_VARIABLE, "user_cache_path")


def data_dir() -> Path:
    """The data folder: ``$NAPARI_HQSAM_DATA``, else the usual one of the operating system.

    What the user has added or made is noted in it. The folder need not exist yet.
    """
    return _chosen(DATA_VARIABLE, "user_data_path")


def _chosen(variable: str, usual: str) -> Path:
    chosen = os.environ.get(variable)
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs

    return Path(getattr(platformdirs, usual)("napari-hqsam", appauthor=False))
