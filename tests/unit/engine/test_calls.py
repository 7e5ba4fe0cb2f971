"""Call objects: awaited once; dropped unawaited they warn as coroutines do, but never when merely discarded."""

from __future__ import annotations

import asyncio
import gc
import warnings
from typing import Any

import pytest

from amends import Engine, Refused, Settings, Signal, saga, step

go = Signal[int]("go")


@step(name="calls.charge")
async def charge(amount: int = 1) -> int:
    return amount


@saga(name="calls.inner")
async def inner() -> int:
    return await charge()


@saga(name="calls.forgets")
async def forgets() -> str:
    charge(5)
    await charge()
    return "done"


@saga(name="calls.forgets_a_child")
async def forgets_a_child() -> str:
    inner()
    return "done"


@saga(name="calls.keeps")
async def keeps() -> str:
    kept = [charge(1), charge(2)]
    changed = charge(3).options(timeout=5)
    await changed
    await go.receive()
    return str([await call for call in kept])


@saga(name="calls.twice")
async def twice(child: bool) -> str:
    call: Any = inner() if child else charge()
    await call
    try:
        await call
    except Refused as error:
        return str(error)
    return "twice"


def run(body: Any, settings: Settings | None = None) -> Any:
    async def main() -> Any:
        async with Engine(settings=settings) as engine:
            return await engine.run(body, id="x")

    return asyncio.run(main())


def test_a_call_that_is_dropped_in_a_saga_warns_with_the_steps_name():
    with pytest.warns(RuntimeWarning, match="call of step calls.charge.*never awaited") as told:
        assert run(forgets()) == "done"
    assert len(told) == 1
    assert told[0].filename == __file__, "the warning shows the user's line"


def test_a_call_of_a_nested_saga_that_is_dropped_warns_too():
    with pytest.warns(RuntimeWarning, match=r"call of saga calls.inner.*never awaited"):
        run(forgets_a_child())


def test_what_is_discarded_with_its_execution_warns_of_nothing(tmp_path):
    """Evicted, drained, loaded again: calls that were not awaited yet are no mistake. (Warnings are errors.)"""

    async def main() -> None:
        url = f"sqlite:///{tmp_path}/x.db"
        async with Engine(url, sagas=[keeps]) as engine:
            await engine.start(keeps(), id="x")
            await asyncio.sleep(0.05)
        gc.collect()
        async with Engine(url, sagas=[keeps]) as engine:
            handle = engine.handle(keeps, "x")
            await handle.send(go, 1)
            assert await handle.result() == "[1, 2]"
        gc.collect()

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        asyncio.run(main())
    assert [str(w.message) for w in told if issubclass(w.category, RuntimeWarning)] == []


def test_a_replay_does_not_warn_again(tmp_path):
    @saga(name="calls.replays")
    async def replays() -> str:
        charge(5)
        await go.receive()
        return "done"

    async def main() -> None:
        url = f"sqlite:///{tmp_path}/x.db"
        async with Engine(url, sagas=[replays]) as engine:
            await engine.start(replays(), id="x")
            await asyncio.sleep(0.05)
        async with Engine(url, sagas=[replays]) as engine:
            handle = engine.handle(replays, "x")
            await handle.send(go, 1)
            await handle.result()

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        asyncio.run(main())
    assert len([w for w in told if "never awaited" in str(w.message)]) == 1


@pytest.mark.parametrize("child", [False, True])
def test_a_call_is_awaited_once_inside_a_saga(child):
    said = run(twice(child))
    assert "was awaited before" in said
    assert "call it again" in said


def test_a_call_is_awaited_once_outside_a_saga():
    async def main() -> None:
        call = charge()
        assert await call == 1
        with pytest.raises(Refused, match="awaited before"):
            await call

    asyncio.run(main())


def test_outside_of_a_saga_a_call_may_be_dropped():
    """There it is a value: given to an engine, compared, shown."""

    async def main() -> None:
        charge(7)
        inner()

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        asyncio.run(main())
    assert told == []


def test_one_call_in_several_places_of_a_gather_is_one_action():
    @saga(name="calls.gathers")
    async def gathers() -> int:
        call = charge(4)
        return sum(await asyncio.gather(call, call))

    assert run(gathers()) == 8
