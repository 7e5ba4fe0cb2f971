"""What the saga no longer waits for is settled before it hears of it, and what is parked holds up nobody."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import amends
from amends.kernel import entries as e
from amends.kernel.entries import Raw
from tests.unit.kernel.lives import Life

FAULT = e.Fault("OSError", "who knows")
CANCEL = e.CancelRequested("enough")


@amends.step(name="settling.pay")
async def pay() -> None: ...


@pay.compensation
async def refund(result: None) -> None: ...


@amends.saga(name="settling.nested")
async def nested() -> None: ...


@amends.saga(name="settling.in_time")
async def in_time() -> str:
    try:
        await asyncio.wait_for(pay(), 5)
    except TimeoutError:
        return "late"
    return "in time"


@amends.saga(name="settling.child_in_time")
async def child_in_time() -> str:
    try:
        await asyncio.wait_for(nested(), 5)
    except TimeoutError:
        return "late"
    return "in time"


@amends.saga(name="settling.two")
async def two() -> None:
    await pay()
    await nested()


@amends.saga(name="settling.asking")
async def asking() -> str:
    try:
        await amends.pivot()
    except amends.PivotRefused:
        await pay()
        return "without"
    await pay()
    return "with"


def undone(life: Life) -> list[str]:
    return [c.id for c in e.decode_commands(life.rows[-1].commands) if isinstance(c, e.Undo)]


def late(saga: Any) -> tuple[Life, str]:
    """Its time is up while its action is open."""
    life = Life(saga)
    (action,) = life.live.ledger.actions
    (timer,) = life.live.ledger.timers
    decision = life.decide(e.Fired(timer), later=5)
    assert [a.id for a in decision.interrupt] == [action]
    assert life.live.ledger.status == "", "what becomes of the action is not known yet"
    return life, action


LATE: list[tuple[Any, Any]] = [
    (in_time, lambda id: e.Completed(id, e.NULL)),
    (in_time, lambda id: e.Failed(id, FAULT, "unknown")),
    (child_in_time, lambda id: e.ChildEnded(id, "completed")),
]


@pytest.mark.parametrize(("saga", "ended"), LATE)
def test_what_ends_after_its_time_is_undone_before_the_saga_hears_of_it(saga: Any, ended: Any) -> None:
    life, action = late(saga)
    life.tell(ended(action))
    assert undone(life) == [action]
    assert life.live.ledger.status == ""
    life.tell(e.ChildEnded(action, "compensated") if saga is child_in_time else e.Undone(action))
    assert (life.live.ledger.status, bytes(life.live.ledger.value)) == ("completed", b'"late"')
    assert life.replayed().ledger.value == life.folded().ledger.value == Raw(b'"late"')


@pytest.mark.parametrize("saga", [in_time, child_in_time])
def test_what_certainly_did_nothing_needs_no_undo(saga: Any) -> None:
    life, action = late(saga)
    life.tell(
        e.ChildEnded(action, "compensated") if saga is child_in_time else e.Failed(action, FAULT, "rejected")
    )
    assert undone(life) == []
    assert (life.live.ledger.status, bytes(life.live.ledger.value)) == ("completed", b'"late"')


def test_a_parked_settlement_holds_up_nobody_once_everything_is_undone() -> None:
    life, action = late(in_time)
    life.tell(e.Completed(action, e.NULL))
    life.tell(e.UndoFailed(action, FAULT))
    assert life.live.ledger.status == "", "a person may still settle it"
    assert life.live.program is not None
    life.tell(CANCEL)
    assert life.live.program is None, "the code has ended"
    assert life.live.ledger.phase == "backward"
    life.tell(e.Skipped("leave it", action))
    assert life.live.ledger.status == "partially_compensated"


def test_a_settlement_that_is_parked_while_everything_is_undone_holds_up_nobody_either() -> None:
    life, action = late(in_time)
    life.tell(e.Completed(action, e.NULL))
    life.tell(CANCEL)
    assert life.live.program is not None, "the settlement runs, and the code waits for it"
    life.tell(e.UndoFailed(action, FAULT))
    assert life.live.program is None
    assert life.live.ledger.phase == "backward"


def test_what_came_before_an_open_child_waits_until_that_has_ended() -> None:
    for abandoned in (False, True):
        life = Life(two)
        (first,) = life.live.ledger.actions
        life.tell(e.Completed(first, e.NULL))
        _, child = life.live.ledger.actions
        if abandoned:
            decision = life.live.abandon([CANCEL], "its code is gone", life.now)
            life.rows.append(life.live.seal(decision))
            assert [a.id for a in decision.interrupt] == [child]
        else:
            life.tell(CANCEL)
        assert undone(life) == []
        life.tell(e.ChildEnded(child, "compensated"))
        assert undone(life) == [first]
        life.tell(e.Undone(first))
        assert life.live.ledger.status == life.folded().ledger.status == "compensated"


def test_a_cancel_waits_for_the_answer_about_the_pivot() -> None:
    for refusal, status in (("busy", "compensated"), ("", "")):
        life = _asked()
        life.tell(CANCEL)
        assert life.live.ledger.phase == "forward"
        life.tell(e.PivotAnswered(refusal))
        assert life.live.ledger.status == status
        assert life.live.ledger.pivoted is not bool(refusal)


def test_a_refused_pivot_is_told_to_the_code_which_may_go_on() -> None:
    for refusal, value in (("busy", b'"without"'), ("", b'"with"')):
        life = _asked()
        life.tell(e.PivotAnswered(refusal))
        (action,) = life.live.ledger.actions
        life.tell(e.Completed(action, e.NULL))
        assert (life.live.ledger.status, bytes(life.live.ledger.value)) == ("completed", value)


def _asked() -> Life:
    """A nested saga that has asked whether it may pass its pivot."""
    life = Life(asking, parent="above")
    assert [type(c) for c in e.decode_commands(life.rows[-1].commands)] == [e.AskPivot]
    return life


@pytest.mark.parametrize(
    "event",
    [
        e.Completed("9", e.NULL),
        e.Failed("9", FAULT, "unknown"),
        e.AttemptFailed("9", 1, FAULT, True, 500.0),
        e.ChildEnded("9", "completed"),
        e.Undone("9"),
        e.UndoFailed("9", FAULT),
        e.UndoAttemptFailed("9", 1, FAULT, 500.0),
        e.Retried("9"),
        e.Skipped("why", "9"),
        e.Resolved("why", id="9"),
    ],
)
def test_what_is_told_of_an_action_that_is_gone_leads_to_nothing(event: e.Event) -> None:
    life = Life(in_time)
    decision = life.decide(event)
    assert (decision.commands, decision.run, decision.undo, decision.interrupt) == ([], [], [], [])
