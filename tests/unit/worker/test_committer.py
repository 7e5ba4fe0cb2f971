"""The committer by itself, over a store whose answers are scripted: batches, verdicts, waiting, and doubt."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from amends.errors import AmendsError, CommitUnknown, Fenced, StoreBusy, StoreFull
from amends.kernel.entries import Row
from amends.store.port import AWAKE, COMMITTED, Told, Verdict, Write
from amends.worker import committer
from amends.worker.committer import Committer

ROW = Row(0, 0.0, "[]", "[]", 0)
THREAD = None  # the answer of a store that will not commit in place


class Clock:
    """Every look at it takes a second."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        raise AssertionError("durations are measured with the monotonic clock")

    def monotonic(self) -> float:
        self.time += 1.0
        return self.time


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


class Scripted:
    """A store that answers as told: verdicts, THREAD, or an error to raise; COMMITTED when nothing is told."""

    aside = False

    def __init__(self) -> None:
        self.inline: list[Any] = []
        self.thread: list[Any] = []
        self.batches: list[tuple[str, list[str]]] = []
        self.gate: asyncio.Event | None = None

    def commit_now(self, incarnation: int, writes: Sequence[Write]) -> list[Verdict] | None:
        assert incarnation == 7
        answer = self.inline.pop(0) if self.inline else [COMMITTED] * len(writes)
        if answer is not THREAD and not isinstance(answer, Exception):
            self.batches.append(("inline", [write.uid for write in writes]))
        return self._say(answer)

    async def commit(self, incarnation: int, writes: Sequence[Write]) -> list[Verdict]:
        assert incarnation == 7
        self.batches.append(("thread", [write.uid for write in writes]))
        if self.gate is not None:
            await self.gate.wait()
        if self.aside:  # it takes a while, and others can go on
            await turns(5)
        found = self._say(self.thread.pop(0) if self.thread else [COMMITTED] * len(writes))
        assert found is not None
        return found

    def _say(self, answer: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer


class ScriptedPrompt(Scripted):
    """One whose commits end in a callback: `answer` calls it."""

    def __init__(self, *, willing: bool = True) -> None:
        super().__init__()
        self.willing = willing
        self.under_way: list[Told] = []

    def commit_now(self, incarnation: int, writes: Sequence[Write]) -> list[Verdict] | None:
        return None

    def commit_soon(self, incarnation: int, writes: Sequence[Write], told: Told) -> bool:
        assert not self.under_way, "one at a time"
        if self.willing:
            self.batches.append(("soon", [write.uid for write in writes]))
            self.under_way.append(told)
        return self.willing

    def answer(self, answer: list[Verdict] | AmendsError | None) -> None:
        self.under_way.pop()(answer)


class Bench:
    """A committer, and what it told whom."""

    def __init__(self, batch: int = 100, store: Scripted | None = None) -> None:
        self.store = store or Scripted()
        self.told: list[tuple[str, Verdict]] = []
        self.lost: list[AmendsError] = []
        store: Any = self.store
        self.committer = Committer(store, 7, Clock(), batch=batch, on_lost=self.lost.append)

    def add(self, *uids: str, row: Row | None = ROW) -> None:
        for uid in uids:
            self.committer.add(Write(uid, row), lambda verdict, uid=uid: self.told.append((uid, verdict)))

    @property
    def names(self) -> list[str]:
        return [uid for uid, _ in self.told]


def bench(run: Callable[[Bench], Awaitable[None]], batch: int = 100, store: Scripted | None = None) -> Bench:
    async def main() -> Bench:
        made = Bench(batch, store)
        async with asyncio.timeout(30):
            await run(made)
        return made

    return asyncio.run(main())


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long it waited each time, without waiting."""
    waited: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        if seconds:
            waited.append(seconds)
        await sleep(0)

    monkeypatch.setattr(committer.asyncio, "sleep", noted)
    return waited


# ---------------------------------------------------------------- in place


def test_in_place_everything_is_told_before_flush_returns() -> None:
    async def run(b: Bench) -> None:
        b.store.inline.append([COMMITTED, AWAKE])
        b.add("a", "b")
        assert not b.committer.idle
        b.committer.flush()
        assert b.told == [("a", COMMITTED), ("b", AWAKE)]
        assert b.committer.idle

    assert bench(run).store.batches == [("inline", ["a", "b"])]


def test_nothing_to_commit_is_no_commit() -> None:
    async def run(b: Bench) -> None:
        b.committer.flush()
        await b.committer.settle()

    b = bench(run)
    assert b.store.batches == []
    assert b.committer.statistics.commits == 0


def test_statistics_of_commits_in_place_and_in_the_thread() -> None:
    async def run(b: Bench) -> None:
        b.add("a", "b")
        b.add("c", row=None)
        b.committer.flush()
        b.store.inline.append(THREAD)
        b.add("d")
        b.committer.flush()
        await b.committer.settle()

    counted = bench(run).committer.statistics
    assert (counted.commits, counted.inline, counted.writes, counted.rows) == (2, 1, 4, 3)
    assert list(counted.seconds) == [1.0, 1.0]
    assert counted.seconds.maxlen == 100_000


def test_a_large_round_is_cut_into_batches_in_order() -> None:
    async def run(b: Bench) -> None:
        b.add(*"abcde")
        b.committer.flush()

    b = bench(run, batch=2)
    assert [uids for _, uids in b.store.batches] == [["a", "b"], ["c", "d"], ["e"]]
    assert b.names == list("abcde")


def test_a_round_as_large_as_a_batch_is_one_batch() -> None:
    async def run(b: Bench) -> None:
        b.add(*"ab")
        b.committer.flush()

    assert [uids for _, uids in bench(run, batch=2).store.batches] == [["a", "b"]]


# ---------------------------------------------------------------- in the thread


def test_what_comes_while_a_commit_is_in_flight_goes_into_the_next() -> None:
    async def run(b: Bench) -> None:
        b.store.gate = asyncio.Event()
        b.store.inline += [THREAD, THREAD]
        b.add("a")
        b.committer.flush()
        await asyncio.sleep(0)
        for uid in "bcd":
            b.add(uid)
            b.committer.flush()
        assert b.store.batches == [("thread", ["a"])]
        assert b.told == []
        assert not b.committer.idle
        b.store.gate.set()
        await b.committer.settle()
        while len(b.told) < 4:
            await asyncio.sleep(0)

    b = bench(run)
    assert b.store.batches == [("thread", ["a"]), ("thread", ["b", "c", "d"])]
    assert b.names == list("abcd")


def test_the_next_commit_needs_nobody_to_ask_for_it() -> None:
    async def run(b: Bench) -> None:
        b.store.inline.append(THREAD)
        b.add("a")
        b.committer.flush()
        b.add("b")
        while b.names != ["a", "b"]:
            await asyncio.sleep(0)

    assert bench(run).store.batches == [("thread", ["a"]), ("inline", ["b"])]


def test_settling_waits_for_what_the_told_ones_add() -> None:
    async def run(b: Bench) -> None:
        b.store.inline += [THREAD, THREAD]
        b.committer.add(Write("a", ROW), lambda _: b.add("b"))
        await b.committer.settle()
        assert b.committer.idle

    b = bench(run)
    assert b.store.batches == [("thread", ["a"]), ("thread", ["b"])]


# ---------------------------------------------------------------- aside


class Circle:
    """Executions that come back from each commit with a row for the next, as the worker brings them: by a
    callback of the loop."""

    def __init__(self, b: Bench, width: int, aside: bool) -> None:
        b.store.aside = aside
        b.store.inline += [THREAD] * 1000
        self.b = b
        self.ready: list[str] = []
        self.add([f"{place:02}" for place in range(width)])
        b.committer.flush()

    def add(self, uids: Sequence[str]) -> None:
        for uid in uids:
            self.b.committer.add(Write(uid, ROW), lambda _, uid=uid: self.back(uid))

    def back(self, uid: str) -> None:
        if not self.ready:
            self.b.committer._loop.call_soon(self.go)
        self.ready.append(uid)

    def go(self) -> None:
        ready, self.ready = self.ready, []
        self.add(ready)
        self.b.committer.flush()


@pytest.mark.parametrize(
    ("aside", "width", "sizes"),
    [
        (True, 32, [32, 16, 16, 16, 16]),
        (True, committer.HALVED, [16, 8, 8, 8, 8]),
        (True, committer.HALVED - 1, [15] * 5),
        (True, 33, [33, 16, 17, 16, 17]),
        (False, 32, [32] * 5),
    ],
)
def test_executions_in_step_are_parted_where_commits_are_made_aside(
    aside: bool, width: int, sizes: list[int]
) -> None:
    async def run(b: Bench) -> None:
        Circle(b, width, aside)
        await turns(100)
        b.committer.kill()

    assert [len(uids) for _, uids in bench(run).store.batches][:5] == sizes


def test_the_halves_are_told_in_order_and_none_twice() -> None:
    async def run(b: Bench) -> None:
        b.store.aside = True
        b.store.inline.append(THREAD)
        b.add(*uids)
        b.committer.flush()
        await turns(20)
        assert b.committer.idle

    uids = [f"{place:02}" for place in range(41)]
    assert bench(run).names == uids


def test_while_the_second_half_is_untold_the_committer_is_not_idle() -> None:
    seen = []

    async def run(b: Bench) -> None:
        b.store.aside = True
        b.store.inline.append(THREAD)
        b.add(*[f"{place:02}" for place in range(20)])
        b.committer.flush()
        while len(b.told) < 20:
            seen.append((len(b.told), b.committer.idle))
            await asyncio.sleep(0)

    bench(run)
    assert (10, False) in seen
    assert {idle for _, idle in seen} == {False}


def test_what_gathered_is_on_its_way_before_the_commit_before_it_is_told() -> None:
    async def run(b: Bench) -> None:
        b.store.aside = True
        b.store.gate = asyncio.Event()
        b.store.inline += [THREAD, THREAD]
        told: list[list[list[str]]] = []
        b.committer.add(Write("a", ROW), lambda _: told.append([uids for _, uids in b.store.batches]))
        b.committer.flush()
        b.add("b")
        b.store.gate.set()
        await turns(20)
        assert told == [[["a"], ["b"]]]

    bench(run)


def test_a_defect_in_the_first_half_leaves_the_second_untold() -> None:
    async def run(b: Bench) -> None:
        def fails(verdict: Verdict) -> None:
            raise KeyError("x")

        b.store.aside = True
        b.store.inline.append(THREAD)
        b.committer.add(Write("00", ROW), fails)
        b.add(*[f"{place:02}" for place in range(1, 20)])
        b.committer.flush()
        await turns(20)

    b = bench(run)
    assert len(b.lost) == 1
    assert b.told == []


# ---------------------------------------------------------------- no room, no lock


@pytest.mark.parametrize("error", [StoreFull("no room"), StoreBusy("locked")])
def test_what_changed_nothing_is_tried_again_in_the_thread(error: AmendsError, pauses: list[float]) -> None:
    async def run(b: Bench) -> None:
        b.store.inline.append(error)
        b.store.thread += [error] * 8
        b.add("a", "b")
        b.committer.flush()
        await b.committer.settle()
        while len(b.told) < 2:
            await asyncio.sleep(0)

    b = bench(run)
    assert b.store.batches == [("thread", ["a", "b"])] * 9
    assert b.told == [("a", COMMITTED), ("b", COMMITTED)]
    assert b.lost == []
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    assert b.committer.full is None
    assert b.committer.statistics.commits == 1
    assert list(b.committer.statistics.seconds) == [1.0], "the last try's"


def test_a_full_store_is_said_once_and_so_is_its_end(
    pauses: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Any] = []

    async def run(b: Bench) -> None:
        full = StoreFull("no room")
        b.store.inline.append(THREAD)
        b.store.thread += [full] * 3
        b.add("a", "b")
        b.committer.flush()
        while not b.told:
            seen.append(b.committer.full)
            await asyncio.sleep(0)
        assert full in seen

    with caplog.at_level(logging.WARNING, "amends.worker"):
        bench(run)
    said = [(record.levelname, record.getMessage().partition("\n")[0]) for record in caplog.records]
    assert said == [
        ("ERROR", "the store is full; holding 2 executions: no room"),
        ("WARNING", "the store has room again; going on"),
    ]


def test_a_busy_store_is_said_each_time(pauses: list[float], caplog: pytest.LogCaptureFixture) -> None:
    async def run(b: Bench) -> None:
        b.store.inline.append(THREAD)
        b.store.thread += [StoreBusy("locked")] * 2
        b.add("a")
        b.committer.flush()
        await b.committer.settle()

    with caplog.at_level(logging.WARNING, "amends.worker"):
        bench(run)
    assert [record.getMessage() for record in caplog.records] == [
        "the store is busy; trying again: locked"
    ] * 2


# ---------------------------------------------------------------- doubt


@pytest.mark.parametrize("inline", [True, False], ids=["in place", "in the thread"])
@pytest.mark.parametrize("error", [CommitUnknown("who knows"), Fenced("retired")], ids=["unknown", "fenced"])
def test_doubt_is_told_to_the_owner_and_to_nobody_else(inline: bool, error: AmendsError) -> None:
    async def run(b: Bench) -> None:
        b.store.inline.append(error if inline else THREAD)
        b.store.thread.append(error)
        b.add("a", "b")
        b.committer.flush()
        b.add("c")
        await asyncio.sleep(0.01)
        b.add("d")
        b.committer.flush()
        await b.committer.settle()

    b = bench(run, batch=1)
    assert b.lost == [error]
    assert b.told == []
    assert len(b.store.batches) == (0 if inline else 1), "never again, and nothing else"


@pytest.mark.parametrize("inline", [True, False], ids=["in place", "in the thread"])
def test_an_error_that_no_store_should_raise_is_doubt(inline: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def run(b: Bench) -> None:
        b.store.inline.append(ZeroDivisionError("oops") if inline else THREAD)
        b.store.thread.append(ZeroDivisionError("oops"))
        b.add("a")
        b.committer.flush()
        await asyncio.sleep(0.01)

    b = bench(run)
    assert [type(error) for error in b.lost] == [CommitUnknown]
    assert b.lost[0].message == "the store failed around a commit: ZeroDivisionError('oops')"
    assert [record.getMessage() for record in caplog.records] == ["the store raised what it must not"]
    assert caplog.records[0].exc_info is not None
    assert caplog.records[0].exc_info[0] is ZeroDivisionError
    assert b.told == []


@pytest.mark.parametrize("inline", [True, False], ids=["in place", "in the thread"])
@pytest.mark.parametrize("verdicts", [[], [COMMITTED] * 3], ids=["too few", "too many"])
def test_a_store_must_give_each_write_its_verdict(inline: bool, verdicts: list[Verdict]) -> None:
    async def run(b: Bench) -> None:
        b.store.inline.append(verdicts if inline else THREAD)
        b.store.thread.append(verdicts)
        b.add("a", "b")
        b.committer.flush()
        await asyncio.sleep(0.01)

    b = bench(run)
    assert len(b.lost) == 1
    assert "carrying out a commit failed: ValueError" in b.lost[0].message


def test_a_defect_while_carrying_out_makes_all_be_read_again(caplog: pytest.LogCaptureFixture) -> None:
    async def run(b: Bench) -> None:
        def fails(verdict: Verdict) -> None:
            raise KeyError("x")

        b.committer.add(Write("a", ROW), fails)
        b.add("b")
        b.committer.flush()
        b.add("c")
        b.committer.flush()

    b = bench(run)
    assert [str(error.message) for error in b.lost] == ["carrying out a commit failed: KeyError('x')"]
    assert b.told == []
    assert len(b.store.batches) == 1
    assert caplog.records[0].getMessage() == "carrying out a commit failed"
    assert caplog.records[0].exc_info is not None
    assert caplog.records[0].exc_info[0] is KeyError


def test_one_that_was_killed_tells_nothing_and_commits_nothing_more() -> None:
    async def run(b: Bench) -> None:
        b.store.gate = asyncio.Event()
        b.store.inline.append(THREAD)
        b.add("a")
        b.committer.flush()
        b.add("b")
        await asyncio.sleep(0)
        b.committer.kill()
        b.store.gate.set()
        b.add("c")
        b.committer.flush()
        await b.committer.settle()
        await asyncio.sleep(0.01)

    b = bench(run)
    assert b.store.batches == [("thread", ["a"])]
    assert (b.told, b.lost) == ([], [])


def test_killed_between_a_commit_and_its_telling() -> None:
    async def run(b: Bench) -> None:
        b.store.inline.append(THREAD)
        b.add("a")
        b.committer.flush()
        await asyncio.sleep(0)  # the commit has come to its end
        b.committer.kill()
        await asyncio.sleep(0.01)

    b = bench(run)
    assert b.store.batches == [("thread", ["a"])]
    assert b.lost == []


# ---------------------------------------------------------------- without a task


def test_a_prompt_store_is_told_of_in_its_callback() -> None:
    store = ScriptedPrompt()

    async def run(b: Bench) -> None:
        b.add("a", "b")
        b.committer.flush()
        b.add("c")
        b.committer.flush()
        assert b.told == []
        assert not b.committer.idle
        store.answer([COMMITTED, AWAKE])
        assert b.told == [("a", COMMITTED), ("b", AWAKE)], "in the same callback"
        assert store.batches == [("soon", ["a", "b"]), ("soon", ["c"])], "and the next is on its way"
        store.answer([COMMITTED])
        assert b.committer.idle

    b = bench(run, store=store)
    assert b.names == ["a", "b", "c"]
    assert (b.committer.statistics.commits, b.committer.statistics.rows) == (2, 3)


def test_a_prompt_store_that_cannot_now_is_asked_the_other_way() -> None:
    store = ScriptedPrompt(willing=False)

    async def run(b: Bench) -> None:
        b.add("a")
        b.committer.flush()
        await b.committer.settle()

    assert bench(run, store=store).told == [("a", COMMITTED)]
    assert store.batches == [("thread", ["a"])]


def test_what_a_prompt_store_refused_is_asked_the_other_way() -> None:
    """None: nothing was changed. (What has gathered waits until the other way has ended.)"""
    store = ScriptedPrompt()

    async def run(b: Bench) -> None:
        b.add("a")
        b.committer.flush()
        b.add("b")
        store.answer(None)
        assert not b.committer.idle
        await turns(5)
        store.answer([COMMITTED])
        await b.committer.settle()

    assert bench(run, store=store).names == ["a", "b"]
    assert store.batches == [("soon", ["a"]), ("thread", ["a"]), ("soon", ["b"])]


@pytest.mark.parametrize("error", [CommitUnknown("who knows"), Fenced("retired")], ids=["unknown", "fenced"])
def test_doubt_of_a_prompt_store_is_told_to_the_owner_only(error: AmendsError) -> None:
    store = ScriptedPrompt()

    async def run(b: Bench) -> None:
        b.add("a")
        b.committer.flush()
        b.add("b")
        store.answer(error)
        b.committer.flush()
        await b.committer.settle()

    b = bench(run, store=store)
    assert (b.told, b.lost) == ([], [error])
    assert store.batches == [("soon", ["a"])]


@pytest.mark.parametrize("answer", [[COMMITTED], None, Fenced("retired")], ids=["done", "refused", "fenced"])
def test_killed_while_a_prompt_store_commits(answer: list[Verdict] | AmendsError | None) -> None:
    store = ScriptedPrompt()

    async def run(b: Bench) -> None:
        b.add("a")
        b.committer.flush()
        settling = asyncio.ensure_future(b.committer.settle())
        await turns(2)
        assert not settling.done()
        b.committer.kill()
        await settling
        store.answer(answer)
        await turns(3)

    b = bench(run, store=store)
    assert (b.told, b.lost) == ([], [])
    assert store.batches == [("soon", ["a"])]


def test_settling_waits_for_a_commit_without_a_task() -> None:
    store = ScriptedPrompt()

    async def run(b: Bench) -> None:
        b.add("a")
        b.committer.flush()
        settling = asyncio.ensure_future(b.committer.settle())
        await turns(5)
        assert not settling.done()
        store.answer([COMMITTED])
        await settling

    assert bench(run, store=store).told == [("a", COMMITTED)]
