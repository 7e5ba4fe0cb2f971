"""Our measuring process on PostgreSQL: default settings, the same load loop as the peers', results awaited,
warm-up first. Nothing here reaches below the public interface, but for what is read back of the server."""

from __future__ import annotations

import asyncio
import platform
import time
from importlib.metadata import version
from typing import Any

from amends import Client, Engine, Settings, saga, step
from amends.store.postgres import PostgresStore

from ..driving import Window, answer, asked, in_flight
from ..measure import summary
from ..ours import work
from ..ours.session import Meter

WARM_UP = 100
COUNTED = 15.0
"""Seconds after which a server has counted what a connection did that rests since (it says so after ten)."""
READ_BACK = (
    "server_version",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_sync_method",
    "shared_buffers",
)
HOP: dict[str, Any] = {}
GROWING = ("executions", "journal", "inbox")


@step(name="bench.add_far")
async def add_far(x: int) -> int:
    """One added by the service behind HTTP."""
    return int((await HOP["client"].get(f"{HOP['url']}/?x={x}")).content)


@saga(name="bench.five_far")
async def five_far(x: int) -> int:
    for _ in range(5):
        x = await add_far(x)
    return x


@step(name="bench.pause")
async def pause(seconds: float) -> None:
    await asyncio.sleep(seconds)


@saga(name="bench.pausing")
async def pausing(steps: int, seconds: float, first: float = 0.0) -> None:
    if first:
        await pause(first)
    for _ in range(steps):
        await pause(seconds)


SAGAS = [*work.SAGAS, five_far, pausing]


async def configuration(store: PostgresStore, engine: Engine | None = None) -> dict[str, Any]:
    """Versions and settings, the server's as read back."""
    names = ", ".join(f"current_setting('{name}')" for name in READ_BACK)
    found = await store._control.fetch(f"SELECT {names}")
    said = {
        "python": platform.python_version(),
        "amends": version("amends"),
        "psycopg": version("psycopg"),
        **dict(zip(READ_BACK, found[0], strict=True)),
    }
    if engine is not None:
        said |= {
            "batch": engine.settings.batch,
            "steps": engine.settings.steps,
            "claim": engine.settings.claim,
        }
    return said


async def load(
    url: str, schema: str, count: int, width: int, begin: float = 0.0, hop: str = ""
) -> dict[str, Any]:
    """Five steps of no work, so many sagas at a time. begin: when the window opens (for several at once);
    hop: the address of the service that the steps call."""
    store = PostgresStore(url, schema=schema)
    async with Engine(store, sagas=SAGAS) as engine:
        if hop:
            await _connect(hop)
        call = five_far if hop else work.five_steps

        async def one(number: int) -> None:
            assert await engine.run(call(0)) == 5

        await in_flight(WARM_UP if width > 1 else 10, width, one, Window())
        late = time.time() > begin
        await asyncio.sleep(max(0.0, begin - time.time()))
        meter, window = Meter(engine), Window()
        with window:
            await in_flight(count, width, one, window)
        if hop:
            await HOP["client"].aclose()
        return {
            "seconds": window.seconds,
            "cpu": window.cpu,
            "each": window.each,
            "sagas": count,
            "late": late and bool(begin),
            "commits": meter.commits(),
            "rows": meter.rows(),
            "commit": summary(meter.commit_seconds()),
            "configuration": await configuration(store, engine),
        }


async def _connect(hop: str) -> None:
    import httpx2

    limits = httpx2.Limits(max_connections=100, max_keepalive_connections=100)
    HOP.update(url=hop, client=httpx2.AsyncClient(limits=limits, timeout=60))


async def fill(url: str, schema: str, count: int) -> dict[str, Any]:
    """Start as many sagas for anybody to take."""
    window = Window()
    async with Client(PostgresStore(url, schema=schema)) as client:
        with window:
            await in_flight(count, 200, lambda n: client.start(pausing(0, 0.0)), window)
    return {"seconds": window.seconds, "count": count}


