"""Queues: attempts that are run by whoever serves them, kept beside the executions that issue them.

**Theory of operation.**  A *task* is one attempt of one action in one direction.  It is added by the commit
of the row that issues it (`Write.tasks`), so that there is never a row without its task nor a task without
its row.  It is one of four things::

    delayed ── due ─► waiting ── take ─► leased ── report ─► done ── the owner's row ─► gone
                         ▲                  │
                         └── lease lapses ──┘   (a lapse is counted: perhaps it had an effect)

* *A lease* is held by who took the task, until a time that `renew_tasks` moves on.  Its token is the task's
  number and the count of times it was taken.  Whoever comes with another token is too late: neither renewed
  nor heard.  A number is never given twice, so a token of an earlier attempt fits no later one.
* *The report* of an attempt's end is a message to the owner: it and the state *done* are one transaction.
  The task stays until the owner's commit that journals the end drops it (`Write.dropped`).  As long as it is
  there, adding it again changes nothing: that is how an owner that loads an execution makes sure of its tasks
  without knowing whether they have ended meanwhile.  (Only that a delayed one waits no longer, if the same is
  added without a delay.)
* *Lapses.*  A lease that ran out is taken again by anybody, with the same key for the participant; the report
  then says how often, since each of these attempts may have had an effect.  Past so many in a row the task is
  *dead*: a report says that instead, and a person decides.
* *Cancelling* a task that nobody has taken ends it at once, with a report; of one that is leased the holder
  hears at its next renewal.  If that one dies instead, its lapse is the end.
* *A compensation waits* until its action's own task is done: it is not given to anybody before.
* *Limits* are kept with the queue and hold for all who serve it: they are looked at in the transaction that
  takes.  So are those of *pools*, which tasks of several queues may share.  What is leased counts as running,
  so that a holder that died frees its place by its lease.

Times are the store's own where it has a clock that all share (PostgreSQL); elsewhere callers say `now`.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import msgspec

PROMOTED = 256
"""Tasks that became due, or whose lease lapsed, that one taking looks at."""

SIGN = "task "
"""How the keys of reports begin, among an inbox's messages."""

PAYLOADS = ("args", "value")
"""What in a task's `call` is a user's (see `encryption`); so are an end's value, its error's message and
details, and progress."""

TaskKey = tuple[str, str, str]
"""Execution (its uid), action and direction (``do`` or ``undo``)."""


class Task(msgspec.Struct, kw_only=True):
    """One attempt to be run elsewhere.

    call: what it takes to run it, as JSON text (see `worker.queues.assignment`).  key: tasks of one key are
    limited together.  priority: higher comes first.  pool: of which named pool it takes a place.  at: when it
    was issued.  delay: seconds from then, before which nobody takes it.
    """

    uid: str
    action: str
    direction: str
    namespace: str
    queue: str
    step: str
    call: str
    attempt: int = 1
    key: str = ""
    pool: str = ""
    priority: int = 0
    at: float = 0.0
    delay: float = 0.0


KEPT = Task.__struct_fields__[:-2]
"""What a store keeps of a task as it came; of `at` and `delay` it makes when it is due."""


def kept(task: Task) -> tuple[Any, ...]:
    """The values of `KEPT`."""
    return msgspec.structs.astuple(task)[: len(KEPT)]


class Lease(msgspec.Struct):
    """A task, taken. lapses: leases of it that ran out.  lapsed_at: when the last of them did."""

    num: int
    tries: int
    task: Task
    lapses: int = 0
    lapsed_at: float = 0.0

    @property
    def token(self) -> Token:
        """What its holder shows."""
        return self.num, self.tries


Token = tuple[int, int]


class Ask(msgspec.Struct, kw_only=True):
    """Who wants tasks: at most `limit` of a queue, for `lease` seconds.

    deaths: a task that has lapsed so often is dead.
    """

    queue: str
    holder: str
    namespace: str = "default"
    limit: int = 1
    lease: float = 30.0
    deaths: int = 5


class Taken(msgspec.Struct):
    """What was taken. wait: seconds until something may be due; None: nothing is known to come.

    ended: how many lapsed tasks were found to be over (cancelled, or dead); their owners have been told.
    """

    leases: list[Lease] = []
    wait: float | None = None
    ended: int = 0


class Pulse(msgspec.Struct):
    """A sign of life from the holder of a task, perhaps with how far it is (JSON text).

    uid: of whose task.
    """

    token: Token
    progress: str | None = None
    uid: str = ""


