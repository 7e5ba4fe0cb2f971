"""While the ancestors are asked about the pivot nothing new begins; what waited begins, or never does, once they
have answered.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import amends
from amends.kernel import entries as e
from tests.unit.kernel.lives import Life, shielded

CANCEL = e.CancelRequested("enough")
GRANTED, REFUSED = e.PivotAnswered(), e.PivotAnswered("the parent is busy")
BEGUN = (e.RunStep, e.StartChild, e.AskPivot, e.Pivot, e.RollBack)


@amends.step(name="asking_for_the_pivot.pay")
async def pay(number: int = 0) -> int: ...  # type: ignore[empty-body]


@pay.compensation
async def refund(result: int | None, number: int) -> None: ...


@amends.saga(name="asking_for_the_pivot.nested")
async def nested(number: int = 0) -> int: ...  # type: ignore[empty-body]


async def a_step() -> Any:
    return await pay(7)


async def a_child() -> Any:
    return await nested(7)


async def a_pivot() -> Any:
    await amends.pivot()
    return 7


async def a_shielded_step() -> Any:
    shielded()
    return await pay(7)


async def a_shielded_pivot() -> Any:
    shielded()
    await amends.pivot()
    return 7


async def a_failing_savepoint() -> Any:
    async with amends.savepoint():
        raise OSError("in the savepoint")


class Asking(Life):
    """A nested saga that has asked whether it may pass its pivot; other tasks of it want something else meanwhile.

    told: what the tasks were told, and the body.
    """

    def __init__(self, *wanted: Any) -> None:
        self.told: list[Any] = []
        self.tasks: list[Any] = []

        async def asks() -> None:
            for each in wanted:
                self.tasks.append(asyncio.create_task(self._later(each)))
            await asyncio.sleep(0)
            try:
                await amends.pivot()
                self.told.append("passed")
            except amends.PivotRefused as refused:
                self.told.append(str(refused))
            finally:
                await asyncio.wait(self.tasks)

        super().__init__(amends.saga(name="asking_for_the_pivot.asks")(asks), parent="above")
        (self.asked,) = self.wrote(*BEGUN)
        assert isinstance(self.asked, e.AskPivot)

    async def _later(self, wanted: Any) -> None:
        await asyncio.sleep(5)
        try:
            self.told.append(await wanted())
        except (asyncio.CancelledError, OSError) as error:
            self.told.append((type(error).__name__, *error.args))

    def wake(self) -> None:
        """All but the body are at what they want: nothing of it begins."""
        while self.live.ledger.timers:
            self.fire()
            assert self.wrote(*BEGUN) == []
        assert self.told == []

    def begun(self, answer: e.Event) -> list[Any]:
        self.tell(answer)
        return self.wrote(*BEGUN)


def test_once_granted_what_waited_begins_in_its_order() -> None:
    asking = Asking(a_step, a_child, a_step)
    asking.wake()
    begun = asking.begun(GRANTED)
    assert [type(c) for c in begun] == [e.RunStep, e.StartChild, e.RunStep]
    assert [bytes(c.args) for c in begun] == [b'{"number":7}'] * 3
    first, child, second = begun
    asking.tell(e.Completed(first.id, e.Raw(b"1")))
    asking.tell(e.ChildEnded(child.id, "completed", e.Raw(b"2")))
    asking.tell(e.Completed(second.id, e.Raw(b"3")))
    assert asking.told == ["passed", 1, 2, 3]
    assert asking.live.ledger.status == asking.replayed().ledger.status == "completed"


def test_once_granted_a_second_pivot_is_passed_and_a_savepoint_is_not_undone() -> None:
    asking = Asking(a_pivot, a_failing_savepoint)
    asking.wake()
    assert asking.begun(GRANTED) == []
    assert asking.told == ["passed", 7, ("OSError", "in the savepoint")]


def test_once_refused_what_waited_begins_too_and_the_body_is_told_why() -> None:
    asking = Asking(a_step, a_child)
    asking.wake()
    assert [type(c) for c in asking.begun(REFUSED)] == [e.RunStep, e.StartChild]
    assert asking.told == ["the parent is busy\n  → pivot when the ancestors are idle"]


def test_once_refused_the_next_pivot_is_asked_for_under_its_own_id() -> None:
    asking = Asking(a_pivot)
    asking.wake()
    (asked,) = asking.begun(REFUSED)
    assert isinstance(asked, e.AskPivot)
    assert asked.id.startswith("1.")
    asking.tell(GRANTED)
    assert asking.told[1:] == [7]
    assert asking.replayed().ledger.status == "completed"


def test_once_refused_savepoints_are_rolled_back_and_their_errors_go_on() -> None:
    asking = Asking(a_failing_savepoint, a_failing_savepoint)
    asking.wake()
    assert [type(c) for c in asking.begun(REFUSED)] == [e.RollBack, e.RollBack]
    assert asking.told[1:] == [("OSError", "in the savepoint")] * 2


def test_what_no_longer_waits_when_the_answer_comes_does_not_begin_and_the_rest_does() -> None:
    asking = Asking(a_step, a_step, a_child)
    timers = list(asking.live.ledger.timers)
    asking.tell(e.Fired(timers[0]))

    def stops() -> None:
        asking.tasks[0].cancel("not any more")

    assert asking.live.program is not None
    asking.live.program.loop.call_soon(stops)
    asking.tell(e.Fired(timers[1]))
    asking.tell(e.Fired(timers[2]))
    assert asking.told == [("CancelledError", "not any more")]
    assert [type(c) for c in asking.begun(GRANTED)] == [e.RunStep, e.StartChild]


def test_a_cancel_waits_for_the_answer_and_is_forgotten_once_it_is_granted() -> None:
    asking = Asking(a_step, a_child)
    asking.tell(CANCEL)
    asking.wake()
    assert [type(c) for c in asking.begun(GRANTED)] == [e.RunStep, e.StartChild]
    assert asking.told == ["passed"]


@pytest.mark.parametrize("cancelled_first", [True, False])
@pytest.mark.parametrize("wanted", [a_step, a_child, a_pivot])
def test_once_refused_after_a_cancel_what_waited_never_begins(wanted: Any, cancelled_first: bool) -> None:
    asking = Asking(wanted)
    for tell in (asking.wake, lambda: asking.tell(CANCEL))[:: -1 if cancelled_first else 1]:
        tell()
    assert asking.begun(REFUSED) == []
    assert ("CancelledError",) in asking.told
    assert asking.live.ledger.status == asking.folded().ledger.status == "compensated"


def test_once_refused_after_a_cancel_only_what_is_shielded_begins() -> None:
    asking = Asking(a_shielded_step, a_step)
    asking.wake()
    asking.tell(CANCEL)
    (begun,) = asking.begun(REFUSED)
    assert isinstance(begun, e.RunStep)
    assert begun.id.startswith("1.")
    assert ("CancelledError",) in asking.told


def test_once_refused_after_a_cancel_no_pivot_is_passed_not_even_in_a_shield() -> None:
    asking = Asking(a_shielded_pivot)
    asking.wake()
    asking.tell(CANCEL)
    assert asking.begun(REFUSED) == []
    assert ("CancelledError", "the saga is being undone") in asking.told


def test_once_refused_after_a_cancel_the_errors_of_savepoints_go_on() -> None:
    """All will be undone: there is nothing to wait for, and nothing that should hide them."""
    asking = Asking(a_failing_savepoint, a_failing_savepoint)
    asking.wake()
    asking.tell(CANCEL)
    assert asking.begun(REFUSED) == []
    assert asking.told.count(("OSError", "in the savepoint")) == 2


@pytest.mark.parametrize("answer", [None, REFUSED])
def test_what_was_cancelled_while_it_waited_is_not_in_flight(answer: e.Event | None) -> None:
    """Cancelled by the saga before the answer, or with all of it at the answer: no limit counts it any more."""
    asking = Asking(a_step, a_child, a_step)
    asking.wake()
    program = asking.live.program
    assert program is not None
    assert len(program.futures) == 3
    if answer is None:
        with program.loop:
            for task in asking.tasks:
                task.cancel()
            program.loop.drain()
    else:
        asking.tell(CANCEL, answer)
    assert len(asking.told) >= 3, "each has heard of it"
    assert program.futures == {}
