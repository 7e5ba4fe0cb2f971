"""Which executions are there? One set of filters for engines, clients and whatever shows lists."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypedDict

import msgspec

from ..definition.saga import Saga
from ..errors import Refused, UnknownName, did_you_mean
from ..store.port import STATUSES, Header, Query, Store
from ..store.where.parsing import parse
from .backend import must_be_text
from .status import Status, status_of

if TYPE_CHECKING:
    from .backend import Backend

MOST = 2**63 - 1  # what databases count with


class Filters(TypedDict, total=False):
    """What `list` takes; all of it must hold.

    status: one or several.  saga: a definition or a durable name.  id_prefix: how the id begins.  parent:
    the id of the execution that started it (a nested saga).  root: the id of the topmost one (itself
    included).  where: a condition in words, such as ``status = "attention" and attributes.customer = "42"``
    (docs/operations.md).  created_from, created_until, finished_from, finished_until: datetimes with a zone;
    *from* is included, *until* is not.  limit: at most so many.  after: the uid of the last one of the page
    before.
    """

    status: str | Sequence[str]
    saga: str | Saga[..., Any]
    id_prefix: str
    parent: str
    root: str
    where: str
    created_from: datetime
    created_until: datetime
    finished_from: datetime
    finished_until: datetime
    limit: int
    after: str


_TIMES = ("created_from", "created_until", "finished_from", "finished_until")


async def listing(backend: Backend, filters: Filters) -> list[Status]:
    """Executions that match, newest first, as stored (see `Handle.status` for what nested sagas add).

    Raises `UnknownName` for a status or an id that does not exist, `QueryError` for a condition that cannot
    be read, `Refused` for a limit or a time that cannot be, TypeError for a filter that does not exist.
    """
    query = await query_of(backend, filters)
    headers = await backend.store.headers(query)
    pauses = await backend.store.pauses(backend.namespace) if headers else []
    return [status_of(header, pauses=pauses) for header in headers]


async def pages(store: Store, query: Query, size: int) -> AsyncIterator[list[Header]]:
    """All that match, newest first, at most `query.limit`; so many at a time."""
    left, after = query.limit, query.after
    while left > 0:
        page = await store.headers(msgspec.structs.replace(query, limit=min(size, left), after=after))
        if page:
            yield page
        if len(page) < min(size, left):
            return
        left, after = left - len(page), page[-1].uid


async def query_of(backend: Backend, filters: Filters) -> Query:
    """The store's query for these filters."""
    for name in filters:
        if name not in Filters.__annotations__:
            near = did_you_mean(name, Filters.__annotations__)
            raise TypeError(f"list() has no filter {name!r}" + (f"; {near}" if near else ""))
    query = Query(namespace=backend.namespace, statuses=_statuses(filters.get("status")))
    saga = filters.get("saga")
    query.saga = saga.name if isinstance(saga, Saga) else _text("saga", saga)
    query.id_prefix = _text("id_prefix", filters.get("id_prefix"))
    query.after = _text("after", filters.get("after"))
    query.limit = _limit(filters.get("limit", 100))
    for name in _TIMES:
        setattr(query, name, _time(name, filters.get(name)))
    if parent := filters.get("parent"):
        query.parent = (await backend.find(parent)).uid
    if root := filters.get("root"):
        query.root = (await backend.find(root)).uid
    if where := _text("where", filters.get("where")):
        query.where = parse(where, backend.clock.now())
    return query


def _text(name: str, given: Any) -> str:
    """A filter by text; None filters nothing, as if it was left out."""
    if given is None:
        return ""
    must_be_text(name, given)
    return str(given)


def _statuses(given: str | Sequence[str] | None) -> tuple[str, ...]:
    if not isinstance(given, (list, tuple, set, frozenset)):
        given = (_text("status", given),)
    wanted = tuple(given)
    for status in wanted:
        if status and status not in STATUSES:
            raise UnknownName(
                f"no status is called {status!r}",
                hint=did_you_mean(str(status), STATUSES) or f"known: {', '.join(STATUSES)}",
            )
    return tuple(status for status in wanted if status)


def _limit(given: Any) -> int:
    if not isinstance(given, int) or isinstance(given, bool) or not 1 <= given <= MOST:
        raise Refused(
            f"limit is a whole number, at least 1, got {given!r}",
            hint="take pages: after=the uid of the last one of the page before",
        )
    return given


def _time(name: str, given: Any) -> float | None:
    if given is None:
        return None
    if not isinstance(given, datetime) or given.tzinfo is None:
        raise Refused(
            f"{name} is a datetime with a time zone, got {given!r}",
            hint="for example datetime.now(UTC) - timedelta(hours=1)",
        )
    return given.timestamp()
