"""The barrier means the same through every driver, and costs one statement."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from amends import Rejected
from amends.participants.barrier import Barrier, Hanging, NoTransaction, State, UnknownDriver, Verdict
from tests.postgres import new_database
from tests.unit.participants.links import POSTGRES, SQLITE, Link, done

DO, UNDO = "uid/0/charge/do", "uid/0/charge/undo"


class Broken(Exception):
    """The work failed."""


@pytest.fixture(scope="module")
def shared(postgres: str) -> Iterator[str]:
    """One database for all, because making one takes longer than any of these tests."""
    with new_database(postgres) as url:
        yield url


@pytest.fixture(params=[*SQLITE, *POSTGRES])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Any]:
    """Opens a link to a database with the barrier's table and a ledger."""
    if request.param in SQLITE:
        place, opener = str(tmp_path / "service.db"), SQLITE[request.param]
    else:
        place, opener = request.getfixturevalue("shared"), POSTGRES[request.param]

    @asynccontextmanager
    async def prepared() -> AsyncIterator[Link]:
        async with opener(place) as link:
            await done(link.begin())
            for table in ("amends_barrier", "ledger"):
                await done(link.execute(f"DROP TABLE IF EXISTS {table}"))
            await link.ask("create_table")
            await done(link.execute("CREATE TABLE ledger (amount integer)"))
            await done(link.commit())
            link.statements.clear()
            yield link

    return prepared


def on(opened: Callable[[], Any], test: Callable[[Link], Awaitable[None]]) -> None:
    async def main() -> None:
        async with opened() as link:
            await test(link)

    asyncio.run(main())


async def call(link: Link, key: str, reply: Any = None, amount: int = 1) -> Verdict:
    """What a service does for a request, in its own words."""
    await done(link.begin())
    entry = await link.ask("enter", key, reply=reply)
    if entry.execute:
        await done(link.execute(f"INSERT INTO ledger VALUES ({amount})"))
    await done(link.commit())
    return entry


def test_every_verdict(opened: Callable[[], Any]) -> None:
    async def test(link: Link) -> None:
        first = await call(link, DO, {"id": "ä", "n": [1, None]})
        assert (first.verdict, first.answer()) == (Verdict.EXECUTE, {"id": "ä", "n": [1, None]})
        again = await call(link, DO, {"id": "another"})
        assert (again.verdict, again.answer()) == (Verdict.DUPLICATE, {"id": "ä", "n": [1, None]})
        undo = await call(link, UNDO, "refunded", -1)
        assert (undo.verdict, undo.answer()) == (Verdict.EXECUTE, "refunded")
        undo = await call(link, UNDO, "refunded twice", -1)
        assert (undo.verdict, undo.answer()) == (Verdict.DUPLICATE, "refunded")
        late = await call(link, DO)
        assert late.verdict is Verdict.HANGING
        with pytest.raises(Hanging, match="its compensation came before this copy"):
            late.answer()
        null = await call(link, "uid/0/ship/undo", "recalled")
        assert (null.verdict, null.answer()) == (Verdict.NULL, None)
        hanging = await call(link, "uid/0/ship/do", "shipped")
        with pytest.raises(Hanging, match="its compensation came first"):
            hanging.answer()
        await done(link.begin())
        assert await link.rows("SELECT amount FROM ledger ORDER BY amount") == [(-1,), (1,)]
        await done(link.rollback())

    on(opened, test)


def test_one_statement_a_call_whatever_the_verdict(opened: Callable[[], Any]) -> None:
    async def test(link: Link) -> None:
        async def extra(key: str, reply: Any) -> tuple[Verdict, int]:
            link.statements.clear()
            entry = await call(link, key, reply)
            business = [text for text in link.statements if "ledger" in text]
            assert len(business) == entry.execute
            assert all("amends_barrier" in text for text in link.statements if text not in business)
            return entry.verdict, len(link.statements) - len(business)

        other = "uid/0/other"
        assert await extra(DO, {"id": 7}) == (Verdict.EXECUTE, 1)
        assert await extra(DO, {"id": 7}) == (Verdict.DUPLICATE, 1)
        assert await extra(UNDO, {"id": 7}) == (Verdict.EXECUTE, 1)
        assert await extra(UNDO, {"id": 7}) == (Verdict.DUPLICATE, 1)
        assert await extra(DO, {"id": 7}) == (Verdict.HANGING, 1)
        assert await extra(f"{other}/undo", None) == (Verdict.NULL, 1)
        assert await extra(f"{other}/do", None) == (Verdict.HANGING, 1)

        link.statements.clear()
        assert await link.ask("run", "uid/0/run/do", lambda: None, reply="said before") == "said before"
        assert len(link.statements) == 1
        link.statements.clear()
        assert await link.ask("run", "uid/0/told/do", lambda: "said after") == "said after"
        assert len(link.statements) == 2

    on(opened, test)


def test_what_is_rolled_back_never_happened(opened: Callable[[], Any]) -> None:
    async def test(link: Link) -> None:
        await done(link.begin())
        assert (await link.ask("enter", DO, reply="lost")).execute
        await done(link.rollback())
        assert (await call(link, DO, "kept")).answer() == "kept"

    on(opened, test)


