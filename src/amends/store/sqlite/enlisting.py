"""Starting a saga in a transaction of the caller's, on the same file (see `amends.store.enlisting`).

Two copies of SQLite in one process must not have one file open: locks of a process do not exclude itself,
so that both write at once and one of them is overwritten (https://sqlite.org/howtocorrupt.html, 2.2.1; the
standard library's `sqlite3` is such a second copy beside apsw's).  While the store is open in this process
only apsw's connections are let in.  A process that only starts sagas need not open the store: the caller's
connection does it all, of whatever library.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Any

import apsw

from ...errors import StoreError
from ..enlisting import Enlistment, Rows
from ..port import Header
from .sql import load

_SQL = load("enlist.sql")


def enlistment(path: str, *, is_open: bool) -> Enlistment:
    """For the store of that file."""
    return Enlistment(
        dialect="sqlite",
        where=path,
        admit=_must_be_apsw if is_open else _anything,
        identify=_SQL["identify"],
        verify=functools.partial(_verify, path),
        create=_SQL["create"],
        values=_values,
        find=_SQL["find"],
        key=_key,
        read=_read,
    )


def _must_be_apsw(connection: Any) -> None:
    if isinstance(connection, apsw.Connection):
        return
    raise StoreError(
        f"a {type(connection).__module__}.{type(connection).__qualname__} brings a second copy of SQLite, and"
        " two in one process damage a file that both have open",
        hint="use apsw.Connection(path) here, or start from a Client that is not entered, in a process that"
        " does not open the store",
    )


def _anything(_: Any) -> None:
    """The store has no connection in this process that could be disturbed."""


def _verify(path: str, rows: Rows) -> None:
    file, prepared = rows[0]
    if not file or not os.path.exists(path) or not os.path.samefile(file, path):  # noqa: PTH110, PTH121
        raise StoreError(
            f"the connection leads to {file or 'a database in memory'}, not to the store's {path}",
            hint="the saga and your own rows can be committed together only in one database",
        )
    if not prepared:
        raise StoreError(
            f"{path} has no tables of amends yet", hint="a worker, or `async with Client(url)`, makes them"
        )


def _values(header: Header) -> Mapping[str, Any]:
    return {
        "uid": header.uid,
        "namespace": header.namespace,
        "id": header.id,
        "partition": header.partition,
        "saga": header.saga,
        "version": header.version,
        "root": header.root,
        "deadline": header.deadline,
        "created_at": header.created_at,
        "updated_at": header.updated_at,
        "attributes": header.attributes,
        "input": header.input,
    }


def _key(header: Header) -> Mapping[str, Any]:
    return {"namespace": header.namespace, "id": header.id}


def _read(row: tuple[Any, ...]) -> Header:
    uid, id, saga, input = row
    return Header(uid=uid, id=id, saga=saga, input=input, created_at=0.0)
