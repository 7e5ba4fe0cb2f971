"""What a handle is asked with reaches the worker only if the worker can read it: all else is refused at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from amends import DefinitionError, Engine, Refused, Signal, StoreError, saga

go = Signal[int]("go")


@saga(name="requests.waits")
async def waits() -> int:
    return await go.receive()


@saga(name="requests.says")
async def says() -> str:
    return "seven"


UNREADABLE = {
    "cancel without a reason": lambda h: h.cancel(None),
    "cancel with bytes": lambda h: h.cancel(b"enough"),
    "cancel by a number": lambda h: h.cancel("enough", by=5),
    "cancel with half a character": lambda h: h.cancel("\ud800"),
    "terminate by a number": lambda h: h.terminate("enough", by=5),
    "terminate with half a character": lambda h: h.terminate("\udfff"),
    "send with a number as key": lambda h: h.send(go, 1, key=5),
    "send with half a character as key": lambda h: h.send(go, 1, key="\ud800"),
    "send by name": lambda h: h.send("go", 1),
}


@pytest.fixture(params=["memory", "sqlite"])
def url(request: Any, tmp_path: Any) -> str:
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/x.db"


@pytest.mark.parametrize("what", UNREADABLE)
def test_what_the_worker_could_not_read_is_refused_and_harms_nobody(url: str, what: str) -> None:
    async def main() -> None:
        async with Engine(url) as engine:
            handle = await engine.start(waits(), id="x")
            with pytest.raises(Refused) as refused:
                await UNREADABLE[what](handle)
            assert refused.value.hint
            assert await handle.audit() == []
            await handle.send(go, 1)
            assert await handle.result() == 1

    asyncio.run(main())


@pytest.mark.parametrize("attributes", [["a"], "ab", 5, {1: "a"}, {"\ud800": 1}])
def test_attributes_that_could_not_be_shown_are_refused(url: str, attributes: Any) -> None:
    async def main() -> None:
        async with Engine(url) as engine:
            with pytest.raises(Refused, match="attribute"):
                await engine.start(waits(), attributes=attributes)
            assert await engine.list() == []

    asyncio.run(main())


WRONG = [
    {"id_prefix": 5},
    {"id_prefix": "\ud800"},
    {"saga": 5},
    {"after": 5},
    {"status": 5},
    {"parent": 5},
    {"root": b"x"},
]


@pytest.mark.parametrize("filters", WRONG, ids=str)
def test_a_filter_that_is_no_text_is_refused(url: str, filters: Any) -> None:
    async def main() -> None:
        async with Engine(url) as engine:
            with pytest.raises(Refused, match="text"):
                await engine.list(**filters)

    asyncio.run(main())


def test_a_filter_that_is_none_filters_nothing(url: str) -> None:
    async def main() -> None:
        async with Engine(url) as engine:
            await engine.start(waits(), id="x")
            none: Any = None
            found = await engine.list(status=none, saga=none, id_prefix=none, after=none, created_from=none)
            assert [status.id for status in found] == ["x"]

    asyncio.run(main())


def test_an_id_that_is_none_is_refused(url: str) -> None:
    async def main() -> None:
        async with Engine(url) as engine:
            for id in (5, b"x", None):
                with pytest.raises(Refused, match="id is a text"):
                    await engine.handle(waits, id).status()  # type: ignore[arg-type]

    asyncio.run(main())


def test_a_handle_that_outlives_its_engine_says_where_it_can_be_used(url: str) -> None:
    async def main() -> None:
        async with Engine(url) as engine:
            handle = await engine.start(waits(), id="x")
        with pytest.raises(StoreError) as closed:
            await handle.status()
        assert "engine or client" in closed.value.hint

    asyncio.run(main())


def test_a_handle_with_another_saga_names_whose_execution_it_is(url: str) -> None:
    async def main() -> None:
        async with Engine(url) as engine:
            await engine.run(says(), id="x")
            for asked in (engine.handle(waits, "x").result, engine.handle(waits, "x").outcome):
                with pytest.raises(
                    Refused, match=r"x is an execution of 'requests.says', not of 'requests.waits'"
                ):
                    await asked()
            assert await engine.handle(says, "x").result() == "seven"

    asyncio.run(main())


@pytest.mark.parametrize("name", [5, "", None])
def test_a_signal_has_a_name(name: Any) -> None:
    with pytest.raises(DefinitionError, match="name is a text"):
        Signal(name)
