"""`python -m napari_hqsam`: the command line, for launchers that start a module."""

from __future__ import annotations

import sys

from napari_hqsam.cli import main

if __name__ == "__main__":
    sys.exit(main())
