"""PostgreSQL passes the conformance kit; taken out, each of its safeguards is missed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from amends.errors import Fenced, SchemaMismatch, StoreBusy
from amends.store import kit
from amends.store.postgres import PostgresStore
from amends.store.postgres.reading import HEADER
from amends.store.postgres.schema import LOCK, migrations
from amends.store.postgres.statement import read, statements
from tests.stores import PromptPostgres, execute, must_belong, new_schema, subject

Pooler = Callable[[str], str]


@pytest.mark.parametrize("name", kit.names(sql=True, fill=True, many=True))
def test_postgres(name: str, postgres: str) -> None:
    """With commits as a worker makes them: without a task where nothing stands before them, else with one."""
    with new_schema(postgres) as schema:
        _run(name, postgres, schema, PromptPostgres)


def _run(case: str, url: str, schema: str, kind: type[PostgresStore] = PostgresStore) -> None:
    asyncio.run(kit.run(case, subject(url, schema, kind=kind)))
    must_belong(lambda sql: execute(url, sql), f"{schema}.")


@pytest.mark.parametrize("name", kit.names(sql=False, fill=False, many=True))
def test_postgres_behind_pgbouncer(name: str, postgres: str, pooler: Pooler) -> None:
    """In transaction mode, with fewer connections to the server than the stores have to the pooler."""
    with new_schema(postgres) as schema:
        asyncio.run(kit.run(name, subject(pooler(postgres), schema, pooled=True)))


SQL = sorted({*kit.names(sql=True, fill=False, many=True)} - {*kit.names(sql=False, fill=False, many=True)})


@pytest.mark.parametrize("name", SQL)
def test_sql_of_steps_behind_pgbouncer(name: str, database: str, pooler: Pooler) -> None:
    """A pooler passes no options on, so the database says where the tables of steps are."""
    with new_schema(database) as schema:
        at = urlsplit(database).path.removeprefix("/")
        execute(database, f"ALTER DATABASE {at} SET search_path = {schema}")
        asyncio.run(kit.run(name, subject(pooler(database), schema, pooled=True)))


@dataclass(frozen=True)
class Ablation:
    """Pieces of statements, what takes their place, and a case that then must fail."""

    names: tuple[str, ...]
    piece: str
    instead: str
    case: str


def _unfenced(*parts: str) -> Ablation:
    return Ablation(parts, "{fenced}", "", "retired_changes_nothing_at_all")


NEWS = "WHEN x.news > 0 AND e.owner IS NULL AND e.parked IS NULL THEN 0"
SEEN = "v.seen = l.inbox_seq + coalesce(n.news, 0) AS released"
DEATHS = "CASE WHEN e.death_head = h.head THEN e.deaths ELSE 0 END + 1"
EARLIEST = "ORDER BY c.wake_at, c.num)"
SERVED = "(NOT %(declared)s::boolean OR EXISTS"
COVERED = "p.saga IN ('', g.saga)"
PAUSED_ANEW = 'ON CONFLICT (namespace, saga) DO UPDATE SET "by" = excluded."by"'
GOES_ON = "parked_for_want_of_code_goes_on_when_it_comes"
PRUNING = "prune_never_touches_what_lives"
PRUNED = "prune_takes_all_that_is_kept"
ABLATIONS = [
    _unfenced("started"),
    _unfenced("appended"),
    _unfenced("born"),
    _unfenced("consumed"),
    _unfenced("audited"),
    _unfenced("locked", "heads"),
    _unfenced("locked", "posted", "heads"),
    Ablation(("queued",), "{fenced}", "", "retired_unawares_adds_and_drops_no_task"),
    Ablation(("dropped",), "{fenced}", "", "retired_unawares_adds_and_drops_no_task"),
    Ablation(("queued",), "{dropped_first}", "", "ended_task_stays_until_its_owner_drops_it"),
    Ablation(("queued",), "WHERE {gate}", "WHERE true", "task_comes_with_its_row"),
    Ablation(("task_renew",), "AND t.tries = v.tries", "", "late_report_is_refused"),
    Ablation(
        ("task_promote",), "CASE WHEN t.state = 'leased' THEN 1 ELSE 0 END", "0", "dead_task_is_reported"
    ),
    Ablation(("task_candidates",), "d.state <> 'done'", "false", "compensation_waits_for_its_action"),
    Ablation(("posted",), "{first}", "", "key_is_free_again_within_one_commit"),
    Ablation(("posted",), "ORDER BY v.place", "ORDER BY v.place DESC", "duplicates_within_one_sending"),
    Ablation(("heads",), SEEN, "v.seen IS NOT NULL AS released", "release_is_refused_when_a_message_came"),
    Ablation(("heads",), SEEN, "v.seen = l.inbox_seq AS released", "release_sees_messages_of_its_own_batch"),
    Ablation(("heads",), "inbox_seq = e.inbox_seq + x.news,", "", "no_wakeup_is_lost"),
    Ablation(("heads",), NEWS, "", "message_wakes_a_sleeper_at_once"),
    Ablation(("heads",), "AND e.parked IS NULL", "", "messages_do_not_wake_the_parked"),
    Ablation(("heads",), "x.lost ELSE e.lost", "false ELSE e.lost", "release_can_stay_lost"),
    Ablation(("born", "audited"), "WHERE {gate}", "", "start_of_a_taken_id_conflicts"),
    Ablation(("claim",), "FOR NO KEY UPDATE OF e SKIP LOCKED", "", "claims_are_disjoint"),
    Ablation(("claim",), "CROSS JOIN fence", "", "claim_and_park_by_the_retired_are_fenced"),
    Ablation(("claim",), EARLIEST, "ORDER BY c.num DESC)", "claim_takes_the_earliest_first"),
    Ablation(("claim",), "PARTITION BY m.namespace", "", "namespaces_take_turns"),
    Ablation(("claim",), "WHERE w.namespace = m.namespace", "WHERE false", "namespaces_have_shares"),
    Ablation(("claim",), SERVED, "(true OR EXISTS", "each_worker_takes_what_it_serves"),
    Ablation(("claim",), SERVED, "(EXISTS", "unserved_before_it_is_said"),
    Ablation(("claim",), COVERED, "p.saga = ''", "paused_saga_is_not_claimed"),
    Ablation(("claim",), COVERED, "p.saga = g.saga", "paused_namespace_is_not_claimed"),
    Ablation(("next_wake",), COVERED, "false", "paused_saga_is_not_claimed"),
    Ablation(("add_pause",), "ON CONFLICT DO NOTHING", PAUSED_ANEW, "first_pause_holds"),
    Ablation(("next_wake",), SERVED, "(true OR EXISTS", "each_worker_takes_what_it_serves"),
    Ablation(("serve",), "e.cause = 'missing_definition'", "true", GOES_ON),
    Ablation(("serve",), "AND w.version = e.version", "", GOES_ON),
    Ablation(("inherit",), DEATHS, "1", "deaths_on_one_head_are_counted"),
    Ablation(("inherit",), DEATHS, "e.deaths + 1", "deaths_start_again_when_the_head_moves"),
    Ablation(("inherit",), "lost = true,", "", "the_dead_leave_their_executions_due"),
    Ablation(("retire_the_dead",), "WHERE l.expires_at < clock_timestamp() AND", "WHERE", "several_register"),
    Ablation(("hand_back",), "NOT (e.uid", "false AND (e.uid", "retiring_hands_back"),
    Ablation(("park",), "lost = true", "lost = false", "parked_is_claimed_as_lost"),
    Ablation(("trees",), "e.owner IS NULL AND", "", PRUNING),
    Ablation(("trees",), "AND coalesce(e.finished_at, %(before)s::float8) < %(before)s::float8", "", PRUNING),
    Ablation(("trees",), "OR (e.parent <> '' AND e.root = ANY (%(uids)s::text[]))", "", PRUNED),
    Ablation(
        ("rewrap_keys",), "AND k.wrapped = decode(v.was, 'hex')", "", "rewrap_replaces_what_is_as_it_was"
    ),
    Ablation(("forget_key",), "wrapped = NULL,", "", "forgotten_is_gone"),
    Ablation(
        ("prune",),
        "attributes AS ( DELETE FROM",
        "attributes AS ( SELECT 1 FROM",
        PRUNED,
    ),
    Ablation(("prune",), "journal AS ( DELETE FROM", "journal AS ( SELECT 1 FROM", PRUNED),
    Ablation(("prune",), "inbox AS ( DELETE FROM", "inbox AS ( SELECT 1 FROM", PRUNED),
    Ablation(("prune",), "tasks AS ( DELETE FROM", "tasks AS ( SELECT 1 FROM", PRUNED),
    Ablation(("prune",), "audit AS ( DELETE FROM", "audit AS ( SELECT 1 FROM", PRUNED),
]


TRIES = 20


@pytest.mark.parametrize("ablation", ABLATIONS, ids=lambda each: f"{'-'.join(each.names)}-{each.case}")
def test_missing_safeguard_is_found(postgres: str, ablation: Ablation) -> None:
    with pytest.raises((AssertionError, Fenced)):
        _try(ablation, postgres)


def _try(ablation: Ablation, postgres: str) -> None:
    """Again and again: some show only when two workers really overlap."""
    for _ in range(TRIES):
        with new_schema(postgres) as schema:
            _take_out(ablation, schema)
            _run(ablation.case, postgres, schema)


def _take_out(ablation: Ablation, schema: str) -> None:
    sql = statements(schema, HEADER)  # this schema's own
    for name in ablation.names:
        texts = sql.parts if ablation.piece in sql.parts.get(name, "") else sql._plain
        if ablation.piece not in texts[name]:
            pytest.fail(f"{name} has no {ablation.piece!r}")
        texts[name] = texts[name].replace(ablation.piece, ablation.instead)


def test_schema_is_what_the_migrations_make(postgres: str) -> None:
    with new_schema(postgres) as made, new_schema(postgres) as written:

        async def main() -> None:
            store = PostgresStore(postgres, schema=made, unsafe=True)
            await store.open()
            await store.close()

        asyncio.run(main())
        execute(postgres, f"CREATE SCHEMA {written}")
        execute(postgres, read("schema.sql").replace("{schema}", written))
        found = [[_described(postgres, name, query) for query in DESCRIPTIONS] for name in (made, written)]
        assert found[0] == found[1]
        assert len(found[0][0]) > 50


COLUMNS = """
SELECT table_name, column_name, data_type, column_default, is_nullable, collation_name, ordinal_position,
    identity_generation
