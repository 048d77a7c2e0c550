"""Where an image lies: a path on this machine, or the URL of a server."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from napari_hqsam.errors import HQSAMError

# What to install where fsspec has only the name of a protocol.
_PACKAGES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
    "http": "aiohttp",
    "https": "aiohttp",
}
_CONNECT_SECONDS = 15
_READ_SECONDS = 60


@dataclass(frozen=True)
class Url:
    """The address of a folder on a server, with the few ways of a `pathlib.Path` needed here."""

    text: str

    @property
    def name(self) -> str:
        """The last part of the address."""
        return unquote(urlsplit(self.text).path.rstrip("/").rpartition("/")[2]) or self.text

    @property
    def suffix(self) -> str:
        """The file extension, with its dot."""
        return Path(self.name).suffix

    def __truediv__(self, key: str) -> Url:
        return Url(f"{self.text.rstrip('/')}/{key}")

    def __str__(self) -> str:
        return self.text


Location = Path | Url
"""A local path, or a URL. Both have ``name``, ``suffix``, ``/`` and `str`."""


def locate(given: str | os.PathLike[str]) -> Location:
    """Return the location that a user names; ``file://`` is a path."""
    text = os.fspath(given)
    if text.lower().startswith("file://"):
        return Path(url2pathname(urlsplit(text).path))
    if "://" in text:
        return Url(text.rstrip("/"))
    return Path(text).expanduser()


def zarr_store(place: Location) -> Any:
    """Return the read-only zarr store of a folder.

    Raises
    ------
    HQSAMError
        If the kind of server is unknown, or a package is missing to talk to it.
    """
    from zarr.storage import FsspecStore, LocalStore

    if isinstance(place, Path):
        return LocalStore(place, read_only=True)
    import fsspec
    from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper

    protocol = place.text.partition("://")[0].rpartition("::")[2].lower()
    options: dict[str, Any] = {}
    try:
        if protocol in ("http", "https"):
            import aiohttp

            timeout = aiohttp.ClientTimeout(
                total=None, sock_connect=_CONNECT_SECONDS, sock_read=_READ_SECONDS
            )
            options["client_kwargs"] = {"timeout": timeout}
        files, path = fsspec.core.url_to_fs(place.text, **options)
    except ImportError as error:
        package = _PACKAGES.get(protocol)
        remedy = f"pip install {package}" if package else str(error).splitlines()[0]
        raise HQSAMError(f"{place}: reading {protocol}:// needs a package: {remedy}") from error
    except ValueError as error:
        raise HQSAMError(
            f"{place}: {protocol}:// is no kind of server that can be read; "
            "use https:// or s3://, or copy the image to this machine"
        ) from error
    # fsspec's own thread talks to the server and closes its connections when Python ends
    return FsspecStore(AsyncFileSystemWrapper(files, asynchronous=True), read_only=True, path=path)
