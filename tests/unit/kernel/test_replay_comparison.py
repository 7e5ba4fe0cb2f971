"""What the code does, compared with what a row says: what counts as the same, what is adopted, what is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import amends
from amends.errors import Divergence
from amends.kernel import entries as e
from amends.kernel.entries import NULL, Raw
from tests.unit.kernel.lives import Life, instance


@amends.step(name="comparison.pay")
async def pay(cents: int, note: str = "none") -> int: ...  # type: ignore[empty-body]


@pay.compensation
async def refund(result: int, cents: int, note: str) -> None: ...


@amends.saga(name="comparison.nested")
async def nested(cents: int, note: str = "none") -> None: ...


@amends.saga(name="comparison.paying")
async def paying() -> int:
    return await pay(5)


@amends.saga(name="comparison.parent")
async def parent() -> None:
    await nested(5)


@amends.saga(name="comparison.again")
async def again(round: int = 1, note: str = "none") -> None:
    await amends.continue_as_new(round + 1)


@amends.saga(name="comparison.by_hand")
async def by_hand() -> None:
    amends.undo_with(refund_by_hand, 5)
    await pay(5)


@amends.step(name="comparison.by_hand.refund")
async def refund_by_hand(cents: int, note: str = "none") -> None: ...


@amends.saga(name="comparison.failing")
async def failing() -> None:
    raise OSError("today's text")


@amends.saga(name="comparison.leaving")
async def leaving() -> int:
    task = asyncio.create_task(paying_later())
    await pay(1)
    return 7 if not task.done() else 0


async def paying_later() -> None:
    await pay(5)


Change = Callable[[list[Any]], list[Any]]


def told(saga: Any, *events: e.Event) -> Life:
    life = Life(saga)
    for event in events:
        life.tell(event)
    return life


def loaded(life: Life, change: Change, row: int = -1) -> Any:
    """Replayed from a journal in which the commands of one row (the last) are others."""
    rows: list[e.Row] = []
    checksum, chosen = 0, life.rows[row].position
    for each in life.rows:
        commands = e.decode_commands(each.commands)
        if each.position == chosen:
            commands = change(commands)
        rows.append(e.seal(each.position, each.now, e.decode_events(each.events), commands, checksum))
        checksum = rows[-1].checksum
    other = instance(life.saga)
    other.load(rows)
    return other


def shown(life: Life, change: Change) -> tuple[str, str]:
    """What the divergence shows of the journal, and of the code."""
    with pytest.raises(Divergence) as caught:
        loaded(life, change)
    first, journal, code = caught.value.message.splitlines()
    row = life.rows[-1].position
    assert first == f"the code of {life.saga.name} no longer does what journal row {row} says"
    assert caught.value.hint == (
        "deploy the earlier code, or guard the change with amends.patched(…), then retry; "
        "cancel undoes the execution from its journal alone"
    )
    return journal.removeprefix("    journal:  "), code.removeprefix("    code:     ")


RUN = '["run","1","comparison.pay",{"cents":5,"note":"none"},1,""]'


def test_a_command_that_the_journal_does_not_have() -> None:
    assert shown(told(paying), lambda _: []) == ("(nothing)", RUN)


def test_a_command_that_the_code_does_not_issue() -> None:
    more = e.RunStep("2", "comparison.pay", Raw(b"{}"))
    assert shown(told(paying), lambda c: [*c, more]) == ('["run","2","comparison.pay",{},0,""]', "(nothing)")


def test_shown_is_what_the_journal_has_in_its_place() -> None:
    """By its id if there is one, else the first for which the code has shown nothing yet."""
    timers = [e.StartTimer("7", 1.0), e.StartTimer("1", 2.0)]
    assert shown(told(paying), lambda _: timers) == ('["timer","1",2.0]', RUN)
    assert shown(told(paying), lambda _: timers[:1]) == ('["timer","7",1.0]', RUN)


OTHER_STEP = e.RunStep("1", "comparison.by_hand.refund", Raw(b'{"cents":5,"note":"none"}'), e.UNDO_STEP)
OTHER_SCOPE = e.RunStep("1", "comparison.pay", Raw(b'{"cents":5,"note":"none"}'), e.UNDO_STEP, "s")
OTHER_ARGUMENT = e.RunStep("1", "comparison.pay", Raw(b'{"cents":6,"note":"none"}'), e.UNDO_STEP)
UNREADABLE = e.RunStep("1", "comparison.pay", Raw(b'{"cents":"six"}'), e.UNDO_STEP)


@pytest.mark.parametrize("other", [OTHER_STEP, OTHER_SCOPE, OTHER_ARGUMENT, UNREADABLE])
def test_a_step_that_is_another(other: e.RunStep) -> None:
    assert shown(told(paying), lambda _: [other])[1] == RUN


def test_a_step_that_is_the_same_with_todays_annotations_keeps_the_arguments_and_the_undo_of_the_journal() -> (
    None
):
    older = e.RunStep("1", "comparison.pay", Raw(b'{"cents":5}'), e.UNDO_NONE)
    action = loaded(told(paying), lambda _: [older]).ledger.actions["1"]
    assert (bytes(action.args), action.undo) == (b'{"cents":5}', e.UNDO_NONE)


def test_a_child_is_the_same_by_saga_id_and_arguments() -> None:
    life = told(parent)
    (child,) = e.decode_commands(life.rows[-1].commands)

    def other(**fields: Any) -> Change:
        names = ("id", "saga", "version", "args", "uid", "scope", "deadline")
        return lambda _: [e.StartChild(**{**{name: getattr(child, name) for name in names}, **fields})]

    older = loaded(life, other(args=Raw(b'{"cents":5}'))).ledger.actions[child.id]
    assert bytes(older.args) == b'{"cents":5}'
    for change in (other(args=Raw(b'{"cents":6}')), other(uid="another"), other(saga="comparison.parent")):
        with pytest.raises(Divergence):
            loaded(life, change)


def test_a_compensation_of_ones_own_keeps_the_arguments_of_the_journal() -> None:
    life = told(by_hand)

    def with_args(args: bytes) -> Change:
        return lambda c: [e.UndoWith(c[0].id, c[0].step, Raw(args), c[0].scope), *c[1:]]

    older = loaded(life, with_args(b'{"cents":5}'))
    assert [bytes(a.args) for a in older.ledger.actions.values() if a.kind == "adhoc"] == [b'{"cents":5}']
    with pytest.raises(Divergence):
        loaded(life, with_args(b'{"cents":6}'))


def test_the_next_run_has_the_arguments_of_the_journal() -> None:
    life = told(again)
    older = loaded(life, lambda _: [e.ContinueAsNew(Raw(b'{"round":2}'))])
    assert bytes(older.ledger.next_args) == b'{"round":2}'
    with pytest.raises(Divergence):
        loaded(life, lambda _: [e.ContinueAsNew(Raw(b'{"round":3}'))])


def test_a_return_value_is_the_journals() -> None:
    life = told(paying, e.Completed("1", Raw(b"5")))
    seen = []

    def change(commands: list[Any]) -> list[Any]:
        seen.extend(commands)
        return [e.Return(Raw(b"6")), *commands[1:]]

    assert bytes(life.live.ledger.value) == b"5"
    assert bytes(loaded(life, change).ledger.value) == b"6"
    assert [type(command) for command in seen] == [e.Return, e.Finish]


def test_while_the_rest_of_it_settles_the_return_value_is_the_journals_as_well() -> None:
    """Then the row is replayed, not folded: the execution has not ended."""
    life = Life(leaving)
    body, later = life.wrote(e.RunStep)
    life.tell(e.Completed(body.id, Raw(b"1")))
    assert life.wrote() == [e.Return(Raw(b"7")), e.Interrupt(later.id)]
    assert bytes(life.live.ledger.value) == b"7"
    other = loaded(life, lambda commands: [e.Return(Raw(b"8")), *commands[1:]])
    assert bytes(other.ledger.value) == b"8"
    assert other.ledger.actions[later.id].interrupted


def test_a_step_that_differs_in_its_undo_alone_is_the_same_and_keeps_it() -> None:
    life = told(paying)
    (mine,) = e.decode_commands(life.rows[-1].commands)
    other = loaded(life, lambda _: [e.RunStep("1", "comparison.pay", mine.args, e.UNDO_IRREVERSIBLE)])
    assert other.ledger.actions["1"].undo == e.UNDO_IRREVERSIBLE


def test_shown_may_be_what_has_no_id() -> None:
    assert shown(told(paying), lambda _: [e.Patch("earlier")]) == ('["patched","earlier"]', RUN)


def test_rows_of_an_earlier_run_are_not_compared_with_todays_code() -> None:
    life = told(again, e.Started(Raw(b'{"round":2,"note":"none"}'), 1, python="3.11"))
    assert life.live.ledger.run == 1
    other = loaded(life, lambda commands: [e.Patch("of an earlier release"), *commands], row=0)
    assert other.ledger.run == 1


def test_why_it_failed_may_be_told_otherwise_but_not_whether() -> None:
    life = told(failing)
    first = e.decode_commands(life.rows[-1].commands)[0]
    assert isinstance(first, e.Unwind)
    loaded(life, lambda c: [e.Unwind("failed", e.Fault("OSError", "an earlier text")), *c[1:]])


def test_a_journal_longer_than_what_is_shown_is_cut() -> None:
    long = e.RunStep("1", "comparison.pay", Raw(b'{"cents":5,"note":"' + b"x" * 600 + b'"}'), e.UNDO_STEP)
    assert len(shown(told(paying), lambda _: [long])[0]) == 500


def test_of_a_row_and_its_checksum_both_must_fit() -> None:
    life = told(paying, e.AttemptFailed("1", 1, e.Fault("OSError", "no"), False, 5.0))
    assert bytes(life.live.ledger.value) == bytes(NULL)
    for rows in (life.rows[1:], [life.rows[0], life.rows[0]]):
        with pytest.raises(amends.AmendsError):
            instance(paying).load(rows)
