"""The write-ahead log: who checkpoints, what a torn one leaves, what readers do to it."""

from __future__ import annotations

import asyncio
import random
import shutil
from pathlib import Path

import apsw
import pytest

from amends.store import SqliteStore
from amends.store.kit.support import all_committed, header, positions, row, start
from amends.store.port import Write
from amends.store.sqlite import writer


async def worker(path: Path, **options: object) -> tuple[SqliteStore, int]:
    store = SqliteStore(path, **options)  # type: ignore[arg-type]
    await store.open()
    me = await store.register(0.0, wait=False)
    assert me is not None
    return store, me


def log_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def test_client_never_checkpoints(tmp_path: Path) -> None:
    """Neither while writing much more than a worker would leave in the log, nor on close."""
    path = tmp_path / "x.db"

    async def main() -> None:
        store = SqliteStore(path)
        await store.open()
        size = path.stat().st_size
        for number in range(writer.CHECKPOINT_PAGES // 100):
            await store.create(header(f"{number}", input="x" * 600_000))
        assert log_of(path).stat().st_size > 5_000_000
        assert path.stat().st_size == size
        await store.tidy()
        await store.close()
        assert path.stat().st_size == size
        assert log_of(path).stat().st_size > 5_000_000

    asyncio.run(main())


def test_worker_checkpoints_after_many_pages(tmp_path: Path) -> None:
    path = tmp_path / "x.db"

    async def main() -> None:
        store, me = await worker(path)
        size = path.stat().st_size
        uids = [f"{number}" for number in range(16)]
        for uid in uids:
            write = Write(uid, start=header(uid), row=row(0, 1.0, "x" * 600_000))
            all_committed(await store.commit(me, [write]))
        await store._writer.job(lambda: None)  # the checkpoint stands in the queue before this
        assert path.stat().st_size > size + 4_000_000
        assert store._writer.checkpoint_failure is None
        await store.retire(me)
        await store.close()

    asyncio.run(main())


def test_tidy_empties_the_log_of_a_worker(tmp_path: Path) -> None:
    path = tmp_path / "x.db"

    async def main() -> None:
        store, me = await worker(path)
        all_committed(await store.commit(me, [start("a")]))
        assert log_of(path).stat().st_size > 0
        await store.tidy()
        assert log_of(path).stat().st_size == 0
        all_committed(await store.commit(me, [Write("a", row=row(1))]))
        assert await positions(store, "a") == [0, 1]
        await store.retire(me)
        assert log_of(path).stat().st_size == 0
        await store.close()
        assert not log_of(path).exists()

    asyncio.run(main())


def test_tidy_waits_for_no_reader(tmp_path: Path) -> None:
    """A reader of an old state keeps the log; tidying gives up at once, and succeeds later."""
    path = tmp_path / "x.db"

    async def main() -> None:
        store, me = await worker(path, patience=1e9)
        all_committed(await store.commit(me, [start("a")]))
        reader = apsw.Connection(str(path))
        reader.execute("BEGIN; SELECT * FROM amends_executions").fetchall()
        all_committed(await store.commit(me, [Write("a", row=row(1))]))
        await store.tidy()
        assert log_of(path).stat().st_size > 0
        reader.execute("COMMIT")
        reader.close()
        await store.tidy()
        assert log_of(path).stat().st_size == 0
        await store.retire(me)
        await store.close()

    asyncio.run(main())


def frames(log: bytes) -> list[int]:
    """Where each frame of a log ends."""
    page = int.from_bytes(log[8:12], "big")
    return list(range(32 + 24 + page, len(log) + 1, 24 + page))


def copied(folder: Path, database: bytes, log: bytes) -> Path:
    """A database with that log, as a crash would leave them."""
    folder.mkdir()
    path = folder / "x.db"
    path.write_bytes(database)
    log_of(path).write_bytes(log)
    return path


async def torn(folder: Path, database: bytes, log: bytes, cut: int) -> list[int]:
    """How many rows each execution has, in a copy whose log ends at `cut`."""
    path = copied(folder, database, log[:cut])
    store = SqliteStore(path)
    await store.open()
    counts = [len(await positions(store, uid)) for uid in "abc"]
    for uid, count in zip("abc", counts, strict=True):
        assert await positions(store, uid) == list(range(count))
    assert apsw.Connection(str(path)).pragma("integrity_check") == "ok"
    me = await store.register(9.0, wait=False)
    assert me is not None
    if counts[0]:
        await store.claim(me, 99.0, 10)
        all_committed(await store.commit(me, [Write("a", row=row(counts[0]))]))
    await store.close()
    shutil.rmtree(folder)
    return counts


def test_torn_log_leaves_a_prefix(tmp_path: Path) -> None:
    """Cut at, before and inside any frame, the file holds whole commits, the first so many of them."""
    path = tmp_path / "x.db"

    async def write() -> tuple[bytes, bytes]:
        store, me = await worker(path)
        await store.tidy()
        await store.commit(me, [start(uid) for uid in "abc"])
        for position in range(1, 12):
            all_committed(await store.commit(me, [Write(uid, row=row(position)) for uid in "abc"]))
        database, log = path.read_bytes(), log_of(path).read_bytes()
        await store.close()
        return database, log

    database, log = asyncio.run(write())
    ends = frames(log)
    chance = random.Random(7)
    cuts = {0, 16, 32, len(log)} | {end + step for end in ends for step in (-1, 0)}
    cuts |= {chance.randrange(len(log)) for _ in range(40)}
    reached: list[int] = []
    for cut in sorted(cut for cut in cuts if cut <= len(log)):
        counts = asyncio.run(torn(tmp_path / f"cut{cut}", database, log, cut))
        assert counts == [counts[0]] * 3, f"cut at {cut}"
        reached.append(counts[0])
    assert reached == sorted(reached)
    assert set(reached) == set(range(13))


@pytest.mark.parametrize("place", [40, 4000, 9000])
def test_flipped_bits_in_the_log_leave_a_prefix(tmp_path: Path, place: int) -> None:
    """The log's checksums end it where it is damaged."""
    path = tmp_path / "x.db"

    async def write() -> tuple[bytes, bytes]:
        store, me = await worker(path)
        await store.tidy()
        await store.commit(me, [start(uid) for uid in "abc"])
        for position in range(1, 6):
            all_committed(await store.commit(me, [Write(uid, row=row(position)) for uid in "abc"]))
        files = path.read_bytes(), bytearray(log_of(path).read_bytes())
        await store.close()
        files[1][-place] ^= 0xFF
        return files[0], bytes(files[1])

    database, log = asyncio.run(write())
    counts = asyncio.run(torn(tmp_path / "copy", database, log, len(log)))
    assert counts == [counts[0]] * 3
    assert counts[0] < 6
