"""Tells whoever offers models that there are others now."""

from __future__ import annotations

from psygnal import Signal


class Catalogue:
    """The models as the docks offer them.

    Signals
    -------
    changed
        A model was downloaded, added or removed, on the main thread; ask `list_models` again.
    """

    changed = Signal()


catalogue = Catalogue()
"""The one for all docks."""
