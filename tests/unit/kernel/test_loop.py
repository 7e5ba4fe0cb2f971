"""The loop alone, with nobody behind it: numbers, cancels of a task by itself, limits, what it is inside of."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextvars import Context, ContextVar, copy_context
from typing import Any

import pytest

from amends.errors import Overrun
from amends.kernel.loop import SagaLoop, SagaTask, Stage

WHO: ContextVar[str] = ContextVar("WHO", default="nobody")


class Behind:
    """The port and the timers."""

    now = random = current = staticmethod(lambda: None)

    def __init__(self) -> None:
        self.reported: list[dict[str, Any]] = []
        self.timers: list[Any] = []

    def report(self, context: dict[str, Any]) -> None:
        self.reported.append(context)

    def start_timer(self, handle: Any) -> None:
        handle.id = str(len(self.timers))
        self.timers.append(handle)

    def cancel_timer(self, handle: Any) -> None:
        self.timers.remove(handle)


def made(budget: int = 1_000) -> tuple[Any, Behind]:
    behind = Behind()
    return SagaLoop(behind, behind, budget), behind  # type: ignore[abstract]


def ran(body: Callable[[], Awaitable[Any]]) -> Any:
    """A task of that body, as far as it gets by itself."""
    loop, _ = made()
    with loop:
        task = loop.create_task(body())
        loop.drain()
    return task


def inside() -> SagaTask:
    task = asyncio.current_task()
    assert isinstance(task, SagaTask)
    return task


def with_a_name() -> Context:
    context = copy_context()
    context.run(WHO.set, "somebody")
    return context


# ---------------------------------------------------------------- cancels


def test_a_task_that_cancels_itself_goes_on_until_it_awaits() -> None:
    async def body() -> str:
        assert inside().cancel("first")
        assert inside().cancel("second")
        assert inside().cancelling() == 2
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError as error:
            await asyncio.sleep(0)  # it comes once
            return str(error)
        return "never cancelled"

    assert ran(body).result() == "second"


@pytest.mark.parametrize(("cancels", "taken_back", "arrives"), [(1, 1, False), (2, 1, True), (2, 2, False)])
def test_a_cancel_taken_back_in_time_does_not_arrive(cancels: int, taken_back: int, arrives: bool) -> None:
    async def body() -> bool:
        for _ in range(cancels):
            inside().cancel()
        left = [inside().uncancel() for _ in range(taken_back)]
        assert left == [cancels - 1 - n for n in range(taken_back)]
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            return True
        return False

    assert ran(body).result() is arrives


def test_taking_back_a_cancel_from_outside_sends_none() -> None:
    async def body() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            inside().uncancel()
            await asyncio.sleep(0)
            return str(error)
        return "never cancelled"

    loop, _ = made()
    with loop:
        task = loop.create_task(body())
        loop.drain()
        assert task.cancel("enough")
        assert task.cancelling() == 1
        loop.drain()
        assert task.result() == "enough"
        assert not task.cancel()
        assert task.cancelling() == 0


# ---------------------------------------------------------------- tasks and futures


def test_tasks_and_futures_are_numbered_apart_and_have_places() -> None:
    loop, _ = made()

    async def child() -> str:
        return inside().next_id()

    async def body() -> list[Any]:
        tasks = [asyncio.create_task(child()) for _ in range(2)]
        return [*(await asyncio.gather(*tasks)), *(task.get_name() for task in tasks), inside().next_id()]

    with loop:
        first, second = loop.create_task(body()), loop.create_task(child(), name="mine")
        futures = [loop.create_future() for _ in range(3)]
        loop.drain()
    assert [hash(future) for future in futures] == [1, 2, 3]
    assert all(future.get_loop() is loop for future in futures)
    assert [hash(first), hash(second)] == [1, 2]
    assert first.result() == ["c1.1.1", "c1.2.1", "task-c1.1", "task-c1.2", "c1.3"]
    assert (second.get_name(), second.result()) == ("mine", "c2.1")
    assert not first.shielded
    assert first.scope == ""


def test_what_is_given_a_context_runs_in_it() -> None:
    loop, behind = made()
    seen: list[str] = []

    async def body() -> None:
        seen.append(WHO.get())

    with loop:
        for context in (with_a_name(), None):
            loop.call_soon(lambda: seen.append(WHO.get()), context=context)
            loop.call_later(5, lambda: seen.append(WHO.get()), context=context)
            loop.create_task(body(), context=context)
        for timer in behind.timers:
            loop.fire(timer)
        loop.drain()
    assert seen == ["somebody", "somebody", "nobody", "nobody", "somebody", "nobody"]


def test_only_a_timer_that_has_not_fired_is_withdrawn() -> None:
    loop, behind = made()
    with loop:
        fired, waits = (loop.call_later(5, print) for _ in range(2))
        loop.fire(fired)
        for timer in (fired, waits, waits):
            timer.cancel()
            assert timer.cancelled()
    assert behind.timers == [fired]


def test_tasks_that_have_ended_are_forgotten_now_and_then() -> None:
    async def waits() -> None:
        await asyncio.Event().wait()

    loop, _ = made()
    with loop:
        waiting = [loop.create_task(waits()) for _ in range(40)]
        for _ in range(300):
            loop.create_task(asyncio.sleep(0))
            loop.drain()
            assert len(loop.tasks) <= 2 * (len(waiting) + 1), "at most twice what runs, the new one included"
        assert loop.tasks[:40] == waiting
        loop.kill()


# ---------------------------------------------------------------- running


def test_the_budget_may_be_used_up_and_not_passed() -> None:
    for more in (False, True):
        loop, _ = made(budget=5)
        for _ in range(5 + more):
            loop.call_soon(lambda: None)
        with loop:
            if not more:
                loop.drain()
                assert not loop.waiting
                continue
            with pytest.raises(Overrun, match="one activation ran more than 5 callbacks") as caught:
                loop.drain()
            assert caught.value.hint.startswith("look for a loop that awaits only asyncio.sleep(0)")


def test_a_cancelled_callback_holds_up_nobody_and_an_error_is_reported() -> None:
    loop, behind = made()
    seen: list[int] = []
    loop.call_soon(seen.append, 1).cancel()
    loop.call_soon(lambda: 1 / 0)
    loop.call_soon(seen.append, 2)
    with loop:
        loop.drain()
    assert seen == [2]
    (told,) = behind.reported
    assert told["message"] == "ZeroDivisionError in a callback of saga code"
    assert isinstance(told["exception"], ZeroDivisionError)


def test_a_loop_leaves_the_thread_as_it_found_it() -> None:
    async def main() -> None:
        outer, hooks = asyncio.get_running_loop(), sys.get_asyncgen_hooks()
        loop, _ = made()
        with loop:
            assert asyncio.get_running_loop() is loop
            assert sys.get_asyncgen_hooks() != hooks
            assert loop.entered
        assert not loop.entered
        assert asyncio.get_running_loop() is outer
        assert sys.get_asyncgen_hooks() == hooks

    asyncio.run(main())


# ---------------------------------------------------------------- its end


def test_what_runs_when_a_loop_is_killed_is_thrown_out_and_can_ask_but_not_act() -> None:
    told: list[Any] = []

    async def body() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            loop = asyncio.get_running_loop()
            port: Any = loop.amends_port  # type: ignore[attr-defined]
            told.extend([port.replaying, port.now(), loop.dead])  # type: ignore[attr-defined]
            await port.run_step(None)
            told.append("it came")

    loop, behind = made()
    behind.now = lambda: 7.0  # type: ignore[method-assign, assignment]
    with loop:
        task = loop.create_task(body())
        loop.drain()
    loop.kill()
    assert told == [True, 7.0, True]
    assert task.cancelled()
    assert loop.tasks == []
    loop.call_exception_handler({"message": "too late"})
    assert behind.reported == []


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize(("how", "said"), [("awaits", "awaits"), ("fails", "failed"), ("ends", "")])
def test_a_generator_left_behind_is_closed(killed: bool, how: str, said: str) -> None:
    closed: list[bool] = []

    async def items() -> Any:
        try:
            yield 1
        finally:
            closed.append(asyncio.get_running_loop().dead)  # type: ignore[attr-defined]
            if how == "awaits":
                await asyncio.sleep(0)
            if how == "fails":
                raise LookupError

    kept: list[Any] = []

    async def body() -> None:
        kept.append(items())
        await anext(kept[0])

    loop, behind = made()
    with loop:
        loop.create_task(body())
        loop.drain()
    if killed:
        loop.kill()
    kept.clear()
    assert closed == [True]
    if killed or not said:
        assert behind.reported == []
        return
    (told,) = behind.reported
    assert f"was abandoned, and closing it {said}; use contextlib.aclosing" in told["message"]
    assert isinstance(told["exception"], LookupError if how == "fails" else type(None))


def test_on_an_open_stage_leaving_a_loop_restores_nothing_until_the_stage_is_left() -> None:
    async def main() -> None:
        outer, hooks = asyncio.get_running_loop(), sys.get_asyncgen_hooks()
        stage, behind = Stage(), Behind()
        loop: Any = SagaLoop(behind, behind, stage=stage)  # type: ignore[abstract]
        with stage:
            with loop:
                pass
            inside = asyncio.get_running_loop()
        assert inside is loop
        with loop:
            pass
        assert asyncio.get_running_loop() is outer
        assert sys.get_asyncgen_hooks() == hooks

    asyncio.run(main())
