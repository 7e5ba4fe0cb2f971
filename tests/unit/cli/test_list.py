"""``amends list``: filters, pages, and how it looks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from amends.engine.backend import Backend
from amends.store import SqliteStore, port
from amends.store.port import Header
from tests.unit.cli.conftest import Done

Amends = Callable[..., Done]

DAY = 86_400.0
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()


def header(number: int, **more: Any) -> Header:
    """Order number n, started n days after the first noon."""
    at = NOON + number * DAY
    uid = f"{int(at * 1000):012x}{number:020x}"
    given = {"uid": uid, "id": f"order-{number}", "saga": "shop.place_order", "root": uid, "created_at": at}
    return Header(**{**given, "updated_at": at, "input": "{}", **more})


@pytest.fixture
def store(tmp_path: Path) -> Callable[..., None]:
    def fill(*headers: Header) -> None:
        async def write() -> None:
            made = SqliteStore(tmp_path / "amends.db")
            await made.open()
            for one in headers:
                assert await made.create(one)
            await made.close()

        asyncio.run(write())

    return fill


def ids(done: Done) -> list[str]:
    assert done.code == 0, done
    return [one["id"] for one in done.lines]


def test_pages_follow_each_other(store: Callable[..., None], amends: Amends) -> None:
    store(*(header(n) for n in range(450)))  # more than two of the desk's own pages
    assert len(ids(amends("list", "--limit", "1000", "--json"))) == 450
    first = amends("list", "--limit", "3", "--json")
    assert ids(first) == ["order-449", "order-448", "order-447"]
    assert ids(amends("list", "--limit", "2", "--json", "--after", first.lines[-1]["uid"])) == [
        "order-446",
        "order-445",
    ]
    said = amends("list", "--limit", "3").err
    assert said == f"more: repeat with --after {first.lines[-1]['uid']}\n"
    assert amends("list", "--limit", "450").err == ""


def test_times(store: Callable[..., None], amends: Amends) -> None:
    store(*(header(n) for n in range(10)))
    assert ids(amends("list", "--json", "--since", "2026-03-09")) == ["order-9", "order-8"]
    assert ids(amends("list", "--json", "--until", "2026-03-02T12:00")) == ["order-1", "order-0"]
    both = ["--since", "2026-03-02T12:00", "--until", "2026-03-03T12:00:00+00:00"]
    assert ids(amends("list", "--json", *both)) == ["order-2", "order-1"]
    assert ids(amends("list", "--json", "--since", "1h")) == []
    assert ids(amends("list", "--json", "--until", "1h", "--limit", "1")) == ["order-9"]
    done = amends("list", "--since", "yesterday")
    assert done.code == 2
    assert "write 30min, 2h, 3d" in done.err


def test_a_time_beyond_all_is_no_time(amends: Amends, store: Any) -> None:
    """In some time zone: with an offset both are, wherever this runs."""
    store(header(1))
    for given in ("9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+01:00"):
        done = amends("list", "--since", given)
        assert (done.code, done.err.splitlines()[0]) == (2, f"error: '{given}' is no time")


def test_other_filters(store: Callable[..., None], amends: Amends) -> None:
    store(
        header(0, status=port.ATTENTION, cause="failed"),
        header(1, status=port.TERMINATED),
        header(2, saga="shop.refund"),
        header(3, attributes='{"customer":"42","vip":true}'),
        header(4, id="order-3~1", parent="x"),
        header(5, attributes="{damaged"),
        header(6, id="return-6"),
    )
    everything = ["return-6", "order-5", "order-3~1", "order-3", "order-2", "order-1", "order-0"]
    assert ids(amends("list", "--json")) == everything
    assert ids(amends("list", "--json", "--status", "attention,terminated")) == ["order-1", "order-0"]
    assert ids(amends("list", "--json", "--status", "attention", "--status", "terminated")) == [
        "order-1",
        "order-0",
    ]
    assert ids(amends("list", "--json", "--saga", "shop.refund")) == ["order-2"]
    assert ids(amends("list", "--json", "--prefix", "return")) == ["return-6"]
    assert ids(amends("list", "--json", "-a", "customer=42", "-a", "vip=true")) == ["order-3"]
    assert ids(amends("list", "--json", "-a", "customer=43")) == []
    assert "order-3~1" not in ids(amends("list", "--json", "--roots"))
    assert amends("list", "--ids", "--status", "attention").out == "order-0\n"
    assert "no KEY=VALUE" in amends("list", "-a", "customer").err


def test_nothing_found_says_what_there_is(store: Callable[..., None], amends: Amends) -> None:
    store()
    assert "no executions in sqlite:///amends.db (namespace default)" in amends("list").err
    store(header(0))
    assert amends("list", "--status", "attention").err == "no execution matches\n"
    done = amends("list", "--saga", "place_order")
    assert done.code == 3
    assert "sagas there: shop.place_order" in done.err
    assert "namespace other" in amends("list", "--namespace", "other").err


def test_what_needs_a_person_is_said(store: Callable[..., None], amends: Amends) -> None:
    store(header(0, status=port.ATTENTION), header(1), header(2, status=port.ATTENTION))
    assert amends("list").err == "2 need a person: amends show order-2 says what to do\n"
    assert (
        amends("list", "--prefix", "order-0").err == "1 needs a person: amends show order-0 says what to do\n"
    )
    assert amends("list", "--json").err == amends("list", "--ids").err == ""


def test_piped_text_is_never_cut(store: Callable[..., None], amends: Amends) -> None:
    error = '{"error":{"type":"ConnectionError","message":"' + "x" * 300 + '"}}'
    store(header(0, id="o" * 200, saga="shop." + "s" * 100, detail=error, cause="failed"))
    out = amends("list").out
    assert "o" * 200 in out
    assert "s" * 100 in out
    assert "x" * 300 in out
    assert "…" not in out
    assert not any(line.endswith(" ") for line in out.splitlines())


def test_damage_is_listed_with_the_others(store: Callable[..., None], amends: Amends) -> None:
    store(header(0), header(1, detail="{damaged", cause="failed"))
    assert "CorruptHeader" in amends("list").out
    assert len(amends("list", "--json").lines) == 2


def test_the_backend_is_the_one_that_clients_use() -> None:
    """`Desk` must see what `Client` sees: they share this class."""
    from amends.cli import desk
    from amends.engine import client

    assert desk.Backend is client.Backend is Backend


def test_conditions(store: Callable[..., None], amends: Amends) -> None:
    given = [
        '{"customer":"42","total":5}',
        '{"customer":42}',
        '{"customer":"43","total":7}',
        '{"customer":[1]}',
    ]
    store(*(header(n, attributes=text) for n, text in enumerate(given)))
    assert ids(amends("list", "--json", "--where", "attributes.total > 5")) == ["order-2"]
    assert ids(
        amends("list", "--json", "--where", "attributes.customer = '42'", "--since", "2026-03-01")
    ) == ["order-0"]
    assert ids(amends("list", "--json", "-a", "customer=42")) == ["order-1", "order-0"]
    assert ids(amends("list", "--json", "-a", "customer=[1]")) == ["order-3"]
    assert ids(amends("list", "--json", "-a", "customer=42", "--where", "attributes.total is null")) == [
        "order-1"
    ]
    done = amends("list", "--where", "attributes.total >")
    assert done.code == 2
    assert (
        "a value is expected, got the end (column 19)\n    attributes.total >\n                      ^"
        in done.err
    )
