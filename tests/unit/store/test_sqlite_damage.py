"""Bad rows: those the database refuses, and those that no longer are what was written."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import apsw
import pytest

from amends.errors import CorruptJournal, StoreError, StoreFull
from amends.kernel.entries import decode_event, opened
from amends.store import SqliteStore
from amends.store.kit.support import all_committed, asleep, codes, header, positions, row, start, to
from amends.store.port import Claim, Query, Write


async def worker(path: Path, **options: Any) -> tuple[SqliteStore, int]:
    store = SqliteStore(path, **options)
    await store.open()
    me = await store.register(0.0, wait=False)
    assert me is not None
    return store, me


def alter(path: Path, *statements: str) -> None:
    connection = apsw.Connection(str(path))
    for statement in statements:
        connection.execute(statement)
    connection.close()


# ---------------------------------------------------------------- refused by the database

ABORT = """
CREATE TRIGGER picky BEFORE INSERT ON amends_journal WHEN new.events LIKE '%bad%'
BEGIN SELECT RAISE({what}, 'bad is not allowed'); END
"""


@pytest.mark.parametrize("what", ["ABORT", "FAIL", "ROLLBACK"])
@pytest.mark.parametrize("guilty", [{0}, {3, 4}, {16}, {1, 8, 15}, set(range(17))])
def test_trigger_that_refuses_rows(tmp_path: Path, what: str, guilty: set[int]) -> None:
    """Even one that rolls the whole transaction back: only the guilty are left out."""

    async def main() -> None:
        store, me = await worker(tmp_path / "x.db")
        uids = [f"{number:02}" for number in range(17)]
        all_committed(await store.commit(me, [start(uid) for uid in uids]))
        alter(tmp_path / "x.db", ABORT.format(what=what))
        writes = [
            Write(uid, row=row(1, 1.0, "bad" if number in guilty else "good"), messages=[to(uids[0])])
            for number, uid in enumerate(uids)
        ]
        verdicts = await store.commit(me, writes)
        assert codes(verdicts) == ["poison" if n in guilty else "committed" for n in range(17)]
        assert all("bad is not allowed" in verdicts[n].reason for n in guilty)
        assert [len(await positions(store, uid)) for uid in uids] == [
            1 if n in guilty else 2 for n in range(17)
        ]
        head = await store.find("default", uids[0])
        assert head is not None
        assert head.inbox_seq == 17 - len(guilty)
        await store.close()

    asyncio.run(main())


def test_rows_that_are_bad_only_together(tmp_path: Path) -> None:
    """Each of them alone would do: the first stays, the second is left out."""
    trigger = """
    CREATE TRIGGER jealous BEFORE INSERT ON amends_journal
    WHEN new.events = 'one' AND EXISTS (SELECT 1 FROM amends_journal WHERE events = 'one')
    BEGIN SELECT RAISE(ABORT, 'there is one already'); END
    """

    async def main() -> None:
        store, me = await worker(tmp_path / "x.db")
        all_committed(await store.commit(me, [start(uid) for uid in "abc"]))
        alter(tmp_path / "x.db", trigger)
        writes = [
            Write("a", row=row(1, 1.0, "one")),
            Write("b", row=row(1, 1.0, "one")),
            Write("c", row=row(1)),
        ]
        assert codes(await store.commit(me, writes)) == ["committed", "poison", "committed"]
        await store.close()

    asyncio.run(main())


def test_row_over_sqlites_limit(tmp_path: Path) -> None:
    async def main() -> None:
        store, me = await worker(tmp_path / "x.db")
        store._writer.connection().limit(apsw.SQLITE_LIMIT_LENGTH, 100_000)
        huge = row(0, 1.0, "x" * 200_000)
        verdicts = await store.commit(me, [start("a"), Write("b", start=header("b"), row=huge), start("c")])
        assert codes(verdicts) == ["committed", "poison", "committed"]
        assert await store.find("default", "b") is None
        with pytest.raises(StoreError, match="cannot be stored"):
            await store.create(header("d", input="x" * 200_000))
        await store.close()

    asyncio.run(main())


def test_lost_table_is_nobodys_guilt(tmp_path: Path) -> None:
    """What would fail for every row is an error of the store, not poison that parks them all."""

    async def main() -> None:
        store, me = await worker(tmp_path / "x.db")
        alter(tmp_path / "x.db", "DROP TABLE amends_journal")
        with pytest.raises(StoreError, match="no such table"):
            await store.commit(me, [start("a")])
        await store.close()

    asyncio.run(main())


# ---------------------------------------------------------------- a full file


def test_full_file_by_max_pages(tmp_path: Path) -> None:
    """Fill a file to its limit with commits; none is half there; with room it goes on."""

    async def main() -> None:
        store, me = await worker(tmp_path / "x.db", max_pages=60)
        all_committed(await store.commit(me, [start("a"), start("b")]))
        position = 1
        while True:
            writes = [Write(uid, row=row(position, 1.0, "x" * 3000)) for uid in "ab"]
            try:
                verdicts = store.commit_now(me, writes) if position % 2 else None
                all_committed(verdicts or await store.commit(me, writes))
            except StoreFull:
                break
            position += 1
            assert position < 1000
        assert await positions(store, "a") == await positions(store, "b") == list(range(position))
        with pytest.raises(StoreFull, match="max_pages"):
            await store.commit(me, writes)
        assert store._writer.connection().pragma("integrity_check") == "ok"
        store.limit_pages(200)
        all_committed(await store.commit(me, writes))
        await store.retire(me)
        await store.close()

    asyncio.run(main())


# ---------------------------------------------------------------- no longer what was written


async def prepared(path: Path) -> tuple[SqliteStore, int]:
    """Three sleeping executions with two rows and a message each."""
    store, me = await worker(path)
    all_committed(await store.commit(me, [start(uid) for uid in "abc"]))
    all_committed(await store.commit(me, [asleep(uid, 1) for uid in "abc"]))
    await store.send([to(uid, '["fired","9"]', "k") for uid in "abc"])
    return store, me


def refused(claim: Claim) -> None:
    """The worker's check of the journal fails (the rows that are not damaged have no checksums either)."""

    def check() -> None:
        for place, each in enumerate(claim.rows):
            opened(each, place, 0)

    with pytest.raises(CorruptJournal):
        check()


