"""``amends keys``: made, listed, wrapped anew, forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from amends import Client, Engine, saga
from amends.cli.exits import Exit
from amends.encryption import Codec, KeyRing, MasterKey
from tests.unit.cli.conftest import Done

Amends = Callable[..., Done]
OLD, NEW = MasterKey.generate(), MasterKey.generate()
STORE = "sqlite:///orders.db"


@saga(name="keys.greet", subject=lambda name: name)
async def greet(name: str) -> str:
    return f"good morning, {name}"


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with executions of three subjects."""

    async def main() -> None:
        codec = Codec(keys=KeyRing(MasterKey(OLD)))
        async with Engine(STORE, sagas=[greet], codec=codec) as engine:
            for name in ("ann", "bob", "cid"):
                await engine.run(greet(name), id=name)

    asyncio.run(main())
    monkeypatch.setenv("AMENDS_STORE", STORE)
    return tmp_path


def test_a_master_key_is_made(amends: Amends) -> None:
    one, two = amends("keys", "new-master"), amends("keys", "new-master", "--json")
    assert MasterKey(one.out.strip()).name != two.json["name"] == MasterKey(two.json["master_key"]).name


def test_views_open_what_the_environment_has_a_key_for(
    amends: Amends, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "good morning" not in amends("show", "ann", "--json").out
    monkeypatch.setenv("AMENDS_MASTER_KEY", OLD)
    assert "good morning, ann" in amends("show", "ann", "--json").out
    assert "good morning, ann" in amends("history", "ann").out
    assert amends("keys", "forget", "ann", "--reason", "asked for", "--yes").code == Exit.OK
    for command in ("show", "history"):
        for options in ((), ("--json",)):
            done = amends(command, "ann", *options)
            assert done.code == Exit.OK, done
            assert "good morning" not in done.out
    assert "forgotten" in amends("history", "ann").out
    assert {line["status"] for line in amends("list", "--json").lines} == {"completed"}


def test_rotation(amends: Amends, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert amends("keys", "rotate").code == Exit.REFUSED
    monkeypatch.setenv("AMENDS_MASTER_KEY", NEW)
    lost = amends("keys", "rotate")
    assert lost.code == Exit.FAILED
    assert "3 keys left" in lost.err
    monkeypatch.setenv("AMENDS_PREVIOUS_MASTER_KEYS", OLD)
    done = amends("keys", "rotate", "--batch", "2", "--json")
    assert done.code == Exit.OK, done
    assert [len(batch["ids"]) for batch in done.lines] == [2, 1]
    monkeypatch.delenv("AMENDS_PREVIOUS_MASTER_KEYS")
    assert "good morning, bob" in amends("show", "bob", "--json").out
    assert {line["master"] for line in amends("keys", "list", "--json").lines} == {MasterKey(NEW).name}


def test_forgetting(amends: Amends, kept: Path) -> None:
    for missing in ((), ("ann",)):
        done = amends("keys", "forget", *missing)
        assert done.code == Exit.USAGE
        assert "is missing" in done.err
    unasked = amends("keys", "forget", "ann", "--reason", "asked for")
    assert "add --yes" in unasked.err
    done = amends("keys", "forget", "ann", "--reason", "asked for", "--yes", "--json")
    assert done.json["subject"] == "ann"
    assert amends("keys", "forget", "ann", "--reason", "asked for", "--yes").code == Exit.NOT_FOUND
    listed = amends("keys", "list").out
    assert "ann" not in listed
    assert f"{done.json['key']}  forgotten" in listed


def test_the_doctor_looks_at_keys(amends: Amends, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def found() -> list[tuple[str, str]]:
        report = amends("doctor", "--json").json
        return [(each["level"], each["seen"]) for each in report["findings"] if each["check"] == "keys"]

    assert found() == []
    monkeypatch.setenv("AMENDS_MASTER_KEY", NEW)
    ((level, seen),) = found()
    assert (level, "cannot be read" in seen) == ("problem", True)
    monkeypatch.setenv("AMENDS_PREVIOUS_MASTER_KEYS", OLD)
    ((level, seen),) = found()
    assert (level, "a former one" in seen) == ("warning", True)
    monkeypatch.setenv("AMENDS_MASTER_KEY", OLD)
    monkeypatch.delenv("AMENDS_PREVIOUS_MASTER_KEYS")
    assert found() == [("ok", f"3 keys wrapped by {MasterKey(OLD).name}")]


def test_a_client_may_do_the_same(kept: Path) -> None:
    async def main() -> None:
        async with Client(STORE) as client:
            assert [key.subject for key in await client.keys.list(subject="bob")] == ["bob"]
            await client.keys.forget("bob", "asked for")
            assert await client.keys.list(subject="bob") == []

    asyncio.run(main())
