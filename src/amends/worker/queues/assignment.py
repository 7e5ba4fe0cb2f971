"""What a task says to whoever runs it: all that an attempt takes, as JSON (so that any language can).

Names and meanings are a contract with servers of other releases and languages: fields are only added.
"""

from __future__ import annotations

import msgspec

from ... import ids
from ...definition.context import Current
from ...definition.policy import Outcome
from ...kernel import entries as e
from ...kernel.actions import Action
from ...store.port import Header
from ...store.queueing import Lease, Task


class Assignment(msgspec.Struct, omit_defaults=True):
    """One attempt. id and saga: of the execution.  idempotency_key: for the participant.  args: the step's
    arguments, by name.  value and outcome: in a compensation, what its action ended with (`value` is null
    unless it succeeded).  undone: attempts to undo before this one.  timeout and heartbeat: seconds.
    close_at: when all attempts together must have ended (seconds since the epoch).  lost_until: until when an
    attempt may still run that was lost before (0: none was); the report says it again, so that its owner
    knows, whatever befell it meanwhile.  origin: see `Current`.
    """

    id: str
    saga: str
    run: int
    idempotency_key: str
    args: e.Raw
    kind: str = "step"
    value: e.Raw = e.NULL
    outcome: str = ""
    undone: int = 0
    key_suffix: str = ""
    origin: str = ""
    timeout: float | None = None
    heartbeat: float | None = None
    close_at: float | None = None
    lost_until: float = 0.0


_decoder = msgspec.json.Decoder(Assignment)
_encoder = msgspec.json.Encoder(order="deterministic")


def write(header: Header, action: Action, direction: str, policy: Policy) -> str:
    """An assignment as a task carries it."""
    undoing, uid = direction == "undo", action.origin or header.uid
    given = Assignment(
        header.id,
        header.saga,
        action.run,
        ids.idempotency_key(uid, action.run, action.id + action.key_suffix, direction),
        action.args,
        kind=action.kind,
        value=action.value if undoing else e.NULL,
        outcome=action.outcome,
        undone=action.undo_attempts,
        key_suffix=action.key_suffix,
        origin=action.origin,
        timeout=policy.timeout,
        heartbeat=policy.heartbeat,
        close_at=policy.close_at,
        lost_until=policy.lost_until,
    )
    return _encoder.encode(given).decode()


class Policy(msgspec.Struct):
    """How long an attempt may take (see `Assignment`)."""

    timeout: float | None = None
    heartbeat: float | None = None
    close_at: float | None = None
    lost_until: float = 0.0


def read(task: Task) -> Assignment:
    """The assignment of a task. Raises `msgspec.ValidationError`, `msgspec.DecodeError`."""
    return _decoder.decode(task.call)


def action_of(task: Task, given: Assignment) -> Action:
    """The action as far as running it needs it."""
    action = Action(task.action, given.kind, task.step, given.args, e.UNDO_NONE, "", 0, 0.0)
    action.run, action.key_suffix, action.origin = given.run, given.key_suffix, given.origin
    action.outcome, action.value, action.undo_attempts = given.outcome, given.value, given.undone
    return action


def current_of(lease: Lease, given: Assignment) -> Current:
    """What `amends.current()` says where the queue is served."""
    task = lease.task
    outcome = Outcome(given.outcome) if given.outcome else None
    return Current(
        given.id,
        task.uid,
        given.run,
        given.saga,
        task.step,
        task.action,
        task.attempt + lease.lapses,
        task.direction,
        None,
        outcome,
        given.key_suffix,
        given.origin,
    )
