"""Workers killed with SIGKILL on PostgreSQL: one at a time, and one of two; whoever is left finishes the work."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from amends import Client
from tests.acceptance.audit import Audit
from tests.acceptance.book import BEGUN, CANCELLED, DONE, KILLED, REJECTED
from tests.acceptance.processes import FINAL, Process, all_end, shop_in, start_all, until_so
from tests.acceptance.shop import straight
from tests.acceptance.test_acceptance_kills import Killing
from tests.stores import new_schema


@pytest.fixture
def url(postgres: str) -> Iterator[str]:
    """A store of the test's own, with a short lease (not so short that a busy machine lets it run out)."""
    with new_schema(postgres) as schema:
        options = urlencode({"schema": schema, "lease": 2.0, "look": 0.2, "unsafe": "true"})
        yield f"{postgres}{'&' if '?' in postgres else '?'}{options}"


class OneAtATime(Killing):
    steps = 1000  # none waits for its turn: what is open was dispatched
    waves = 4  # however late a kill comes on a busy machine, the next one has work of its own


class OneOfTwo(Killing):
    """Two workers at a time, of which one is killed again and again."""

    steps = 4  # slow enough to be met at work
    waves = 4

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.living: list[Process] = []
        self.before = 0  # lines in the book when the wave began

    async def _make_ready(self) -> None:
        """Both are there: one that waits for the other would be done with the wave."""
        while len(self.living) < 2:
            self.living.append(self.shop.start_worker(wait="", steps=self.steps))
        for worker in self.living:
            await until_so(lambda worker=worker: worker.said("working"), "the worker")
        self.before = self.shop.book.size()

    async def _one_life(self) -> None:
        goal = self.before + self.chance.randint(5, 2 * len(self.wanted) // (3 * self.waves))
        await until_so(lambda: self.shop.book.size() >= goal, "the book to grow")
        statuses = [(await handle.status()).status for handle in self.handles]
        self.busy.append(sum(status not in FINAL for status in statuses))
        self.shop.kill(self.living.pop(self.chance.randrange(2)))

    def check(self) -> Audit:
        """Nothing lost or silent, and each effect stands or is undone as its execution ended.

        (What `Audit` says of time holds for one worker: here the other goes on while one is killed.)
        """
        known = {id: status.status for id, status in self.shop.all_statuses().items()}
        assert {id for id in known if "~" not in id} == set(self.wanted)
        assert set(known.values()) <= {"completed", "compensated"}
        audit = Audit(self.shop.book.lines())
        begun, done, rejected = Counter[str](), set[str](), Counter[str]()
        where: dict[str, str] = {}
        for line in audit.lines:
            if line.outcome == KILLED:
                continue
            where[line.key] = line.id
            begun[line.key] += line.outcome == BEGUN
            rejected[line.key] += line.outcome == REJECTED
            if line.outcome == DONE:
                done.add(line.key)
        for key, id in where.items():
            action, _, direction = key.rpartition("/")
            assert begun[key] <= 1 + self.kills, f"{id}: {key} was dispatched {begun[key]} times"
            if direction == "undo":
                assert key in done, f"{id}: {key} was begun and never done"
            elif known[id] == "compensated" and rejected[key] < begun[key]:
                assert f"{action}/undo" in done, f"{id}: {key} was not undone"
            elif known[id] == "completed" and f"{action}/undo" not in done and not rejected[key]:
                assert key in done, f"{id}: {key} is missing"
        assert not self.shop.complaints()
        return audit


@pytest.mark.slow
def test_sagas_survive_kills(tmp_path: Path, url: str) -> None:
    with shop_in(tmp_path, url) as shop:
        run = OneAtATime(shop, 240, 4, seed=7)
        asyncio.run(run.main())
        audit = run.check()
        print(run.figures(audit))
        assert all(run.busy), "each kill met work"
        assert audit.twice(), "some kill met a step"


@pytest.mark.slow
def test_sagas_survive_kills_of_one_of_two(tmp_path: Path, url: str) -> None:
    with shop_in(tmp_path, url) as shop:
        run = OneOfTwo(shop, 160, 4, seed=11)
        asyncio.run(run.main())
        audit = run.check()
        assert all(run.busy), "each kill met work"
        assert len({line.key for line in audit.lines if line.outcome == CANCELLED}) > 0
        assert max(Counter(line.key for line in audit.lines if line.outcome == BEGUN).values()) > 1


@pytest.mark.slow
def test_another_worker_takes_over(tmp_path: Path, url: str) -> None:
    """The first is killed in the middle of a step; the second, which is there already, finishes the saga."""
    with shop_in(tmp_path, url) as shop:

        async def main() -> None:
            async with Client(shop.url) as client:
                first = shop.start_worker()
                handles = await start_all(client, {"order-1": straight(3, seconds=0.2)})
                await until_so(lambda: shop.book.size() >= 1, "a step to begin")
                second = shop.start_worker()
                shop.kill(first)
                ended = await all_end(handles)
                assert ended["order-1"].status == "completed"
                assert shop.stop(second) == 0

        asyncio.run(main())
        assert not shop.complaints()
