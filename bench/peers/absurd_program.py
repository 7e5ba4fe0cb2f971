"""The peer's measuring process: Absurd in its own environment, a database of its own, its worker in this
process.

Why it is fair.  The server is the same, with the same flush.  `concurrency` tasks at a time, one connection
(the async client has one), and a poll interval so short that it never waits while there is work; a task's end
is told to whoever started it by the task itself, in memory, which spares Absurd the polling for results.
"""

from __future__ import annotations

import asyncio
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from absurd_sdk import AsyncAbsurd

from bench.driving import Window, answer, asked, in_flight

QUEUE = "bench"
WARM_UP = 20


def prepare(url: str) -> None:
    """Absurd's schema and a queue, by its own tool."""
    tool = str(Path(sys.executable).with_name("absurdctl"))
    for command in (("init",), ("create-queue", QUEUE)):
        subprocess.run([tool, *command, "-d", url], check=True, stdout=subprocess.DEVNULL)


async def load(url: str, count: int, width: int, clients: int) -> dict[str, Any]:
    """clients: workers, each with a connection of its own, all in this process."""
    prepare(url)
    waiting: dict[int, asyncio.Future[int]] = {}
    apps = [AsyncAbsurd(url, queue_name=QUEUE) for _ in range(clients)]
    starter = AsyncAbsurd(url, queue_name=QUEUE)

    async def five_steps(params: Any, ctx: Any) -> int:
        x = 0
        for number in range(5):

            async def add(x: int = x) -> int:
                return x + 1

            x = await ctx.step(f"add-{number}", add)
        asyncio.get_running_loop().call_soon(waiting.pop(params["n"]).set_result, x)
        return x

    for app in (*apps, starter):
        app.register_task("five")(five_steps)
    share = -(-width // clients)
    workers = [asyncio.create_task(app.start_worker(concurrency=share, poll_interval=0.005)) for app in apps]
    turn = asyncio.Lock()  # one connection cannot do two things at a time

    async def one(number: int) -> None:
        key = number + offset
        waiting[key] = done = asyncio.get_running_loop().create_future()
        async with turn:
            await starter.spawn("five", {"n": key})
        assert await done == 5

    offset = 1_000_000
    await in_flight(WARM_UP, width, one, Window())
    offset, window = 0, Window()
    with window:
        await in_flight(count, width, one, window)
    for worker in workers:
        worker.cancel()
    return {
        "seconds": window.seconds,
        "each": window.each,
        "sagas": count,
        "configuration": {
            "python": platform.python_version(),
            "absurd-sdk": version("absurd-sdk"),
            "psycopg": version("psycopg"),
            "workers": clients,
            "concurrency": share,
            "poll_interval": 0.005,
        },
    }


if __name__ == "__main__":
    what, given = asked()
    answer(asyncio.run(load(**given)))
    os._exit(0)
