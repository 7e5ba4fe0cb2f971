"""What makes two runs alike: numbers instead of addresses, rounds of callbacks, budgets, errors."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import amends
from amends.errors import Overrun, Stuck
from amends.kernel import entries as e
from amends.kernel import loop as loop_module
from amends.kernel.loop import SagaLoop
from tests.unit.kernel.parity.driver import Run, state
from tests.unit.kernel.parity.programs import TABLE
from tests.unit.kernel.parity.world import Program, say, work

Body = Callable[[], Awaitable[Any]]


def program(body: Body, **options: Any) -> Program:
    """A body as a program of its own, outside of the table."""
    given: Any = body
    return Program(given.__name__, body, saga=amends.saga(name=f"parity.{given.__name__}")(given), **options)


def run(body: Body, **options: Any) -> Run:
    """Run it to its end."""
    return Run(program(body, **options)).begin()


# ---------------------------------------------------------------- numbers


def test_tasks_and_futures_hash_by_creation_number() -> None:
    async def creates() -> list[bool]:
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in range(5)]
        tasks = [asyncio.create_task(asyncio.sleep(0)) for _ in range(5)]
        gathered = [asyncio.gather(asyncio.sleep(0)) for _ in range(3)]
        kinds = [[hash(item) for item in kind] for kind in (futures, tasks, gathered)]
        await asyncio.sleep(0)
        again = [[hash(item) for item in kind] for kind in (futures, tasks, gathered)]
        return [again == kinds, *(kind == sorted(set(kind)) for kind in kinds)]

    assert run(creates).rows[-1].commands.startswith('[["return",[true,true,true,true]]')


def test_sets_of_tasks_are_walked_in_one_order() -> None:
    async def walks() -> None:
        tasks = {asyncio.create_task(asyncio.sleep(9)) for _ in range(300)}
        names = [task.get_name() for task in tasks]
        say(names == sorted(names, key=lambda name: int(name.partition("-")[2])))
        say(len(asyncio.all_tasks()) == 301)
        for task in asyncio.all_tasks():
            if task is not asyncio.current_task():
                task.cancel()

    assert [line[1] for line in run(walks).trace.said] == [True, True]


def test_ids_do_not_depend_on_who_runs_first() -> None:
    """An id is the place of a command: the task's path and a sequence within the task."""

    async def branches() -> None:
        async def branch(name: str, first: float) -> None:
            await work(f"{name}1", first)
            await work(f"{name}2")

        async with asyncio.TaskGroup() as group:
            group.create_task(branch("a", 1))
            group.create_task(branch("b", 2))
        await work("c")

    def ids(wanted: Run) -> dict[str, str]:
        commands = [c for row in wanted.rows for c in e.decode_commands(row.commands)]
        return {json.loads(bytes(c.args))["name"]: c.id for c in commands if isinstance(c, e.RunStep)}

    expected = {"a1": "1.1", "a2": "1.2", "b1": "2.1", "b2": "2.2", "c": "3"}
    assert ids(run(branches)) == expected


# ---------------------------------------------------------------- rounds, budgets, errors


def test_a_timer_that_is_due_waits_for_the_next_round() -> None:
    async def due_at_once() -> None:
        loop = asyncio.get_running_loop()
        loop.call_at(loop.time() - 5, say, "timer")
        loop.call_soon(lambda: (say("soon"), loop.call_soon(say, "later")))
        await asyncio.sleep(1)

    finished = run(due_at_once)
    assert [line[1] for line in finished.trace.said] == ["soon", "timer", "later"]
    assert '"timer"' in finished.rows[0].commands, "only the sleep is a durable timer"
    assert finished.rows[0].commands.count('"timer"') == 1


def test_endless_callbacks_overrun() -> None:
    async def spins() -> None:
        while True:
            await asyncio.sleep(0)

    wanted = Run(program(spins))
    wanted.instance.limits = amends.Limits(callbacks=1_000)
    assert wanted.begin_only().stuck == Overrun.__name__
    wanted.instance.discard()


def test_an_overrun_is_no_callbacks_error() -> None:
    """What parks an execution goes through; everything else that a callback raises stays in the loop."""

    async def raises() -> None:
        def too_long() -> None:
            raise Overrun("too long")

        asyncio.get_running_loop().call_soon(too_long)
        await asyncio.sleep(1)

    wanted = Run(program(raises)).begin_only()
    assert wanted.stuck == Overrun.__name__
    wanted.instance.discard()


