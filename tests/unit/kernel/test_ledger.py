"""What each event makes of the ledger: everything that changes, and nothing else."""

from __future__ import annotations

import pytest

from amends.kernel import entries as e
from amends.kernel.actions import (
    REJECTED,
    SUCCEEDED,
    UNDO_DONE,
    UNDO_PARKED,
    UNDO_RESIDUE,
    UNDO_RUNNING,
    UNKNOWN,
)
from amends.kernel.entries import NULL, Raw
from amends.kernel.phases import BACKWARD, FINISHED, FORWARD, RETURNED
from tests.unit.kernel.ledgers import (
    CANCEL,
    FAULT,
    GONE,
    NOW,
    ROW,
    VALUE,
    Case,
    changed,
    check,
    ledger,
    said,
    with_action,
)

LEFT = e.Residue("7", "child's", "left over")
UNDOING = {"outcome": SUCCEEDED, "end": 4, "undo_state": UNDO_RUNNING}
PARKED = {"outcome": SUCCEEDED, "end": 4, "undo_state": UNDO_PARKED}

ENDED: dict[str, Case] = {
    "completed": (
        lambda: with_action(fault=FAULT),
        e.Completed("1", VALUE),
        {"1.outcome": SUCCEEDED, "1.value": VALUE, "1.end": ROW, "1.fault": None},
    ),
    "completed though held": (
        lambda: with_action(hold="ask"),
        e.Completed("1", VALUE),
        {"1.outcome": SUCCEEDED, "1.value": VALUE, "1.end": ROW, "1.hold": "", "parked": []},
    ),
    "completed, nothing to undo": (lambda: with_action(undo=e.UNDO_NONE), e.Completed("1", VALUE), GONE),
    "completed too late": (lambda: with_action(outcome=UNKNOWN), e.Completed("1", VALUE), {}),
    "rejected": (lambda: with_action(), e.Failed("1", FAULT, REJECTED), GONE),
    "unknown": (
        lambda: with_action(),
        e.Failed("1", FAULT, UNKNOWN),
        {"1.outcome": UNKNOWN, "1.end": ROW, "1.fault": FAULT, "1.tainted": True},
    ),
    "unknown, nothing to undo": (lambda: with_action(undo=e.UNDO_NONE), e.Failed("1", FAULT, UNKNOWN), GONE),
    "unknown, held": (
        lambda: with_action(),
        e.Failed("1", FAULT, UNKNOWN, "ask"),
        {"1.hold": "ask", "1.fault": FAULT, "1.tainted": True, "parked": ["1"]},
    ),
    "rejected, held": (
        lambda: with_action(tainted=True),
        e.Failed("1", FAULT, REJECTED, "arguments"),
        {"1.hold": "arguments", "1.fault": FAULT, "1.tainted": False, "parked": ["1"]},
    ),
    "unknown, no longer waited for": (
        lambda: with_action(interrupted=True),
        e.Failed("1", FAULT, UNKNOWN, "ask"),
        {"1.outcome": UNKNOWN, "1.end": ROW, "1.fault": FAULT, "1.tainted": True},
    ),
    "failed too late": (lambda: with_action(outcome=SUCCEEDED), e.Failed("1", FAULT, UNKNOWN), {}),
    "an attempt": (
        lambda: with_action(opened_at=100.0),
        e.AttemptFailed("1", 2, FAULT, True, 1500.0, 30.0),
        {
            "1.attempts": 2,
            "1.fault": FAULT,
            "1.tainted": True,
            "1.retry_at": 1500.0,
            "1.opened_at": 130.0,
        },
    ),
    "an attempt without effect after one with": (
        lambda: with_action(tainted=True),
        e.AttemptFailed("1", 2, FAULT, False, 1500.0),
        {"1.attempts": 2, "1.fault": FAULT, "1.retry_at": 1500.0},
    ),
    "an attempt too late": (
        lambda: with_action(outcome=UNKNOWN),
        e.AttemptFailed("1", 2, FAULT, True, 1500.0),
        {},
    ),
    "a child completed": (
        lambda: with_action(kind="child"),
        e.ChildEnded("1", "completed", VALUE),
        {"1.outcome": SUCCEEDED, "1.value": VALUE, "1.end": ROW},
    ),
    "a child compensated": (
        lambda: with_action(kind="child"),
        e.ChildEnded("1", "compensated", fault=FAULT, residue=[LEFT]),
        {**GONE, "residue": repr([LEFT])},
    ),
    "a child is undone": (
        lambda: with_action(kind="child", **UNDOING),
        e.ChildEnded("1", "compensated", residue=[LEFT]),
        {"1.undo_state": UNDO_DONE, "residue": repr([LEFT])},
    ),
    "a parked child is undone": (
        lambda: with_action(kind="child", **PARKED),
        e.ChildEnded("1", "compensated"),
        {"1.undo_state": UNDO_DONE, "parked": []},
    ),
    "a child tells again": (
        lambda: with_action(kind="child", outcome=SUCCEEDED, end=4),
        e.ChildEnded("1", "compensated", residue=[LEFT]),
        {},
    ),
}

