"""Engines for the command line: from the loaded module and the store that was named, with a check before.

A worker takes whatever is due in its store.  Of a module that does not define those sagas it could only park
them, so it refuses to begin with what is plainly the wrong module.
"""

from __future__ import annotations

from ..definition.registry import REGISTRY
from ..encryption.environment import codec_from_environment
from ..engine.engine import Engine
from ..store import open_store, port
from ..store.port import Header, Query
from ..store.sqlite import SqliteStore
from ..store.sqlite.checkup import schema_of
from .apps import App
from .desk import Desk
from .exits import Exit, Problem
from .options import Where
from .resolve import Place

_LOOKED_AT = 5000  # executions; a worker must not read a large store before it begins
UNFINISHED = (port.RUNNING, port.COMPENSATING, port.ATTENTION)


def engine_of(where: Where, app: App) -> tuple[Engine, Place]:
    """The module's own engine, or one with its sagas for the store that was named."""
    engine = app.engine
    if engine is None:
        if not app.sagas:
            raise Problem(f"{app.name} holds no sagas", hint="decorate a function with @amends.saga")
        codec = codec_from_environment()
        sagas = list(app.sagas.values())
        return Engine(where.place.url, sagas=sagas, namespace=where.namespace, codec=codec), where.place
    own = _place_of(engine, app)
    if where.place.typed or where.place.said_by == "AMENDS_STORE":
        named = open_store(where.place.url)
        same = isinstance(named, SqliteStore) and own.file is not None and where.place.file is not None
        if not same or own.file.resolve() != where.place.file.resolve():  # type: ignore[union-attr]
            raise Problem(
                f"{app.name} has an engine with its own store {own.shown}, and {where.place.said_by} says "
                f"{where.place.shown}",
                hint=f"leave {where.place.said_by} out, or let the module read it",
            )
    return engine, own


def _place_of(engine: Engine, app: App) -> Place:
    store = engine.store
    elsewhere = getattr(store, "where", "memory://")  # a server, by what people call it
    url = f"sqlite:///{store.path}" if isinstance(store, SqliteStore) else elsewhere
    return Place(url, f"the engine of {app.name}")


async def unknown(desk: Desk, engine: Engine) -> tuple[list[Header], int]:
    """Unfinished executions whose saga is not defined here, and how many there are (of the newest)."""
    known = {*REGISTRY.sagas, *((saga.name, saga.version) for saga in engine.sagas)}
    found = await desk.store.headers(Query(namespace="", statuses=UNFINISHED, limit=_LOOKED_AT))
    return [header for header in found if (header.saga, header.version) not in known], len(found)


async def refuse_wrong_module(
    where: Where, place: Place, app: App, engine: Engine, *, all_known: bool
) -> None:
    """Raise `Problem` when a worker with this module would park what it finds.

    all_known: every unfinished execution must be known; otherwise only: some must.
    """
    if place.file is None or not place.file.is_file() or not schema_of(str(place.file)):
        return  # nothing is in there yet
    async with Desk(place, where.namespace) as desk:
        if desk.worker() is not None:
            return  # that one works; this one only stands by
        foreign, count = await unknown(desk, engine)
    if not foreign or (not all_known and len(foreign) < count):
        return
    names = sorted({header.saga for header in foreign})
    raise Problem(
        f"{len(foreign)} of {count} unfinished executions in {place.shown} are of sagas that {app.name} does "
        f"not define ({', '.join(names[:5])}); they would be parked",
        hint="name the module that defines them, import it from this one, or say --park-unknown",
        exit=Exit.REFUSED,
        code="wrong_module",
    )
