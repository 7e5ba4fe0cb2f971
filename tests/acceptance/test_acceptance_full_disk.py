"""A disk that fills up under a working worker: nothing is lost, nothing repeated in vain, and it goes on by itself."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.figures import record

from .crashing import Crashing
from .processes import Process, shop_in, until_so

SAID = "the store is full"


class Disk:
    """A file system of a few megabytes, filled up and cleared at will."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ballast = folder / "ballast"

    def fill(self) -> None:
        with self.ballast.open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                return

    def clear(self) -> None:
        self.ballast.unlink()


@contextmanager
def small_disk(folder: Path) -> Iterator[Disk]:
    """Needs root; elsewhere the other test of this file does what it can."""
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip(f"no file system may be mounted here: {made.stderr.decode().strip()}")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


async def says(worker: Process, text: str, times: int = 1) -> None:
    await until_so(lambda: worker.log.read_text().count(text) >= times, f"the worker to say {text!r}")


def held(worker: Process) -> bool:
    return SAID in worker.log.read_text()


def ended(worker: Process) -> bool:
    return worker.popen.poll() is not None


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_disk_that_fills_up(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk, shop_in(tmp_path) as shop:
        (tmp_path / "sagas.db").symlink_to(disk.folder / "sagas.db")

        async def main() -> Crashing:
            async with Crashing(shop, 0) as run:
                run.expected += [SAID, "no room left", "Traceback"]
                await run.more_work()
                worker = shop.start_worker(steps=24)
                await run.some_work(worker)
                disk.fill()
                await says(worker, SAID)
                shop.kill(worker)  # while it holds what it could not write
                refused = shop.start_worker(wait="", steps=24)
                await says(refused, "no room left")
                assert refused.end() == 1, "it does not pretend to work"
                disk.clear()
                await run.more_work()
                worker = shop.start_worker(steps=24)
                await run.some_work(worker)
                disk.fill()
                await says(worker, SAID)
                disk.clear()
                await says(worker, "the store has room again")
                shop.kill(worker)
                await run.finish()
                return run

        found = asyncio.run(main()).figures()
        record("full disk", **found.numbers())
        assert found.clean, found
        assert found.kills == 2


@pytest.mark.slow
def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    with shop_in(tmp_path) as shop:

        async def main() -> Crashing:
            async with Crashing(shop, 0) as run:
                run.expected += [SAID, "no room left", "Traceback"]
                for _ in range(3):
                    await run.more_work()
                    worker = shop.start_worker(wait="", steps=24, store="max_pages=1")
                    await until_so(
                        lambda worker=worker: held(worker) or ended(worker), "the worker to find out"
                    )
                    if held(worker):
                        shop.kill(worker)
                    else:  # not even its own name fits into what is free of the file
                        assert "no room left" in worker.log.read_text()
                        assert worker.end() == 1, "it does not pretend to work"
                await run.finish()
                return run

        found = asyncio.run(main()).figures()
        record("full disk", **found.numbers())
        assert found.clean, found
        assert found.kills == sum(map(held, shop.workers)) >= 1