UNDONE: dict[str, Case] = {
    "undone": (
        lambda: with_action(**UNDOING),
        e.Undone("1", [LEFT]),
        {"1.undo_state": UNDO_DONE, "residue": repr([LEFT])},
    ),
    "undone though parked": (
        lambda: with_action(**PARKED),
        e.Undone("1"),
        {"1.undo_state": UNDO_DONE, "parked": []},
    ),
    "undone twice": (
        lambda: with_action(**{**UNDOING, "undo_state": UNDO_RESIDUE}),
        e.Undone("1", [LEFT]),
        {},
    ),
    "an undo's attempt": (
        lambda: with_action(**UNDOING, undo_opened_at=100.0),
        e.UndoAttemptFailed("1", 2, FAULT, 1500.0, 30.0),
        {
            "1.undo_attempts": 2,
            "1.undo_fault": FAULT,
            "1.undo_retry_at": 1500.0,
            "1.undo_opened_at": 130.0,
        },
    ),
    "an undo fails": (
        lambda: with_action(**UNDOING, undo_attempts=4),
        e.UndoFailed("1", FAULT),
        {"1.undo_attempts": 5, "1.undo_fault": FAULT, "1.undo_state": UNDO_PARKED, "parked": ["1"]},
    ),
    "an undo fails that is not critical": (
        lambda: with_action(**UNDOING),
        e.UndoFailed("1", FAULT, critical=False),
        {
            "1.undo_attempts": 1,
            "1.undo_fault": FAULT,
            "1.undo_state": UNDO_RESIDUE,
            "residue": repr([e.Residue("1", "pay", "compensation failed: OSError: who knows")]),
        },
    ),
    "an undo fails too late": (
        lambda: with_action(**{**UNDOING, "undo_state": UNDO_DONE}),
        e.UndoFailed("1", FAULT),
        {},
    ),
}

ASKED: dict[str, Case] = {
    "retry what is held": (
        lambda: with_action(hold="ask", attempts=5, retry_at=7.0),
        e.Retried("1"),
        {"1.hold": "", "1.attempts": 0, "1.retry_at": 0.0, "parked": []},
    ),
    "retry with other arguments": (
        lambda: with_action(hold="arguments", attempts=1),
        e.Retried("1", args=VALUE),
        {"1.hold": "", "1.attempts": 0, "1.args": VALUE, "1.key_suffix": "+9", "parked": []},
    ),
    "retry what struggles": (
        lambda: with_action(attempts=5, retry_at=2000.0),
        e.Retried("1"),
        {"1.retry_at": 0.0},
    ),
    "retry a parked undo": (
        lambda: with_action(**PARKED, undo_attempts=5, undo_retry_at=7.0),
        e.Retried(),
        {
            "1.undo_state": UNDO_RUNNING,
            "1.undo_attempts": 0,
            "1.undo_retry_at": 0.0,
            "1.undo_opened_at": NOW,
            "parked": [],
        },
    ),
    "retry a struggling undo": (
        lambda: with_action(**UNDOING, undo_attempts=5, undo_retry_at=2000.0),
        e.Retried(),
        {"1.undo_retry_at": 0.0},
    ),
    "retry what needs nothing": (lambda: with_action(attempts=5), e.Retried("1"), {}),
    "skip what had no effect": (
        lambda: with_action(hold="arguments"),
        e.Skipped("why", "1", "ann"),
        {"1.hold": "", "1.outcome": SUCCEEDED, "1.end": ROW, "1.undo_state": UNDO_DONE, "parked": []},
    ),
    "skip what may have had an effect": (
        lambda: with_action(hold="ask", tainted=True),
        e.Skipped("why", "1", "ann"),
        {
            "1.hold": "",
            "1.outcome": SUCCEEDED,
            "1.end": ROW,
            "1.undo_state": UNDO_DONE,
            "parked": [],
            "residue": repr([e.Residue("1", "pay", "skipped by ann: why", by="ann")]),
        },
    ),
    "skip what waits for its next attempt": (
        lambda: with_action(retry_at=NOW + 1),
        e.Skipped("why"),
        {"1.outcome": SUCCEEDED, "1.end": ROW, "1.undo_state": UNDO_DONE},
    ),
    "skip what is at its next attempt": (
        lambda: with_action(retry_at=NOW),
        e.Skipped("why"),
        {
            "1.outcome": SUCCEEDED,
            "1.end": ROW,
            "1.undo_state": UNDO_DONE,
            "residue": repr([e.Residue("1", "pay", "skipped by an operator: why")]),
        },
    ),
    "skip an undo": (
        lambda: with_action(**PARKED),
        e.Skipped("why", by="ann"),
        {
            "1.undo_state": UNDO_RESIDUE,
            "parked": [],
            "residue": repr([e.Residue("1", "pay", "compensation skipped: why", by="ann")]),
        },
    ),
    "resolve what is held": (
        lambda: with_action(hold="ask", value=NULL),
        e.Resolved("why", VALUE, "1"),
        {"1.hold": "", "1.outcome": SUCCEEDED, "1.value": VALUE, "1.end": ROW, "parked": []},
    ),
    "resolve an undo": (
        lambda: with_action(**PARKED),
        e.Resolved("why"),
        {"1.undo_state": UNDO_DONE, "parked": []},
    ),
}

