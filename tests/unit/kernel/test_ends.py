"""How executions end, and what a parent answers a child that wants to pass its pivot: row by row."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import amends
from amends.errors import Parked, Refused, Stuck
from amends.kernel import entries as e
from tests.unit.kernel.lives import Life

CANCEL = e.CancelRequested("enough")
FAULT = e.Fault("OSError", "who knows")


@amends.step(name="ends.pay")
async def pay() -> None: ...


@pay.compensation
async def refund(result: None) -> None: ...


@amends.saga(name="ends.nested")
async def nested() -> None: ...


@amends.saga(name="ends.paying")
async def paying() -> None:
    await pay()
    await pay()


@amends.saga(name="ends.after_the_pivot")
async def after_the_pivot() -> None:
    await amends.pivot()
    await pay()
    raise OSError("no")


@amends.saga(name="ends.again")
async def again(round: int = 1) -> None:
    if round == 1:
        await pay()
        await amends.continue_as_new(2)


@amends.saga(name="ends.unwritable")
async def unwritable() -> Any:
    await pay()
    return object()


@amends.saga(name="ends.waits_for_nothing")
async def waits_for_nothing() -> None:
    await asyncio.get_running_loop().create_future()


@amends.saga(name="ends.parent")
async def parent() -> None:
    await nested()


@amends.saga(name="ends.two_children")
async def two_children() -> None:
    await asyncio.gather(nested(), nested())


@amends.saga(name="ends.pivoted_parent")
async def pivoted_parent() -> None:
    await amends.pivot()
    await nested()


def commands(life: Life) -> list[Any]:
    return e.decode_commands(life.rows[-1].commands)


def ids(actions: list[Any]) -> list[str]:
    return [action.id for action in actions]


# ---------------------------------------------------------------- terminated


def test_terminated_what_runs_is_stopped_and_nothing_is_undone() -> None:
    life = Life(paying)
    life.tell(e.Completed("1", e.NULL))
    decision = life.decide(e.TerminateRequested("why"))
    assert (ids(decision.interrupt), decision.run, decision.undo) == (["2"], [], [])
    assert decision.finished == life.live.ledger.cause == "terminated"
    assert life.folded().ledger.cause == "terminated", "as the journal has it"
    assert commands(life) == [e.Finish("terminated")]
    assert life.live.program is None


def test_terminated_in_the_row_that_would_have_run_or_undone_something() -> None:
    life = Life(paying)
    decision = life.decide(e.Completed("1", e.NULL), e.TerminateRequested("why"))
    assert (ids(decision.interrupt), decision.run) == (["2"], [])
    undoing = Life(paying)
    undoing.tell(e.Completed("1", e.NULL))
    undoing.tell(CANCEL)
    decision = undoing.decide(e.Failed("2", FAULT, "rejected"), e.TerminateRequested("why"))
    assert (decision.undo, decision.finished) == ([], "terminated")


def test_terminated_a_child_that_asks_is_told() -> None:
    life = Life(parent, parent="above")
    (child,) = life.live.ledger.actions
    life.tell(e.PivotRequested(child))
    assert commands(life) == [e.AskPivot("child")]
    life.tell(e.TerminateRequested("why"))
    assert commands(life) == [e.AnswerPivot(child, "the parent was terminated"), e.Finish("terminated")]


def test_what_has_ended_is_not_terminated_again() -> None:
    life = Life(paying)
    life.tell(e.Failed("1", FAULT, "rejected"))
    assert life.live.ledger.status == "compensated"
    assert life.decide(e.TerminateRequested("why")).finished == ""
    assert life.live.ledger.status == "compensated"


# ---------------------------------------------------------------- the body's end


def test_after_the_pivot_a_failing_body_waits_for_better_code() -> None:
    life = Life(after_the_pivot)
    (action,) = life.live.ledger.actions
    with pytest.raises(Parked) as parked:
        life.tell(e.Completed(action, e.NULL))
    assert parked.value.message == "the body failed after the pivot: OSError: no"
    assert parked.value.hint == "deploy code that completes from here, then retry; or terminate"
    assert isinstance(parked.value.__cause__, OSError)


def test_a_run_ends_with_the_arguments_of_the_next() -> None:
    life = Life(again)
    decision = life.decide(e.Completed("1", e.NULL))
    assert bytes(decision.next_args) == b'{"round":2}'
    assert life.live.program is None
    assert [bytes(c.args) for c in commands(life) if isinstance(c, e.ContinueAsNew)] == [b'{"round":2}']
    assert decision.finished == ""
    life.tell(e.Started(decision.next_args, 1, "3.11"))
    assert life.live.ledger.status == "completed"


def test_a_result_that_cannot_be_written_is_the_bodys_failure() -> None:
    life = Life(unwritable)
    life.tell(e.Completed("1", e.NULL))
    unwind = commands(life)[0]
    assert (type(unwind), unwind.cause, unwind.fault.type) == (e.Unwind, "failed", "PayloadError")
    assert "result of ends.unwritable" in unwind.fault.message


@pytest.mark.parametrize("cause", ["cancelled", "deadline"])
def test_a_cancelled_body_unwinds_for_the_reason_of_the_request(cause: str) -> None:
    life = Life(paying)
    life.tell(e.CancelRequested("enough", cause))
    life.tell(e.Failed("1", FAULT, "rejected"))
    assert commands(life)[0] == e.Unwind(cause, e.Fault("Cancelled", "enough"))
    assert life.live.ledger.status == "compensated"


def test_code_that_waits_for_nothing_is_not_left_to_sleep() -> None:
    with pytest.raises(Stuck) as stuck:
        Life(waits_for_nothing)
    assert stuck.value.message == (
        "the saga waits for something that no step, timer, signal or child of it can deliver"
    )
    assert stuck.value.hint == "look for a future, lock, queue or event that is never set"


# ---------------------------------------------------------------- abandoned


def abandoned(life: Life, *requests: e.Event, now: float = 0.0) -> Any:
    decision = life.live.abandon(requests, "its code is gone", now)
    life.rows.append(life.live.seal(decision))
    return decision


def test_abandoned_what_is_open_counts_as_unknown_and_is_undone() -> None:
    life = Life(paying)
    life.tell(e.Completed("1", e.NULL))
    decision = abandoned(life, CANCEL)
    assert decision.now == life.now, "time does not go back"
    assert decision.events == [CANCEL]
    assert ids(decision.interrupt) == ["2"]
    assert ids(decision.undo) == ["2"]
    why = e.Fault("Cancelled", "enough (undone from the journal: its code is gone)")
    assert commands(life) == [e.Unwind("cancelled", why), e.Backward(), e.Undo("2")]
    life.tell(e.Undone("2"))
    life.tell(e.Undone("1"))
    assert life.live.ledger.status == life.folded().ledger.status == "compensated"


def test_abandoned_later_is_later() -> None:
    assert abandoned(Life(paying), CANCEL, now=5_000.0).now == 5_000.0


def test_abandoned_a_request_that_an_earlier_row_keeps_counts() -> None:
    life = Life(paying)
    life.keep(CANCEL)
    assert abandoned(life).commands[0].cause == "cancelled"
    assert life.live.deferred == []


def test_abandoned_what_is_being_undone_already_goes_on() -> None:
    life = Life(paying)
    life.tell(e.Completed("1", e.NULL))
    life.tell(CANCEL)
    life.tell(e.Failed("2", FAULT, "unknown"))
    assert ids(life.live.ledger.owed()) == ["1", "2"]
    decision = abandoned(life)
    assert [type(command) for command in commands(life)] == [e.Unwind, e.Backward]
    assert (ids(decision.undo), decision.interrupt) == (["2"], [])


def test_abandoned_a_child_is_told_once() -> None:
    life = Life(parent)
    (child,) = life.live.ledger.actions
    decision = abandoned(life, CANCEL)
    assert e.Interrupt(child) in commands(life)
    assert ids(decision.interrupt) == [child]
    again = Life(parent)
    again.tell(CANCEL)
    assert e.Interrupt(child) in commands(again)
    abandoned(again)
    assert e.Interrupt(child) not in commands(again)


def test_abandoned_and_terminated_nothing_is_undone() -> None:
    life = Life(paying)
    decision = abandoned(life, e.TerminateRequested("why"))
    assert (decision.finished, decision.undo, ids(decision.interrupt)) == ("terminated", [], ["1"])


def test_after_the_pivot_or_without_a_request_nothing_is_abandoned() -> None:
    asking = Life(parent, parent="above")
    asking.tell(e.PivotRequested(*asking.live.ledger.actions))
    for life, requests in ((Life(after_the_pivot), (CANCEL,)), (Life(paying), ()), (asking, (CANCEL,))):
        with pytest.raises(Refused) as refused:
            abandoned(life, *requests)
        assert refused.value.message == "after the pivot (or while it is asked for) nothing is undone"
        assert refused.value.hint == "deploy code that completes from here, or terminate"


# ---------------------------------------------------------------- the pivots of children


def asked(saga: Any, *events: e.Event, above: str = "") -> tuple[list[Any], list[str]]:
    """What is answered when its first child asks, and the ids of its children."""
    life = Life(saga, parent=above)
    children = list(life.live.ledger.actions)
    for event in events:
        life.tell(event)
    life.tell(e.PivotRequested(children[0]))
    return commands(life), children


def test_a_child_passes_its_pivot_only_with_all_above_it() -> None:
    found, (child,) = asked(parent)
    assert found == [e.Pivot("child"), e.AnswerPivot(child)]
    found, (child,) = asked(pivoted_parent)
    assert found == [e.AnswerPivot(child)]
    found, (child,) = asked(parent, above="above")
    assert found == [e.AskPivot("child")]


def test_a_child_is_refused_while_others_are_in_flight() -> None:
    found, (child, other) = asked(two_children)
    assert found == [e.AnswerPivot(child, f"the parent has ends.nested ({other}) in flight")]


def test_a_child_is_refused_while_its_parent_is_undone() -> None:
    found, (child,) = asked(parent, CANCEL)
    assert found == [e.AnswerPivot(child, "the parent is being undone")]


def test_the_answer_from_above_is_handed_down() -> None:
    for refusal in ("busy", ""):
        life = Life(parent, parent="above")
        (child,) = life.live.ledger.actions
        life.tell(e.PivotRequested(child))
        life.tell(e.PivotAnswered(refusal))
        assert commands(life) == [e.AnswerPivot(child, refusal)]
        assert life.live.ledger.pivoted is not bool(refusal)