FROM information_schema.columns WHERE table_schema = %s AND table_name <> 'schema' ORDER BY 1, 2
"""
INDEXES = (
    "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = %s AND tablename <> 'schema' ORDER BY 1"
)
SEQUENCES = "SELECT sequence_name FROM information_schema.sequences WHERE sequence_schema = %s ORDER BY 1"
DESCRIPTIONS = (COLUMNS, INDEXES, SEQUENCES)


def _described(url: str, schema: str, query: str) -> list[tuple[str, ...]]:
    return [tuple(str(x).replace(schema, "S") for x in row) for row in execute(url, query, schema)]


def test_schema_of_a_later_release_is_refused(postgres: str) -> None:
    with new_schema(postgres) as schema:

        async def main() -> None:
            store = PostgresStore(postgres, schema=schema, unsafe=True)
            await store.open()
            await store.close()
            execute(postgres, f"INSERT INTO {schema}.schema VALUES (9999, 'later')")
            with pytest.raises(SchemaMismatch, match="9999"):
                await store.open()

        asyncio.run(main())


def test_several_migrate_at_once(postgres: str) -> None:
    with new_schema(postgres) as schema:

        async def main() -> None:
            stores = [PostgresStore(postgres, schema=schema, unsafe=True) for _ in range(4)]
            await asyncio.gather(*(store.open() for store in stores))
            for store in stores:
                await store.close()

        asyncio.run(main())
        assert execute(postgres, f"SELECT count(*) FROM {schema}.schema") == [(len(migrations()),)]


def test_who_migrates_is_waited_for_and_tables_only_for_patience(postgres: str) -> None:
    """Another's migration takes as long as it takes; what locks a table for long is somebody else's, and is told."""
    import psycopg

    with (
        new_schema(postgres) as schema,
        psycopg.connect(postgres) as other,
        psycopg.connect(postgres) as third,
    ):

        async def main() -> None:
            store = PostgresStore(postgres, schema=schema, unsafe=True, patience=0.1)
            other.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            opening = asyncio.ensure_future(store.open())
            await asyncio.sleep(0.5)
            assert not opening.done(), "it waits for longer than its patience"
            other.rollback()
            await opening
            await store.close()
            execute(postgres, f"DROP SCHEMA {schema} CASCADE")
            third.execute(f"CREATE SCHEMA {schema}")
            with pytest.raises(StoreBusy, match="lock timeout"):
                await store.open()
            third.rollback()

        asyncio.run(main())
