"""Starting a saga in the caller's own transaction: the saga exists exactly when that commits.

So business data and the saga that acts on it cannot part: no row without its saga, and no saga without its
row, with no queue between them.  The store says the statements (`amends.store.enlisting`), the barrier's
drivers run them on the caller's connection.
"""

from __future__ import annotations

import inspect
from typing import Any, cast

from ..definition.saga import SagaCall
from ..errors import AmendsError, Refused, StoreError
from ..participants.barrier.drivers import Driver, NoTransaction
from ..participants.barrier.flow import Flow, operation
from ..participants.barrier.sql import Statement
from ..store.enclosed import as_kept
from ..store.enlisting import Enlistment, Enlists
from ..store.port import Header, Store
from .backend import must_be_the_same


async def enlistment(store: Store) -> Enlistment:
    """What the store says. Raises `Refused` when it has no database that a caller could share."""
    kept = as_kept(store)
    if not isinstance(kept, Enlists):
        raise Refused(
            f"connection= needs a store in a database that you share with it; a {type(kept).__name__} has"
            " none",
            hint="use postgresql://… or sqlite:///file.db",
        )
    return await cast("Enlists", store).enlistment()


class Joining:
    """One start. ``Joining(…).start(connection)`` gives the header, or an awaitable of it where the
    connection is asynchronous."""

    paramstyle: str | None = None

    def __init__(self, enlistment: Enlistment, header: Header, call: SagaCall[Any]) -> None:
        self._said = enlistment
        self._header = header
        self._call = call

    @operation
    def start(self, driver: Driver, connection: Any) -> Flow[Header]:
        """Insert the header. The same id again is the same execution, also of a transaction that is still
        open. Raises `IdInUse`, `NoTransaction`, and `StoreError` for another database than the store's."""
        said, wanted = self._said, self._header
        dialect = yield driver.dialect(connection)
        if dialect and dialect != said.dialect:
            raise StoreError(
                f"the connection is one to {dialect}, and the store's database is {said.where}",
                hint="the saga and your own rows can be committed together only in one database",
            )
        said.admit(connection)
        if not (yield driver.in_transaction(connection)):
            raise NoTransaction(
                f"{wanted.id} was to start on a connection that commits every statement by itself",
                hint="open a transaction first, and commit both your own rows and the saga with it",
            )
        said.verify((yield driver.fetch(connection, Statement(said.identify), {})))
        if (yield driver.fetch(connection, Statement(said.create), said.values(wanted))):
            return wanted
        rows = yield driver.fetch(connection, Statement(said.find), said.key(wanted))
        if not rows:
            raise AmendsError(
                f"the id {wanted.id!r} is taken by a transaction that this one cannot see",
                hint="roll back and try again",
            )
        return must_be_the_same(said.read(rows[0]), wanted, self._call)


async def joined(said: Enlistment, header: Header, call: SagaCall[Any], connection: Any) -> Header:
    """Start it with whatever connection the caller has."""
    found: Any = Joining(said, header, call).start(connection)
    return cast("Header", await found if inspect.isawaitable(found) else found)


def joined_here(said: Enlistment, header: Header, call: SagaCall[Any], connection: Any) -> Header:
    """The same in the caller's thread. Raises `Refused` for an asynchronous connection."""
    found: Any = Joining(said, header, call).start(connection)
    if inspect.isawaitable(found):
        if inspect.iscoroutine(found):
            found.close()
        raise Refused(
            f"a {type(connection).__module__}.{type(connection).__qualname__} must be awaited",
            hint="`await engine.start(…, connection=…)` in asynchronous code; a blocking connection here",
        )
    return cast("Header", found)
