"""Signals and workers: who serves is drained by them, however early they come; who does not keeps its own."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys

import pytest

from amends import Engine, Refused
from amends.store.memory import MemoryStore
from amends.store.port import Query

WORKER = """
import asyncio, os, signal, sys
from amends import Engine, Refused
from amends.store.memory import MemoryStore
from amends.store.port import Query

class Early:
    async def __aenter__(self):
        os.kill(os.getpid(), signal.{name})  # while the engine opens
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_):
        print("closed", flush=True)

async def main():
    engine = Engine("sqlite:///" + sys.argv[1], resources=[Early()])
    await engine.serve()
    print("drained", flush=True)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_that_comes_while_the_engine_opens_drains_it(tmp_path, name):
    done = subprocess.run(
        [sys.executable, "-c", WORKER.replace("{name}", name), str(tmp_path / "x.db")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.split()) == (0, ["closed", "drained"]), done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_an_engine_that_was_entered_serves_as_before(tmp_path):
    async def main() -> None:
        async with Engine(f"sqlite:///{tmp_path}/x.db") as engine:
            loop = asyncio.get_running_loop()
            loop.call_soon(os.kill, os.getpid(), signal.SIGTERM)
            await engine.serve()
            assert not engine.working

    before = signal.getsignal(signal.SIGTERM)
    asyncio.run(main())
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_program_that_does_not_serve_keeps_its_signal_handlers():
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]

    async def main() -> None:
        inside = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
        async with Engine():
            now = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
            assert now == inside

    asyncio.run(main())
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_an_engine_that_could_not_open_is_closed_once():
    class Broken:
        async def __aenter__(self) -> None:
            raise ConnectionError("no pool")

        async def __aexit__(self, *_: object) -> None: ...

    before = gc.get_threshold()

    async def main() -> None:
        with pytest.raises(ConnectionError):
            await Engine(store, resources=[Broken()]).serve()
        assert await store.headers(Query()) == [], "whoever else uses the store still can"

    async def outer() -> None:
        await store.open()
        await main()
        await store.close()

    store = MemoryStore()
    asyncio.run(outer())
    assert gc.get_threshold() == before


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_handlers_that_the_program_had_are_its_own_again(tmp_path):
    def mine(number: int, frame: object) -> None: ...

    async def main() -> None:
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGTERM)
        await Engine(f"sqlite:///{tmp_path}/x.db").serve()

    before = signal.signal(signal.SIGTERM, mine)
    try:
        asyncio.run(main())
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)


def test_who_cannot_hear_signals_is_told_what_to_do_instead(tmp_path):
    engine = Engine(f"sqlite:///{tmp_path}/x.db")
    with engine.sync as sync:
        with pytest.raises(Refused, match="main thread") as refused:
            sync.wait(engine.serve())
        assert engine.working, "it is refused, and nothing else"
    assert "async with Engine" in refused.value.hint
