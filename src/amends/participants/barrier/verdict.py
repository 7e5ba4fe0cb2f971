"""What the barrier decides, as a pure function of the row that its statement returned.

One row an action. Its states, and what each arrival finds:

    state      set by                      an action that comes        a compensation that comes
    (no row)                               execute → done              null → null
    done       the action                  duplicate                   execute → undone
    rejected   a rejection                 duplicate (the rejection)   null → null
    sealed     a status probe              hanging                     null → null
    null       a compensation, too early   hanging                     duplicate
    undone     the compensation            hanging                     duplicate

Why one row and one statement are enough: the unique key orders everything that concerns an action. The
second to come waits until the first one's transaction is over, then sees what it left: nothing, if it was
rolled back. How often each direction came stands in the row, so the answer of the statement says both what
the row is and whether this call made it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from ...errors import Rejected
from .keys import Direction, Key


class Verdict(enum.Enum):
    """What to do with a request."""

    EXECUTE = "execute"  # do it, in this transaction
    DUPLICATE = "duplicate"  # done before: answer as before
    NULL = "null"  # a compensation with nothing to undo: answer success, do nothing
    HANGING = "hanging"  # an action after its compensation, or sealed: refuse


class State(enum.Enum):
    """What became of an action."""

    DONE = "done"
    REJECTED = "rejected"
    SEALED = "sealed"
    NULL = "null"
    UNDONE = "undone"


class Hanging(Rejected):
    """An action that came after its compensation, or after a probe sealed its key. Nothing was done."""

    code = "hanging"


def judge(direction: Direction, calls: int, state: State) -> Verdict:
    """The verdict for the request whose statement returned this. `calls` includes the request itself."""
    if direction == "do":
        if state in (State.DONE, State.REJECTED):
            return Verdict.EXECUTE if calls == 1 else Verdict.DUPLICATE
        return Verdict.HANGING
    if calls > 1:
        return Verdict.DUPLICATE
    return Verdict.EXECUTE if state is State.UNDONE else Verdict.NULL


_WHY_HANGING = {
    State.SEALED: "a status probe sealed its key before it came",
    State.NULL: "its compensation came first",
    State.UNDONE: "its compensation came before this copy of it",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """What the barrier found for one request: `verdict`, `state` of the action, and the answer to give.

    `reply` is what is stored; ask `answer()`, which knows that not every reply is a success.
    """

    key: Key
    verdict: Verdict
    state: State
    reply: Any = None

    @property
    def execute(self) -> bool:
        """True when the work must be done now, in this transaction."""
        return self.verdict is Verdict.EXECUTE and self.state is not State.REJECTED

    def answer(self) -> Any:
        """What to answer the caller, once the transaction is committed.

        The reply of this call or of the first one. Raises `Rejected` for a stored rejection and `Hanging`
        (a `Rejected`) for an action that must not be done any more, so neither can pass for a success.
        """
        if self.verdict is Verdict.HANGING:
            raise Hanging(f"{self.key.action} is refused: {_WHY_HANGING[self.state]}")
        if self.key.direction == "do" and self.state is State.REJECTED:
            raise rejection(self.reply)
        return self.reply


@dataclass(frozen=True, slots=True)
class Found:
    """What a status probe found. `state` is None when the key is unknown (and was not sealed)."""

    key: Key
    state: State | None
    reply: Any = None

    @property
    def outcome(self) -> str:
        """``succeeded``, ``rejected`` (certainly no effect that lasts) or ``unknown`` (it may still come)."""
        if self.state is None:
            return "unknown"
        return "succeeded" if self.state is State.DONE else "rejected"


def rejection(stored: Any) -> Rejected:
    """The rejection as it was raised the first time."""
    return Rejected(stored["message"], details=stored["details"])


def stored_rejection(message: str, details: Any) -> dict[str, Any]:
    """A rejection as it is stored."""
    return {"message": message, "details": details}
