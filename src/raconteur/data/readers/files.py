"""Finds and reads the files of a source, wherever they are: local, s3://, gs:// or https://, gzip or plain."""

import gzip
import zlib
from typing import Any

import fsspec
from fsspec.core import url_to_fs

from raconteur.errors import DataError

CONNECT_S, READ_S = 10, 60  # of a remote store: to connect, and without a byte


def join(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}"


def find(folder: str, name: str) -> str | None:
    """Address of `name` or `name.gz` in a folder, None if neither is there."""
    for candidate in (join(folder, name), join(folder, f"{name}.gz")):
        file_system, path = _open(candidate)
        if file_system.exists(path):
            return candidate
    return None


def require(folder: str, name: str) -> str:
    """Address of a file that the layout cannot do without.

    Raises:
        DataError: it is not there; the message lists what is.
    """
    found = find(folder, name)
    if found is None:
        raise DataError(
            f"{folder} holds no {name} or {name}.gz; it holds {listing(folder)}; check data.path and data.layout"
        )
    return found


def is_folder(url: str) -> bool:
    """Whether a path is a folder; over HTTP, where nothing tells, one that ends with a slash."""
    if url.startswith(("http://", "https://")):
        return url.endswith("/")
    file_system, path = _open(url)
    return bool(file_system.isdir(path))


def names(folder: str) -> list[str]:
    """Names in a folder, sorted.

    Raises:
        DataError: there is no such folder, or its store does not answer.
    """
    file_system, path = _open(folder)
    try:
        entries = file_system.ls(path, detail=False)
    except Exception as error:  # a boundary: each store raises errors of its own
        raise DataError(
            f"data.path {folder} cannot be listed: {_brief(error)}; check the path and your access"
        ) from None
    return sorted(entry.rstrip("/").rsplit("/", 1)[-1] for entry in entries)


def listing(folder: str) -> str:
    """The names in a folder, for a message."""
    found = names(folder)
    return ", ".join(found[:12]) + (f" and {len(found) - 12} more" if len(found) > 12 else "") if found else "nothing"


def read_bytes(url: str) -> bytes:
    """The content of a file, unpacked if it is gzip (told by its first bytes, not its name).

    Raises:
        DataError: it is missing, cannot be reached in time, or is no whole gzip.
    """
    file_system, path = _open(url)
    try:
        content: bytes = file_system.cat_file(path)
    except Exception as error:  # a boundary: each store raises errors of its own
        raise DataError(f"{url} cannot be read: {_brief(error)}; check data.path and your access") from None
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{url} is a damaged gzip file: {error}; fetch it again") from None


def _open(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    protocol = url.partition("://")[0] if "://" in url else "file"
    try:
        return url_to_fs(url, **_options(protocol))
    except (ImportError, ValueError) as error:
        raise DataError(f"data.path {url}: {protocol}:// is not available: {error}") from None


def _options(protocol: str) -> dict[str, Any]:
    if protocol in ("http", "https"):
        from aiohttp import ClientTimeout  # only where a log lies behind HTTP

        return {"client_kwargs": {"timeout": ClientTimeout(sock_connect=CONNECT_S, sock_read=READ_S)}}
    if protocol == "s3":
        return {"config_kwargs": {"connect_timeout": CONNECT_S, "read_timeout": READ_S}}
    return {"timeout": READ_S} if protocol in ("gs", "gcs") else {}


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no details'}"
