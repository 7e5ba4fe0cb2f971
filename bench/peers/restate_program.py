"""The peer's measuring process: calls Restate's ingress, so many at a time, and waits for the results.

Why it is fair.  Restate runs as its documentation says: its server (one partition, log flushed at each
commit), the service in a process of its own served by hypercorn over HTTP/2, and this client.
"""

from __future__ import annotations

import asyncio
import platform
from importlib.metadata import version
from typing import Any

import aiohttp

from bench.driving import Window, answer, asked, in_flight

WARM_UP = 50


async def load(ingress: str, admin: str, service: str, count: int, width: int) -> dict[str, Any]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        async with session.post(f"{admin}/deployments", json={"uri": service, "force": True}) as answered:
            assert answered.status < 300, await answered.text()

        async def one(number: int) -> None:
            async with session.post(f"{ingress}/bench/five_steps", json=0) as answered:
                assert await answered.json() == 5, await answered.text()

        await in_flight(WARM_UP, width, one, Window())
        window = Window()
        with window:
            await in_flight(count, width, one, window)
    return {
        "seconds": window.seconds,
        "each": window.each,
        "sagas": count,
        "configuration": {
            "python": platform.python_version(),
            "restate-sdk": version("restate-sdk"),
            "hypercorn": version("hypercorn"),
            "partitions": 1,
            "log flushed": True,
        },
    }


if __name__ == "__main__":
    what, given = asked()
    answer(asyncio.run(load(**given)))
