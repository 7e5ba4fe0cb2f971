"""Forks as stores keep them: in envelopes, in one transaction, and in queues."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from amends import (
    Client,
    Engine,
    Handle,
    Recovery,
    Refused,
    Resource,
    Retry,
    Signal,
    Transaction,
    injected,
    saga,
    step,
)
from amends.encryption import Codec, KeyRing, MasterKey
from amends.engine.forking import fork_uid
from amends.engine.journals import verified
from amends.errors import CommitUnknown, Unopened
from amends.store import MemoryStore
from amends.store.enclosed import as_kept
from amends.store.port import History
from tests.stores import bytes_of
from tests.unit.engine.waiting import until

NAME = "Marigold Featherstone"  # stands nowhere in a store
ONCE = Retry(attempts=1)
word = Signal[str]("kept.word")
undone: list[str] = []
broken: set[str] = set()


@step(name="kept.charge", retry=ONCE)
async def charge(customer: str) -> str:
    return f"of {customer}"


@charge.compensation(retry=ONCE)
async def refund(payment: str | None, customer: str) -> None:
    undone.append(f"{payment} {customer}")


@step(name="kept.ship", retry=ONCE, recovery={LookupError: Recovery.ASK})
async def ship(what: str) -> str:
    if "ship" in broken:
        raise LookupError(f"nobody called {what}")
    return what


@saga(name="kept.order", subject=lambda customer: "c-1")
async def order(customer: str) -> str:
    payment = await charge(customer)
    await ship(payment)
    return await word.receive()


async def terminated(engine: Engine, id: str) -> Handle[str]:
    broken.add("ship")

    handle = await engine.start(order(NAME), id=id)
    assert (await handle.outcome()).status == "attention"
    await handle.terminate("no more")
    await until(lambda: over(handle))
    broken.clear()
    return handle


async def over(handle: Handle[Any]) -> bool:
    return (await handle.status()).status in {"completed", "compensated", "terminated"}


def codec() -> Codec:
    return Codec(keys=KeyRing(MasterKey(MasterKey.generate())))


# ---------------------------------------------------------------- envelopes


def test_envelopes_are_sealed_anew(store: Any) -> None:
    """They are bound to their execution: the fork's are its own, and of the same subject."""
    mine = codec()

    async def main() -> None:
        undone.clear()
        async with Engine(store, sagas=[order], codec=mine) as engine:
            first = await terminated(engine, "one")
            fork = await first.fork("ship")
            await until(lambda: waits(fork))
            assert NAME.encode() not in bytes_of(store)
            kept = await as_kept(engine._backend.store).read((await fork.status()).uid)
            assert kept is not None
            assert '"$envelope"' in kept[0].input
            verified(History(*kept))  # the chain of what is stored
        async with Engine(store, sagas=[order], codec=mine) as engine:
            fork = engine.handle(order, "one-fork")
            await fork.cancel("no more")
            await until(lambda: over(fork))
            assert undone == [f"of {NAME} {NAME}"]
            assert NAME.encode() not in bytes_of(store)

    asyncio.run(main())


async def waits(handle: Handle[Any]) -> bool:
    return any(each["type"] == "await" for row in await handle.history() for each in row["commands"])


def test_without_the_key_nothing_is_forked(store: Any) -> None:
    mine = codec()

    async def main() -> None:
        async with Engine(store, sagas=[order], codec=mine) as engine:
            await terminated(engine, "one")
            second = await terminated(engine, "two")
            fork = await second.fork("ship")
            await until(lambda: waits(fork))
            async with Client(store) as client:
                with pytest.raises(Unopened, match="one: "):
                    await client.handle(order, "one").fork("ship")
            if isinstance(store, MemoryStore):
                await store.open()
            await engine.keys.forget("c-1", "she asked for it")
            with pytest.raises(Unopened, match="one: its subject was forgotten"):
                await engine.handle(order, "one").fork("ship")
            with pytest.raises(Unopened, match="its subject was forgotten"):
                await fork.send(word, "go")  # it is forgotten together with what it was forked from
            assert await engine.list(where='id = "one-fork"') == []

    asyncio.run(main())


def test_what_began_in_the_clear_is_sealed_when_it_goes_on() -> None:
    async def main() -> None:
        store = MemoryStore()

        @saga(name="kept.clear")
        async def clear(customer: str) -> str:
            return await ship(await charge(customer))

        broken.add("ship")

        async with Engine(store, sagas=[clear]) as engine:
            handle = await engine.start(clear(NAME), id="one")
            assert (await handle.outcome()).status == "attention"
            await handle.terminate("no more")
            await until(lambda: over(handle))
        broken.clear()
        async with Engine(store, sagas=[clear], codec=codec()) as engine:
            fork = await engine.handle(clear, "one").fork("ship")
            assert await fork.result() == f"of {NAME}"
            kept = await store.read((await fork.status()).uid)
            assert kept is not None
            assert not any(NAME in row.events + row.commands for row in kept[1])

    asyncio.run(main())


