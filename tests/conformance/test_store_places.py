"""The conformance kit on a store on two servers: clients ask through all of it, workers serve one of them.

The kit knows nothing of trees (its executions send messages to each other in one commit, and its children have ids of
their own), so all of them are placed on one server here, on the first or on the second; the other has none, and is
asked for whatever might be there. What queues promise by limits is of one server, and is asked of that. That of two
who end a pause only one does is what one transaction can promise (for several servers see test_pauses_of_several.py).
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from amends.store import Store, kit
from amends.store.places import WORKERS, Places
from amends.store.postgres import PostgresStore
from tests.places import new_schemas
from tests.stores import subject

NAMES = [name for name in kit.names(sql=True, fill=True, many=True) if name != "two_pause_at_once"]
OF_ONE = frozenset({*WORKERS, "queues", "set_queue", "abandon", "surplus"})


class Seat:
    """What a worker and a client see of the store, as one object. number: of the server that has all."""

    shared = True

    def __init__(self, stores: list[PostgresStore], number: int) -> None:
        self.mine = stores[number]
        self.all = Places(stores)
        self.all.place_of = lambda namespace, id: number  # type: ignore[method-assign]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.mine if name in OF_ONE or name.startswith("_") else self.all, name)


def places(postgres: str, schemas: list[str], number: int) -> kit.Subject:
    """As `tests.stores.subject`, through all servers."""
    one = subject(postgres, schemas[number])
    own = f"{postgres}{'&' if '?' in postgres else '?'}options=-csearch_path%3D{schemas[number]}"

    async def connect() -> Store:
        seat = Seat([PostgresStore(own, schema=schema, unsafe=True) for schema in schemas], number)
        await seat.all.open()
        return seat

    async def crash(store: Store) -> None:
        assert isinstance(store, Seat)
        await one.crash(store.mine)
        await store.all.close()

    return kit.Subject(connect, crash, one.fill, one.relieve, mark="%s", many=True)


@pytest.mark.parametrize("number", [pytest.param(0, marks=pytest.mark.soak), 1])
@pytest.mark.parametrize("name", NAMES)
def test_places(name: str, number: int, postgres: str) -> None:
    with new_schemas(postgres, 2) as schemas:
        asyncio.run(kit.run(name, places(postgres, schemas, number)))
