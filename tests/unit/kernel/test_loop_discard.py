"""A discarded execution does nothing more: no command, no step, no noise, whatever its code tries."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

import amends
from amends.kernel import discard
from amends.kernel import loop as loop_module
from tests.unit.kernel.parity.driver import Run, run_kernel
from tests.unit.kernel.parity.programs import PROGRAMS, programs_durable
from tests.unit.kernel.parity.world import Program, Trace, say, work, writing_to

paid = programs_durable.paid
CASES: list[Program] = []


def case(body: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
    """A body that waits in its first row, to be discarded there."""
    name = body.__name__
    CASES.append(Program(name, body, saga=amends.saga(name=f"parity.{name}")(body)))
    return body


class Noise(logging.Handler):
    """What reached the outside while something was discarded: nothing but what is `expected`, one hopes."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.unraisable: list[Any] = []
        self.logged: list[str] = []
        self.expected: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.logged.append(record.getMessage())


@pytest.fixture
def noise(monkeypatch: pytest.MonkeyPatch) -> Iterator[Noise]:
    gc.collect()  # what earlier tests left
    found = Noise()
    monkeypatch.setattr(sys, "unraisablehook", lambda it: found.unraisable.append((it.exc_value, it.object)))
    logging.getLogger().addHandler(found)
    yield found
    gc.collect()
    logging.getLogger().removeHandler(found)
    assert found.unraisable == []
    assert found.logged == found.expected


def started(wanted: Program, rows: int = 1) -> Run:
    """The program, live, after so many rows (or as many as it has)."""
    run = Run(wanted)
    run.begin_only()
    while len(run.rows) < rows and run.coming and not run.instance.ledger.status:
        run.one_more()
    return run


def thrown_out(run: Run) -> Trace:
    """Discard it while a real loop runs, collect garbage, and return what was said meanwhile."""
    rows, commands = list(run.rows), list(run.instance.commands)

    async def with_a_real_loop_around() -> None:
        asyncio.get_running_loop().call_soon(run.instance.discard)
        await asyncio.sleep(0)
        gc.collect()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run.trace = Trace()
    with writing_to(run.trace):
        asyncio.run(with_a_real_loop_around())
    assert run.instance.commands == commands
    assert run.rows == rows
    assert run.trace.begun == [], "a step was run by code that was discarded"
    return run.trace


# ---------------------------------------------------------------- ways to go


@case
async def cleans_up_with_a_step() -> None:
    try:
        await work("a", 9)
    finally:
        say("cleaning up")
        await work("must not run")
        say("must not be said")


@case
async def cleans_up_with_several_awaits() -> None:
    try:
        try:
            await work("a", 9)
        finally:
            say("one")
            await asyncio.sleep(0)
            say("must not be said")
    finally:
        say("two")
        await asyncio.sleep(5)
        say("must not be said")


@case
async def cleans_up_in_a_nested_coroutine() -> None:
    async def inner() -> None:
        try:
            await work("a", 9)
        finally:
            say("inner")
            await asyncio.shield(work("must not run"))

    try:
        await inner()
    except Exception:
        say("must not be said")
    finally:
        say("outer")
        await asyncio.gather(work("must not run"), inner())


@case
async def catches_every_exception() -> None:
    while True:
        try:
            await work("a", 9)
        except Exception:
            say("must not be said")


@case
async def is_in_a_group() -> None:
    async def child(name: str) -> None:
        try:
            await work(name, 9)
        finally:
            say(name)
            await work("must not run")

    async with asyncio.TaskGroup() as group:
        for name in "abc":
            group.create_task(child(name))
        await work("body", 9)


@case
async def is_in_a_timeout_and_a_gather() -> None:
    lock = asyncio.Lock()
    async with asyncio.timeout(5), lock:
        await asyncio.gather(work("a", 9), asyncio.sleep(9), asyncio.wait_for(lock.acquire(), 3))


@case
async def starts_tasks_on_its_way_out() -> None:
    async def other() -> None:
        say("must not be said")
        await work("must not run")

    try:
        await work("a", 9)
    finally:
        say("leaving")
        tasks = [asyncio.create_task(other()) for _ in range(100)]
        asyncio.get_running_loop().call_soon(say, "must not be said")
        asyncio.get_running_loop().call_later(1, say, "must not be said")
        await asyncio.wait(tasks)


