"""Hypothesis tries the same examples in every run, so that a failure is the change's own.

To look for new ones: ``HYPOTHESIS_PROFILE=search pytest tests/session``.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("suite", derandomize=True)
settings.register_profile("search", derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))
