"""One hierarchy of errors, each with a stable code.

An error of amends says three things: what was expected, what came, and what to do about it.  The
first two make the message; the last is `hint`, printed after an arrow.  Programs branch on the class
or on `code` (which never changes once released), people read the text.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar


class AmendsError(Exception):
    """Root of every error that amends raises.

    `code` is stable across releases; `hint` says what to do, or is empty.
    """

    code: ClassVar[str] = "error"

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  → {self.hint}" if self.hint else str(self.message)


# ---------------------------------------------------------------- writing sagas


class DefinitionError(AmendsError):
    """A saga, step, compensation or policy is declared in a way that cannot work."""

    code = "definition"


class GraphError(DefinitionError):
    """A graph that cannot be run. `problems` lists all that is wrong with it, each with its place."""

    code = "graph"

    def __init__(self, message: str, problems: Sequence[Any] = (), *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.problems = tuple(problems)


class ExpressionError(AmendsError):
    """An expression of a graph that cannot be read, or has no value. `column` counts from 1."""

    code = "expression"

    def __init__(self, text: str, at: int, reason: str, hint: str = "") -> None:
        super().__init__(f"{reason} (column {at + 1})\n{caret(text, at)}", hint=hint)
        self.text = text
        self.reason = reason
        self.column = at + 1


class QueryError(AmendsError):
    """A condition of a query that cannot be read. `column` counts from 1."""

    code = "query"

    def __init__(self, text: str, at: int, reason: str, hint: str = "") -> None:
        super().__init__(f"{reason} (column {at + 1})\n{caret(text, at)}", hint=hint)
        self.text = text
        self.reason = reason
        self.column = at + 1


class GraphFailed(AmendsError):
    """A graph came to a `fail` node, with this message."""

    code = "graph_failed"


class UnknownName(AmendsError):
    """A name (of a saga, step, execution, signal, action …) that nothing answers to."""

    code = "unknown_name"


class ForeignCall(AmendsError):
    """Saga code touched something that replay cannot repeat (a socket, a thread, the real clock)."""

    code = "foreign_call"


class NotInSaga(AmendsError):
    """A function that only means something inside a saga (or a step) was called elsewhere."""

    code = "not_in_saga"


class PivotRefused(AmendsError):
    """`pivot()` was called while other actions are in flight, or the saga is already being undone."""

    code = "pivot_refused"


# ---------------------------------------------------------------- outcomes of actions


class Rejected(AmendsError):
    """Raised by a step: the participant said no and *certainly* did nothing.

    `details` is any value that can be journaled; the saga sees it as `StepFailed.details`.
    """

    code = "rejected"

    def __init__(self, message: str = "", *, details: Any = None) -> None:
        super().__init__(message)
        self.details = details


class NotSent(AmendsError):
    """Raised by a step or a client: the request certainly never left (connection refused).

    `retry_after` (seconds): no further attempt begins earlier.
    """

    code = "not_sent"

    def __init__(self, message: str = "", *, hint: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class NotYet(NotSent):
    """Raised by a step or a client: nothing was sent, and nothing should be for `retry_after` seconds.

    The step holds. This attempt, and the wait, count against no limit of the step's (`Retry.attempts`,
    `Retry.total`, `schedule_to_close`); a cancel and the saga's deadline still end it.
    """

    code = "not_yet"
    counts = False

    def __init__(self, message: str = "", *, retry_after: float = 1.0, hint: str = "") -> None:
        super().__init__(message, hint=hint, retry_after=retry_after)


class StepFailed(AmendsError):
    """What saga code sees when an action ended without success.

    `type` is the name of the original exception, `outcome` is ``"rejected"`` (certainly no effect) or
    ``"unknown"`` (and by now settled: compensated), `details` what the exception carried.
    """

    code = "step_failed"

    def __init__(self, step: str, type: str, message: str, *, outcome: str, details: Any = None) -> None:
        text = f"{step} {outcome}: {type}: {message}" if message else f"{step} {outcome}: {type}"
        super().__init__(text)
        self.step = step
        self.type = type
        self.reason = message
        self.outcome = outcome
        self.details = details


# ---------------------------------------------------------------- outcomes of executions


class Compensated(AmendsError):
    """The execution did not complete; every effect was undone, but for `residue`.

    `cause` says why (``failed``, ``cancelled``, ``deadline``, ``conflict`` …), `error` what raised it,
    `residue` lists the effects that remain (empty: none).
    """

    code = "compensated"

    def __init__(
        self,
        cause: str,
        residue: Sequence[Mapping[str, Any]] | None = None,
        *,
        error: Mapping[str, Any] | None = None,
    ) -> None:
        said = f": {error.get('type')}: {error.get('message')}" if error else ""
        left = f"; {len(residue)} effect(s) remain" if residue else ""
        super().__init__(f"compensated ({cause}{said}){left}")
        self.cause = cause
        self.residue = list(residue or [])
        self.error = dict(error) if error else None


class NeedsAttention(AmendsError):
    """The execution is parked: a person must look. `items` says what is stuck and why."""

    code = "needs_attention"

    def __init__(
        self, cause: str, message: str = "", *, items: list[Any] | None = None, hint: str = ""
    ) -> None:
        super().__init__(f"{cause}: {message}" if message else cause, hint=hint)
        self.cause = cause
        self.items = items or []


class Terminated(AmendsError):
    """An operator ended the execution without compensation; its effects stay."""

    code = "terminated"


# ---------------------------------------------------------------- what parks an execution


class Parked(AmendsError):
    """Base of what stops one execution (and only it) until a person or a deploy helps.

    `cause` is what `status()` shows.
    """

    code = "parked"
    cause: ClassVar[str] = "failed"


class Divergence(Parked):
    """The code no longer does what the journal says it did."""

    code = cause = "divergence"


class MissingDefinition(Parked):
    """No definition of that name and version is registered with this worker."""

    code = cause = "missing_definition"


class Poison(Parked):
    """A payload that cannot be read, a row that cannot be written, or code that kills its worker."""

    code = cause = "poison"


class CorruptJournal(Parked):
    """A journal row does not match its checksum, or rows are missing."""

    code = cause = "corrupt"


class Overrun(Parked):
    """One activation ran past its budget of callbacks or time: most likely an endless loop."""

    code = cause = "overrun"


class Stuck(Parked):
    """The saga waits for something that nothing can deliver."""

    code = cause = "stuck"


class Unopened(Parked):
    """Payloads are in envelopes that this process cannot open: no key, the key was forgotten, or altered."""

    code = cause = "unopened"


class LimitExceeded(Parked):
    """The journal is as long as the engine's settings allow."""

    code = cause = "limit"


