"""What happened in a run: each call of a step's or compensation's function."""

from __future__ import annotations

from typing import Any

import msgspec


class Called(msgspec.Struct, gc=False):
    """One call of a function, or (not `begun`) an attempt that never got that far.

    seat: the execution's tag (empty: the root).  direction: do, undo, late or probe.  option: what the
    path chose.  finished: it ran to its end (whatever became of the reply).  error: what it raised
    (`injected`: that was made to happen).  swallowed: the participant's method whose injected error it did
    not pass on.  known: a compensation was given the action's result.  empty: no attempt of its action had
    an effect.  asked: it looked at its idempotency key.  calls: how many calls of participants it made.
    outcome: what the attempt's end meant.  before, after: states of the participants, where looked at.
    """

    seat: str
    direction: str
    action: str
    step: str
    number: int
    option: str
    begun: bool = False
    finished: bool = False
    error: Any = None
    injected: bool = False
    swallowed: str = ""
    known: bool = False
    empty: bool = False
    asked: bool = False
    calls: int = 0
    value: Any = None
    outcome: str = ""
    before: Any = None
    after: Any = None

    @property
    def changed(self) -> bool:
        """Did the participants hold something else afterwards?"""
        return bool(self.before != self.after)


def told(call: Called) -> str:
    """One call as a line for people."""
    what = {"do": "", "undo": "undo ", "late": "late: ", "probe": "probe of "}[call.direction]
    line = f"{what}{call.step}"
    if call.number > 1:
        line += f" (attempt {call.number})"
    if not call.begun:
        return f"{line}: never reached the participant"
    if call.error is not None:
        return f"{line}: {type(call.error).__name__}: {call.error}" + (" (made)" if call.injected else "")
    return f"{line}: done, the reply was lost" if call.injected else f"{line}: done"
