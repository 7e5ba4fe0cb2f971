"""Starting a saga in a transaction of the caller's, in the same database (see `amends.store.enlisting`)."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from ...errors import StoreError
from ..enlisting import Enlistment, Rows
from ..port import Header
from .literals import get, put
from .statement import named, read

_SQL = named(read("enlist.sql"))


IDENTIFY = _SQL["identify"]
"""SQL whose rows say which database it was run in."""


def enlistment(schema: str, channel: str, where: str, identity: Rows) -> Enlistment:
    """For the store in that schema. identity: what `IDENTIFY` yields on the store's own connection."""
    return Enlistment(
        dialect="postgresql",
        where=where,
        admit=_anything,
        identify=IDENTIFY,
        verify=functools.partial(_verify, where, schema, identity),
        create=_SQL["create"].replace("{schema}", schema),
        values=functools.partial(_values, channel),
        find=_SQL["find"].replace("{schema}", schema),
        key=_key,
        read=_read,
    )


def _anything(_: Any) -> None:
    """Any connection may be tried: the server knows which database it leads to."""


def _verify(where: str, schema: str, identity: Rows, rows: Rows) -> None:
    if [tuple(row) for row in rows] != [tuple(row) for row in identity]:
        raise StoreError(
            f"the connection leads to another database than the store's ({where}, schema {schema})",
            hint="the saga and your own rows can be committed together only in one database",
        )


def _values(channel: str, header: Header) -> Mapping[str, Any]:
    texts = ("uid", "namespace", "id", "saga", "version", "root", "attributes", "input")
    others = ("partition", "deadline", "created_at", "updated_at")
    return {
        "channel": channel,
        **{name: put(getattr(header, name)) for name in texts},
        **{name: getattr(header, name) for name in others},
    }


def _key(header: Header) -> Mapping[str, Any]:
    return {"namespace": put(header.namespace), "id": put(header.id)}


def _read(row: tuple[Any, ...]) -> Header:
    uid, id, saga, input = map(get, row)
    return Header(uid=uid, id=id, saga=saga, input=input, created_at=0.0)
