"""Checkpoints that the user has added: models with a name, whose files stay where they are.

They are noted in a small JSON file of the user's data folder; listing them needs no torch.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from napari_hqsam.errors import HQSAMError
from napari_hqsam.weights.cache import DATA_VARIABLE, data_dir
from napari_hqsam.weights.registry import ModelInfo, check_name

_VERSION = 1
_KINDS = {
    "hq-sam": "HQ-SAM checkpoint",
    "sam": "SAM checkpoint",
    "micro-sam": "micro-sam checkpoint",
    "transformers": "transformers checkpoint",
}


def added_models() -> list[ModelInfo]:
    """The models that the user has added, in that order; entries that are damaged are left out."""
    found: dict[str, ModelInfo] = {}
    for entry in _read():
        with suppress(HQSAMError, KeyError, TypeError, ValueError, AttributeError):
            info = _info(entry)
            found[info.name] = info
    return list(found.values())


def suggest_name(checkpoint: str | Path) -> str:
    """A name for a checkpoint that no model has yet, made of the name of its file."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(checkpoint).stem).strip("._-")[:32] or "model"
    taken = {info.name.lower() for info in added_models()}
    names = [stem, *(f"{stem}-{i}" for i in range(2, len(taken) + 3))]
    for name in names:
        with suppress(HQSAMError):
            check_name(name)
            if name.lower() not in taken:
                return name
    raise AssertionError("there are more names than models")


def add_model(
    checkpoint: str | Path, name: str | None = None, *, check: Callable[[], None] = lambda: None
) -> ModelInfo:
    """Give a checkpoint a name, under which `load_model`, the docks and the shell know it.

    The file is read in full first. It stays where it is.

    Parameters
    ----------
    checkpoint : path
        A file as for ``load_model(checkpoint=)``, but for a mask decoder alone.
    name : str, optional
        By default made of the name of the file.
    check : callable
        Called before anything is noted; it may raise to stop.

    Raises
    ------
    HQSAMError
        If the file or the name cannot be used. Nothing is changed then.
    """
    from napari_hqsam.weights.load import inspect_checkpoint

    path = Path(checkpoint).expanduser().absolute()
    chosen = suggest_name(path) if name is None else name
    check_name(chosen)
    found, sha256 = inspect_checkpoint(path)
    check()
    entry = {
        "name": chosen,
        "path": str(path),
        "variant": found.variant,
        "kind": found.kind,
        "hq": found.has_hq,
        "sha256": sha256,
        "bytes": path.stat().st_size,
    }
    with _changing() as entries:
        if any(str(e.get("name")).lower() == chosen.lower() for e in entries):
            raise HQSAMError(
                f"model name {chosen!r} is taken by a checkpoint that you have added: choose "
                "another, or remove that one"
            )
        entries.append(entry)
    return _info(entry)


def remove_model(name: str) -> None:
    """Forget a model that the user has added; its file stays.

    Raises
    ------
    HQSAMError
        If the user has added no model of that name.
    """
    with _changing() as entries:
        kept = [entry for entry in entries if entry.get("name") != name]
        if len(kept) == len(entries):
            raise HQSAMError(f"model {name!r} is none that you have added: nothing to remove")
        entries[:] = kept


def _info(entry: dict[str, Any]) -> ModelInfo:
    path = Path(str(entry["path"]))
    check_name(entry["name"])
    kind = _KINDS[entry["kind"]]
    has_hq = bool(entry["hq"])
    what = f"{kind} of {entry['variant']}" + ("" if has_hq else ", without HQ part: SAM only")
    return ModelInfo(
        name=entry["name"],
        variant=str(entry["variant"]),
        description=what,
        trained_on="not stated: added by you",
        licence="not stated",
        source=str(path),
        file_name=path.name,
        sha256=str(entry["sha256"]),
        bytes=int(entry["bytes"]),
        added=path,
    )


def _file() -> Path:
    return data_dir() / "models.json"


def _read() -> list[dict[str, Any]]:
    try:
        found = json.loads(_file().read_bytes())
        entries = found["models"] if found["version"] == _VERSION else []
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [e for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []


@contextmanager
def _changing() -> Iterator[list[dict[str, Any]]]:
    """The entries to change; they are written when the block ends without an error."""
    import filelock

    file = _file()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(file.with_suffix(".lock"), timeout=10):
            _keep_unreadable(file)
            entries = _read()
            yield entries
            text = json.dumps({"version": _VERSION, "models": entries}, indent=1)
            partial = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
            partial.write_text(text, "utf-8")
            os.replace(partial, file)
    except filelock.Timeout:
        raise HQSAMError(f"{file}: another process holds it; try again") from None
    except OSError as error:
        raise HQSAMError(
            f"{file}: cannot be written ({error.strerror or error}); allow it, or set "
            f"{DATA_VARIABLE} to another folder"
        ) from error


def _keep_unreadable(file: Path) -> None:
    """Put a list that this version cannot read aside: it may be a newer version's."""
    with suppress(FileNotFoundError):
        text = file.read_bytes()
        try:
            known = json.loads(text)["version"] == _VERSION
        except (ValueError, KeyError, TypeError):
            known = False
        if not known:
            file.with_suffix(".old.json").write_bytes(text)
