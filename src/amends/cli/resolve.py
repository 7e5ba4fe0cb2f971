"""Where the store is and which module holds the sagas: option, environment, pyproject.toml, default.

A relative path of ``[tool.amends]`` counts from its pyproject.toml, so that commands mean the same in every
folder below it; one given by option or environment counts from here, as paths do.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import msgspec

from ..errors import StoreError, did_you_mean
from ..redaction import redacted
from ..store.url import instead_of, split
from .exits import Problem

DEFAULT_STORE = "sqlite:///amends.db"
_KEYS = ("app", "namespace", "store")  # tables below it, such as [tool.amends.check], belong to others


class Settings(msgspec.Struct, frozen=True):
    """``[tool.amends]`` of the nearest pyproject.toml, and where that stands."""

    store: str = ""
    app: str = ""
    namespace: str = ""
    folder: Path | None = None


class Place(msgspec.Struct, frozen=True):
    """A store's URL and who said it. `typed`: it came by the option, so suggestions must repeat it."""

    url: str
    said_by: str
    typed: bool = False

    @property
    def shown(self) -> str:
        """The URL for people and logs: without a password."""
        return redacted(self.url)

    @property
    def file(self) -> Path | None:
        """The database file; None for what is no file."""
        parts = urlsplit(self.url)
        if parts.scheme != "sqlite" or not parts.path.strip("/"):
            return None
        return Path(unquote(parts.path)[1:])

    @property
    def lasts(self) -> bool:
        """Is it there for other processes (a file, a server)?"""
        return self.file is not None or urlsplit(self.url).scheme in {"postgresql", "postgres"}


def settings(start: Path | None = None) -> Settings:
    """What the nearest pyproject.toml says. Raises `Problem` for what cannot be understood."""
    here = start or Path.cwd()
    for folder in (here, *here.parents):
        file = folder / "pyproject.toml"
        if file.is_file() and (found := _table(file)) is not None:
            return _read(found, file)
    return Settings()


def _table(file: Path) -> object | None:
    try:
        found: object = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {}).get("amends")
        return found
    except (tomllib.TOMLDecodeError, UnicodeError) as error:
        raise Problem(
            f"{file} cannot be read: {error}", hint="correct it, or say --store and --app"
        ) from error


def _read(table: object, file: Path) -> Settings:
    if not isinstance(table, dict):
        raise Problem(f"{file}: tool.amends is {table!r}, expected a table", hint='[tool.amends] store = "…"')
    own = {key: value for key, value in table.items() if not isinstance(value, dict)}
    for key, value in own.items():
        if key not in _KEYS:
            raise Problem(f"{file}: [tool.amends] has no key {key!r}", hint=did_you_mean(key, _KEYS))
        if not isinstance(value, str):
            raise Problem(f"{file}: [tool.amends] {key} is {value!r}, expected text")
    return Settings(**own, folder=file.parent)


def place(given: str | None, found: Settings | None = None) -> Place:
    """The store to use. Raises `Problem`, `StoreError` for a URL that is none."""
    if given:
        return _checked(Place(given, "--store", typed=True))
    if told := os.environ.get("AMENDS_STORE"):
        return _checked(Place(told, "AMENDS_STORE"))
    found = settings() if found is None else found
    if found.store and found.folder is not None:
        return _checked(Place(_anchored(found.store, found.folder), f"{found.folder / 'pyproject.toml'}"))
    return Place(DEFAULT_STORE, "the default")


def _checked(place: Place) -> Place:
    scheme, mark, _ = place.url.partition("://")
    if not mark or not scheme:
        raise StoreError(
            f"{place.shown!r} (from {place.said_by}) is not the URL of a store",
            hint=instead_of(place.url),
        )
    split(place.url)
    return place


def _anchored(url: str, folder: Path) -> str:
    """A relative SQLite path made absolute."""
    head, mark, path = url.partition("sqlite:///")
    if head or not mark or not path or path.startswith("/"):
        return url
    path, question, options = path.partition("?")
    target = quote(str((folder / unquote(path)).resolve()))
    return f"sqlite:///{target}{question}{options}"


def namespace(given: str | None) -> str:
    """The namespace to use."""
    return given or os.environ.get("AMENDS_NAMESPACE") or settings().namespace or "default"


def must_exist(place: Place) -> None:
    """Raise `StoreError` when there is nothing to look at: looking must not create a store."""
    if place.url.startswith(("memory:", "sqlite://")) and place.file is None:
        raise StoreError(
            f"{place.shown} lives and ends with one process; there is nothing to look at from here",
            hint="name a file: --store sqlite:///orders.db",
        )
    if place.file is not None and not place.file.exists():
        near = sorted(str(p) for p in Path().glob("*.db"))
        found = did_you_mean(str(place.file), near)
        raise StoreError(
            f"there is no store at {place.file} (from {place.said_by})",
            hint=f"{found + '; ' if found else ''}name it with --store sqlite:///… or AMENDS_STORE "
            "(a worker makes a new one)",
        )
