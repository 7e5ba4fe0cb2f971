"""Queued steps under crashes of owners and servers, on virtual time: the participants' book decides."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest

from amends import BatchCall, Limits, Refused, Rejected, Retry, Saga, Settings, current, saga, step
from amends.errors import Compensated
from amends.store.memory.tasks import Tasks
from amends.testing import world
from amends.worker.queues import batches
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
        key = current().idempotency_key
        number = self.begin(key)
        try:
            await self.work(key, number, may_reject=may_reject)
        finally:
            self.end(key, number)

    def begin(self, key: str) -> int:
        """An attempt begins. Its number."""
        self.attempts += 1
        self._note("begun", key, self.attempts)
        return self.attempts

    def end(self, key: str, number: int) -> None:
        """Its code has ended."""
        self._note("ended", key, number)

    async def work(self, key: str, number: int, *, may_reject: bool) -> None:
        """What it does in between."""
        chance = self.chance
        await asyncio.sleep(chance.choice((0.0, 0.1, 2.0, 7.0)))
        if chance.random() < 0.15:
            raise ConnectionError("before")
        if may_reject and chance.random() < 0.1:  # it has no memory: this may be a second attempt
            raise Rejected("no")
        self._note("effect", key, number)
        await asyncio.sleep(chance.choice((0.0, 0.1, 2.0)))
        if chance.random() < 0.15:
            raise ConnectionError("after")

    def _note(self, kind: str, key: str, number: int) -> None:
        action, _, direction = key.rpartition("/")
        self.lines.append((kind, action, direction, number))

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
SIZES: list[int] = []  # of batches


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


@step(name="chaos.together", queue="chaos", retry=Retry(attempts=4, delay=0.2), timeout=60.0)
async def together(number: int) -> int:
    raise AssertionError("its batch function runs it")


@together.batch(size=4, within=0.5)
async def all_together(calls: Sequence[BatchCall[int]]) -> Sequence[int | Exception]:
    """Each does its part, then the function may fail, or forget one. Until it returns, all of them run."""
    book = BOOKS[-1]
    SIZES.append(len(calls))
    numbers = [book.begin(call.idempotency_key) for call in calls]
    try:
        parts = await asyncio.gather(
            *[
                book.work(call.idempotency_key, number, may_reject=call.argument % 2 == 0)
                for call, number in zip(calls, numbers, strict=True)
            ],
            return_exceptions=True,
        )
        await asyncio.sleep(book.chance.choice((0.0, 0.1, 2.0)))
        if book.chance.random() < 0.1:
            raise ConnectionError("on the way back")
        ends = [
            part if isinstance(part, Exception) else call.argument
            for call, part in zip(calls, parts, strict=True)
        ]
        return ends[1:] if book.chance.random() < 0.05 else ends
    finally:
        for call, number in zip(calls, numbers, strict=True):
            book.end(call.idempotency_key, number)


@together.compensation(retry=Retry(attempts=None, delay=0.2, cap=2.0), timeout=60.0)
async def apart(result: int | None, number: int) -> None:
    await BOOKS[-1].visit(may_reject=False)


@saga(name="chaos.batched")
async def batched(first: int) -> int:
    async with asyncio.TaskGroup() as group:
        for number in range(first, first + 4):
            group.create_task(together(number))
    await asyncio.wait_for(together(first + 4), 25.0)
    return first


async def play(
    seed: int, url: str = "memory://", chaos: Saga[[int], int] = chaos
) -> tuple[Book, list[str], set[str]]:
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


@pytest.mark.parametrize("shard", range(2))
def test_the_book_of_batches_is_in_order(shard: int) -> None:
    SIZES.clear()
    seen: set[str] = set()
    for seed in range(shard, SEEDS, 2):
        _, findings, ends = asyncio.run(play(seed, chaos=batched))
        assert not findings, f"seed {seed}: " + "\n".join(findings)
        seen |= ends
    assert seen == {"completed", "compensated"}
    assert {1, 4} <= set(SIZES)


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


def left_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that is stopped has ended, whatever the function of its batch does."""

    def leave(*_: Any) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(batches.Batches, "_stopped", leave)


def never_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that is too short is filled up."""
    whole = batches.ends_of

    def filled(batch: Any, value: Any, error: Any) -> Any:
        if error is None:
            value = (list(value) + [7] * len(batch.members))[: len(batch.members)]
        return whole(batch, value, error)

    monkeypatch.setattr(batches, "ends_of", filled)


def surely_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The failure of a whole batch counts as a rejection of each."""
    whole = batches.ends_of

    def refused(batch: Any, value: Any, error: Any) -> Any:
        return whole(batch, value, None if error is None else Rejected("all"))

    monkeypatch.setattr(batches, "ends_of", refused)


@pytest.mark.parametrize("ablation", [not_counted, left_at_once, never_short, surely_nothing])
def test_missing_safeguard_of_batches_is_found(monkeypatch: pytest.MonkeyPatch, ablation: Any) -> None:
    ablation(monkeypatch)
    for seed in range(300):
        if asyncio.run(play(seed, chaos=batched))[1]:
            return
    pytest.fail("not found")
