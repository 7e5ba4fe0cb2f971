"""No statement of the hot path or of a poll reads a whole table, whether it is planned for its values or for any."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import pytest

from amends.engine.retention import old_enough
from amends.engine.schedules.schedules import OPEN, open_schedules
from amends.store.kit.support import done, header, row, start, to
from amends.store.port import AuditRecord, Query, Write
from amends.store.postgres import PostgresStore, columns, reading
from amends.store.postgres.commit import Batch
from amends.store.postgres.statement import Statements, named, read, statements
from amends.store.where.parsing import parse
from tests.stores import execute, new_schema

FIRST_FEW = {"list: newest", "list: attention", "list: an id's near ones"}
"""These take the first rows in the order of their index, and stop."""
ATTENTION = "executions_attention"
"""This index holds what needs a person: whoever serves a definition looks through all of it, once."""
ENLISTED = (
    "uid", "namespace", "id", "partition", "saga", "version", "root", "deadline", "created_at", "updated_at",
    "attributes", "input", "channel",
)  # fmt: skip
NOT_ASKED = {"groups", "mine", "history"}
"""Parts of other statements."""
LARGE = ("executions", "journal", "inbox", "audit", "attributes")


def fill(url: str, schema: str, count: int) -> None:
    """So many executions with three rows each; every fiftieth is not finished: owned, asleep or in attention."""
    execute(
        url,
        f"""
        INSERT INTO {schema}.executions (
            uid, namespace, id, "partition", saga, version, status, cause, owner, inbox_seq, wake_at, root, parent,
            parent_action, depth, created_at, updated_at, attributes, input
        )
        SELECT lpad(to_hex(n), 32, '0'), 'default', 'id-' || n, 0, 's', '',
            CASE WHEN n % 1000 = 0 THEN 'attention' WHEN n % 50 = 0 THEN 'running' ELSE 'completed' END, '',
            CASE WHEN n % 50 = 0 AND n % 100 <> 0 THEN n % 7 + 1 END, 0, CASE WHEN n % 100 = 0 THEN 1e9 + n END,
            lpad(to_hex(n), 32, '0'), CASE WHEN n % 5 = 0 THEN lpad(to_hex(n - 1), 32, '0') ELSE '' END, '', 0,
            n, n, CASE WHEN n % 10 = 0 THEN '{{"customer":"' || n / 100 || '","total":' || n || '}}' ELSE '{{}}' END, '[]'
        FROM generate_series(1, {count}) AS n
        """,
    )
    execute(
        url,
        f"INSERT INTO {schema}.journal (execution, now, checksum, position, events, commands)"
        f" SELECT n, 1, 1, p, '[]', '[]' FROM generate_series(1, {count}) AS n, generate_series(0, 2) AS p",
    )
    execute(
        url,
        f"INSERT INTO {schema}.inbox (execution, owner, event)"
        f" SELECT n, CASE WHEN n % 100 <> 0 THEN n % 7 + 1 END, '[]' FROM generate_series(50, {count}, 50) AS n",
    )
    execute(
        url,
        f'INSERT INTO {schema}.audit (uid, at, "by", action, reason, detail)'
        f" SELECT lpad(to_hex(n), 32, '0'), 1, '', '', '', '' FROM generate_series(1, {count}, 10) AS n",
    )
    for table in LARGE:
        execute(url, f"ANALYZE {schema}.{table}")


def where(text: str, **more: Any) -> Query:
    return Query(where=parse(text, 2e9), **more)


def asked(sql: Statements) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Name, text and parameters of every statement of the hot path, of polls and of clients."""
    uids = [f"{number:032x}" for number in range(100, 164)]
    owned = {uid: 100 + place for place, uid in enumerate(uids)}
    child = header("new-child", owner=1)
    writes: dict[str, list[Write]] = {
        "rows": [Write(uid, row=row(3)) for uid in uids],
        "one row": [Write(uids[0], row=row(3))],
        "ends": [done(uid, 3) for uid in uids],
        "one end": [done(uids[0], 3)],
        "starts": [start(f"new-{number}") for number in range(64)],
        "messages": [Write(uid, row=row(3), messages=[to(uids[3])], consumed=[7]) for uid in uids],
        "all": [
            Write(
                uids[0], row=row(3), children=[child], messages=[to(uids[1]), to("new-child")], consumed=[5]
            ),
            Write(uids[1], row=row(3), audit=[AuditRecord(1.0, uids[1], "ann", "retry")]),
            done(uids[2], 3),
            start("new-1"),
        ],
    }
    for name, batch in writes.items():
        statement, values = Batch(1, batch, owned).statement(sql, "c")
        yield f"commit: {name}", statement.text, values
    sent: dict[str, Any] = {"me": 0, "channel": "c"}
    columns.POSTED.put(sent, [(uid, None, "[]", None) for uid in uids])
    columns.HEADS.put(sent, ())
    yield "send", sql.write(("locked", "posted", "news", "heads"), fenced=False)[0], sent
    given: dict[str, dict[str, Any]] = {
        "claim": {
            "me": 1,
            "now": 2e9,
            "limit": 256,
            "declared": True,
            "namespaces": "{gold}",
            "weights": "{3}",
        },
        "serve": {"me": 1, "sagas": "{s,t}", "versions": '{"",1}'},
        "orphans": {"me": 1, "now": 2e9},
        "adopt": {"me": 1, "sagas": "{t}", "versions": "{1}"},
        "load": {"nums": "{100,200,300}"},
        "load_one": {"uid": uids[0]},
        "next_wake": {"me": 1, "declared": True},
        "news": {"me": 3},
        "by_id": {"namespace": "default", "id": "id-77"},
        "num": {"uid": uids[0]},
        "audited": {"uid": uids[0]},
        "park": {"me": 1, "uid": uids[0], "cause": "", "detail": "", "now": 1.0},
        "unpark": {"uid": uids[0], "told": uids[0], "at": 1.0, "channel": "c"}
        | dict.fromkeys(("by", "action", "reason", "detail"), ""),
        "register": {"lease": 10.0, "place": "here"},
        "renew": {"me": 1, "lease": 10.0, "owned": 7},
        "expire": {"me": 1},
        "retire_the_dead": {},
        "unburied": {},
        "retire": {"incarnation": 3},
        "forget": {"incarnation": 3},
        "hold": {"me": 1},
        "taken": {"execution": 100, "position": 1},
        "exists": {"namespace": "default", "id": "id-77", "uid": uids[0]},
        "server": {},
        "inherit": {"me": 1, "dead": 3, "limit": 100, "now": 1.0, "declared": True},
        "hand_back": {"incarnation": 3, "limit": 1000, "settled": "{}"},
        "left_over": {"incarnation": 3},
        "trees": {"uids": f"{{{uids[0]},{uids[1]}}}", "final": "{completed}", "before": 1.0},
        "prune": {"uids": f"{{{uids[0]},{uids[1]}}}", "nums": "{100,101}"},
    }
    for name, values in given.items():
        yield name, sql[name], values
    for name, text in named(read("checkup.sql")).items():
        if name in {"due", "attention"}:
            asked_for = text.replace("{schema}", sql.schema).replace("{groups}", sql["groups"])
            yield f"doctor: {name}", asked_for, {"now": 2e9}
    for name, text in named(read("enlist.sql")).items():
        asked_for = re.sub(r"\bCAST\(:(\w+) AS (\w+)\)", r"%(\1)s::\2", text).replace("{schema}", sql.schema)
        yield f"enlist: {name}", asked_for, dict.fromkeys(ENLISTED, "1")
    queries = {
        "newest": Query(),
        "to be cleared away": old_enough(Query(limit=1000), 40_000.0),
        "to be cleared away, a page": old_enough(Query(limit=1000, after=uids[5]), 40_000.0),
        "in bulk": Query(statuses=OPEN, limit=100, after=uids[5]),
        "in bulk, by attribute": where('attributes.customer = "7"', statuses=OPEN, limit=100),
        "parked below": Query(statuses=["attention"], id_prefix="id-777~", limit=1000),
        "a schedule": Query(id_prefix="schedule:daily:", saga="amends.schedule", limit=1),
        "schedules": open_schedules("default"),
        "an id's near ones": Query(limit=200),
        "attention": Query(statuses=["attention"]),
        "by prefix": Query(id_prefix="id-777"),
        "children": Query(parent=uids[4]),
        "a tree": Query(root=uids[4]),
        "attribute": where('attributes.customer = "7"'),
        "attribute, a page": where('attributes.customer = "7" and status != "attention"', after=uids[5]),
        "attribute, several values": where('attributes.customer in ("7", 8) or attributes.total = 3'),
        "attribute, a range": where("attributes.total > 3 and attributes.total < 9 and started > -1h"),
    }
    for name, query in queries.items():
        text, found = reading.select(query, sql.schema)
        yield f"list: {name}", text, dict(found)


