"""What a person wants to know about a server and the store in it, read without changing anything.

The store itself refuses a server that it cannot trust, and brings the schema up to date.  A checkup does
neither: it has a connection of its own, which only reads, also from a standby or of an older schema.
"""

from __future__ import annotations

from typing import Any

import msgspec
import psycopg
from psycopg.conninfo import make_conninfo

from ..pausing import Pause
from .core import OLDEST, Core
from .faults import translate
from .link import Run, unreachable
from .pausing import pause_of
from .reading import HEADER
from .schema import migrations, version
from .statement import named, read, statements

PATIENCE = 10.0  # seconds for one question


class WorkerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One incarnation. `left`: seconds until its lease runs out (negative: since it did); `age`: its own."""

    incarnation: int
    place: str
    left: float
    age: float
    retired: bool
    declared: bool
    owned: int


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of a server and of the store in it. Times are seconds since the epoch.

    oldest: the first version that is good enough, as a number like `number`. lease: as the URL says.
    unserved: sagas and versions of which something is due and no living worker has the code, and since when.
    due: executions that a worker should have taken, as far as they were counted (1,000 of each definition).
    pauses: sagas and namespaces that stand still.
    """

    where: str
    name: str
    release: str
    number: int
    oldest: int
    standby: bool
    encoding: str
    now: float
    settings: dict[str, str]
    connections: int
    ours: int
    schema: int
    known_schema: int
    lease: float
    workers: list[WorkerFacts]
    unserved: list[tuple[str, str, float]]
    due: int
    due_since: float | None
    attention: int
    pauses: list[Pause] = []


async def facts(store: Core, now: float) -> Facts:
    """Look at a store's server, whether the store is open or not. Raises `StoreError`."""
    conninfo = make_conninfo(store.conninfo, target_session_attrs="any", application_name="amends doctor")
    try:
        async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection:
            return await _read(connection, store, now)
    except psycopg.OperationalError as error:
        raise unreachable(error, store.where) from error
    except psycopg.Error as error:
        raise translate(error, store.where) from error


async def _read(connection: psycopg.AsyncConnection[Any], store: Core, now: float) -> Facts:
    async def ask(sql: str, values: Any = None) -> list[tuple[Any, ...]]:
        return await (await connection.execute(sql.encode(), values or {})).fetchall()

    await _only_look(connection)
    sql = {name: text.replace("{schema}", store.schema) for name, text in named(read("checkup.sql")).items()}
    release, number, standby, encoding, server_now = (await ask(sql["about_server"]))[0]
    connections, ours = (await ask(sql["connections"]))[0]
    known = migrations()[-1][0]
    schema = await version(ask, store.schema)
    inside = await _inside(ask, sql, store, now) if schema == known else _NOTHING
    return Facts(
        where=store.where,
        name=store.schema,
        release=release.partition(" ")[0],
        number=number,
        oldest=OLDEST,
        standby=standby,
        encoding=encoding,
        now=server_now,
        settings=dict(await ask(sql["settings"])),
        connections=connections,
        ours=ours,
        schema=schema,
        known_schema=known,
        lease=store.lease,
        **inside,
    )


async def _only_look(connection: psycopg.AsyncConnection[Any]) -> None:
    """Make the session one that only reads, and waits for nothing long."""
    await connection.execute("SET default_transaction_read_only = on")
    await connection.execute(f"SET statement_timeout = {int(PATIENCE * 1000)}")


_NOTHING: dict[str, Any] = {
    "workers": [],
    "unserved": [],
    "due": 0,
    "due_since": None,
    "attention": 0,
    "pauses": [],
}


async def _inside(ask: Run, sql: dict[str, str], store: Core, now: float) -> dict[str, Any]:
    all_of_it = statements(store.schema, HEADER)
    names = WorkerFacts.__struct_fields__
    workers = [WorkerFacts(**dict(zip(names, row, strict=True))) for row in await ask(sql["workers"])]
    orphans = await ask(all_of_it["orphans"], {"me": 0, "now": now})
    due, since = (await ask(sql["due"].replace("{groups}", all_of_it["groups"]), {"now": now}))[0]
    return {
        "workers": workers,
        "unserved": [(saga, version, float(wake)) for saga, version, wake, _ in orphans],
        "due": due,
        "due_since": since,
        "attention": (await ask(sql["attention"]))[0][0],
        "pauses": [pause_of(row) for row in await ask(all_of_it["pauses"], {"namespace": ""})],
    }
