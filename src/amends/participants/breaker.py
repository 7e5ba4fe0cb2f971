"""A circuit breaker: while a participant is down, sagas hold instead of failing, and leave it alone.

**Theory of operation.**  The states and their changes are purgatory's (closed, opened, half-opened); this
module adds what a saga engine needs of them:

- *Holding.*  A call against an open breaker raises `CircuitOpen`, a `NotYet`: certainly not sent, and at no
  cost to the step's attempts and time.  The execution sleeps in the store until then.
- *One probe.*  In the half-opened state one call goes through and decides; all others hold.  A probe that
  is cut off leaves the place to the next caller.  One that fails did so for the others: like theirs, its
  attempt does not count (else an outage of many probes would undo one saga after another).
- *Generations.*  A call counts only towards the state in which it began. An answer that comes late, from
  before the breaker opened, neither closes nor opens it.
- *Growing waits.*  Each failed probe doubles the wait, up to `longest`: a long outage costs a held
  execution few journal rows.  Waits are spread by chance, so that what waits does not come all at once.
- *Memory.*  Each change of state is written to a file, so that a restart does not begin with a stampede.
  The file is advice: one that cannot be read is a closed breaker, with a warning.

What counts as a failure is what speaks of a participant in trouble: `UnknownOutcome`, `NotSent`, a
`TryLater` from a 5xx, timeouts, and a step cut off by its own timeout.  A rejection is an answer.

One breaker serves one process.  Several workers have a breaker (and a file) each, and each sends its own
probe.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from ..clock import Clock, SystemClock
from ..definition.policy import Duration, seconds
from ..errors import DefinitionError, NotSent, NotYet
from . import attempt
from .failures import TryLater, UnknownOutcome, missing

try:
    from purgatory.domain.messages.events import ContextChanged
    from purgatory.domain.model import CLOSED, OPENED, Context, HalfOpenedState
except ImportError as error:
    raise missing("breaker", "purgatory") from error

__all__ = ["Breaker", "CircuitOpen", "Remembered"]

_log = logging.getLogger("amends.participants")

_MOMENT = 0.01
_DOUBLINGS = 32


class CircuitOpen(NotYet):
    """The circuit breaker is open: nothing was sent, the step holds.

    A step that would rather fail than hold says `rejects=CircuitOpen`.
    """

    code = "circuit_open"


class Remembered(msgspec.Struct):
    """What outlives the process: the state, until when it stays open, and how many probes have failed."""

    state: str
    until: float = 0.0
    failed_probes: int = 0


class Breaker:
    """Opens after so many `failures` in a row, and closes when one probe succeeds.

    name: for messages.  wait: seconds from opening to the first probe; each failed probe doubles it, up to
    `longest`.  jitter: waits vary by up to that fraction.  file: where its state outlives the
    process; None: nowhere.  Thread-safe.
    """

    def __init__(
        self,
        name: str,
        *,
        failures: int = 5,
        wait: Duration = 10.0,
        longest: Duration = 600.0,
        jitter: float = 0.25,
        file: str | Path | None = None,
        clock: Clock | None = None,
        chance: random.Random | None = None,
    ) -> None:
        if failures < 1 or not 0 <= jitter <= 1:
            raise DefinitionError(
                f"Breaker: failures must be at least 1 and jitter between 0 and 1, got {failures}, {jitter}"
            )
        self.name = name
        self._failures = failures
        self._wait = seconds(wait, "wait") or 10.0
        self._longest = max(seconds(longest, "longest") or 600.0, self._wait)
        self._jitter = jitter
        self._file = Path(file) if file is not None else None
        self._clock = clock or SystemClock()
        self._chance = chance or random.Random()
        self._lock = threading.Lock()
        self._generation = 0
        self._probing = False
        self._failed_probes = 0
        self._until = 0.0
        self._circuit = self._recalled()

    @property
    def state(self) -> str:
        """``closed``, ``opened`` or ``half-opened``."""
        return self._circuit.state

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Around one call: `with breaker.guard(): …`. Raises `CircuitOpen`."""
        with self._lock:
            began = self._admit()
        try:
            yield
        except BaseException as error:
            with self._lock:
                self._ended(began, error)
            raise
        with self._lock:
            self._ended(began, None)

    def reset(self) -> None:
        """Close it by hand. Executions that hold come back when their waits are over."""
        with self._lock:
            self._failed_probes = 0
            self._circuit = Context(self.name, self._failures, self._wait)
            self._changed()

    # ------------------------------------------------------------ the gate

    def _admit(self) -> int:
        circuit = self._circuit
        if circuit.state != CLOSED:
            if self._probing:
                raise self._open(self._wait, "one call is finding out whether it is back")
            left = self._until - self._clock.now()
            if left > 0:
                raise self._open(left, "it has been failing")
            circuit.set_state(HalfOpenedState())
            self._changes()
            self._probing = True
            _log.info("breaker %s: one call goes through", self.name)
        return self._generation

    def _open(self, left: float, why: str) -> CircuitOpen:
        wait = left + _MOMENT + self._jitter * self._wait * self._chance.random()
        return CircuitOpen(f"{self.name} is not called at the moment: {why}", retry_after=wait)

    def _ended(self, began: int, error: BaseException | None) -> None:
        if began != self._generation:
            return
        self._probing = False
        if error is None or not _says_nothing(error, self._clock):
            if error is not None and _is_outage(error):
                self._fail(error)
            else:
                self._circuit.handle_end_request()
            self._changes()

    def _fail(self, error: BaseException) -> None:
        circuit = self._circuit
        was_closed = circuit.state == CLOSED
        circuit.handle_exception(error)
        if circuit.state != OPENED:
            return
        self._failed_probes = 0 if was_closed else self._failed_probes + 1
        wait = min(self._wait * 2 ** min(self._failed_probes, _DOUBLINGS), self._longest)
        wait *= 1 - self._jitter * self._chance.random()
        self._until = self._clock.now() + wait
        if not was_closed:
            _hold(error, wait)

    def _changes(self) -> None:
        messages = self._circuit.messages
        changed = any(isinstance(message, ContextChanged) for message in messages)
        messages.clear()
        if changed:
            self._changed()

    def _changed(self) -> None:
        self._generation += 1
        self._probing = False
        if self._circuit.state == OPENED:
            left = self._until - self._clock.now()
            _log.warning("breaker %s is open: no calls for %.1f s", self.name, left)
        elif self._circuit.state == CLOSED:
            _log.warning("breaker %s is closed again", self.name)
        self._remember()

    # ------------------------------------------------------------ memory

    def _remember(self) -> None:
        if self._file is None:
            return
        kept = Remembered(self._circuit.state, self._until, self._failed_probes)
        beside = self._file.with_name(f"{self._file.name}.new")
        try:
            beside.write_bytes(msgspec.json.encode(kept))
            beside.replace(self._file)
        except OSError as error:
            _log.warning("breaker %s: its state was not written: %s", self.name, error)

    def _recalled(self) -> Context:
        kept = Remembered(CLOSED)
        if self._file is not None and self._file.exists():
            try:
                kept = msgspec.json.decode(self._file.read_bytes(), type=Remembered)
            except (OSError, msgspec.MsgspecError) as error:
                _log.warning("breaker %s: its file cannot be read, it begins closed: %s", self.name, error)
        if kept.state == CLOSED:
            return Context(self.name, self._failures, self._wait)
        # A probe that was under way when the process ended has decided nothing: it is open, as before.
        self._failed_probes = kept.failed_probes
        self._until = min(kept.until, self._clock.now() + self._longest)  # the clock may have been set back
        return Context(self.name, self._failures, self._wait, OPENED)


def _says_nothing(error: BaseException, clock: Clock) -> bool:
    """Was the call merely cut off, or held elsewhere? (One that its step's timeout ended says something.)"""
    if isinstance(error, asyncio.CancelledError):
        of = attempt.here()
        return of is None or of.deadline_at is None or clock.now() < of.deadline_at - _MOMENT
    return isinstance(error, NotYet) or not isinstance(error, Exception)


def _hold(error: BaseException, seconds: float) -> None:
    """Let the engine hold the step of a failed probe: it reads these two of any exception."""
    error.counts = False  # type: ignore[attr-defined]
    error.retry_after = seconds + _MOMENT  # type: ignore[attr-defined]


def _is_outage(error: BaseException) -> bool:
    """Does it speak of a participant in trouble?"""
    if isinstance(error, TryLater):
        return error.outage
    kinds = (UnknownOutcome, NotSent, TimeoutError, ConnectionError, asyncio.CancelledError)
    return isinstance(error, kinds)