STARTED = e.Started(NULL, 2, "3.11", deadline=2000.0)

TOLD: dict[str, Case] = {
    "started": (
        lambda: ledger(next_args=VALUE, phase=RETURNED, timers={"2": 5.0}, awaited={"3": "go"}),
        STARTED,
        {
            "started": repr(STARTED),
            "next_args": "None",
            "run": 2,
            "phase": FORWARD,
            "deadline": "2000.0",
            "timers": "{}",
            "awaited": "{}",
        },
    ),
    "a run keeps the deadline": (
        lambda: ledger(deadline=2000.0),
        e.Started(NULL),
        {"started": repr(e.Started(NULL))},
    ),
    "fired": (lambda: ledger(timers={"2": 5.0, "3": 6.0}), e.Fired("2"), {"timers": "{'3': 6.0}"}),
    "fired twice": (lambda: ledger(), e.Fired("2"), {}),
    "a signal nobody waits for": (
        lambda: ledger(awaited={"2": "other"}),
        e.Signalled("go", VALUE, "once"),
        {"signals": said({"go": [VALUE]}), "signal_keys": "{'go once'}"},
    ),
    "a signal that somebody waits for": (
        lambda: ledger(awaited={"2": "other", "3": "go", "4": "go"}),
        e.Signalled("go", VALUE),
        {"awaited": "{'2': 'other', '4': 'go'}", "given": said(("3", VALUE))},
    ),
    "a signal sent twice": (lambda: ledger(signal_keys={"go once"}), e.Signalled("go", VALUE, "once"), {}),
    "cancel": (lambda: ledger(), CANCEL, {"cancel": repr(CANCEL)}),
    "cancel twice": (lambda: ledger(cancel=e.CancelRequested("before")), CANCEL, {}),
    "cancel after the pivot": (lambda: ledger(pivoted=True), CANCEL, {}),
    "cancel after the return": (lambda: ledger(phase=RETURNED), CANCEL, {}),
    "undo what completed": (
        lambda: ledger(phase=FINISHED, status="completed"),
        e.UndoRequested("parent"),
        {"phase": BACKWARD, "cause": "parent", "status": ""},
    ),
    "undo what did not complete": (
        lambda: ledger(phase=FINISHED, status="compensated"),
        e.UndoRequested("parent"),
        {},
    ),
    "a child asks for the pivot": (
        lambda: ledger(asked_by=["1"]),
        e.PivotRequested("2"),
        {"asked_by": "['1', '2']"},
    ),
    "a child asks twice": (lambda: ledger(asked_by=["2"]), e.PivotRequested("2"), {}),
    "the pivot is allowed": (
        lambda: ledger(asking="2", cancel=CANCEL),
        e.PivotAnswered(),
        {"asking": "", "pivoted": True, "cancel": "None"},
    ),
    "the pivot is refused": (
        lambda: ledger(asking="2", cancel=CANCEL),
        e.PivotAnswered("busy"),
        {"asking": ""},
    ),
    "terminate": (
        lambda: ledger(),
        e.TerminateRequested("why"),
        {"terminated": repr(e.TerminateRequested("why"))},
    ),
    "terminate what has ended": (lambda: ledger(phase=FINISHED), e.TerminateRequested("why"), {}),
}


@pytest.mark.parametrize("case", ENDED)
def test_how_actions_end(case: str) -> None:
    check(*ENDED[case])


@pytest.mark.parametrize("case", UNDONE)
def test_how_compensations_end(case: str) -> None:
    check(*UNDONE[case])


@pytest.mark.parametrize("case", ASKED)
def test_what_an_operator_asks(case: str) -> None:
    check(*ASKED[case])


@pytest.mark.parametrize("case", TOLD)
def test_what_an_execution_is_told(case: str) -> None:
    check(*TOLD[case])


@pytest.mark.parametrize("event", [e.Completed("1", NULL), e.Failed("1", FAULT, UNKNOWN), e.Undone("1"),
    e.AttemptFailed("1", 1, FAULT, False, 1.0), e.UndoAttemptFailed("1", 1, FAULT, 1.0), e.UndoFailed("1", FAULT),
    e.ChildEnded("1", "completed"), e.Retried("1"), e.Skipped("why", "1"), e.Resolved("why", id="1")])  # fmt: skip
def test_what_is_told_of_an_unknown_action_changes_nothing(event: e.Event) -> None:
    assert changed(ledger(), event) == {}


def test_a_signal_that_came_first_is_given_to_who_waits_for_it_oldest_first() -> None:
    of = ledger()
    for value in (b"1", b"2"):
        of.take(e.Signalled("go", Raw(value)), ROW)
    assert changed(of, e.AwaitSignal("3", "go")) == {
        "given": said(("3", Raw(b"1"))),
        "signals": said({"go": [Raw(b"2")]}),
    }
