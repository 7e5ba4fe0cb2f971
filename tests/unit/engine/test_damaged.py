"""What is parked, and whose header is damaged: it shows, and an operator can still get it going, or end it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import apsw
import pytest

from amends import Engine, Recovery, Refused, Rejected, Retry, Settings, saga, step
from amends.store.port import Message

from .waiting import until

mended = False


@step(name="damaged.first")
async def first() -> None: ...


@step(name="damaged.pay", retry=Retry(attempts=1), recovery={Rejected: Recovery.ASK})
async def pay() -> str:
    if not mended:
        raise Rejected("no")
    return "paid"


@saga(name="damaged.one_action")
async def one_action() -> str:
    await first()
    return await pay()


@saga(name="damaged.whole")
async def whole() -> str:
    await first()
    if not mended:
        await asyncio.get_running_loop().create_future()
    return "paid"


async def damaged(path: Any, body: Any, monkeypatch: Any, act: Any) -> Any:
    url, settings = f"sqlite:///{path}", Settings(poll=0.05)
    monkeypatch.setattr(f"{__name__}.mended", False)
    async with Engine(url, sagas=[body], settings=settings) as engine:
        handle = await engine.start(body(), id="x")
        assert (await handle.outcome()).status == "attention"
        await engine.start(one_action(), id="sound")
    with apsw.Connection(str(path)) as db:
        db.execute("UPDATE amends_executions SET detail = '{oops' WHERE id = 'x'")
    monkeypatch.setattr(f"{__name__}.mended", True)
    async with Engine(url, sagas=[body], settings=settings) as engine:
        assert sorted(status.id for status in await engine.list()) == ["sound", "x"]
        handle = engine.handle(body, "x")
        status = await handle.status()
        assert status.error is not None
        assert status.error["type"] == "CorruptHeader"
        await act(handle)
        async with asyncio.timeout(10):
            return await handle.outcome()


BODIES = pytest.mark.parametrize("body", [one_action, whole], ids=lambda body: body.name)


@BODIES
def test_it_can_be_retried(tmp_path, monkeypatch, body):
    result = asyncio.run(damaged(tmp_path / "x.db", body, monkeypatch, lambda handle: handle.retry()))
    assert (result.status, result.value) == ("completed", "paid")


@BODIES
@pytest.mark.parametrize(("what", "status"), [("cancel", "compensated"), ("terminate", "terminated")])
def test_it_can_be_ended(tmp_path, monkeypatch, body, what, status):
    result = asyncio.run(
        damaged(tmp_path / "x.db", body, monkeypatch, lambda handle: getattr(handle, what)("enough"))
    )
    assert result.status == status


@BODIES
def test_who_must_know_what_is_parked_is_told_how_to_find_out(tmp_path, monkeypatch, body):
    async def act(handle: Any) -> None:
        for request in (handle.skip("enough"), handle.resolve("x", "seen"), handle.retry(args=())):
            with pytest.raises(Refused, match="damaged") as refused:
                await request
            assert "retry()" in refused.value.hint
        await handle.retry()

    result = asyncio.run(damaged(tmp_path / "x.db", body, monkeypatch, act))
    assert result.status == "completed"


LATE = {
    "a signal": ('["signalled","news","late",""]', "completed"),
    "what cannot be read": ("{oops", "completed"),
    "a cancel": ('["cancel_requested","too late","cancelled","ada"]', "completed"),
    "an undo": ('["undo_requested","by its parent"]', "attention"),  # only a person can say how
}


@pytest.mark.parametrize("late", LATE)
@pytest.mark.parametrize("deaths", [0, 1000])
def test_what_has_ended_stays_so_whatever_it_is_told(tmp_path, monkeypatch, late, deaths):
    """Its journal is damaged, or kills whoever reads it: that is no reason to ask about what is over."""
    said, status = LATE[late]
    url, path = f"sqlite:///{tmp_path}/x.db", str(tmp_path / "x.db")
    monkeypatch.setattr(f"{__name__}.mended", True)

    async def main() -> None:
        async with Engine(url, sagas=[one_action]) as engine:
            assert await engine.run(one_action(), id="x") == "paid"
            (uid,) = [status.uid for status in await engine.list()]
        with contextlib.closing(apsw.Connection(path)) as db:
            db.execute("UPDATE amends_journal SET checksum = checksum + 1")
            db.execute("UPDATE amends_executions SET deaths = ?, death_head = 3", (deaths,))
        async with Engine(url, sagas=[one_action], settings=Settings(poll=0.05)) as engine:
            await engine.store.send([Message(uid, said)], [])
            engine._posts[0].stir()
            with contextlib.closing(apsw.Connection(path)) as db:
                query = "SELECT status, owner, (SELECT count(*) FROM amends_inbox) FROM amends_executions"
                waits = 0 if status == "completed" else 1
                await until(lambda: db.execute(query).fetchall() == [(status, None, waits)])
            audit = await engine.handle(one_action, "x").audit()
            told = [record.action for record in audit]
            assert told == (["cancel: no effect"] if late == "a cancel" else [])
            if told:
                assert audit[0].reason == "the execution had ended"

    asyncio.run(main())
