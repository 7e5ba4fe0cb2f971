"""Stores by URL: ``sqlite:///orders.db``, ``memory://``, with options as query parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from ..errors import StoreError, did_you_mean
from ..redaction import NEXT, redacted
from .memory import MemoryStore
from .places import places
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


def _truth(text: str) -> bool:
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in known:
        raise ValueError(text)
    return known[text.lower()]


def open_store(url: str) -> Store:
    """The store that `url` names, not yet connected: ``await store.open()``.

    * ``sqlite:///orders.db``: a file, relative to the working directory; ``sqlite:////var/lib/orders.db``:
      absolute.
    * ``sqlite://`` or ``memory://``: in memory, gone with the process.
    * ``sqlite:///orders.db?synchronous=NORMAL&patience=10``: options of `SqliteStore`.
    * ``postgresql://user@host/database?schema=amends&lease=10``: options of `PostgresStore` (extra
      ``postgres``), and those of libpq (``sslmode``, several hosts, …).
    * several of these, with spaces between: one store on several servers, each of which holds a part of the
      executions (see `amends.store.places`).  The order matters, and stays as it was at first.

    Raises `StoreError` for anything else.
    """
    urls = NEXT.split(url.strip())
    if len(urls) > 1:
        return _places(urls)
    parts = split(url)
    scheme = parts.scheme.lower()
    if not scheme or "://" not in url:
        raise StoreError(f"{redacted(url)!r} is not the URL of a store", hint=instead_of(url))
    if parts.fragment or url.endswith("#"):
        raise StoreError(
            f"{redacted(url)!r} has a '#', which ends a URL's path",
            hint="write %23 for a # in a file's name or a password",
        )
    if scheme in {"postgresql", "postgres"}:
        return _postgres(parts)
    if scheme == "memory" or (scheme == "sqlite" and not parts.netloc + parts.path):
        return _memory(url, parts.netloc + parts.path.strip("/"), parts.query)
    if scheme == "sqlite":
        return _sqlite(url, parts.netloc, unquote(parts.path), parts.query)
    driverless = scheme.partition("+")[0]  # as SQLAlchemy writes it: postgresql+psycopg, sqlite+aiosqlite
    raise StoreError(f"{scheme!r} is no store that amends knows", hint=did_you_mean(driverless, SCHEMES))


def instead_of(url: str) -> str:
    """What to write in place of something that is no URL of a store."""
    path = redacted(url)
    for scheme in ("sqlite:", "file:"):
        path = path.removeprefix(scheme)
    if path in {"memory", ":memory:"}:
        return "for a store that ends with the process write memory://"
    return f"for a SQLite file write sqlite:///{path or 'sagas.db'}"


def split(url: str) -> SplitResult:
    """The parts of a URL. Raises `StoreError` for what has none."""
    try:
        return urlsplit(url)
    except ValueError:
        raise StoreError(
            f"{redacted(url)!r} is not the URL of a store",
            hint="quote what is special in a user, a password or a path: %5B for [, %5D for ], %40 for @",
        ) from None  # whose text may quote a password


def _places(urls: list[str]) -> Store:
    for url in urls:
        scheme = split(url).scheme.lower()
        if scheme not in {"postgresql", "postgres"}:
            raise StoreError(
                f"a store on several servers is on PostgreSQL, and one of its URLs begins with {scheme}://",
                hint="postgresql://a/shop postgresql://b/shop; to write one URL with a space in it: %20",
            )
    if len(set(urls)) < len(urls):
        raise StoreError(
            "a store on several servers names one of them twice",
            hint="each holds partitions of its own: name each once",
        )
    return places([open_store(url) for url in urls])


_POSTGRES_OPTIONS: dict[str, Callable[[str], Any]] = {
    "schema": str,
    "lease": float,
    "look": float,
    "patience": float,
    "answer": float,
    "step_seconds": float,
    "orphaned": float,
    "pooled": _truth,
    "unsafe": _truth,
}


def _postgres(parts: SplitResult) -> Store:
    """Our own options are taken out of the URL; the rest is libpq's."""
    try:
        from .postgres import PostgresStore  # noqa: PLC0415  # only who uses PostgreSQL needs its driver
    except ImportError as error:
        raise StoreError(
            f"the PostgreSQL store needs the driver psycopg ({error})", hint="pip install 'amends[postgres]'"
        ) from error
    given = parse_qsl(parts.query, keep_blank_values=True)
    options = {
        name: _option("PostgreSQL", name, text, _POSTGRES_OPTIONS)
        for name, text in given
        if name in _POSTGRES_OPTIONS
    }
    rest = urlencode([pair for pair in given if pair[0] not in _POSTGRES_OPTIONS], quote_via=quote)
    address = f"postgresql://{parts.netloc}{parts.path}"  # `urlunsplit` drops the // of an empty host
    return PostgresStore(f"{address}?{rest}" if rest else address, **options)


def _memory(url: str, rest: str, query: str) -> MemoryStore:
    if rest or query:
        raise StoreError(
            f"{redacted(url)!r} says more than a store in memory can be told",
            hint="write memory://, or sqlite:///name.db (three slashes) for a file",
        )
    return MemoryStore()


def _sqlite(url: str, host: str, path: str, query: str) -> SqliteStore:
    if host:
        place = host.rpartition("@")[2].partition(":")[0]  # without what may be a password
        named = redacted(f"{place}{path}").rpartition("@")[2]
        raise StoreError(
            f"{redacted(url)!r} names a host, and SQLite has none",
            hint=f"write sqlite:///{named} (three slashes: relative) or sqlite:////… (four: absolute)",
        )
    if not path.strip("/"):
        raise StoreError(
            f"{redacted(url)!r} names no file",  # an empty setting, perhaps: no reason to keep nothing
            hint="write sqlite:///sagas.db, or memory:// for a store that ends with the process",
        )
    options: dict[str, Any] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in _SQLITE_OPTIONS:
            raise StoreError(
                f"{name!r} is no option of a SQLite store", hint=did_you_mean(name, _SQLITE_OPTIONS)
            )
        options[name] = _option("SQLite", name, text, _SQLITE_OPTIONS)
    return SqliteStore(path[1:], **options)


def _option(store: str, name: str, text: str, kinds: dict[str, Callable[[str], Any]]) -> Any:
    try:
        return kinds[name](text)
    except ValueError as error:
        kind = kinds[name].__name__.strip("_")
        raise StoreError(f"the option {name}={text!r} of a {store} store is no {kind}") from error
