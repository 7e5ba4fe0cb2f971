"""The blocking façade, closed while other threads wait: each of them hears it, and none is left waiting."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from amends import Engine, EngineClosed, Signal, saga

go = Signal[int]("go")


@saga(name="sync_closing.waits")
async def waits() -> int:
    return await go.receive()


@pytest.mark.parametrize("what", ["a saga", "a coroutine"])
def test_a_thread_that_waits_while_the_engine_is_closed_hears_it(what: str) -> None:
    heard: list[BaseException] = []
    begun = threading.Event()

    async def for_ever() -> None:
        begun.set()
        await asyncio.get_running_loop().create_future()

    async def its_result(engine: Engine) -> Any:
        handle = await engine.start(waits(), id="x")
        begun.set()
        return await handle.result()

    def use(sync: Any) -> None:
        try:
            sync.wait(for_ever() if what == "a coroutine" else its_result(sync.engine))
        except EngineClosed as error:
            heard.append(error)

    with Engine().sync as sync:
        thread = threading.Thread(target=use, args=(sync,), daemon=True)
        thread.start()
        assert begun.wait(20)
    thread.join(20)
    assert not thread.is_alive()
    assert [type(error) for error in heard] == [EngineClosed]
