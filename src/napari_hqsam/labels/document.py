"""Files that are written complete or not at all, and JSON files that others wrote."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from napari_hqsam.errors import HQSAMError
from napari_hqsam.labels import place


@contextmanager
def writing(path: str | os.PathLike[str], *suffixes: str) -> Iterator[BinaryIO]:
    """A file to write into, which gets the name `path` at the end.

    If anything fails before, a file that had the name keeps it, and nothing else is left.

    Parameters
    ----------
    path : str or path-like
    *suffixes : str
        Those that `path` may have.

    Raises
    ------
    HQSAMError
        If the suffix is another, or the disk refuses.
    """
    target = Path(path).expanduser()
    if target.suffix.lower() not in suffixes:
        raise HQSAMError(f"{target}: the name must end in {' or '.join(suffixes)}")
    made = place.partial(target)
    try:
        with place.writing(target):
            place.check_target(target)
            with made.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            place.replace(made, target)
    finally:
        place.remove(made)


def read_json(path: str | os.PathLike[str]) -> Any:
    """What a JSON file holds.

    Raises
    ------
    HQSAMError
        If it cannot be read, or is no JSON.
    """
    source = Path(path).expanduser()
    try:
        return json.loads(source.read_text("utf-8-sig"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise HQSAMError(f"{source}: cannot be read ({reason}); check the path") from None
    except (ValueError, RecursionError) as error:
        reason = next(iter(str(error).splitlines()), "")
        raise HQSAMError(f"{source}: is no JSON ({reason[:120]}); export it again") from None


def dumps(value: Any) -> bytes:
    """One line of JSON in UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
