"""The client process that gets killed: ``python -m tests.acceptance.clerk FOLDER NAME``.

It starts a saga, lets it pass its signal, and asks for a retry of what is parked.  Run again with the same name after
it was killed, it does what is left to do.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from amends import Client, Refused

from .newest import newest
from .shop import approved, patient
from .worker import store_url


async def serve(folder: Path, name: str) -> None:
    async with Client(store_url(folder)) as client:
        handle = await client.start(patient(), id=f"patient-{name}")
        await handle.send(approved, "clerk")
        for status in await client.list(status="attention", limit=10_000):
            try:
                await client.handle(newest, status.id).retry(reason="deployed", by="clerk")
            except Refused:  # done before it was killed, and claimed already
                continue


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), sys.argv[2]))