@case
async def uses_all_of_amends_on_its_way_out() -> None:
    news = amends.Signal("news", type=str)
    try:
        async with amends.savepoint():
            await paid("a", 9)
    finally:
        amends.undo_with(work, "extra")
        amends.logger.warning("not from a discarded saga")
        say(amends.patched("change"), amends.current().id, str(amends.now())[:4], len(str(amends.uuid())))
        with contextlib.suppress(Exception):
            async with amends.savepoint():
                await paid("must not run")
        say("must not be said")
        await news.receive()


@case
async def rolls_back_on_its_way_out() -> None:
    async with amends.savepoint():
        try:
            await paid("a", 9)
        except BaseException:
            raise ValueError("turned into an error") from None


@case
async def raises_on_its_way_out() -> None:
    try:
        await work("a", 9)
    finally:
        raise LookupError("a debug line, not noise")


@case
async def has_tasks_that_never_began() -> None:
    async def other() -> None:
        say("must not be said")

    asyncio.get_running_loop().call_later(1, lambda: [asyncio.create_task(other()), 1 / 0])
    await asyncio.sleep(9)


@case
async def holds_generators() -> None:
    async def items(name: str) -> AsyncIterator[int]:
        try:
            yield 1
            await work(name, 9)
            yield 2
        finally:
            say(name, "closes")
            await work("must not run")
            say("must not be said")

    at_a_yield = items("at a yield")
    await anext(at_a_yield)
    try:
        async for _ in items("at an await"):
            pass
    finally:
        say("leaving")


@case
async def holds_context_managers() -> None:
    @contextlib.asynccontextmanager
    async def held(name: str) -> AsyncIterator[None]:
        try:
            yield
        finally:
            say(name)
            await work("must not run")

    async with held("a"), held("b"), contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(held("c"))
        await work("x", 9)


@case
async def is_part_of_a_cycle() -> None:
    class Holder:
        task: Any = None

        async def run(self) -> None:
            try:
                await work("a", 9)
            finally:
                say("run", asyncio.get_running_loop() is loop)
                await work("must not run")

    loop = asyncio.get_running_loop()
    holder = Holder()
    holder.task = asyncio.create_task(holder.run())
    await work("x", 9)


SAID = {
    "cleans_up_with_a_step": [["cleaning up"]],
    "cleans_up_with_several_awaits": [["one"], ["two"]],
    "cleans_up_in_a_nested_coroutine": [["inner"], ["outer"]],
    "is_in_a_group": [["a"], ["b"], ["c"]],
    "starts_tasks_on_its_way_out": [["leaving"]],
    "uses_all_of_amends_on_its_way_out": [[False, "uses_all_of_amends_on_its_way_out", "1970", 36]],
    "holds_generators": [["at an await", "closes"], ["leaving"], ["at a yield", "closes"]],
    "holds_context_managers": [["c"], ["b"], ["a"]],
    "is_part_of_a_cycle": [["run", True]],
}


@pytest.mark.parametrize("wanted", CASES, ids=lambda p: p.name)
def test_discarded_code_does_nothing(wanted: Program, noise: Noise) -> None:
    trace = thrown_out(started(wanted))
    assert [line[1:] for line in trace.said] == SAID.get(wanted.name, [])


@pytest.mark.parametrize("wanted", CASES, ids=lambda p: p.name)
def test_discarded_after_a_replay_it_does_nothing_either(wanted: Program, noise: Noise) -> None:
    original = started(wanted)
    loaded = Run(wanted).load(original.rows)
    thrown_out(original)
    thrown_out(loaded)


def test_each_program_can_be_discarded_at_each_row(noise: Noise) -> None:
    for wanted in PROGRAMS:
        original = run_kernel(wanted)
        original.instance.discard()
        for count in range(1, len(original.rows) + 1):
            run = started(wanted, count)
            rows, run.trace = list(run.rows), Trace()
            with writing_to(run.trace):
                run.instance.discard()
            assert run.rows == rows
            assert run.trace.begun == []
    noise.expected = [text for text in noise.logged if "in a callback of saga code" in text]


