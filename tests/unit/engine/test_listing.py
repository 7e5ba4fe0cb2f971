"""Lists: the same filters for engines and clients, and wrong ones refused with what to say instead."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import apsw
import pytest

from amends import Client, Engine, QueryError, Refused, UnknownName, saga, step


@step(name="listing.work")
async def work() -> None: ...


@saga(name="listing.child")
async def child() -> None:
    await work()


@saga(name="listing.parent")
async def parent() -> None:
    await child()


@pytest.fixture
def url(tmp_path) -> str:
    url = f"sqlite:///{tmp_path}/x.db"

    async def main() -> None:
        async with Engine(url, sagas=[parent, child]) as engine:
            for number in range(3):
                await engine.run(parent(), id=f"order-{number}")
            await engine.run(child(), id="alone")

    asyncio.run(main())
    return url


def ask(url: str, **filters: Any) -> list[str]:
    async def main() -> list[str]:
        async with Client(url) as client:
            return [status.id for status in await client.list(**filters)]

    return asyncio.run(main())


def test_filters_narrow_and_hold_together(url):
    assert sorted(ask(url, saga=parent)) == ["order-0", "order-1", "order-2"]
    assert ask(url, saga="listing.parent", id_prefix="order-1") == ["order-1"]
    assert sorted(ask(url, root="order-1")) == ["order-1", "order-1~1"]
    assert ask(url, parent="order-1") == ["order-1~1"]
    assert ask(url, status=["completed", ""], saga=child, id_prefix="alone") == ["alone"]
    assert ask(url, status="running") == []


def test_times_are_ranges(url):
    now = datetime.now(UTC)
    hour = timedelta(hours=1)
    assert len(ask(url, created_from=now - hour, finished_until=now + hour)) == 7
    assert ask(url, created_until=now - hour) == []
    assert ask(url, finished_from=now + hour) == []


def test_pages_follow_each_other(url):
    async def main() -> list[str]:
        seen: list[Any] = []
        async with Client(url) as client:
            while page := await client.list(limit=2, after=seen[-1].uid if seen else ""):
                seen += page
        return [status.id for status in seen]

    assert asyncio.run(main()) == ask(url)


@pytest.mark.parametrize(
    ("filters", "error", "says"),
    [
        ({"status": "complted"}, UnknownName, "did you mean 'completed'"),
        ({"status": ["running", "nonsense"]}, UnknownName, "compensating, completed"),
        ({"parent": "order-9"}, UnknownName, "order-"),
        ({"root": "odrer-1"}, UnknownName, "did you mean"),
        ({"limit": 0}, Refused, "at least 1"),
        ({"limit": -1}, Refused, "at least 1"),
        ({"limit": 2**63}, Refused, "at least 1"),
        ({"limit": "many"}, Refused, "many"),
        ({"created_from": datetime(2026, 1, 1)}, Refused, "time zone"),  # noqa: DTZ001
        ({"finished_until": 12.5}, Refused, "datetime"),
        ({"stauts": "running"}, TypeError, "did you mean 'status'"),
    ],
)
def test_a_filter_that_cannot_be_is_refused(url, filters, error, says):
    with pytest.raises(error, match=says):
        ask(url, **filters)


def test_an_engine_lists_the_same(url):
    async def main() -> list[str]:
        async with Engine(url, sagas=[parent, child]) as engine:
            with pytest.raises(UnknownName, match="did you mean 'attention'"):
                await engine.list(status="atention")
            return [status.id for status in await engine.list(saga=parent)]

    assert sorted(asyncio.run(main())) == ["order-0", "order-1", "order-2"]


@pytest.mark.parametrize(
    "damage",
    [
        "detail = '{\"items\"'",
        "detail = '[]'",
        "detail = '{\"items\": 5}'",
        "detail = '{\"items\": [1, 2]}'",
        'detail = \'{"error": "text"}\'',
        "detail = '{\"residue\": {}}'",
        "attributes = 'no JSON'",
        "attributes = '[1]'",
        "created_at = 1e300",
        "finished_at = -1e300",
        "deadline = 9e999",
    ],
)
def test_one_damaged_header_does_not_keep_the_others_from_being_listed(url, damage):
    connection = apsw.Connection(url.removeprefix("sqlite:///"))
    connection.execute(f"UPDATE amends_executions SET {damage} WHERE id = 'order-1'")
    connection.close()
    assert set(ask(url, saga=parent)) == {"order-0", "order-1", "order-2"}

    async def main() -> Any:
        async with Client(url) as client:
            status = await client.handle(parent, "order-1").status()
            await client.handle(parent, "order-1").outcome()
            return status

    status = asyncio.run(main())
    assert status.parked_whole is False
    if "detail" in damage or "attributes" in damage:
        assert status.error["type"] == "CorruptHeader"


def test_conditions_in_words(tmp_path):
    url = f"sqlite:///{tmp_path}/y.db"

    async def main() -> None:
        async with Engine(url, sagas=[child]) as engine:
            for number in range(4):
                given = {"customer": f"c-{number % 2}", "total": number * 10, "vip": number == 3}
                await (await engine.start(child(), id=f"order-{number}", attributes=given)).result()

    asyncio.run(main())
    assert sorted(ask(url, where='attributes.customer = "c-1"')) == ["order-1", "order-3"]
    assert sorted(ask(url, where="attributes.total >= 10 and not attributes.vip = true")) == [
        "order-1",
        "order-2",
    ]
    assert len(ask(url, where="started > -1h and finished < +1h", limit=3)) == 3
    assert ask(url, where="started < -1h") == []
    with pytest.raises(QueryError) as error:
        ask(url, where='statsu = "completed"')
    assert error.value.column == 1
    assert error.value.hint.startswith("did you mean 'status'")
