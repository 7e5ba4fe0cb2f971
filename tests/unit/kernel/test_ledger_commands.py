"""What each command makes of the ledger: everything that changes, and nothing else."""

from __future__ import annotations

import pytest

from amends.kernel import entries as e
from amends.kernel.actions import OPEN, SUCCEEDED, UNDO_RESIDUE, UNDO_RUNNING, UNKNOWN
from amends.kernel.entries import NULL
from amends.kernel.phases import BACKWARD, FINISHED, RETURNED, UNWINDING
from tests.unit.kernel.ledgers import (
    CANCEL,
    FAULT,
    GONE,
    NOW,
    ROW,
    VALUE,
    Case,
    check,
    ledger,
    said,
    with_action,
)

OPENED = {
    "1.id": "1", "1.name": "pay", "1.args": VALUE, "1.undo": e.UNDO_STEP, "1.scope": "s", "1.position": ROW,
    "1.start": ROW + 0.5, "1.run": 2, "1.opened_at": NOW, "1.outcome": OPEN, "1.value": NULL, "1.hold": "",
    "1.attempts": 0, "1.tainted": False, "1.retry_at": 0.0, "1.interrupted": False, "1.key_suffix": "",
    "1.undo_state": "", "1.undo_attempts": 0, "1.undo_retry_at": 0.0, "1.undo_opened_at": 0.0,
    "actions": ["1"],
}  # fmt: skip
NOBODY_WAITS = {"timers": "{}", "awaited": "{}"}

ISSUED: dict[str, Case] = {
    "a step": (
        lambda: ledger(run=2),
        e.RunStep("1", "pay", VALUE, e.UNDO_STEP, "s"),
        {**OPENED, "1.kind": "step", "1.uid": "", "1.version": ""},
    ),
    "a child": (
        lambda: ledger(run=2),
        e.StartChild("1", "pay", "v2", VALUE, "uid", "s"),
        {**OPENED, "1.kind": "child", "1.uid": "uid", "1.version": "v2"},
    ),
    "a compensation of its own": (
        lambda: ledger(run=2),
        e.UndoWith("1", "pay", VALUE, "s"),
        {
            **OPENED,
            "1.kind": "adhoc",
            "1.uid": "",
            "1.version": "",
            "1.start": ROW + 1e-7,
            "1.end": ROW + 1e-7,
            "1.outcome": SUCCEEDED,
            "_instants": "1",
        },
    ),
    "a timer": (lambda: ledger(), e.StartTimer("2", 5.0), {"timers": "{'2': 5.0}"}),
    "no timer": (
        lambda: ledger(timers={"2": 5.0}, awaited={"3": "go"}),
        e.CancelTimer("2"),
        {"timers": "{}"},
    ),
    "no timer any more": (lambda: ledger(), e.CancelTimer("2"), {}),
    "wait for a signal": (lambda: ledger(), e.AwaitSignal("3", "go"), {"awaited": "{'3': 'go'}"}),
    "wait no longer": (
        lambda: ledger(timers={"2": 5.0}, awaited={"3": "go"}),
        e.StopAwait("3"),
        {"awaited": "{}"},
    ),
    "wait no longer for what came": (lambda: ledger(), e.StopAwait("3"), {}),
    "interrupt": (lambda: with_action(), e.Interrupt("1"), {"1.interrupted": True}),
    "interrupt what ended": (lambda: ledger(), e.Interrupt("1"), {}),
    "interrupt what is held and may have had an effect": (
        lambda: with_action(hold="ask", tainted=True),
        e.Interrupt("1"),
        {"1.interrupted": True, "1.hold": "", "1.outcome": UNKNOWN, "1.end": ROW, "parked": []},
    ),
    "interrupt what is held and had none": (
        lambda: with_action(hold="arguments"),
        e.Interrupt("1"),
        {**GONE, "parked": []},
    ),
    "undo": (
        lambda: with_action(outcome=SUCCEEDED, end=4),
        e.Undo("1"),
        {"1.undo_state": UNDO_RUNNING, "1.undo_opened_at": NOW},
    ),
    "undo what cannot be": (
        lambda: with_action(outcome=SUCCEEDED, end=4, undo=e.UNDO_IRREVERSIBLE),
        e.Undo("1"),
        {"1.undo_state": UNDO_RESIDUE, "residue": repr([e.Residue("1", "pay", "irreversible")])},
    ),
    "the pivot": (lambda: ledger(cancel=CANCEL), e.Pivot("2"), {"pivoted": True, "cancel": "None"}),
    "ask for the pivot": (lambda: ledger(), e.AskPivot("2"), {"asking": "2"}),
    "answer a child": (lambda: ledger(asked_by=["1", "2"]), e.AnswerPivot("1"), {"asked_by": "['2']"}),
    "answer a child twice": (lambda: ledger(asked_by=["2"]), e.AnswerPivot("1"), {}),
    "a patch": (lambda: ledger(), e.Patch("new"), {"patches": "{'new'}"}),
    "return": (lambda: ledger(), e.Return(VALUE), {"phase": RETURNED, "value": said(VALUE)}),
    "unwind": (
        lambda: ledger(),
        e.Unwind("failed", FAULT),
        {"phase": UNWINDING, "cause": "failed", "fault": repr(FAULT)},
    ),
    "go backward": (
        lambda: ledger(next_args=VALUE, timers={"2": 5.0}, awaited={"3": "go"}),
        e.Backward(),
        {"phase": BACKWARD, "next_args": "None", **NOBODY_WAITS},
    ),
    "go backward with an open step": (
        lambda: with_action(hold="ask"),
        e.Backward(),
        {"phase": BACKWARD, "1.outcome": UNKNOWN, "1.end": ROW, "1.hold": "", "parked": []},
    ),
    "go backward with an open child": (lambda: with_action(kind="child"), e.Backward(), {"phase": BACKWARD}),
    "continue as new": (
        lambda: ledger(timers={"2": 5.0}, awaited={"3": "go"}),
        e.ContinueAsNew(VALUE),
        {"next_args": said(VALUE), **NOBODY_WAITS},
    ),
    "finish": (
        lambda: ledger(timers={"2": 5.0}, awaited={"3": "go"}),
        e.Finish("completed"),
        {"phase": FINISHED, "status": "completed", **NOBODY_WAITS},
    ),
    "what only shows in the history": (lambda: ledger(), e.EnterScope("s1"), {}),
}


@pytest.mark.parametrize("case", ISSUED)
def test_what_an_execution_does(case: str) -> None:
    check(*ISSUED[case])


def test_two_compensations_of_one_row_are_ordered_by_their_creation() -> None:
    of = ledger()
    of.issue(e.UndoWith("1", "pay", NULL), ROW)
    of.issue(e.UndoWith("2", "pay", NULL), ROW)
    first, second = of.actions.values()
    assert ROW < first.start == first.end < second.start == second.end < ROW + 0.5