# ---------------------------------------------------------------- payloads and limits


class PayloadError(AmendsError):
    """A value that cannot be journaled, or journaled bytes that no longer fit their annotation."""

    code = "payload"


class PayloadTooLarge(PayloadError):
    """An encoded value larger than the `payload` limit."""

    code = "payload_too_large"


# ---------------------------------------------------------------- talking to the engine


class IdInUse(AmendsError):
    """An execution of that id exists, of another saga or with other arguments."""

    code = "id_in_use"


class Refused(AmendsError):
    """The request is understood and cannot be done in the state the execution is in."""

    code = "refused"


class QueueFull(AmendsError, TimeoutError):
    """Nothing was started: so many tasks wait in a queue that its starters are held back."""

    code = "queue_full"


class EngineClosed(AmendsError):
    """The engine is draining or closed."""

    code = "engine_closed"


# ---------------------------------------------------------------- stores


class StoreError(AmendsError):
    """A store could not do what it was asked; nothing was changed."""

    code = "store"


class StoreFull(StoreError):
    """No room left (disk or page limit). Held work continues once there is room."""

    code = "store_full"


class StoreBusy(StoreError):
    """Another process holds the store longer than the patience given."""

    code = "store_busy"


class KeyUnavailable(StoreBusy):
    """A master key cannot be used for now (its service does not answer). Nothing was changed."""

    code = "key_unavailable"


class CommitUnknown(StoreError):
    """The store failed around a commit: it may or may not be durable. Never append again blindly."""

    code = "commit_unknown"


class Fenced(StoreError):
    """This worker's incarnation is retired; nothing it writes counts any more."""

    code = "fenced"


class SchemaMismatch(StoreError):
    """The store holds a schema that this version of amends does not know."""

    code = "schema"


class Misplaced(StoreError):
    """A server does not hold the part of a store that the URL gives to it. Nothing was changed."""

    code = "misplaced"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint with the nearest known names, or all of them when few; empty when none is known."""
    names = sorted(set(known))
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if near:
        return f"did you mean {' or '.join(repr(n) for n in near)}?"
    if names and len(names) <= 12:
        return f"known: {', '.join(names)}"
    return ""


def caret(text: str, at: int) -> str:
    """The line of `text` that holds position `at`, and a caret below that position."""
    begin = text.rfind("\n", 0, at) + 1
    line = text[begin:].partition("\n")[0]
    cut = max(0, at - begin - 50)
    shown = "".join(c if c.isprintable() else " " for c in line[cut : cut + 80])
    shown = f"{'…' * bool(cut)}{shown}{'…' * (len(line) > cut + 80)}"
    return f"    {shown}\n    {' ' * (at - begin - cut + bool(cut))}^"
