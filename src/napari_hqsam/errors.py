"""The errors that a user is meant to read."""

from __future__ import annotations


class HQSAMError(ValueError):
    """An input that cannot be used.

    The message is one line that names the file, option or argument and what to do about it.
    The command line prints it and exits with status 2; the dock shows it as a notification.
    """
