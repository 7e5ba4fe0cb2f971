"""A process that wraps keys anew is killed by SIGKILL: done again, all is as if it had not been."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from amends import Client, Engine, saga
from amends.encryption import Codec, KeyRing, MasterKey
from amends.engine.crashes import VARIABLE
from tests.stores import all_of

SUBJECTS = 12
ROTATE = """
import asyncio, sys
from amends import Client
from amends.encryption import Codec, KeyRing, MasterKey

async def main(url, old, new):
    codec = Codec(keys=KeyRing(MasterKey(new), previous=[MasterKey(old)]))
    async with Client(url, codec=codec) as client:
        async for batch in client.keys.rotate(batch=2):
            print(*batch.ids, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


@saga(name="keys.greeting", subject=lambda name: name)
async def greeting(name: str) -> str:
    return f"good morning, {name}"


@pytest.mark.parametrize(
    "point", ["writer.commit.before:4", "writer.commit.after:4", "writer.commit.after:2"]
)
def test_killed_while_keys_are_wrapped_anew(tmp_path: Path, point: str) -> None:
    url = f"sqlite:///{tmp_path}/keys.db"
    old, new = MasterKey.generate(), MasterKey.generate()

    async def fill() -> None:
        async with Engine(url, sagas=[greeting], codec=Codec(keys=KeyRing(MasterKey(old)))) as engine:
            for n in range(SUBJECTS):
                await engine.run(greeting(f"c-{n}"), id=f"x{n}")

    asyncio.run(fill())
    killed = subprocess.run(
        [sys.executable, "-c", ROTATE, url, old, new],
        env={**os.environ, VARIABLE: point},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert f"crash point {point.partition(':')[0]}" in killed.stderr

    async def again() -> None:
        ring = KeyRing(MasterKey(new), previous=[MasterKey(old)])
        async with Client(url, codec=Codec(keys=ring)) as client:
            masters = [key.master for key in await client.keys.list()]
            done, left = (masters.count(MasterKey(each).name) for each in (new, old))
            assert done + left == SUBJECTS
            assert done >= len(killed.stdout.split())  # what was said to be done is done
            assert left
            batches = await all_of(client.keys.rotate(batch=100))
            assert sum(len(batch.ids) for batch in batches) == left
        async with Client(url, codec=Codec(keys=KeyRing(MasterKey(new)))) as client:
            for n in range(SUBJECTS):
                assert await client.handle(greeting, f"x{n}").result() == f"good morning, c-{n}"

    asyncio.run(again())