class Standing(enum.Enum):
    """What becomes of who renews: goes on, should stop, or has lost the lease."""

    HELD = "held"
    CANCELLED = "cancelled"
    LOST = "lost"


class End(msgspec.Struct, omit_defaults=True):
    """How a task ended, as the message to its owner says it.

    how: ``completed`` (with `value`), ``failed`` (with `error`), ``withdrawn`` (cancelled before anybody ran
    it to its end), or ``dead``.  lost_until: see `worker.queues.assignment`.
    """

    action: str
    direction: str
    attempt: int
    how: str
    value: msgspec.Raw = msgspec.Raw(b"null")
    error: Told | None = None
    lapses: int = 0
    lapsed_at: float = 0.0
    lost_until: float = 0.0


class Told(msgspec.Struct, omit_defaults=True):
    """An exception, as it travels. kinds: the full names of its classes, the nearest first.

    rejected: the step itself says that nothing was done.  uncounted: the attempt does not count.  unsent:
    certainly nothing was sent.  stopped: it was told to stop.
    """

    type: str
    message: str
    details: msgspec.Raw = msgspec.Raw(b"null")
    kinds: Sequence[str] = ()
    rejected: bool = False
    uncounted: bool = False
    unsent: bool = False
    stopped: bool = False
    retry_after: float = 0.0


class TaskReport(msgspec.Struct):
    """The end of an attempt, from the holder of its lease. uid: of whose task."""

    token: Token
    end: End
    uid: str = ""


