"""Behind PgBouncer in transaction mode. (The conformance kit runs there, too: tests/conformance.)"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from amends import Engine, Settings, saga, step
from amends.errors import StoreError
from amends.store.postgres import PostgresStore
from tests import pooler as poolers
from tests.stores import execute, new_schema

Pooler = Callable[[str], str]
ROOT = Path(__file__).parents[3]


@step(name="pooled.double")
async def double(x: int) -> int:
    await asyncio.sleep(0.2)
    return 2 * x


@saga(name="pooled.four_times")
async def four_times(x: int) -> int:
    return await double(await double(x))


@pytest.fixture
def schema(postgres: str) -> Iterator[str]:
    with new_schema(postgres) as name:
        yield name


def engine_on(url: str, schema: str) -> Engine:
    store = PostgresStore(url, schema=schema, unsafe=True, pooled=True, lease=1.0, look=0.05)
    return Engine(store, sagas=[four_times], settings=Settings(poll=0.05))


def test_two_workers_and_what_one_of_them_leaves(postgres: str, schema: str, pooler: Pooler) -> None:
    """More sagas than connections; then a worker's process is killed, and another finishes what it had begun."""
    url = pooler(postgres)
    command = [sys.executable, "-m", __name__, url, schema]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "working\n"
        worker.kill()

    async def main() -> None:
        async with engine_on(url, schema) as engine:
            handles = [engine.handle(four_times, f"left-{n}") for n in range(5)]
            assert await asyncio.gather(*(handle.result() for handle in handles)) == [4 * n for n in range(5)]

    asyncio.run(main())
    assert execute(postgres, f"SELECT count(*) FROM {schema}.executions WHERE owner IS NOT NULL") == [(0,)]


async def work(url: str, schema: str) -> None:
    """What the process does that is killed."""
    async with engine_on(url, schema) as engine:
        found = await asyncio.gather(*(engine.run(four_times(n)) for n in range(40)))
        assert found == [4 * n for n in range(40)]
        for n in range(5):
            await engine.start(four_times(n), id=f"left-{n}")
        print("working", flush=True)
        await asyncio.Event().wait()


@pytest.mark.parametrize("drops_in_silence", [False, True])
def test_a_pooler_that_nobody_spoke_of_is_noticed(postgres: str, schema: str, drops_in_silence: bool) -> None:
    """Whether it refuses the settings of a connection or drops them."""

    async def main(url: str) -> None:
        store = PostgresStore(url, schema=schema, unsafe=True)
        with pytest.raises(StoreError, match="is behind a pooler") as caught:
            await store.open()
        assert "pooled=true" in caught.value.hint
        assert type(caught.value) is StoreError  # not one that is waited for

    with poolers.running(postgres, *["options"] * drops_in_silence) as through:
        asyncio.run(main(through(postgres)))


if __name__ == "__main__":
    asyncio.run(work(*sys.argv[1:]))