def test_every_statement_is_asked_about() -> None:
    sql = statements("s", reading.HEADER)
    known = {name for file in ("control.sql", "read.sql") for name in named(read(file))}
    assert known - NOT_ASKED <= {name for name, _, _ in asked(sql)}


def scans(plan: Any, *, first: bool = False) -> list[str]:
    """The large tables that a plan reads from end to end. first: what is above stops after some rows."""
    if isinstance(plan, list):
        return [found for part in plan for found in scans(part, first=first)]
    if not isinstance(plan, dict):
        return []
    kind = plan.get("Node Type", "")
    stops = (first and "Filter" not in plan) or plan.get("Index Name") == ATTENTION
    whole = kind == "Seq Scan" or ("Index" in kind and "Index Cond" not in plan and not stops)
    mine = [plan["Relation Name"]] if whole and plan.get("Relation Name") in LARGE else []
    return mine + scans(list(plan.values()), first=kind == "Limit")


def numbered(text: str) -> str:
    """Named parameters as the server's own."""
    names: dict[str, str] = {}
    return re.sub(r"%\((\w+)\)s", lambda found: names.setdefault(found[1], f"${len(names) + 1}"), text)


def check(url: str, schema: str, count: int) -> None:
    async def make() -> None:
        store = PostgresStore(url, schema=schema, unsafe=True)
        await store.open()
        await store.close()

    asyncio.run(make())
    fill(url, schema, count)
    sql = statements(schema, reading.HEADER)
    version = int(execute(url, "SELECT current_setting('server_version_num')")[0][0])
    bad = []
    import psycopg

    ours = PostgresStore(url, schema=schema).conninfo
    with psycopg.connect(ours, autocommit=True) as connection:
        for name, text, values in asked(sql):
            plan = connection.execute(f"EXPLAIN (FORMAT JSON) {text}", values).fetchall()
            if name not in FIRST_FEW:
                bad += [f"{name}: {table}" for table in scans(plan[0][0])]
            if version >= 160_000 and not name.startswith("list") and name not in FIRST_FEW:
                plan = connection.execute(f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {numbered(text)}").fetchall()
                bad += [f"{name} (for any values): {table}" for table in scans(plan[0][0])]
        missing = (
            connection.execute("SET enable_seqscan = on")
            and connection.execute(
                f"EXPLAIN (FORMAT JSON) SELECT * FROM {schema}.executions WHERE saga = 'x'"
            ).fetchall()
        )
    assert scans(missing[0][0]) == ["executions"], "a scan is seen as one"
    assert not bad, "\n".join(bad)


@pytest.mark.slow
def test_nothing_is_scanned(postgres: str) -> None:
    with new_schema(postgres) as schema:
        check(postgres, schema, 50_000)


@pytest.mark.soak
def test_nothing_is_scanned_in_a_million(postgres: str) -> None:
    with new_schema(postgres) as schema:
        check(postgres, schema, 1_000_000)
