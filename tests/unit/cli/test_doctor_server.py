"""The doctor on PostgreSQL: what is wrong with a server is found, and nothing is changed by looking."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from amends import Client, Engine, saga
from amends.cli.doctor import Finding, Level, examine_server, server
from amends.definition.registry import Registry
from amends.store.kit.support import header
from amends.store.postgres import PostgresStore
from amends.store.postgres.checkup import Facts, WorkerFacts
from tests.places import new_schemas, url_of_all
from tests.stores import execute, new_schema, url_of
from tests.unit.cli.conftest import Done

Amends = Callable[..., Done]
OK, WARNING, PROBLEM = Level.OK, Level.WARNING, Level.PROBLEM

SETTINGS = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "synchronous_standby_names": "",
    "max_connections": "100",
    "superuser_reserved_connections": "3",
}
WORKER = WorkerFacts(
    incarnation=7, place="db-1:17", left=9.0, age=60.0, retired=False, declared=True, owned=5
)
FACTS = Facts(
    where="postgresql://db/shop",
    name="amends",
    release="17.2",
    number=170002,
    oldest=140000,
    standby=False,
    encoding="UTF8",
    now=1000.0,
    settings=SETTINGS,
    connections=10,
    ours=4,
    schema=2,
    known_schema=2,
    lease=10.0,
    workers=[WORKER],
    unserved=[],
    due=0,
    due_since=None,
    attention=0,
)


def facts(**changes: Any) -> Facts:
    return msgspec.structs.replace(FACTS, **changes)


def setting(**changes: str) -> Facts:
    return facts(settings=SETTINGS | changes)


def worker(**changes: Any) -> WorkerFacts:
    return msgspec.structs.replace(WORKER, **changes)


@pytest.mark.parametrize(
    ("finding", "level", "words"),
    [
        (server.release(FACTS), OK, "17.2"),
        (server.release(facts(number=130009, release="13.9")), PROBLEM, "13.9"),
        (server.release(facts(encoding="LATIN1")), PROBLEM, "LATIN1"),
        (server.role(FACTS), OK, "primary"),
        (server.role(facts(standby=True)), PROBLEM, "standby"),
        (server.replication(FACTS), OK, "may forget"),
        (server.replication(setting(synchronous_standby_names="s1")), OK, "synchronous: s1"),
        (
            server.replication(setting(synchronous_standby_names="s1", synchronous_commit="local")),
            WARNING,
            "is local",
        ),
        (server.schema(FACTS), OK, "2"),
        (server.schema(facts(schema=0)), WARNING, "none yet"),
        (server.schema(facts(schema=1)), WARNING, "knows 2"),
        (server.schema(facts(schema=3)), PROBLEM, "knows 2"),
        (server.connections(FACTS), OK, "10 of 97 in use, 4 by amends"),
        (server.connections(facts(connections=90)), WARNING, "90 of 97"),
        (server.connections(facts(connections=94)), PROBLEM, "no room"),
        (server.clock(FACTS, 1001.0), OK, "agree"),
        (server.clock(FACTS, 995.0), WARNING, "ahead"),
        (server.clock(FACTS, 1005.0), WARNING, "behind"),
        (server.definitions(FACTS), OK, "living workers"),
        (server.definitions(facts(unserved=[("shop.order", "1", 5.0)])), PROBLEM, "shop.order '1'"),
        (server.late(FACTS, 1000.0), OK, "none waits"),
        (server.late(facts(due=3, due_since=990.0), 1000.0), OK, "none late"),
        (server.late(facts(due=3, due_since=900.0), 1000.0), PROBLEM, "3 due"),
        (server.late(facts(due=1000, due_since=900.0), 1000.0), PROBLEM, "or more"),
        (server.attention(FACTS), OK, "none"),
        (server.attention(facts(attention=2)), PROBLEM, "2 in attention"),
    ],
)
def test_one_thing(finding: Finding, level: Level, words: str) -> None:
    assert finding.level is level
    assert words in finding.seen
    assert bool(finding.do) is (level is not OK)


@pytest.mark.parametrize("name", ["fsync", "full_page_writes", "synchronous_commit"])
def test_a_setting_that_loses_data(name: str) -> None:
    (finding,) = server.durability(setting(**{name: "off"}))
    assert (finding.check, finding.level) == (name, PROBLEM)


def test_settings_that_keep_data() -> None:
    (finding,) = server.durability(FACTS)
    assert finding.level is OK


@pytest.mark.parametrize(
    ("changes", "level", "words"),
    [
        ({"left": 3.0}, WARNING, "late to renew"),
        ({"left": -1.0}, None, ""),  # others take over just now
        ({"left": -60.0}, PROBLEM, "nobody took over"),
        ({"declared": False}, WARNING, "earlier release"),
        ({"declared": False, "age": 1.0}, None, ""),
    ],
)
def test_a_worker_in_trouble(changes: dict[str, Any], level: Level | None, words: str) -> None:
    found = [
        each for each in server.workers(facts(workers=[WORKER, worker(**changes)])) if each.level is not OK
    ]
    assert [each.level for each in found] == ([] if level is None else [level])
    assert all(words in each.seen for each in found)


def test_nobody_serves() -> None:
    (finding,) = server.workers(facts(workers=[]))
    assert finding.level is WARNING


def test_what_is_of_another_schema_is_not_looked_into() -> None:
    assert "workers" not in {finding.check for finding in examine_server(facts(schema=1), 1000.0)}


# ---------------------------------------------------------------- on a server


@saga(name="doctor.order", version="1")
async def order(number: str) -> str:
    return number


@pytest.fixture
def place(postgres: str) -> Iterator[tuple[str, str, str]]:
    """Server, schema, and the store's URL."""
    with new_schema(postgres) as schema:
        yield postgres, schema, url_of(postgres, schema)