DAMAGE = {
    "events": "events = CAST(x'ff00fe' AS TEXT)",
    "commands": "commands = CAST(x'5bff' AS TEXT)",
    "checksum": "events = '[]'",
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damaged_row_spoils_only_its_execution(tmp_path: Path, what: str) -> None:
    async def main() -> None:
        path = tmp_path / "x.db"
        store, me = await prepared(path)
        alter(path, f"UPDATE amends_journal SET {DAMAGE[what]} WHERE execution = 2 AND position = 1")
        found = await store.read("b")
        assert found is not None
        assert len(found[1]) == 2
        claims = await store.claim(me, 9.0, 10)
        assert [claim.header.uid for claim in claims] == ["a", "b", "c"]
        for claim in claims:
            assert [each.position for each in claim.rows] == [0, 1]
            assert len(claim.inbox) == 1
        damaged = next(claim for claim in claims if claim.header.uid == "b")
        refused(damaged)
        all_committed(await store.commit(me, [Write("a", row=row(2)), Write("c", row=row(2))]))
        await store.park(me, "b", "corrupt", "{}", 9.0)
        await store.close()

    asyncio.run(main())


def test_damaged_message_spoils_only_its_execution(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "x.db"
        store, me = await prepared(path)
        alter(path, "UPDATE amends_inbox SET event = CAST(x'ff' AS TEXT) WHERE execution = 2")
        claims = {claim.header.uid: claim for claim in await store.claim(me, 9.0, 10)}
        assert sorted(claims) == ["a", "b", "c"]
        with pytest.raises(CorruptJournal):
            decode_event(claims["b"].inbox[0].event)
        news = await store.news(me, 0)
        assert [message.uid for message in news] == ["a", "b", "c"]
        decode_event(news[0].event)
        await store.close()

    asyncio.run(main())


def test_damaged_header_can_still_be_listed(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "x.db"
        store, me = await prepared(path)
        alter(path, "UPDATE amends_executions SET input = CAST(x'ff' AS TEXT) WHERE num = 2")
        assert [head.uid for head in await store.headers(Query())] == ["c", "b", "a"]
        found = await store.find("default", "b")
        assert found is not None
        assert found.input == "\ufffd"
        assert [claim.header.uid for claim in await store.claim(me, 9.0, 10)] == ["a", "b", "c"]
        await store.close()

    asyncio.run(main())


def test_other_types_than_text_are_unreadable(tmp_path: Path) -> None:
    """A STRICT table forbids them; a damaged file may hold them all the same."""

    async def main() -> None:
        path = tmp_path / "x.db"
        store, me = await prepared(path)
        alter(
            path,
            "CREATE TABLE copy AS SELECT * FROM amends_journal",
            "DROP TABLE amends_journal",
            "ALTER TABLE copy RENAME TO amends_journal",
            "UPDATE amends_journal SET events = x'5b5d' WHERE execution = 2 AND position = 1",
            "UPDATE amends_journal SET commands = NULL WHERE execution = 3 AND position = 1",
        )
        claims = {claim.header.uid: claim for claim in await store.claim(me, 9.0, 10)}
        assert [each.position for each in claims["a"].rows] == [0, 1]
        for uid in "bc":
            refused(claims[uid])
        await store.close()

    asyncio.run(main())


def test_damaged_page_spoils_only_its_execution(tmp_path: Path) -> None:
    """A page of the file in the middle of one large row is lost."""

    async def main() -> None:
        path = tmp_path / "x.db"
        store, me = await prepared(path)
        await store.claim(me, 9.0, 10)
        marked = "".join(f"<{number:06}>" for number in range(4000))  # several pages of its own
        all_committed(await store.commit(me, [Write("b", row=row(2, 1.0, marked))]))
        await store.retire(me)
        await store.close()
        data = bytearray(path.read_bytes())
        page = data.index(b"<002000>") // 4096 * 4096
        data[page : page + 4096] = bytes(4096)
        path.write_bytes(data)
        store, me = await worker(path)
        claims = {claim.header.uid: claim for claim in await store.claim(me, 1e9, 10)}
        assert sorted(claims) == ["a", "b", "c"]
        assert [each.position for each in claims["a"].rows] == [0, 1]
        assert claims["b"].rows != []
        refused(claims["b"])
        await store.park(me, "b", "corrupt", "{}", 9.0)
        all_committed(await store.commit(me, [Write("a", row=row(2))]))
        await store.close()

    asyncio.run(main())