def test_a_rejection_is_remembered(opened: Callable[[], Any]) -> None:
    async def test(link: Link) -> None:
        await done(link.begin())
        entry = await link.ask("reject", DO, "no stock", details={"left": 0})
        await done(link.commit())
        assert not entry.execute
        for copy in (entry, await call(link, DO, "sold")):
            with pytest.raises(Rejected, match="no stock") as refused:
                copy.answer()
            assert refused.value.details == {"left": 0}
            assert not isinstance(refused.value, Hanging)
        assert (await call(link, UNDO)).verdict is Verdict.NULL
        with pytest.raises(Hanging):
            (await call(link, DO)).answer()

    on(opened, test)


def test_a_rejection_that_comes_too_late_is_the_first_answer(opened: Callable[[], Any]) -> None:
    async def test(link: Link) -> None:
        await call(link, DO, "sold")
        await done(link.begin())
        entry = await link.ask("reject", DO, "no stock: the first copy took the last one")
        await done(link.commit())
        assert entry.answer() == "sold"

    on(opened, test)


def test_a_probe_can_seal(opened: Callable[[], Any]) -> None:
    async def test(link: Link) -> None:
        async def asked(name: str, key: str) -> Any:
            await done(link.begin())
            found = await link.ask(name, key)
            await done(link.commit())
            return found

        assert (await asked("probe", DO)).outcome == "unknown"
        assert (await asked("seal", DO)).outcome == "rejected"
        assert (await asked("probe", DO)).state is State.SEALED
        with pytest.raises(Hanging, match="a status probe sealed its key"):
            (await call(link, DO)).answer()
        await call(link, "uid/0/b/do", {"id": 1})
        for name in ("seal", "probe"):
            found = await asked(name, "uid/0/b/do")
            assert (found.outcome, found.reply) == ("succeeded", {"id": 1})
        await call(link, "uid/0/b/undo")
        assert (await asked("probe", "uid/0/b/do")).outcome == "rejected"

    on(opened, test)


def test_run_is_the_whole_protocol(opened: Callable[[], Any]) -> None:
    async def test(link: Link) -> None:
        def write(reply: Any = None, error: Exception | None = None) -> Callable[[], Any]:
            def work() -> Any:
                value = link.execute("INSERT INTO ledger VALUES (1)")
                if not inspect.isawaitable(value):
                    if error:
                        raise error
                    return reply

                async def wait() -> Any:
                    await value
                    if error:
                        raise error
                    return reply

                return wait()

            return work

        async def ledger() -> int:
            await done(link.begin())
            count = (await link.rows("SELECT count(*) FROM ledger"))[0][0]
            await done(link.rollback())
            return int(count)

        with pytest.raises(Broken):
            await link.ask("run", DO, write(error=Broken()))
        assert await ledger() == 0
        assert await link.ask("run", DO, write(), reply=7) == 7
        assert await link.ask("run", DO, write(), reply=8) == 7
        assert await link.ask("run", UNDO, write()) is None
        with pytest.raises(Hanging):
            await link.ask("run", DO, write())
        assert await ledger() == 2
        for _ in range(2):
            with pytest.raises(Rejected, match="declined"):
                await link.ask("run", "uid/0/no/do", write(error=Rejected("declined")))
        assert await ledger() == 2
        assert await link.ask("run", "uid/0/told/do", write({"id": 3})) == {"id": 3}
        assert await link.ask("run", "uid/0/told/do", write({"id": 4})) == {"id": 3}
        with pytest.raises(
            Rejected, match="not now"
        ):  # of a compensation: nothing to remember, it must succeed
            await link.ask("run", "uid/0/told/undo", write(error=Rejected("not now")))
        assert await link.ask("run", "uid/0/told/undo", write({"back": 3})) == {"back": 3}
        assert await link.ask("run", "uid/0/told/undo", write()) == {"back": 3}

    on(opened, test)


def test_a_connection_that_commits_by_itself_is_refused(opened: Callable[[], Any]) -> None:
    async def test(link: Link) -> None:
        if link.by_itself is None:
            pytest.skip("the same as another")
        with pytest.raises(NoTransaction, match="open a transaction first"):
            await done(link.barrier.enter(link.by_itself, DO))
        await done(link.begin())
        assert (await link.ask("probe", DO)).outcome == "unknown"
        await done(link.rollback())

    on(opened, test)


def test_old_actions_are_forgotten_in_batches(opened: Callable[[], Any]) -> None:
    class Clock:
        time = 1_000_000.0

        def now(self) -> float:
            return self.time

        monotonic = now

    async def test(link: Link) -> None:
        clock = Clock()
        link.barrier = Barrier(clock=clock, paramstyle=link.barrier.paramstyle)
        for n in range(5):
            await call(link, f"uid/0/{n}/do")
        clock.time += 50
        await call(link, "uid/0/0/undo")  # touched: its copies may still be on their way
        clock.time += 51
        counts = []
        for _ in range(3):
            await done(link.begin())
            counts.append(await link.ask("clean_up", older_than=100, batch=3))
            await done(link.commit())
        assert counts == [3, 1, 0]
        assert (await call(link, "uid/0/0/do")).verdict is Verdict.HANGING
        assert (await call(link, "uid/0/1/do")).verdict is Verdict.EXECUTE

    on(opened, test)


def test_anything_else_is_refused_with_an_explanation() -> None:
    class Pool:
        pass

    class Strange:
        def cursor(self) -> None: ...

    with pytest.raises(UnknownDriver, match="pass the connection itself, not a pool"):
        Barrier().enter(Pool(), DO)
    with pytest.raises(UnknownDriver, match=r"Barrier\(paramstyle=…\) one of qmark, format"):
        Barrier().enter(Strange(), DO)