def test_without_care_a_step_would_just_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ablation: what is only dropped is closed by the collector, on a real loop, where steps just run."""

    def just_drop(loop: loop_module.SagaLoop) -> None:
        loop.dead = True
        for task in loop.tasks:
            task._log_destroy_pending = False
        loop.tasks.clear()

    monkeypatch.setattr(loop_module.SagaLoop, "kill", just_drop)
    monkeypatch.setattr(sys, "unraisablehook", lambda it: None)
    with pytest.raises(AssertionError, match="a step was run by code that was discarded"):
        thrown_out(started(CASES[0]))


def test_what_refuses_to_end_is_kept(noise: Noise) -> None:
    async def refuses() -> None:
        while True:
            with contextlib.suppress(BaseException):
                await work("a", 9)

    case(refuses)
    kept = len(discard.STUBBORN)
    run = started(CASES.pop())
    trace = thrown_out(run)
    assert trace.said == []
    assert len(discard.STUBBORN) == kept + 1
    told = "awaited on and on while it was discarded; it is kept, so that it never runs again"
    noise.expected = [f"{discard.STUBBORN[-1]!r} {told}"]


def test_an_instance_whose_load_failed_can_be_discarded(noise: Noise) -> None:
    original = run_kernel(next(p for p in PROGRAMS if p.name == "group_of_steps"))
    rows = original.rows[:-1]
    other = Run(next(p for p in PROGRAMS if p.name == "task_of_a_step"))
    with pytest.raises(amends.Divergence):
        other.load(rows)
    other.instance.discard()
    original.instance.discard()


def test_discarding_twice_is_nothing(noise: Noise) -> None:
    run = started(CASES[0])
    thrown_out(run)
    run.instance.discard()


# ---------------------------------------------------------------- generators that the garbage collector finds


async def _abandoned(close_with: Callable[[], Awaitable[Any]]) -> None:
    async def items() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            say("closing")
            await close_with()
            say("must not be said")

    async for _ in items():
        break
    say("left")
    await work("a", 2)


@pytest.mark.parametrize(
    "closer", [lambda: work("must not run"), lambda: asyncio.sleep(5), lambda: asyncio.sleep(0)]
)
def test_abandoned_generator_awaits_nothing(closer: Any, noise: Noise) -> None:
    async def abandons() -> None:
        await _abandoned(closer)

    case(abandons)
    run = Run(CASES.pop()).begin()
    assert [line[1] for line in run.trace.said] == ["closing", "left"]
    assert run.trace.begun == [(0.0, "a")]
    assert len(run.rows) == 2
    noise.expected = list(noise.logged)
    assert len(noise.logged) == 1, "told once, not at each replay"
    assert "contextlib.aclosing" in noise.logged[0]
    Run(run.program).load(run.rows[:1]).instance.discard()
    run.instance.discard()


@pytest.mark.parametrize("where", ["on a real loop", "in another thread"])
def test_generator_found_later_runs_no_step(where: str, noise: Noise) -> None:
    """The collector may come at any time, on the real loop or in a thread: no step ever just runs."""
    keep: list[Any] = []

    async def hides() -> None:
        async def items() -> AsyncIterator[int]:
            try:
                yield 1
            finally:
                say("closing")
                await work("must not run")

        some = items()
        await anext(some)
        keep.append([some])
        del some
        await work("a", 9)

    case(hides)
    run = started(CASES.pop())
    run.trace = Trace()
    cycle = keep.pop()
    cycle.append(cycle)
    del cycle

    async def collect() -> None:
        gc.collect()
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1

    with writing_to(run.trace):
        if where == "on a real loop":
            asyncio.run(collect())
        else:
            thread = threading.Thread(target=gc.collect)
            thread.start()
            thread.join()
    assert [line[1] for line in run.trace.said] == ["closing"]
    assert run.trace.begun == []
    noise.expected = list(noise.logged)
    assert len(noise.logged) == 1
    run.go_on()
    assert run.ended == "completed"
    run.instance.discard()


def test_a_discarded_saga_leaves_no_cycle_of_references() -> None:
    """A sleeper that leaves memory is gone at once: a hundred thousand would keep the collector busy."""

    async def waits() -> None:
        inner = asyncio.create_task(asyncio.sleep(9))
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.Event().wait())
            await asyncio.shield(inner)

    name = "leaves_no_cycle"
    run = Run(Program(name, waits, saga=amends.saga(name=f"parity.{name}")(waits))).begin()
    gc.collect()
    gc.disable()
    try:
        run.instance.discard()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = {type(each).__name__ for each in gc.garbage}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert not left & {"Program", "SagaLoop", "SagaTask", "SagaFuture"}
