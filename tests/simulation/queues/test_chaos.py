"""Queued steps under crashes of owners and servers, on virtual time: the participants' book decides."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from contextlib import suppress
from typing import Any

import pytest

from amends import Limits, Refused, Rejected, Retry, Settings, current, saga, step
from amends.errors import Compensated
from amends.store.memory.tasks import Tasks
from amends.testing import world
from amends.worker.queues.hearing import Hearing
from amends.worker.queues.issuing import Issuing

SEEDS = 40
SETTINGS = Settings(lease=3.0, grace=1.0, linger=0.5, limits=Limits(deaths=1000))


class Book:
    """What happened at the participant, in order. A line: kind, action, direction, attempt's number."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.lines: list[tuple[str, str, str, int]] = []
        self.attempts = 0

    async def visit(self, *, may_reject: bool) -> None:
        """One attempt: it may fail before or after its effect, or be refused."""
        now, chance = current(), self.chance
        action = now.idempotency_key.rpartition("/")[0]
        self.attempts += 1
        number = self.attempts
        self.lines.append(("begun", action, now.direction, number))
        try:
            await asyncio.sleep(chance.choice((0.0, 0.1, 2.0, 7.0)))
            if chance.random() < 0.15:
                raise ConnectionError("before")
            if may_reject and chance.random() < 0.1:  # it has no memory: this may be a second attempt
                raise Rejected("no")
            self.lines.append(("effect", action, now.direction, number))
            await asyncio.sleep(chance.choice((0.0, 0.1, 2.0)))
            if chance.random() < 0.15:
                raise ConnectionError("after")
        finally:
            self.lines.append(("ended", action, now.direction, number))

    def findings(self, statuses: dict[str, str]) -> list[str]:
        """What is wrong with it, given how executions (by uid) ended."""
        found = []
        story: dict[str, list[tuple[str, str, int]]] = defaultdict(list)
        for kind, action, way, number in self.lines:
            story[action].append((kind, way, number))
        for action, lines in story.items():
            status = statuses[action.partition("/")[0]]
            running: set[int] = set()
            done, undoing = False, False
            for kind, way, number in lines:
                if way == "do":
                    if kind == "begun" and undoing:
                        found.append(f"{action}: begun after it was undone")
                    running = running | {number} if kind == "begun" else running
                    running = running - {number} if kind == "ended" else running
                elif kind == "begun":
                    undoing = True
                    if running:
                        found.append(f"{action}: undone while it runs")
                if kind == "effect":
                    done = way == "do"
            if status == "compensated" and done:
                found.append(f"{action}: its effect stays")
            if status == "completed" and not done:
                found.append(f"{action}: without effect in a saga that completed")
        return found


BOOKS: list[Book] = []  # of the run under way


@step(name="chaos.act", queue="chaos", retry=Retry(attempts=4, delay=0.2), timeout=60.0)
async def act(number: int) -> int:
    await BOOKS[-1].visit(may_reject=number % 2 == 0)
    return number


@act.compensation(retry=Retry(attempts=None, delay=0.2, cap=2.0), timeout=60.0)
async def undo(result: int | None, number: int) -> None:
    await BOOKS[-1].visit(may_reject=False)


@saga(name="chaos.saga")
async def chaos(first: int) -> int:
    await act(first)
    async with asyncio.TaskGroup() as group:
        for number in range(first + 1, first + 4):
            group.create_task(act(number))
    await asyncio.wait_for(act(first + 4), 25.0)
    return first


async def play(seed: int, url: str = "memory://") -> tuple[Book, list[str], set[str]]:
    book = Book(seed)
    BOOKS[:] = [book]
    chance = random.Random(f"plan {seed}")
    ends: dict[str, str] = {}
    async with world(url, seed=seed) as w:
        for number in range(chance.randint(2, 5)):
            async with (
                w.engine(sagas=[chaos], queues=["chaos"], settings=SETTINGS) as owner,
                w.engine(sagas=[chaos], queues=["chaos"], settings=SETTINGS) as server,
            ):
                handle = await owner.start(chaos(number), id=f"s{number}")
                await w.advance(chance.uniform(0, 12))
                if chance.random() < 0.3:
                    with suppress(Refused):  # it has ended
                        await handle.cancel("no longer wanted")
                    await w.advance(chance.uniform(0, 1))
                for engine in chance.sample([server, owner], chance.randint(0, 2)):
                    await w.crash(engine)
        async with w.engine(sagas=[chaos], queues=["chaos"], settings=SETTINGS) as engine:
            for status in await engine.list():
                handle = engine.handle(chaos, status.id)
                with suppress(Compensated):
                    await asyncio.wait_for(handle.result(), 3600)
                ends[status.uid] = (await handle.status()).status
            left = await engine.queues.list()
    findings = book.findings(ends)
    findings += [f"left in the queue: {each}" for each in left]
    return book, findings, set(ends.values())


@pytest.mark.parametrize("shard", range(4))
def test_the_book_is_in_order(shard: int) -> None:
    seen: set[str] = set()
    lapsed = 0
    for seed in range(shard, SEEDS, 4):
        book, findings, ends = asyncio.run(play(seed))
        assert not findings, f"seed {seed}: " + "\n".join(findings)
        seen |= ends
        begun = sum(kind == "begun" for kind, *_ in book.lines)
        lapsed += begun > len({(action, way) for _, action, way, _ in book.lines})
    assert seen == {"completed", "compensated"}
    assert lapsed, "something was tried more than once"


def not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lapses do not taint."""
    whole = Hearing._event_of

    def maimed(self: Hearing, live: Any, end: Any, seq: int) -> Any:
        end.lapses = 0
        return whole(self, live, end, seq)

    monkeypatch.setattr(Hearing, "_event_of", maimed)


def not_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody wants any more is given up before its end, and its compensation is not held back."""
    monkeypatch.setattr(Tasks, "_may_run", lambda self, kept: True)
    monkeypatch.setattr(Issuing, "recall", lambda self, live, action, direction: False)


@pytest.mark.parametrize("ablation", [not_counted, not_awaited])
def test_missing_safeguard_is_found(monkeypatch: pytest.MonkeyPatch, ablation: Any) -> None:
    ablation(monkeypatch)
    for seed in range(300):
        if asyncio.run(play(seed))[1]:
            return
    pytest.fail("not found")
