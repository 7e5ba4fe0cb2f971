"""What the saga's code asks for becomes commands: under which id, in which scope, and what is refused."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import pytest

import amends
from amends.kernel import entries as e
from amends.kernel.limits import Limits
from tests.unit.kernel.lives import Life

news = amends.Signal[str]("asked_for.news")
COLOUR: ContextVar[str] = ContextVar("COLOUR", default="none")

Body = Callable[..., Awaitable[Any]]


@amends.step(name="asked_for.pay")
async def pay(number: Any = 0) -> None: ...


@pay.compensation
async def refund(result: None, number: Any) -> None: ...


@amends.saga(name="asked_for.nested")
async def nested(number: Any = 0) -> None: ...


def life(body: Any, **given: Any) -> Life:
    return Life(amends.saga(name=f"asked_for.{body.__name__}")(body), **given)


# ---------------------------------------------------------------- ids


def test_each_run_has_ids_of_its_own_in_tasks_and_in_callbacks() -> None:
    async def pays() -> None:
        await pay()

    def called() -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(50, print)
        kept.append(asyncio.create_task(pays()))
        loop.call_later(60, print)

    async def rounds(number: int = 0) -> None:
        asyncio.get_running_loop().call_soon(called)
        await news.receive()
        await amends.continue_as_new(number + 1)

    kept: list[Any] = []
    running = life(rounds)
    for number, prefix in enumerate(("", "1:", "2:")):
        assert [c.id for c in running.wrote(e.AwaitSignal)] == [f"{prefix}1"]
        assert [c.id for c in running.wrote(e.StartTimer)] == [f"{prefix}c1", f"{prefix}c3"]
        assert [c.id for c in running.wrote(e.RunStep)] == [f"{prefix}c2.1"]
        running.tell(e.Completed(f"{prefix}c2.1", e.NULL))
        running.tell(e.Signalled(news.name, e.Raw(b'"go on"')))
        (again,) = running.wrote(e.ContinueAsNew)
        running.tell(e.Started(again.args, number + 1, "3.11"))


def test_what_a_callback_asks_for_is_in_no_savepoint() -> None:
    async def calls_back() -> None:
        async with amends.savepoint():
            asyncio.get_running_loop().call_soon(amends.undo_with, pay, 1)
            await asyncio.sleep(0)
            amends.undo_with(pay, 2)
            await pay()

    calling = life(calls_back)
    (opened,) = calling.wrote(e.EnterScope)
    assert [c.scope for c in calling.wrote(e.UndoWith)] == ["", f"/{opened.id}"]


def test_tasks_and_futures_of_one_execution_are_numbered_apart_from_all_others() -> None:
    """asyncio keeps the tasks of a process in one set. What the low bits are decides the order in a small one."""

    async def waits() -> None:
        await pay()

    uids = [f"{number:032x}" for number in range(20)]
    numbers = [hash(life(waits, uid=uid).live.program.root) for uid in uids]  # type: ignore[union-attr]
    assert len(set(numbers)) == len(uids)
    assert {number % 2**20 for number in numbers} == {1}


def test_futures_are_numbered_as_they_are_made_whatever_they_stand_for() -> None:
    async def makes() -> None:
        loop: Any = asyncio.get_running_loop()
        port = loop.amends_port
        made.append(loop.create_future())
        for _ in range(2):
            made.extend((port.run_step(pay()), port.receive(news.name, str), loop.create_future()))
        numbers.extend(hash(each) for each in made)
        await pay()

    made: list[Any] = []
    numbers: list[int] = []
    life(makes)
    assert numbers == sorted(set(numbers))
    assert numbers == list(range(numbers[0], numbers[0] + 7))


def test_the_body_begins_under_its_own_name_and_knows_nothing_of_its_worker() -> None:
    async def says_who() -> list[str]:
        task = asyncio.current_task()
        assert task is not None
        return [task.get_name(), COLOUR.get()]

    token = COLOUR.set("the worker's")
    try:
        assert life(says_who).value == ["saga", "none"]
    finally:
        COLOUR.reset(token)


# ---------------------------------------------------------------- scopes


def test_each_savepoint_is_a_scope_within_the_one_around_it() -> None:
    async def goes_in_and_out() -> None:
        amends.undo_with(pay, 0)
        async with amends.savepoint():
            amends.undo_with(pay, 1)
            async with amends.savepoint():
                amends.undo_with(pay, 2)
                async with amends.savepoint():
                    amends.undo_with(pay, 3)
                    await pay(3)
                amends.undo_with(pay, 2)
            amends.undo_with(pay, 1)
        amends.undo_with(pay, 0)
        await pay(0)

    going = life(goes_in_and_out)
    opened = going.wrote(e.EnterScope)
    scopes = ["", *(f"{savepoint.scope}/{savepoint.id}" for savepoint in opened)]
    assert [savepoint.scope for savepoint in opened] == scopes[:3]
    (inside,) = going.wrote(e.RunStep)
    assert inside.scope == scopes[3]
    registered = going.wrote(e.UndoWith)
    going.tell(e.Completed(inside.id, e.NULL))
    (outside,) = going.wrote(e.RunStep)
    assert outside.scope == ""
    for each in (*registered, *going.wrote(e.UndoWith)):
        assert each.scope == scopes[int(bytes(each.args)[-2:-1])]


def test_a_generator_may_be_left_in_its_savepoint_where_no_task_runs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def leaves() -> None:
        async def items() -> AsyncIterator[int]:
            async with amends.savepoint():
                yield 1

        kept.append(items())
        await anext(kept[0])
        asyncio.get_running_loop().call_soon(kept.clear)
        await pay()

    kept: list[Any] = []
    life(leaves)
    assert kept == []
    assert caplog.records == []


@pytest.mark.parametrize("fails", [False, True])
def test_a_generator_that_is_left_in_its_savepoint_by_another_task_changes_nothing_of_that_one(
    fails: bool,
) -> None:
    async def items() -> AsyncIterator[int]:
        async with amends.savepoint():
            amends.undo_with(pay, 1)
            yield 1

    async def enters(kept: list[Any]) -> None:
        await anext(kept[0])

    async def leaves() -> None:
        kept: list[Any] = [items()]
        await asyncio.create_task(enters(kept))
        async with amends.savepoint():
            amends.undo_with(pay, 2)
            if fails:
                with contextlib.suppress(OSError):
                    await kept[0].athrow(OSError("thrown in"))
            kept.clear()
            amends.undo_with(pay, 3)
            await pay()

    leaving = life(leaves)
    if fails:
        first, second = leaving.wrote(e.UndoWith)
        (back,) = leaving.wrote(e.RollBack)
        assert f"{first.scope}".endswith(f"/{back.id}")
        (undone,) = leaving.wrote(e.Undo)
        assert undone.id == first.id, "what was done inside, and nothing else"
        leaving.tell(e.Undone(first.id))
        (third,) = leaving.wrote(e.UndoWith)
    else:
        _, second, third = leaving.wrote(e.UndoWith)
    assert second.scope == third.scope != ""


# ---------------------------------------------------------------- what is too large, too many, too deep


async def a_step(value: Any) -> None:
    await pay(value)


async def a_child(value: Any) -> None:
    await nested(value)


async def an_undo(value: Any) -> None:
    amends.undo_with(pay, value)
    await pay()


async def a_new_run(number: Any = 0, value: Any = None) -> None:
    await amends.continue_as_new(value)


ASKED: list[tuple[Body, str]] = [
    (a_step, "asked_for.pay"),
    (a_child, "asked_for.nested"),
    (an_undo, "asked_for.pay"),
    (a_new_run, "asked_for.sends"),
]


async def _asked(body: Body, value: Any) -> None:
    await (body(value=value) if body is a_new_run else body(value))


@pytest.mark.parametrize(("body", "name"), ASKED)
def test_a_payload_may_be_as_large_as_the_limit(body: Body, name: str) -> None:
    async def sends(number: Any = 0) -> None:
        await _asked(body, text)

    empty = len(b'{"number":""}')
    text = "x" * (1_500 - empty)
    assert life(sends, limits=Limits(payload=1_500)).live.ledger.fault is None
    assert life(sends, limits=Limits(payload=1_499)).failure == (
        "PayloadTooLarge",
        (
            f"{name}: 1,500 bytes, the limit is 1,499\n"
            "  → store the data elsewhere and pass a reference, or raise Limits(payload=…)"
        ),
    )


@pytest.mark.parametrize(("body", "name"), ASKED)
def test_what_cannot_be_written_is_named(body: Body, name: str) -> None:
    async def sends(number: Any = 0) -> None:
        await _asked(body, object())

    kind, text = life(sends).failure
    assert kind == "PayloadError"
    assert text.startswith(f"{name} cannot be journaled: ")


@pytest.mark.parametrize(("action", "name"), [(pay, "asked_for.pay"), (nested, "asked_for.nested")])
def test_as_many_actions_in_flight_as_allowed_and_no_more(action: Any, name: str) -> None:
    async def several(count: int) -> None:
        await asyncio.gather(*[action(number) for number in range(count)])

    allowed = life(several, args=b'{"count":3}', limits=Limits(fan_out=3))
    assert len(allowed.live.ledger.actions) == 3
    refused = life(several, args=b'{"count":4}', limits=Limits(fan_out=3))
    assert refused.failure == (
        "Refused",
        (
            f"{name} would be action number 4 in flight, the limit is 3\n"
            "  → await some first (a Semaphore helps), or raise Limits(fan_out=…)"
        ),
    )


def test_children_may_be_as_deep_as_allowed_and_no_deeper() -> None:
    async def goes_down() -> None:
        await nested()

    allowed = life(goes_down, depth=2, limits=Limits(depth=3))
    assert [c.saga for c in allowed.wrote(e.StartChild)] == ["asked_for.nested"]
    kind, text = life(goes_down, depth=3, limits=Limits(depth=3)).failure
    assert kind == "Refused"
    assert text.startswith("asked_for.nested would be nested 4 deep, the limit is 3\n")


def test_a_childs_deadline_counts_from_the_moment_at_which_it_is_started() -> None:
    async def has_little_time() -> None:
        await asyncio.gather(nested().options(deadline=30), nested())

    little = life(has_little_time)
    assert [c.deadline for c in little.wrote(e.StartChild)] == [little.now + 30, None]


# ---------------------------------------------------------------- what must have ended first


@pytest.mark.parametrize("count", [1, 2])
def test_a_pivot_and_a_new_run_are_refused_while_actions_are_in_flight(count: int) -> None:
    async def pays() -> None:
        await pay()

    async def hasty(ask: str) -> None:
        kept.extend(asyncio.create_task(pays()) for _ in range(count))
        await asyncio.sleep(0)
        await (amends.pivot() if ask == "pivot" else amends.continue_as_new("again"))

    kept: list[Any] = []
    busy = ", ".join(f"asked_for.pay ({number}.1)" for number in range(1, count + 1))
    assert life(hasty, args=b'{"ask":"pivot"}').failure == (
        "PivotRefused",
        f"pivot() while {busy} in flight\n  → await (or cancel and await) everything before the pivot",
    )
    assert life(hasty, args=b'{"ask":"run"}').failure == (
        "Refused",
        f"continue_as_new() while {busy} in flight\n  → await (or cancel and await) everything first",
    )


# ---------------------------------------------------------------- patches


def test_a_patch_is_written_once_and_holds_for_all_that_follows() -> None:
    async def changed() -> list[bool]:
        return [amends.patched(change) for change in ("one", "two", "one")]

    new = life(changed)
    assert new.value == [True, True, True]
    assert new.wrote(e.Patch) == [e.Patch("one"), e.Patch("two")]


# ---------------------------------------------------------------- timers


def test_a_timer_that_is_cancelled_in_its_own_row_is_struck_from_it_and_no_other() -> None:
    async def changes_its_mind() -> None:
        loop = asyncio.get_running_loop()
        timers = [loop.call_later(seconds, print) for seconds in (50, 60, 70, 80)]
        timers[0].cancel()
        timers[2].cancel()
        await news.receive()
        timers[3].cancel()
        await pay()

    changing = life(changes_its_mind)
    first, second, third, fourth, _ = changing.wrote()
    assert [type(first), type(third)] == [e.Withdrawn, e.Withdrawn]
    assert [second.due, fourth.due] == [changing.now + 60, changing.now + 80]
    assert list(changing.live.ledger.timers) == [second.id, fourth.id]
    changing.tell(e.Signalled(news.name, e.Raw(b'"now"')))
    assert changing.wrote(e.CancelTimer, e.Withdrawn) == [e.CancelTimer(fourth.id)]
    assert list(changing.live.ledger.timers) == list(changing.folded().ledger.timers) == [second.id]


def test_a_timer_that_comes_due_although_it_was_cancelled_is_nothing() -> None:
    async def in_time() -> None:
        try:
            await news.receive(timeout=5)
        finally:
            await pay()

    paying = life(in_time)
    (timer,) = paying.live.ledger.timers
    paying.tell(e.Signalled(news.name, e.Raw(b'"now"')))
    assert paying.wrote(e.CancelTimer) == [e.CancelTimer(timer)]
    assert paying.tell(e.Fired(timer)) == []
    assert paying.replayed().ledger.status == ""
