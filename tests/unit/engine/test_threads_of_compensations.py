"""A plain compensation beside an `async def` check: its thread cannot be stopped, so it is waited for."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

from amends import Engine, Rejected, Retry, saga, step

running: list[int] = []
most: list[int] = []
lock = threading.Lock()


@step(name="threads.booked")
async def booked() -> None: ...


@booked.compensation(timeout=0.1, retry=Retry(attempts=3, delay=0.01, jitter=0.0))
def unbook(result: None) -> None:
    with lock:
        running.append(1)
        most.append(len(running))
    time.sleep(0.5 if len(most) == 1 else 0.0)
    with lock:
        running.pop()


@booked.verify
async def is_unbooked(result: None) -> bool:
    return True


@step(name="threads.checked")
async def checked() -> None: ...


@checked.compensation()
async def uncheck(result: None) -> None: ...


@checked.verify
def is_unchecked(result: None) -> bool:
    return threading.current_thread() is not threading.main_thread()


@step(name="threads.no", retry=Retry(attempts=1))
async def no() -> None:
    raise Rejected("no")


@saga(name="threads.goes_back")
async def goes_back() -> None:
    await booked()
    await checked()
    await no()


def test_a_compensation_that_timed_out_is_not_begun_again_while_its_thread_runs(tmp_path: Path) -> None:
    async def main() -> Any:
        url = f"sqlite:///{tmp_path}/threads.db"
        async with asyncio.timeout(20), Engine(url, sagas=[goes_back]) as engine:
            return await (await engine.start(goes_back(), id="one")).outcome()

    assert asyncio.run(main()).status == "compensated"
    assert most == [1], "one attempt at a time, and what it brings counts"
