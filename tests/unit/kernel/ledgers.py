"""Ledgers in any state, and what an event or a command changes in one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from amends.kernel import entries as e
from amends.kernel.actions import Action
from amends.kernel.entries import NULL, Raw
from amends.kernel.ledger import Ledger

FAULT = e.Fault("OSError", "who knows")
NOW, ROW = 1000.0, 9
GONE = {"actions": [], "1.*": "gone"}
VALUE = Raw(b'"value"')
CANCEL = e.CancelRequested("enough")

Case = tuple[Callable[[], Ledger], Any, dict[str, Any]]
"""A ledger, an entry, and what changes."""


def ledger(**fields: Any) -> Ledger:
    made = Ledger()
    made.now = NOW
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def with_action(**fields: Any) -> Ledger:
    """One action, open unless the fields say otherwise, begun in row 3."""
    given = {"undo": e.UNDO_STEP, **fields}
    action = Action("1", given.pop("kind", "step"), "pay", NULL, given.pop("undo"), "", 3, 3.5)
    for name, value in given.items():
        setattr(action, name, value)
    return ledger(actions={"1": action}, troubled={"1": action} if action.parked else {})


def said(value: Any) -> str:
    return repr(_plain(value))


def _plain(value: Any) -> Any:
    """Without what prints as an address."""
    if isinstance(value, Raw):
        return bytes(value)
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple | deque) else value


def seen(of: Ledger) -> dict[str, Any]:
    """All that it says, flat."""
    found = {name: said(value) for name, value in vars(of).items() if name not in ("actions", "troubled")}
    found |= {name: vars(of)[name] for name in ("phase", "cause", "status", "asking", "pivoted", "run")}
    for id, action in of.actions.items():
        found |= {f"{id}.{name}": getattr(action, name) for name in Action.__struct_fields__}
    return found | {"actions": list(of.actions), "parked": [a.id for a in of.parked()]}


def changed(of: Ledger, entry: Any) -> dict[str, Any]:
    """What the event or the command changes, in row 9."""
    before = seen(of)
    (of.take if type(entry) in EVENTS else of.issue)(entry, ROW)
    after = seen(of)
    gone = {name for name in before if name not in after}
    return {name: value for name, value in after.items() if before.get(name) != value} | dict.fromkeys(
        {name.partition(".")[0] + ".*" for name in gone}, "gone"
    )


EVENTS = {
    e.Started, e.Completed, e.Failed, e.AttemptFailed, e.Fired, e.Signalled, e.CancelRequested, e.ChildEnded,
    e.UndoRequested, e.PivotRequested, e.PivotAnswered, e.Undone, e.UndoAttemptFailed, e.UndoFailed, e.Retried,
    e.Skipped, e.Resolved, e.TerminateRequested,
}  # fmt: skip


def check(before: Callable[[], Ledger], entry: Any, expected: dict[str, Any]) -> None:
    found = changed(before(), entry)
    if "1.id" in found:  # a new action, begun here: only what the table names, and None for the rest
        assert not found.pop("1.origin")
        assert {name: value for name, value in found.items() if name in expected} == expected
        assert {value for name, value in found.items() if name not in expected} <= {None}
    else:
        assert found == expected