async def claims(url: str, schema: str, begin: float) -> dict[str, Any]:
    """Claim, with journal and inbox, all there is; nothing is run."""
    store = PostgresStore(url, schema=schema, lease=600.0)
    await store.open()
    me = await store.register(time.time(), wait=False)
    assert me is not None
    await asyncio.sleep(max(0.0, begin - time.time()))
    taken, empty, window = 0, 0, Window()
    with window:
        while empty < 3:  # what others have locked just now is skipped
            found = len(await store.claim(me, time.time(), 256))
            taken, empty = taken + found, 0 if found else empty + 1
    await store.close()
    return {"seconds": window.seconds, "cpu": window.cpu, "taken": taken}


async def serve(url: str, schema: str, count: int, steps: int, seconds: float, start: bool) -> None:
    """Work until killed. start: begin by starting so many sagas that are in flight all at once.

    However fast they are started, their first steps end evenly, within `seconds`; so all that follow do.
    """
    settings = Settings(live=count + 1000, steps=count + 1000, resident=count + 1000)
    async with Engine(PostgresStore(url, schema=schema, lease=5.0), sagas=SAGAS, settings=settings) as engine:
        even = time.monotonic() + seconds

        async def one(number: int) -> None:
            first = max(0.0, even + seconds * number / count - time.monotonic())
            await engine.start(pausing(steps, seconds, first))

        if start:
            await in_flight(count, 500, one, Window())
        print("started", flush=True)
        await asyncio.Event().wait()


async def idle(url: str, schema: str, seconds: float) -> dict[str, Any]:
    """A worker with nothing to do: its CPU, and how often it asks."""
    store = PostgresStore(url, schema=schema)
    async with Engine(store, sagas=SAGAS) as engine:
        await in_flight(20, 10, lambda n: engine.run(work.five_steps(0)), Window())
        await asyncio.sleep(COUNTED)
        asked_before, window = await _transactions(store), Window()
        with window:
            await asyncio.sleep(seconds)
            asked_after = await _transactions(store)
        return {
            "seconds": window.seconds,
            "cpu": window.cpu,
            "transactions": asked_after - asked_before - 1,
            "configuration": await configuration(store, engine),
        }


async def _transactions(store: PostgresStore) -> int:
    """All of this database so far."""
    query = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
    return int((await store._control.fetch(query))[0][0])


async def grow(url: str, schema: str, seconds: float, width: int, retention: float) -> dict[str, Any]:
    """A steady load for a long time, with retention: what ended longer ago is deleted."""
    store = PostgresStore(url, schema=schema)
    settings = Settings(retention=retention)
    rates: list[float] = []
    sizes: dict[str, list[float]] = {table: [] for table in GROWING}
    async with Engine(store, sagas=SAGAS, settings=settings) as engine:
        await in_flight(WARM_UP, width, lambda n: engine.run(work.five_steps(0)), Window())
        end = time.monotonic() + seconds
        done = 0

        async def lane() -> None:
            nonlocal done
            while time.monotonic() < end:
                await engine.run(work.five_steps(0))
                done += 1

        async def watch() -> None:
            while time.monotonic() < end:
                before = done
                await asyncio.sleep(seconds / 10)
                rates.append((done - before) / (seconds / 10))
                for table in GROWING:
                    sizes[table].append(await _mebibytes(store, f"{schema}.{table}"))

        await asyncio.gather(watch(), *(lane() for _ in range(width)))
        said = await configuration(store, engine)
        return {"sagas": done, "rates": rates, "sizes": sizes, "configuration": said}


async def _mebibytes(store: PostgresStore, table: str) -> float:
    """A table with its indexes."""
    query = f"SELECT pg_total_relation_size('{table}') / 1048576.0"
    return float((await store._control.fetch(query))[0][0])


PROGRAMS: dict[str, Any] = {
    "load": load,
    "fill": fill,
    "claims": claims,
    "serve": serve,
    "idle": idle,
    "grow": grow,
}


def main() -> None:
    what, given = asked()
    answer(asyncio.run(PROGRAMS[what](**given)))


if __name__ == "__main__":
    main()