# ---------------------------------------------------------------- who asks


def test_programs_of_all_kinds_may_ask(store: Any) -> None:
    """A client elsewhere, and a program without an event loop."""

    async def main() -> None:
        async with Engine(store, sagas=[order]) as engine:
            await terminated(engine, "one")
            await terminated(engine, "two")
            async with Client(store) as client:
                fork = await client.handle(order, "one").fork("ship", id="three")
                await fork.send(word, "heard")
                assert await fork.result() == "heard"
                if isinstance(store, MemoryStore):
                    await store.open()

    asyncio.run(main())
    with Engine(store, sagas=[order]).sync as engine:
        fork = engine.wait(engine.engine.handle(order, "two").fork("ship", by="ann"))
        engine.wait(fork.send(word, "heard, too"))
        assert engine.wait(fork.result()) == "heard, too"


# ---------------------------------------------------------------- one transaction


def test_what_committed_with_its_effect_is_not_done_again(tmp_path: Path) -> None:
    """Its end stands in a row that only keeps it: that belongs to what begins the next step."""

    @step(name="kept.note", transaction=True)
    def note(text: str, tx: Resource[Transaction] = injected) -> str:
        tx.execute("CREATE TABLE IF NOT EXISTS notes (text)")
        tx.execute("INSERT INTO notes VALUES (?)", (text,))
        return text

    @saga(name="kept.noted")
    async def noted() -> str:
        first = await note("a")
        await ship(first)
        return await note("b")

    async def main() -> None:
        broken.add("ship")
        async with Engine(f"sqlite:///{tmp_path}/x.db", sagas=[noted]) as engine:
            first = await engine.start(noted(), id="one")
            assert (await first.outcome()).status == "attention"
            await first.terminate("no more")
            await until(lambda: over(first))
            broken.clear()
            fork = await first.fork("ship")
            assert await fork.result() == "b"
            found = await engine._backend.store.read((await fork.status()).uid)
            assert found is not None
            verified(History(*found))

    asyncio.run(main())
    with closing(sqlite3.connect(tmp_path / "x.db")) as connection:
        assert connection.execute("SELECT text FROM notes").fetchall() == [("a",), ("b",)]


@pytest.mark.parametrize("durable", [True, False])
def test_who_does_not_know_asks_again(store: Any, durable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of a fork is there, or none: its row, its journal, the original's audit record."""

    async def main() -> None:
        async with Engine(store, sagas=[order]) as engine:
            first = await terminated(engine, "one")
            kept = engine._backend.store
            restore: Callable[[Any], Any] = kept.restore

            async def lost(histories: Any) -> bool:
                if durable:
                    await restore(histories)
                raise CommitUnknown("the connection was lost", hint="do it again")

            with monkeypatch.context() as patch:
                patch.setattr(kept, "restore", lost)
                with pytest.raises(CommitUnknown):
                    await first.fork("ship")
            there = await kept.read(fork_uid((await first.status()).uid))
            records = [record for record in await first.audit() if record.action == "fork"]
            assert (there is not None, len(records)) == (durable, int(durable))
            fork = await first.fork("ship")
            await fork.send(word, "done")
            assert await fork.result() == "done"
            assert [record.action for record in await first.audit()].count("fork") == 1

    asyncio.run(main())


def test_two_who_do_not_know_of_each_other(store: Any) -> None:
    """Both have seen that there is none yet; the store takes one of them, and the other is told which."""

    async def main() -> None:
        async with Engine(store, sagas=[order]) as engine:
            first = await terminated(engine, "one")
            kept, read = engine._backend.store, engine._backend.store.read
            uid = fork_uid((await first.status()).uid)
            both = asyncio.Barrier(2)

            async def look(asked: str) -> Any:
                found = await read(asked)
                if asked == uid and found is None:
                    await both.wait()
                return found

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(kept, "read", look)
                given = await asyncio.gather(
                    first.fork("ship", id="two"), first.fork("ship", id="three"), return_exceptions=True
                )
            won = [each.id for each in given if isinstance(each, Handle)]
            lost = [each for each in given if isinstance(each, Refused)]
            assert len(won) == len(lost) == 1
            assert f"already, as {won[0]}, not as" in lost[0].message
            assert {status.id for status in await engine.list()} == {"one", won[0]}

    asyncio.run(main())
