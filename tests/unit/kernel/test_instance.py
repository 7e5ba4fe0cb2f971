"""An instance is asked: when to wake it, what is due, what it is busy with; and what it strikes from a row."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import amends
from amends.definition.registry import REGISTRY
from amends.errors import Divergence, LimitExceeded
from amends.kernel import entries as e
from amends.kernel.instance import Instance
from amends.kernel.limits import Limits
from tests.unit.kernel.lives import MADE, Life

CANCEL = e.CancelRequested("enough")
OVERDUE = e.CancelRequested("the deadline has passed", cause="deadline")
FAULT = e.Fault("OSError", "who knows")


@amends.step(name="instance.pay")
async def pay(number: int = 0) -> None: ...


@pay.compensation
async def refund(result: None, number: int) -> None: ...


@amends.saga(name="instance.sleeping")
async def sleeping() -> None:
    await asyncio.gather(asyncio.sleep(7), asyncio.sleep(5), asyncio.sleep(6))


@amends.saga(name="instance.many")
async def many() -> None:
    await asyncio.gather(*[pay(number) for number in range(6)])


@amends.saga(name="instance.hasty")
async def hasty() -> str:
    task = asyncio.create_task(_pays())
    await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        await pay(2)
    return "paid"


async def _pays() -> None:
    await pay(1)


@amends.saga(name="instance.pivoting")
async def pivoting() -> None:
    await amends.pivot()
    await pay()


@amends.saga(name="instance.typed")
async def typed(number: int) -> None:
    await pay(number)


def with_deadline(saga: Any, deadline: float) -> Life:
    life = Life(saga)
    life.live.ledger.deadline = deadline
    return life


def test_what_is_due_comes_in_the_order_in_which_it_was_due() -> None:
    live = Life(sleeping).live
    dues = sorted((due, id) for id, due in live.ledger.timers.items())
    assert [due for due, _ in dues] == [106.0, 107.0, 108.0]
    assert live.next_wake == 106.0
    assert live.due(105.9) == []
    assert live.due(107.0) == [e.Fired(dues[0][1]), e.Fired(dues[1][1])]
    assert live.due(500.0) == [e.Fired(id) for _, id in dues]


def test_nothing_wakes_what_only_waits_for_others() -> None:
    live = Life(many).live
    assert live.next_wake is None
    assert live.due(1e9) == []


def test_a_deadline_is_due_until_its_cancel_came_or_the_pivot_is_passed() -> None:
    live = with_deadline(many, 150.0).live
    assert live.next_wake == 150.0
    assert (live.due(149.9), live.due(150.0)) == ([], [OVERDUE])
    cancelled = with_deadline(many, 150.0)
    cancelled.tell(CANCEL)
    assert (cancelled.live.next_wake, cancelled.live.due(150.0)) == (None, [])
    pivoted = with_deadline(pivoting, 150.0)
    assert (pivoted.live.next_wake, pivoted.live.due(150.0)) == (None, [])
    asking = Life(pivoting, parent="above")
    asking.live.ledger.deadline = 150.0
    assert asking.live.due(150.0) == [OVERDUE]
    asking.tell(OVERDUE)  # it is heeded only if the pivot is refused, and is not due again meanwhile
    assert asking.live.ledger.asking
    assert (asking.live.next_wake, asking.live.due(1e9)) == (None, [])
    asleep = with_deadline(sleeping, 106.5).live
    assert asleep.next_wake == 106.0
    assert [type(event) for event in asleep.due(106.5)] == [e.Fired, e.CancelRequested]


def test_what_has_ended_is_never_due() -> None:
    life = with_deadline(many, 150.0)
    life.tell(e.TerminateRequested("why"))
    assert (life.live.next_wake, life.live.due(1e9)) == (None, [])


def test_what_it_is_busy_with_is_named_five_at_most() -> None:
    life = Life(many)
    first, second, *_ = all_of_them = list(life.live.ledger.actions)
    assert life.live.busy_with() == [f"instance.pay ({id})" for id in all_of_them[:5]]
    assert life.live.busy_with(but=first) == [f"instance.pay ({id})" for id in all_of_them[1:]]
    life.tell(e.Completed(second, e.NULL))
    assert life.live.busy_with(but=first) == [f"instance.pay ({id})" for id in all_of_them[2:]]


def test_what_is_cancelled_in_the_row_that_issued_it_is_struck_from_it() -> None:
    life = Life(hasty)
    commands = e.decode_commands(life.rows[0].commands)
    (action,) = life.live.ledger.actions.values()
    struck = [c.id for c in commands if isinstance(c, e.Withdrawn)]
    assert len(struck) == 1
    assert [c.id for c in commands if isinstance(c, e.RunStep)] == [action.id]
    assert bytes(action.args) == b'{"number":2}'
    life.tell(e.Completed(action.id, e.NULL))
    assert life.live.ledger.status == life.replayed().ledger.status == "completed"


def test_time_never_goes_back_and_the_last_row_is_known() -> None:
    life = Life(many)
    decision = life.live.activate([e.Signalled("other", e.NULL)], 5.0)
    assert decision.now == life.live.ledger.now == 101.0
    row = life.live.seal(decision)
    assert (row.position, life.live.position, life.live.checksum) == (1, 2, row.checksum)


def limited(rows: int) -> Instance:
    MADE.append(Instance("cd" * 16, "x", many.name, many.version, REGISTRY, Limits(rows=rows)))
    return MADE[-1]


def test_a_journal_grows_to_its_limit_and_no_further_unless_it_is_being_undone() -> None:
    live = limited(1)
    live.seal(live.activate([e.Started(e.Raw(b"{}"))], 100.0))
    decision = live.activate([e.Signalled("other", e.NULL)], 101.0)
    with pytest.raises(LimitExceeded) as exceeded:
        live.seal(decision)
    assert exceeded.value.message == "the journal has 1 rows, the limit is 1"
    assert exceeded.value.hint == "call amends.continue_as_new(…) from time to time, or raise Limits(rows=…)"
    assert live.position == 1
    live.abandon([CANCEL], "too long", 102.0)
    assert live.decision is not None
    assert live.seal(live.decision).position == 1


def test_arguments_that_no_longer_fit_are_a_divergence() -> None:
    with pytest.raises(Divergence) as diverged:
        Life(typed, b'{"number":"one"}')
    assert "number" in diverged.value.message
    assert diverged.value.hint


def test_discarded_it_has_no_code_any_more() -> None:
    life = Life(many)
    life.live.discard()
    assert life.live.dead
    assert life.live.program is None
    life.live.discard()
