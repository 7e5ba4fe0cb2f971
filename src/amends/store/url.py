"""Stores by URL: ``sqlite:///orders.db``, ``memory://``, with options as query parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from ..errors import StoreError, did_you_mean
from .memory import MemoryStore
from .port import Store
from .sqlite import SqliteStore

SCHEMES = ("sqlite", "memory", "postgresql")

_SQLITE_OPTIONS: dict[str, Callable[[str], Any]] = {
    "synchronous": str,
    "inline_rows": int,
    "inline_seconds": float,
    "patience": float,
    "standby_poll": float,
    "step_seconds": float,
    "max_pages": int,
}


def open_store(url: str) -> Store:
    """The store that `url` names, not yet connected: ``await store.open()``.

    * ``sqlite:///orders.db``: a file, relative to the working directory; ``sqlite:////var/lib/orders.db``:
      absolute.
    * ``sqlite://`` or ``memory://``: in memory, gone with the process.
    * ``sqlite:///orders.db?synchronous=NORMAL&patience=10``: options of `SqliteStore`.

    Raises `StoreError` for anything else.
    """
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    if not scheme or "://" not in url:
        raise StoreError(
            f"{url!r} is not the URL of a store",
            hint=f"for a SQLite file write sqlite:///{url or 'sagas.db'}",
        )
    if parts.fragment or url.endswith("#"):
        raise StoreError(
            f"{url!r} has a '#', which ends a URL's path", hint="write %23 for a # in a file's name"
        )
    if scheme in {"postgresql", "postgres"}:
        raise StoreError(
            "the PostgreSQL store is not in this release",
            hint="it arrives with the next one; use sqlite:///… until then",
        )
    if scheme == "memory" or (scheme == "sqlite" and not parts.path.strip("/")):
        return _memory(url, parts.netloc + parts.path.strip("/"), parts.query)
    if scheme == "sqlite":
        return _sqlite(url, parts.netloc, unquote(parts.path), parts.query)
    raise StoreError(f"{scheme!r} is no store that amends knows", hint=did_you_mean(scheme, SCHEMES))


def _memory(url: str, rest: str, query: str) -> MemoryStore:
    if rest or query:
        raise StoreError(
            f"{url!r} says more than a store in memory can be told",
            hint="write memory://, or sqlite:///name.db (three slashes) for a file",
        )
    return MemoryStore()


def _sqlite(url: str, host: str, path: str, query: str) -> SqliteStore:
    if host:
        raise StoreError(
            f"{url!r} names the host {host!r}, and SQLite has none",
            hint=f"write sqlite:///{host}{path} (three slashes: relative) or sqlite:////… (four: absolute)",
        )
    options: dict[str, Any] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in _SQLITE_OPTIONS:
            raise StoreError(
                f"{name!r} is no option of a SQLite store", hint=did_you_mean(name, _SQLITE_OPTIONS)
            )
        try:
            options[name] = _SQLITE_OPTIONS[name](text)
        except ValueError as error:
            kind = _SQLITE_OPTIONS[name].__name__
            raise StoreError(f"the option {name}={text!r} of a SQLite store is no {kind}") from error
    return SqliteStore(path[1:], **options)
