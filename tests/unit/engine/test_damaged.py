"""What is parked, and whose header is damaged: it shows, and an operator can still get it going, or end it."""

from __future__ import annotations

import asyncio
from typing import Any

import apsw
import pytest

from amends import Engine, Recovery, Refused, Rejected, Retry, Settings, saga, step

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