class QueueLimits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a queue allows, over all who serve it (None: no limit).

    concurrency: tasks that run at once.  per_key: of these, with one key.  rate: tasks begun in a second, on
    average.  burst: of these, at once after a rest (default: a second's worth).  depth: tasks that may wait
    before starters are held back.
    """

    concurrency: int | None = None
    per_key: int | None = None
    rate: float | None = None
    burst: int | None = None
    depth: int | None = None

    @property
    def counts(self) -> bool:
        """Does it matter how many run?"""
        return self.concurrency is not None or self.per_key is not None

    @property
    def bucket(self) -> float:
        """How many tasks may begin at once after a rest."""
        return float(self.burst) if self.burst is not None else max(1.0, self.rate or 0.0)


class QueueStatus(msgspec.Struct, kw_only=True):
    """A queue at a moment. oldest: seconds that the first in line has been waiting."""

    name: str
    waiting: int = 0
    delayed: int = 0
    running: int = 0
    oldest: float = 0.0
    paused: bool = False
    limits: QueueLimits = QueueLimits()


class TaskStatus(msgspec.Struct, kw_only=True):
    """A task at a moment, for people. state: ``delayed``, ``waiting``, ``leased`` or ``done``."""

    action: str
    direction: str
    queue: str
    step: str
    attempt: int
    state: str
    lapses: int = 0
    holder: str = ""
    progress: str | None = None
    cancelled: bool = False


class Queueing(Protocol):
    """What queues need of a store, beside `Write.tasks` and `Write.dropped`."""

    async def take_tasks(self, ask: Ask, now: float) -> Taken:
        """Lease tasks of a queue: the highest priority first, the oldest of these first."""
        ...

    async def renew_tasks(self, pulses: Sequence[Pulse], lease: float, now: float) -> list[Standing]:
        """Move leases on by `lease` seconds from now, where they are still held."""
        ...

    async def report_tasks(self, reports: Sequence[TaskReport]) -> list[bool]:
        """Tell owners of ends. False: the lease is another's by now, and nobody was told.

        The same report again is True and changes nothing.
        """
        ...

    async def return_tasks(self, tokens: Sequence[Token]) -> None:
        """Give back what was taken and not begun: it waits again, as if it had never been taken."""
        ...

    async def cancel_tasks(self, keys: Sequence[TaskKey]) -> list[bool]:
        """End what nobody has taken, and tell the holders of the rest at their next renewal.

        False: there is no such task.
        """
        ...

    async def queues(self, namespace: str, now: float) -> list[QueueStatus]:
        """All queues that have tasks or settings, by name."""
        ...

    async def set_queue(
        self, namespace: str, name: str, *, paused: bool | None = None, limits: QueueLimits | None = None
    ) -> None:
        """Change what is given (None: as it is)."""
        ...

    async def tasks_of(self, uid: str) -> list[TaskStatus]:
        """The tasks of an execution, oldest first."""
        ...


# ---------------------------------------------------------------- reports as messages

_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(End)


def is_report(key: str) -> bool:
    """Is a message with this key the report of a task's end?"""
    return key.startswith(SIGN)


def message_key(num: int, tries: int) -> str:
    """The key under which a report waits in an inbox."""
    return f"{SIGN}{num}.{tries}"


def encode_end(end: End) -> str:
    """A report as inbox rows carry it."""
    return _encoder.encode(end).decode()


def decode_end(text: str) -> End:
    """Raises `msgspec.ValidationError` or `msgspec.DecodeError`."""
    return _decoder.decode(text)


# ---------------------------------------------------------------- who may be taken


class Bucket(msgspec.Struct, frozen=True):
    """What a rate has saved up (tasks), as of a time."""

    tokens: float
    at: float

    def filled(self, limits: QueueLimits, now: float) -> Bucket:
        """The same, now."""
        if limits.rate is None:
            return self
        return Bucket(min(limits.bucket, self.tokens + max(0.0, now - self.at) * limits.rate), now)


Candidate = tuple[int, str, str]
"""Of a task in line: number, key, pool."""

POOL = "pool:"
"""How the names begin under which pools have their limits, beside the queues."""


def free_places(
    settings: Iterable[tuple[str, bool, str]], running: Iterable[tuple[str, int]]
) -> dict[str, int]:
    """Of limited pools: from rows of (name, paused, limits), and how many run by pool."""
    taken = dict(running)
    free: dict[str, int] = {}
    for name, paused, text in settings:
        pool = name.removeprefix(POOL)
        most = msgspec.json.decode(text, type=QueueLimits).concurrency
        if paused:
            free[pool] = 0
        elif most is not None:
            free[pool] = most - taken.get(pool, 0)
    return free


class Gate:
    """How much may be taken of a queue, in one transaction that has looked at what runs.

    running: what is leased, by key.
    """

    def __init__(
        self, limits: QueueLimits, running: Iterable[tuple[str, int]], bucket: Bucket | None, now: float
    ) -> None:
        self.limits = limits
        self._running = dict(running)
        self.bucket = (bucket or Bucket(limits.bucket, now)).filled(limits, now)
        self.begun = 0

    def room(self, asked: int) -> int:
        """How many tasks at most."""
        limits = self.limits
        if limits.concurrency is not None:
            asked = min(asked, limits.concurrency - sum(self._running.values()))
        if limits.rate is not None:
            asked = min(asked, math.floor(self.bucket.tokens + 1e-9))
        return max(0, asked)

    @property
    def saturated(self) -> list[str]:
        """Keys of which no further task may run."""
        most = self.limits.per_key
        if most is None:
            return []
        return sorted(key for key, count in self._running.items() if key and count >= most)

    def choose(self, candidates: Iterable[Candidate], room: int, places: dict[str, int]) -> list[int]:
        """Of those in line, the numbers of which may be taken. places: that are free in each limited pool."""
        most = self.limits.per_key
        chosen: list[int] = []
        for num, key, pool in candidates:
            if len(chosen) == room:
                break
            count = self._running.get(key, 0)
            if (key and most is not None and count >= most) or places.get(pool, 1) <= 0:
                continue
            if pool in places:
                places[pool] -= 1
            self._running[key] = count + 1
            chosen.append(num)
        self.begun = len(chosen)
        return chosen

    @property
    def left(self) -> Bucket:
        """What is saved up after that."""
        spent = self.begun if self.limits.rate is not None else 0
        return Bucket(self.bucket.tokens - spent, self.bucket.at)

    @property
    def wait(self) -> float | None:
        """Seconds until the rate lets another one begin; None: it does not hold it up."""
        rate = self.limits.rate
        if rate is None or self.left.tokens >= 1:
            return None
        return (1 - self.left.tokens) / rate


def soonest(*waits: float | None) -> float | None:
    """The shortest of these; None counts as never."""
    return min((wait for wait in waits if wait is not None), default=None)


# ---------------------------------------------------------------- for people


def statuses(
    counts: Iterable[tuple[str, str, int, float]], settings: Iterable[tuple[str, bool, str]], now: float
) -> list[QueueStatus]:
    """From rows of (queue, state, how many, the earliest `due`) and (queue, paused, limits)."""
    found: dict[str, QueueStatus] = {}
    for name, paused, limits in settings:
        decoded = msgspec.json.decode(limits, type=QueueLimits)
        found[name] = QueueStatus(name=name, paused=bool(paused), limits=decoded)
    for name, state, count, due in counts:
        status = found.setdefault(name, QueueStatus(name=name))
        if state == "waiting":
            status.waiting, status.oldest = count, max(0.0, now - due)
        elif state == "delayed":
            status.delayed = count
        elif state == "leased":
            status.running = count
    return [found[name] for name in sorted(found)]