def findings(amends: Amends, url: str, code: int) -> dict[str, tuple[str, str]]:
    done = amends("doctor", "--store", url, "--json")
    assert done.code == code, done
    return {each["check"]: (each["level"], each["seen"]) for each in json.loads(done.out)["findings"]}


def test_a_schema_that_is_not_there_is_not_made(amends: Amends, place: tuple[str, str, str]) -> None:
    url, schema, store = place
    assert findings(amends, store, 1)["schema"] == ("warning", "there is none yet")
    assert execute(url, "SELECT count(*) FROM pg_namespace WHERE nspname = %s", schema) == [(0,)]


def test_settings_workers_and_what_nobody_serves(amends: Amends, place: tuple[str, str, str]) -> None:
    """The tests' server does not wait for the disk, which is found."""
    url, schema, store = place

    async def prepare() -> None:
        async with Client(store) as client:
            await client.start(order("1"), id="a")
            engine = Engine(store)
            engine._registry = Registry(None)
            async with engine:
                while not execute(url, f"SELECT 1 FROM {schema}.leases WHERE declared"):
                    await asyncio.sleep(0.02)
                said.update(await asyncio.to_thread(findings, amends, store, 1))

    said: dict[str, tuple[str, str]] = {}
    asyncio.run(prepare())
    if execute(url, "SHOW fsync") == [("off",)]:
        assert said["fsync"][0] == "problem"
    assert said["release"][0] == "ok"
    assert said["workers"] == ("ok", "1 alive, owning 0 executions")
    assert said["definitions"] == ("problem", "no living worker has the code of doctor.order '1'")
    execute(url, f"UPDATE {schema}.leases SET expires_at = now() - interval '1 hour'")
    execute(
        url,
        f"INSERT INTO {schema}.leases (incarnation, expires_at, place) VALUES (99, now() - interval '1 hour', 'db-1:4')",
    )
    level, seen = findings(amends, store, 1)["workers"]
    assert (level, "incarnation 99 (db-1:4) died" in seen) == ("problem", True)


def test_a_server_that_is_away(amends: Amends, tmp_path: Path) -> None:
    done = amends("doctor", "--store", f"postgresql:///shop?host={tmp_path}", "--json")
    assert done.code == 5
    (problem,) = [each for each in done.json["findings"] if each["level"] == "problem"]
    assert problem["check"] == "store"
    assert problem["seen"].startswith(f"no connection to postgresql://{tmp_path}/shop")


def test_several_servers(amends: Amends, postgres: str) -> None:
    """Each is looked at, and whether it is the one that it should be; lists are of all."""
    with new_schemas(postgres, 2) as schemas:
        url = url_of_all(postgres, schemas)
        done = amends("doctor", "--store", url, "--json")
        assert [each["level"] for each in done.json["findings"] if each["check"] == "placement"] == [
            "warning"
        ] * 2

        async def prepare() -> None:
            async with Client(url) as client:
                for n in range(8):
                    await client.start(order(str(n)), id=f"o-{n}")

        asyncio.run(prepare())
        found = amends("doctor", "--store", url, "--json").json["findings"]
        assert [each["seen"] for each in found if each["check"] == "store"][1].endswith(schemas[1])
        said = [
            (each["level"], each["seen"].partition(" of the store")[0])
            for each in found
            if each["check"] == "placement"
        ]
        assert said == [
            ("ok", "server 1 of 2 (partitions 0 to 2047)"),
            ("ok", "server 2 of 2 (partitions 2048 to 4095)"),
        ]
        listed = amends("list", "--store", url, "--json")
        assert sorted(each["id"] for each in listed.lines) == [f"o-{n}" for n in range(8)]
        assert amends("list", "--store", url_of(postgres, schemas[0])).code == 5
        swapped = url_of_all(postgres, schemas[::-1])
        found = amends("doctor", "--store", swapped, "--json").json["findings"]
        assert [each["level"] for each in found if each["check"] == "placement"] == ["problem"] * 2
        assert amends("list", "--store", swapped).code == 5


def test_one_of_several_servers_is_away(amends: Amends, postgres: str, tmp_path: Path) -> None:
    """That one is a problem, the other is looked at all the same."""
    with new_schemas(postgres, 1) as (schema,):
        url = f"{url_of(postgres, schema)} postgresql:///shop?host={tmp_path}"
        found = amends("doctor", "--store", url, "--json").json["findings"]
        stores = [(each["level"], each["seen"]) for each in found if each["check"] == "store"]
        assert [level for level, _ in stores] == ["ok", "problem"]
        assert stores[1][1].startswith("server 2 of 2 (partitions 2048 to 4095): no connection")


def test_the_module_is_compared_with_what_is_in_the_store(
    amends: Amends, place: tuple[str, str, str], tmp_path: Path
) -> None:
    store = place[2]

    async def prepare() -> None:
        opened = PostgresStore(place[0], schema=place[1], unsafe=True)
        await opened.open()
        await opened.create(header("a", saga="doctor.elsewhere"))
        await opened.close()

    asyncio.run(prepare())
    (tmp_path / "none.py").write_text(
        "from amends import saga\n@saga(name='doctor.other')\nasync def other() -> None: ...\n"
    )
    done = amends("doctor", "--store", store, "--app", "none", "--json")
    said = [each["seen"] for each in done.json["findings"] if each["check"] == "definitions"]
    assert "the module does not define doctor.elsewhere" in said[-1]
