"""Label images: what is committed, and how it leaves for other programs."""

from __future__ import annotations
