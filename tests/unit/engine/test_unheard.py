"""Where others may take what is waited for here, its end may come unheard: who waits asks again in time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from amends import Engine, saga, step
from amends.engine import backend
from amends.store.memory import MemoryStore

GO: list[asyncio.Event] = []


@step(name="unheard.wait")
async def wait_a_little() -> None:
    await GO[0].wait()


@saga(name="unheard.saga")
async def slow() -> str:
    await wait_a_little()
    return "done"


class Shared(MemoryStore):
    """As if others served it, too."""

    shared = True

    def surplus(self) -> int:
        return 0


@pytest.fixture
def ceiling(monkeypatch: pytest.MonkeyPatch) -> float:
    """Nobody is told of an end, and who waits waits so many seconds."""
    monkeypatch.setattr(backend.Backend, "notify", lambda self, header: None)
    monkeypatch.setattr(backend, "POLL_CEILING", 0.2)
    return 0.2


def test_whoever_runs_a_saga_asks_again(ceiling: float) -> None:
    async def main() -> None:
        GO[:] = [asyncio.Event()]
        async with Engine(Shared(), sagas=[slow]) as engine:
            running = [asyncio.ensure_future(engine.run(slow(), id=f"{n}")) for n in range(3)]
            await asyncio.sleep(0.01)
            GO[0].set()
            _, late = await asyncio.wait(running, timeout=ceiling * 0.7)
            assert len(late) == 3, "not before its time"
            assert await asyncio.wait_for(asyncio.gather(*running), 10) == ["done"] * 3
            client: Any = engine._backend
            assert not client.waiters

    asyncio.run(main())


def test_one_timer_serves_all_who_wait_and_ends_with_them(ceiling: float) -> None:
    async def main() -> None:
        GO[:] = [asyncio.Event()]
        async with Engine(Shared(), sagas=[slow]) as engine:
            client: Any = engine._backend
            running = []
            rounds = set()
            for n in range(3):
                running.append(asyncio.ensure_future(engine.run(slow(), id=f"{n}")))
                await asyncio.sleep(0)
                rounds.add(client._round)
            assert len(rounds) == 1
            assert None not in rounds
            GO[0].set()
            await asyncio.gather(*running)
            async with asyncio.timeout(10):
                while client._round is not None:
                    await asyncio.sleep(0.01)
            assert not client._waited

    asyncio.run(main())


def test_nobody_waits_for_a_timer_where_nobody_else_can_take_it() -> None:
    async def main() -> None:
        GO[:] = [asyncio.Event()]
        GO[0].set()
        async with Engine(MemoryStore(), sagas=[slow]) as engine:
            assert await engine.run(slow(), id="x") == "done"
            client: Any = engine._backend
            assert client._round is None

    asyncio.run(main())
