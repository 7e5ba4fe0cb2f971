"""Workers that start in a bad moment: the server is away, or the disk is full."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.test_acceptance_full_disk import small_disk
from tests.proxy import Proxy
from tests.stores import new_schema

from .test_processes import QUEUED, Process, amends, start

pytestmark = pytest.mark.slow
Start = Callable[..., Process]
__all__ = ["start"]


@pytest.fixture
def port() -> int:
    """One at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture
def schema(postgres: str) -> Iterator[str]:
    with new_schema(postgres) as name:
        yield name


SERVING = ["app", "post --queue emails"]


def store_at(postgres: str, port: int, schema: str) -> str:
    return Proxy(postgres, port).url_at(port) + f"&schema={schema}&unsafe=true"


@pytest.mark.parametrize("serving", SERVING)
def test_a_server_that_is_away_is_waited_for(
    start: Start, tmp_path: Path, postgres: str, port: int, schema: str, serving: str
) -> None:
    """It is said once, in a line."""
    (tmp_path / "post.py").write_text(QUEUED)

    async def main() -> None:
        worker = start("worker", *serving.split(), "--store", store_at(postgres, port, schema))
        said = asyncio.to_thread(worker.said, "trying again until it is there")
        assert (await said).count("\n") == 1
        await asyncio.sleep(0.7)
        assert worker.text.count("\n") == 1
        async with Proxy(postgres, port):
            await asyncio.to_thread(worker.said, f"process {worker.popen.pid} serves ")
            worker.send(signal.SIGTERM)
            assert await asyncio.to_thread(worker.end) == 0
        assert "Traceback" not in worker.text

    asyncio.run(main())


@pytest.mark.parametrize("serving", SERVING)
def test_whoever_waits_for_a_server_stops_when_asked(
    start: Start, tmp_path: Path, postgres: str, port: int, serving: str
) -> None:
    (tmp_path / "post.py").write_text(QUEUED)
    worker = start("worker", *serving.split(), "--store", store_at(postgres, port, "amends"))
    worker.said("trying again until it is there")
    worker.send(signal.SIGTERM)
    assert worker.end() == 0
    assert "stopped" in worker.text


@pytest.mark.parametrize("room", [0, 32, 36])
def test_a_full_disk_is_said(start: Start, tmp_path: Path, room: int) -> None:
    """KiB that are free: none; enough to read and not for the lock's own line; enough for that."""
    with small_disk(tmp_path / "disk") as disk:
        store = "sqlite:///disk/shop.db"
        amends(tmp_path, "run", "app:other", "--store", store)
        (disk.folder / "shop.db.worker").unlink()
        disk.fill()
        with disk.ballast.open("ab") as file:
            file.truncate(disk.ballast.stat().st_size - 1024 * room)
        worker = start("worker", "app", "--store", store)
        assert worker.end() == 5
        assert worker.text.startswith("error: no room left to write disk/shop.db\n  → free disk space")
