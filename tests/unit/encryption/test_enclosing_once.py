"""What a store commits aside is enclosed once, not first for a commit in place that cannot be."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from amends import Engine, saga, step
from amends.encryption import Codec, KeyRing, MasterKey
from amends.store import MemoryStore
from amends.store.enclosed import Enclosed
from amends.store.port import Verdict, Write


@step(name="once.greet")
async def greet(name: str) -> str:
    return f"hello {name}"


@saga(name="once.greeted")
async def greeted(name: str) -> str:
    return await greet(name)


class Aside(MemoryStore):
    """A store in another process, as it were."""

    aside = True

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0

    def commit_now(self, incarnation: int, writes: Sequence[Write]) -> list[Verdict] | None:
        return None

    async def commit(self, incarnation: int, writes: Sequence[Write]) -> list[Verdict]:
        self.writes += len(writes)
        return await super().commit(incarnation, writes)


def test_each_write_is_enclosed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    enclosed: list[Write] = []
    plain: Any = Enclosed._enclosed

    def counted(self: Enclosed, write: Write) -> Write:
        enclosed.append(write)
        return plain(self, write)  # type: ignore[no-any-return]

    monkeypatch.setattr(Enclosed, "_enclosed", counted)

    async def main() -> None:
        store = Aside()
        codec = Codec(keys=KeyRing(MasterKey(MasterKey.generate())))
        async with Engine(store, sagas=[greeted], codec=codec) as engine:
            for name in "abc":
                assert await engine.run(greeted(name)) == f"hello {name}"
        assert store.writes >= 6
        assert len(enclosed) == store.writes

    asyncio.run(asyncio.wait_for(main(), 30))
