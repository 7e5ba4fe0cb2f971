"""A `def` step that waits for a thread has not begun: its time does not run, and who gives it up keeps it from beginning."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import amends
from amends import Engine, Retry, Settings, StepFailed, saga, step

ONCE = Retry(attempts=1)
ran: list[str] = []
free = threading.Event()


@step(name="thread.first", retry=ONCE)
def first() -> None:
    free.wait(10)


def watched(name: str) -> str:
    """Ends early once it should."""
    ran.append(name)
    time.sleep(0.05)
    if amends.current().cancelled:
        raise RuntimeError(f"{name} was stopped")
    deadline = amends.current().deadline_at
    assert deadline is None or deadline > time.time()
    return name


@step(name="thread.timed", retry=ONCE, timeout=0.3)
def timed() -> str:
    return watched("timed")


@step(name="thread.beats", retry=ONCE, heartbeat=0.3)
def beats() -> str:
    return watched("beats")


@step(name="thread.late", retry=ONCE, timeout=0.3)
def late() -> str:
    deadline = time.monotonic() + 5
    while not amends.current().cancelled and time.monotonic() < deadline:
        time.sleep(0.01)
    raise RuntimeError("it was told" if amends.current().cancelled else "nobody told it")


STEPS: dict[str, Any] = {"timed": timed, "beats": beats, "late": late}


@saga(name="thread.holds")
async def holds() -> None:
    await first()


@saga(name="thread.waits")
async def waits(name: str) -> str:
    try:
        return await STEPS[name]()  # type: ignore[no-any-return]
    except StepFailed as failure:
        return str(failure)


async def both(engine: Engine, name: str) -> tuple[Any, Any]:
    """The one thread is taken; another step waits for it, longer than its time."""
    ran.clear()
    free.clear()
    before = await engine.start(holds(), id="holds")
    after = await engine.start(waits(name), id="waits")
    await asyncio.sleep(0.8)
    return before, after


@pytest.mark.parametrize(
    ("name", "said"),
    [("timed", "timed"), ("beats", "beats"), ("late", "late unknown: RuntimeError: it was told")],
)
def test_its_time_begins_with_its_thread(tmp_path: Path, name: str, said: str) -> None:
    async def main() -> str:
        settings = Settings(threads=1, grace=1.0)
        url = f"sqlite:///{tmp_path}/thread.db"
        async with asyncio.timeout(20), Engine(url, sagas=[holds, waits], settings=settings) as engine:
            _, after = await both(engine, name)
            free.set()
            return str(await after.result())

    assert asyncio.run(main()).endswith(said)


def test_given_up_before_it_has_a_thread_it_does_not_begin(tmp_path: Path) -> None:
    async def main() -> str:
        settings = Settings(threads=1, grace=1.0)
        url = f"sqlite:///{tmp_path}/thread.db"
        async with asyncio.timeout(20), Engine(url, sagas=[holds, waits], settings=settings) as engine:
            _, after = await both(engine, "timed")
            await after.cancel("enough")
            await asyncio.sleep(0.2)
            free.set()
            return (await after.outcome()).status

    assert asyncio.run(main()) == "compensated"
    assert ran == []
