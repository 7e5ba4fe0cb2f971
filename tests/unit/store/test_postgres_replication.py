"""A standby that must confirm each commit and does not answer: acknowledged is only what it has."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from amends.errors import CommitUnknown
from amends.store.kit.support import codes, row, start
from amends.store.port import Write
from amends.store.postgres import PostgresStore
from tests.postgres import started
from tests.stores import execute


def setting(url: str, name: str, value: str) -> None:
    execute(url, f"ALTER SYSTEM SET {name} = {value}")
    execute(url, "SELECT pg_reload_conf()")


@pytest.mark.slow
def test_a_cancelled_wait_for_the_standby_is_unknown(tmp_path: Path) -> None:
    """The server says that it has committed, with a warning that the standby may lack it."""
    with started(tmp_path / "server") as url:

        async def main() -> None:
            store = PostgresStore(url, unsafe=True, lease=100.0)
            await store.open()
            me = await store.register(0.0, wait=False)
            assert me is not None
            assert codes(await store.commit(me, [start("a")])) == ["committed"]
            setting(url, "synchronous_commit", "on")
            setting(url, "synchronous_standby_names", "'nobody'")
            for at in range(1, 1000):  # the server's processes read their settings when they are idle
                commit = asyncio.ensure_future(store.commit(me, [Write("a", row=row(at))]))
                if await waits_for_the_standby(url, commit):
                    break
            setting_back = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            execute(url, "SET synchronous_commit = local; " + setting_back)
            with pytest.raises(CommitUnknown):
                await commit
            setting(url, "synchronous_standby_names", "''")
            await asyncio.sleep(0.5)
            await store.retire(me)
            again = await store.register(1.0, wait=True)
            assert again is not None
            (claim,) = await store.claim(again, 1e9, 10)
            assert [each.position for each in claim.rows] == list(range(at + 1))
            await store.close()

        asyncio.run(main())


async def waits_for_the_standby(url: str, commit: asyncio.Future[object]) -> bool:
    while not commit.done():
        if execute(url, "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"):
            return True
        await asyncio.sleep(0.01)
    return False