def test_callback_errors_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    async def has_a_bad_callback() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await work("a")

    with caplog.at_level(logging.ERROR, "amends.saga"):
        finished = run(has_a_bad_callback)
        assert len(caplog.records) == 1
        assert "ZeroDivisionError in a callback of saga code" in caplog.text
        again = Run(finished.program).load(finished.rows[:1])
        assert len(caplog.records) == 1
    again.instance.discard()


@pytest.mark.parametrize("error", [SystemExit(3), GeneratorExit()])
def test_exits_end_the_saga_and_not_the_process(error: BaseException) -> None:
    async def exits() -> None:
        await work("a")
        raise error

    finished = run(exits)
    assert finished.ended == "compensated"
    assert f'"{type(error).__name__}"' in finished.rows[-1].commands


def test_an_interrupt_by_the_keyboard_is_not_the_sagas() -> None:
    async def is_interrupted() -> None:
        raise KeyboardInterrupt

    wanted = Run(program(is_interrupted))
    with pytest.raises(KeyboardInterrupt):
        wanted.begin_only()
    assert wanted.rows == []
    wanted.instance.discard()


def test_without_numbers_the_order_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ablation in this process: by address, tasks are aborted in any order."""
    monkeypatch.setattr(loop_module.SagaTask, "__hash__", object.__hash__)
    orders = set()
    keep: list[Any] = []
    for n in range(20):
        finished = Run(TABLE["group_many_aborted_in_order"]).begin()
        orders.add(json.dumps(finished.trace.said))
        keep.append([finished, [bytearray(n * 50 + 1) for _ in range(n * 37)]])
    assert len(orders) > 1


# ---------------------------------------------------------------- waiting


def test_nothing_to_wait_for_is_said_after_a_receive_that_timed_out() -> None:
    """A signal that nobody awaits any more does not keep a dead saga asleep."""
    news = amends.Signal("news", type=str)

    async def waits_in_vain() -> None:
        try:
            await news.receive(timeout=2)
        except TimeoutError:
            say("no news")
        await asyncio.Event().wait()

    wanted = run(waits_in_vain)
    assert wanted.stuck == Stuck.__name__
    wanted.instance.discard()


def test_a_signal_goes_to_who_still_waits() -> None:
    news = amends.Signal("news", type=str)

    async def waits_twice() -> None:
        first = asyncio.create_task(news.receive())
        await asyncio.sleep(1)
        first.cancel()
        say(await news.receive())

    assert run(waits_twice, signals=((3, "news", "here"),)).trace.said == [[3.0, "here"]]


def test_a_folded_ledger_is_the_same_as_one_that_ran() -> None:
    """The ledger is the fold of the rows, whether live, replayed or folded (its own theory of operation)."""
    finished = Run(TABLE["signals_to_several_tasks"]).begin()
    folded = Run(finished.program)
    folded.instance.fold(finished.rows)
    assert folded.instance.ledger.awaited == finished.instance.ledger.awaited


def test_folding_brings_back_all_that_matters() -> None:
    for name in ("savepoint_rolled_back", "compensated", "cancelled_with_things_to_undo", "continued_as_new"):
        finished = Run(TABLE[name]).begin()
        folded = Run(finished.program)
        folded.instance.fold(finished.rows)
        assert state(folded.instance) == state(finished.instance)


def test_the_loop_says_what_it_is() -> None:
    class Port:
        now = random = current = staticmethod(lambda: None)

    loop: Any = SagaLoop(Port(), None)  # type: ignore[abstract, arg-type]
    assert repr(loop) == "<saga loop alive>"
    loop.kill()
    assert repr(loop) == "<saga loop dead>"
    loop.call_soon(say, "never")
    loop.call_later(0, say, "never")
    assert not loop.waiting


@pytest.mark.parametrize("limit", [5, None, 0])
def test_what_is_refused_while_undoing_leaves_no_coroutine_behind(limit: float | None) -> None:
    """(A warning "never awaited" would be an error here.)"""

    async def waits_once_more() -> None:
        queue: asyncio.Queue[str] = asyncio.Queue()
        try:
            await asyncio.sleep(9)
        finally:
            await asyncio.wait_for(queue.get(), limit)

    wanted = program(waits_once_more, cancel_at=2)
    finished = Run(wanted).begin()
    assert finished.ended == ("stuck" if limit is None else "compensated")
    finished.instance.discard()
    gc.collect()
