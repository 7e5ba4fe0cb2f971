"""Journal entries: the events that came in and the commands that went out.

One row per activation holds both: ``(position, now, events, commands)``.  Events are past-tense facts,
commands are imperatives.  Both are arrays, tagged by name first, and read well in any database shell::

    events    [["completed","1",{"id":"p-7"}]]
    commands  [["run","2","shop.reserve",{"order":{…}},1,""]]

Entries never change meaning: a new need is a new entry, or a last field with a default (old rows replay).

Ids.  An *action id* names what a task of the saga created: the task's path and a sequence within it, ``"2"``
or ``"3.1"`` (first thing that the task at ``"3"`` did), whatever the order in which tasks run.
Payloads stand in the row as raw JSON, parsed by the kernel only where the saga needs the value.
"""

from __future__ import annotations

import struct
from typing import Any
from zlib import crc32

import msgspec

from ..errors import CorruptJournal
from .forking import Forked
from .holding import Hold

Raw = msgspec.Raw
NULL = Raw(b"null")


class Fault(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """An error as the journal keeps it: type name, message, details (JSON), never a traceback."""

    type: str
    message: str
    details: Raw = NULL


class Residue(msgspec.Struct, gc=False, frozen=True):
    """An effect that remains after compensation: of which action, and why it was left."""

    action: str
    step: str
    reason: str
    execution: str = ""
    by: str = ""


class Entry(msgspec.Struct, array_like=True, gc=False, frozen=True, omit_defaults=True):
    """Base of events and commands."""


# ---------------------------------------------------------------- events


class Started(Entry, frozen=True, tag="started"):
    """First event of a run. `run` counts continue-as-new; `kernel` fixes scheduling behaviour."""

    args: Raw
    run: int = 0
    python: str = ""
    kernel: int = 1
    deadline: float | None = None


class Completed(Entry, frozen=True, tag="completed"):
    """An action succeeded with this value."""

    id: str
    value: Raw


class Failed(Entry, frozen=True, tag="failed"):
    """An action ended without success; `outcome` is ``rejected`` or ``unknown`` (taint included).

    `hold` says why the action parks instead of telling the saga: ``ask`` or ``halt`` (the recovery policy),
    ``pivot``, ``irreversible``, or what kept it from being attempted; empty delivers the failure.
    """

    id: str
    fault: Fault
    outcome: str
    hold: str = ""


class AttemptFailed(Entry, frozen=True, tag="attempt_failed"):
    """An attempt failed and another will follow at `retry_at`. `tainted`: it may have had an effect.

    `paused`: seconds until then that count against no limit of the step, as the attempt does not
    (`attempt` is then the number of the one before).
    """

    id: str
    attempt: int
    fault: Fault
    tainted: bool
    retry_at: float
    paused: float = 0.0


class Fired(Entry, frozen=True, tag="fired"):
    """A timer came due."""

    id: str


class Signalled(Entry, frozen=True, tag="signalled"):
    """A signal arrived. `key` deduplicates: a second one with the same key is ignored."""

    name: str
    value: Raw
    key: str = ""


class CancelRequested(Entry, frozen=True, tag="cancel_requested"):
    """Somebody (or a parent) wants the execution undone. Sticky. `cause` becomes the status' cause."""

    reason: str
    cause: str = "cancelled"
    by: str = ""


class ChildEnded(Entry, frozen=True, tag="child_ended"):
    """A child execution reached a final status (`residue`: what its undoing left)."""

    id: str
    status: str
    value: Raw = NULL
    fault: Fault | None = None
    residue: list[Residue] = []


class UndoRequested(Entry, frozen=True, tag="undo_requested"):
    """The parent of a completed child asks it to compensate."""

    cause: str


class PivotRequested(Entry, frozen=True, tag="pivot_requested"):
    """A child asks its parent to pass the point of no return together with it."""

    id: str


class PivotAnswered(Entry, frozen=True, tag="pivot_answered"):
    """The parent's answer to the child's request; `refusal` is empty when granted."""

    refusal: str = ""


class Undone(Entry, frozen=True, tag="undone"):
    """A compensation succeeded (and, where declared, was verified)."""

    id: str
    residue: list[Residue] = []


class UndoAttemptFailed(Entry, frozen=True, tag="undo_attempt_failed"):
    """A compensation attempt failed; another follows at `retry_at`. `paused`: as for `AttemptFailed`."""

    id: str
    attempt: int
    fault: Fault
    retry_at: float
    paused: float = 0.0


class UndoFailed(Entry, frozen=True, tag="undo_failed"):
    """A compensation gave up: parked when `critical`, else left as residue."""

    id: str
    fault: Fault
    critical: bool = True


class Retried(Entry, frozen=True, tag="retried"):
    """An operator asked for parked work to run again (`id` empty: all of it).

    `args` replaces the arguments of a forward action and gives it a new idempotency key.
    """

    id: str = ""
    by: str = ""
    args: Raw = NULL


class Skipped(Entry, frozen=True, tag="skipped"):
    """An operator gave up on parked work: a compensation becomes residue, a forward action yields null."""

    reason: str
    id: str = ""
    by: str = ""


class Resolved(Entry, frozen=True, tag="resolved"):
    """An operator settled parked work by hand: `value` is the action's result, or its undo took place."""

    reason: str
    value: Raw = NULL
    id: str = ""
    by: str = ""


class TerminateRequested(Entry, frozen=True, tag="terminate_requested"):
    """An operator ended the execution without compensation."""

    reason: str
    by: str = ""


Event = (
    Started
    | Completed
    | Failed
    | AttemptFailed
    | Fired
    | Signalled
    | CancelRequested
    | ChildEnded
    | UndoRequested
    | PivotRequested
    | PivotAnswered
    | Undone
    | UndoAttemptFailed
    | UndoFailed
    | Retried
    | Skipped
    | Resolved
    | TerminateRequested
    | Forked
    | Hold
)

# ---------------------------------------------------------------- commands

UNDO_NONE, UNDO_STEP, UNDO_IRREVERSIBLE = 0, 1, 2


class RunStep(Entry, frozen=True, tag="run"):
    """Dispatch an action. `undo` freezes whether it is compensable; `scope` is its savepoint path."""

    id: str
    step: str
    args: Raw
    undo: int = UNDO_NONE
    scope: str = ""


class StartTimer(Entry, frozen=True, tag="timer"):
    """Wake this execution at `due` (seconds since the epoch)."""

    id: str
    due: float


class CancelTimer(Entry, frozen=True, tag="untimer"):
    """The timer is no longer wanted."""

    id: str


class StartChild(Entry, frozen=True, tag="child"):
    """Start a nested saga as an execution of its own, with a uid minted here."""

    id: str
    saga: str
    version: str
    args: Raw
    uid: str
    scope: str = ""
    deadline: float | None = None


class AwaitSignal(Entry, frozen=True, tag="await"):
    """The saga takes the oldest kept signal of that name, or waits for the next one."""

    id: str
    name: str


class StopAwait(Entry, frozen=True, tag="unawait"):
    """The saga no longer waits for the signal."""

    id: str


class Interrupt(Entry, frozen=True, tag="interrupt"):
    """Stop the action's attempt or child, if it still runs; its end comes as an event."""

    id: str


class Undo(Entry, frozen=True, tag="undo"):
    """Compensate an action. Its arguments are the action's own and its result, as journaled."""

    id: str


class UndoWith(Entry, frozen=True, tag="undo_with"):
    """Register an ad hoc compensation by its function's durable name."""

    id: str
    step: str
    args: Raw
    scope: str = ""


class EnterScope(Entry, frozen=True, tag="savepoint"):
    """A savepoint opens; actions whose `scope` starts with its id belong to it."""

    id: str
    scope: str = ""


class RollBack(Entry, frozen=True, tag="roll_back"):
    """A savepoint was left by an exception: undo its members."""

    id: str


class Pivot(Entry, frozen=True, tag="pivot"):
    """The point of no return was passed."""

    id: str


class AskPivot(Entry, frozen=True, tag="ask_pivot"):
    """A child asks its parent to pivot (the answer comes as `PivotAnswered`)."""

    id: str


class AnswerPivot(Entry, frozen=True, tag="answer_pivot"):
    """Tell the child at action `id` whether the pivot is granted."""

    id: str
    refusal: str = ""


class Patch(Entry, frozen=True, tag="patched"):
    """`patched(change)` answered yes."""

    change: str


class Withdrawn(Entry, frozen=True, tag="withdrawn"):
    """A command issued and withdrawn within one activation: nothing was dispatched."""

    id: str


class Heed(Entry, frozen=True, tag="heed"):
    """What stands before it was issued when the first `events` of the row's events (and of those an earlier
    row kept for it) had been applied. Written only where that makes a difference, see `taking`."""

    events: int


class Return(Entry, frozen=True, tag="return"):
    """The saga's body returned this value; from here on the execution completes."""

    value: Raw


class Unwind(Entry, frozen=True, tag="unwind"):
    """The backward way begins (or, after the pivot, the body failed and a person must look)."""

    cause: str
    fault: Fault | None = None


class Backward(Entry, frozen=True, tag="backward"):
    """Every task of the saga has ended; from here on only the journal decides, and no saga code runs."""


class ContinueAsNew(Entry, frozen=True, tag="continue"):
    """End this run and begin the next with these arguments."""

    args: Raw


class Defer(Entry, frozen=True, tag="deferred"):
    """This row only keeps its events; the next row's activation applies them before its own.

    Written by a transactional step (its completion commits with its effect), by a park and by a fork."""


class Finish(Entry, frozen=True, tag="finish"):
    """The execution ends with this status."""

    status: str


Command = (
    RunStep
    | StartTimer
    | CancelTimer
    | StartChild
    | AwaitSignal
    | StopAwait
    | Interrupt
    | Undo
    | UndoWith
    | EnterScope
    | RollBack
    | Pivot
    | AskPivot
    | AnswerPivot
    | Patch
    | Withdrawn
    | Heed
    | Return
    | Unwind
    | Backward
    | ContinueAsNew
    | Defer
    | Finish
)

# ---------------------------------------------------------------- rows


class Row(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """One journal row: an activation. `events` and `commands` are JSON text.

    `checksum` chains: crc32 over the row, seeded with the checksum of the row before it (0 at first).
    """

    position: int
    now: float
    events: str
    commands: str
    checksum: int


RESTORE = "restore it from a backup, or terminate this execution"

_place = struct.Struct("<qd").pack  # the text of a float would cost more than all the rest of the checksum
_encoder = msgspec.json.Encoder()
_events = msgspec.json.Decoder(list[Event])
_commands = msgspec.json.Decoder(list[Command])
_event = msgspec.json.Decoder(Event)
encode_entry = _encoder.encode


def seal(position: int, now: float, events: list[Any], commands: list[Any], previous: int) -> Row:
    """Encode an activation as the row at `position`, chained to the `previous` checksum."""
    came = encode_entry(events)
    went = encode_entry(commands) if commands else b"[]"
    sum_ = crc32(went, crc32(came, crc32(_place(position, now), previous)))
    return Row(position, now, came.decode(), went.decode(), sum_)


def checksum(position: int, now: float, came: bytes, went: bytes, previous: int) -> int:
    """The checksum of a row with these events and commands, chained to the `previous` one."""
    return crc32(went, crc32(came, crc32(_place(position, now), previous)))


def opened(row: Row, position: int, previous: int) -> tuple[bytes, bytes]:
    """The row's events and commands as JSON. Raises `CorruptJournal` unless it stands at `position` and its
    checksum chains to the `previous` one.
    """
    if row.position != position:
        raise CorruptJournal(
            f"journal row {position} is missing; found row {row.position} in its place",
            hint="restore the journal from a backup, or terminate this execution",
        )
    came, went = row.events.encode(), row.commands.encode()
    sum_ = checksum(position, row.now, came, went, previous)
    if sum_ != row.checksum:
        raise CorruptJournal(
            f"journal row {position} does not match its checksum (stored {row.checksum}, computed {sum_})",
            hint="restore the row from a backup, or terminate this execution",
        )
    return came, went


def decode_events(text: str | bytes) -> list[Event]:
    """Events of a row, in the order they were applied."""
    try:
        return _events.decode(text)
    except msgspec.MsgspecError as error:
        raise CorruptJournal(f"events of a journal row cannot be read: {error}", hint=RESTORE) from error


def decode_commands(text: str | bytes) -> list[Command]:
    """Commands of a row, in the order they were issued."""
    try:
        return _commands.decode(text)
    except msgspec.MsgspecError as error:
        raise CorruptJournal(f"commands of a journal row cannot be read: {error}", hint=RESTORE) from error


def decode_event(data: bytes | str) -> Event:
    """One event, as an inbox row carries it."""
    try:
        return _event.decode(data)  # type: ignore[no-any-return]
    except msgspec.MsgspecError as error:
        raise CorruptJournal(f"an inbox message cannot be read: {error}", hint=RESTORE) from error
