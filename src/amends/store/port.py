"""The port that every store implements: few methods, each batch-shaped.

**Theory of operation.**  A store keeps `executions` (one header each), their `journal`, an `inbox` of
messages not yet journaled, `fences` (one per worker incarnation) and `audit`.

* *One commit, many executions.*  `commit` takes a batch of `Write`, one per execution, applies it in one
  durable transaction and returns one `Verdict` per write.  A write is atomic: its row, its header
  changes, the messages it sends and the children it starts are all durable, or none is.
* *Ownership.*  An execution is owned by one incarnation, or by none (asleep).  Only its owner appends to its
  journal: a commit by a retired incarnation is refused as a whole (`Fenced`).  Ownership is given by
  `start` inside a commit, taken by `claim`, and given back by `Release` inside the commit of the last row,
  or taken from the dead by `register`.
* *No lost wake-up.*  Every message raises its execution's `inbox_seq`, and, when nobody owns the execution,
  makes it due at once (`wake_at = 0`).  A `Release` names the `inbox_seq` the owner has seen; if it has
  moved, the row is still committed but the release is refused (`Verdict.awake`), and the owner goes on.
  `inbox_seq` counts the messages ever put into the inbox (a dropped duplicate does not count).
* *Journal positions* are gap-free from 0.  A write whose position is taken is a `CONFLICT`; so is a start
  whose id exists.  A conflicting write changes nothing; the other writes of the batch stand.
* *Unknown outcomes.*  If the store cannot tell whether a commit is durable it raises `CommitUnknown`; the
  worker then retires its own incarnation and reads again.  `StoreFull` and `StoreBusy` promise that nothing
  changed.
* *A data error* (the database refuses one row) must not stop the others: the store bisects the batch until
  only the guilty write is left out, with verdict `POISON`.

* *One worker or several.*  A store that several workers may serve at the same time says so by an attribute
  `shared = True`, and has one more method (`Shared`); what one worker lets go another may take.

All times are seconds since the epoch (UTC, float).  Messages are encoded `Event` entries.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol, TypeGuard, runtime_checkable

import msgspec

from ..errors import AmendsError
from ..kernel.entries import Row
from .pausing import PauseSide
from .queueing import Queueing, Task
from .where.terms import ALL, Term

RUNNING = "running"
COMPENSATING = "compensating"
COMPLETED = "completed"
COMPENSATED = "compensated"
PARTIALLY_COMPENSATED = "partially_compensated"
ATTENTION = "attention"
TERMINATED = "terminated"
MISSING = "missing_definition"
"""The cause of what was parked because its worker had no code of its saga."""
PAUSED = "paused"
"""The cause of what somebody told to stand still."""
STATUSES = (
    RUNNING, COMPENSATING, ATTENTION, COMPLETED, COMPENSATED, PARTIALLY_COMPENSATED, TERMINATED,
)  # fmt: skip
FINAL = frozenset({COMPLETED, COMPENSATED, PARTIALLY_COMPENSATED, TERMINATED})


class Header(msgspec.Struct, kw_only=True):
    """What is known of an execution without its journal (one row of `executions`).

    `detail` is JSON text for people and programs: the parked items, the fault, the residue.
    `result` is the encoded return value once completed.  `depth` is 0 for a root.
    """

    uid: str
    id: str
    saga: str
    input: str
    created_at: float
    namespace: str = "default"
    partition: int = 0
    version: str = ""
    status: str = RUNNING
    cause: str = ""
    owner: int | None = None
    inbox_seq: int = 0
    wake_at: float | None = None
    root: str = ""
    parent: str = ""
    parent_action: str = ""
    depth: int = 0
    deadline: float | None = None
    attributes: str = "{}"
    result: str | None = None
    detail: str | None = None
    updated_at: float = 0.0
    finished_at: float | None = None


class Message(msgspec.Struct):
    """A message to an execution: an encoded event. `key` deduplicates while it waits in the inbox."""

    uid: str
    event: str
    key: str = ""
    seq: int = 0


class Change(msgspec.Struct):
    """New values of a header's status fields (all are written)."""

    status: str
    cause: str = ""
    result: str | None = None
    detail: str | None = None
    finished_at: float | None = None


class Release(msgspec.Struct):
    """Give up ownership until `wake_at` (None: until a message), if the inbox is still at `inbox_seq`.

    `lost`: the next claim shall be marked lost again, because this owner took over open commands of a dead
    one and has not journaled yet that they may have been dispatched.
    """

    wake_at: float | None
    inbox_seq: int
    lost: bool = False


class AuditRecord(msgspec.Struct):
    """Who did what to an execution by hand, and why."""

    at: float
    uid: str
    by: str
    action: str
    reason: str = ""
    detail: str = ""


class Write(msgspec.Struct):
    """All that one activation of one execution makes durable.

    `audit` says what became of operators' requests.  `children` whose `owner` is the committing incarnation
    are born owned by it, others unowned and due.
    `messages` go to executions that exist, or that this write starts.  A batch has one write per execution;
    its effects do not depend on the order of the writes, except that of two starts with one id the first
    wins.
    `dropped` are tasks of this execution (action and direction) whose end the row journals, `tasks` those it
    issues (one for each action and direction), in this order; one that is there already stays (see
    `queueing`).
    """

    uid: str
    row: Row | None = None
    start: Header | None = None
    change: Change | None = None
    release: Release | None = None
    children: Sequence[Header] = ()
    messages: Sequence[Message] = ()
    consumed: Sequence[int] = ()
    audit: Sequence[AuditRecord] = ()
    tasks: Sequence[Task] = ()
    dropped: Sequence[tuple[str, str]] = ()


class Code(enum.Enum):
    """What became of one write."""

    COMMITTED = "committed"
    CONFLICT = "conflict"
    POISON = "poison"


class Verdict(msgspec.Struct, frozen=True):
    """The fate of one write. `awake`: committed, but the asked release was refused (new messages)."""

    code: Code
    awake: bool = False
    reason: str = ""


COMMITTED = Verdict(Code.COMMITTED)
AWAKE = Verdict(Code.COMMITTED, awake=True)


class Claim(msgspec.Struct):
    """An execution now owned by the claimer, with all it needs to go on.

    `lost`: its last owner died while holding it, so open commands may have been dispatched.
    `lost_by`: which incarnation that was, the last of several; None: not known (as after an import).
    `deaths`: how many owners in a row died on the same journal head.
    `slept`: it is lost since an earlier owner, and was let go asleep (`Release.lost`): nobody has dispatched
    anything since.
    """

    header: Header
    rows: list[Row]
    inbox: list[Message]
    lost: bool = False
    deaths: int = 0
    slept: bool = False
    lost_by: int | None = None


SLEPT = -1
"""What stands for the head of the last death of an execution that was let go asleep and lost."""


class History(msgspec.Struct):
    """All that is kept of an execution."""

    header: Header
    rows: list[Row] = []
    inbox: list[Message] = []
    audit: list[AuditRecord] = []


class Query(msgspec.Struct, kw_only=True):
    """A filter over headers; empty fields match all. Newest first; `after` is the last uid of a page.

    Of a range of times *from* is included, *until* is not; what has not finished is in no such range.
    `where`: a condition besides (see `where`); on attributes it is asked of their index.
    """

    namespace: str = "default"
    statuses: Sequence[str] = ()
    saga: str = ""
    root: str = ""
    parent: str = ""
    id_prefix: str = ""
    created_from: float | None = None
    created_until: float | None = None
    finished_from: float | None = None
    finished_until: float | None = None
    where: Term = ALL
    limit: int = 100
    after: str = ""


class Key(msgspec.Struct, kw_only=True):
    """A data key as the store keeps it: `wrapped` by the master key of that name; None once it is forgotten
    (its subject then is, too)."""

    id: str
    namespace: str
    subject: str
    wrapped: bytes | None
    master: str
    created_at: float
    forgotten_at: float | None = None


class KeyQuery(msgspec.Struct, kw_only=True):
    """A filter over keys; empty fields match all. By id; `after` is the last id of a page.

    `subjects`: of the namespace, which must be named.  `living`: only what is not forgotten.  `master_not`:
    and wrapped by another master key than that.
    """

    namespace: str = ""
    ids: Sequence[str] = ()
    subjects: Sequence[str] = ()
    living: bool = False
    master_not: str = ""
    limit: int = 100
    after: str = ""


class Rewrap(msgspec.Struct):
    """A key that shall be wrapped otherwise, if it still is as it `was`."""

    id: str
    was: bytes
    wrapped: bytes
    master: str


def trees_over(members: Sequence[tuple[str, str, str, bool]], asked: Collection[str]) -> set[str]:
    """Of the asked uids: roots all of whose tree is over. A member is uid, root, parent, is it over."""
    held = {(root if parent else uid) for uid, root, parent, over in members if not over}
    return {uid for uid, _, parent, _ in members if uid in asked and not parent and uid not in held}


def beyond(prefix: str) -> str | None:
    """The first text, by code points, after all that begin with `prefix`; None when there is none."""
    shorter = prefix.rstrip(chr(0x10FFFF))
    if not shorter:
        return None
    last = ord(shorter[-1]) + 1
    return shorter[:-1] + chr(0xE000 if last == 0xD800 else last)  # surrogates are no characters


class Transaction(Protocol):
    """The database handle a transactional step works with (the store's own connection, guarded)."""

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement inside the step's transaction; returns all rows."""
        ...


class WorkerSide(Protocol):
    """What the worker needs of a database."""

    async def register(self, now: float, *, wait: bool) -> int | None:
        """Become a worker: a fresh incarnation, after retiring those that died.

        Executions of the dead become unowned, due, and marked `lost`.  Where only one worker may serve the
        store (or the object has an incarnation) and one is alive: None, or (with `wait`) not before it is
        gone.
        """
        ...

    async def retire(self, incarnation: int, settled: Collection[str] = ()) -> None:
        """End an incarnation (idempotent). What it still owns becomes unowned and due, and is `lost`, but for
        `settled`: the uids of which a drain says that all it ever dispatched has ended and is journaled.
        """
        ...

    def commit_now(self, incarnation: int, writes: Sequence[Write]) -> list[Verdict] | None:
        """Commit in the caller's thread, if this store can do so quickly; None: use `commit`."""
        ...

    async def commit(self, incarnation: int, writes: Sequence[Write]) -> list[Verdict]:
        """Make a batch durable (one transaction). Raises `Fenced`, `StoreFull`, `StoreBusy`,
        `CommitUnknown`."""
        ...

    async def serve(
        self,
        incarnation: int,
        definitions: Collection[tuple[str, str]],
        shares: Mapping[str, float] | None = None,
    ) -> None:
        """Say which sagas (name and version) this worker has the code of; again whenever that changes.

        What was parked with the cause `missing_definition` for want of one of them becomes claimable, with
        its status before.  Where several workers serve a store, `claim` and `next_wake` then concern only
        what this one has, and what no living worker has: that is left alone for a while, then adopted by one
        (which ends it from its journal, or parks it).  shares: weights of namespaces in `claim` (default 1).
        """
        ...

    async def claim(self, incarnation: int, now: float, limit: int) -> list[Claim]:
        """Take at most `limit` unowned executions due by `now`, with journal and inbox; none that a pause
        covers.

        Of each namespace earliest first; between namespaces in turns: the n-th of one with the weight w comes
        at n / w, so that a flood in one does not hold up the others.
        """
        ...

    async def next_wake(self) -> float | None:
        """The earliest `wake_at` of any unowned execution that may be claimed (so none that a pause covers);
        None: nothing sleeps."""
        ...

    async def news(self, incarnation: int, after: int) -> list[Message]:
        """Inbox messages with `seq` over `after`, of executions this incarnation owns, in `seq` order."""
        ...

    async def changed(self) -> bool:
        """Cheap: may another process have written since the last call?

        False when surely not, or when it has not been heard of yet: a store that hears by notification says
        True after a bounded time in any case. Raises `Fenced` when this worker was retired by others.
        """
        ...

    async def transact(self, incarnation: int, uid: str, body: Callable[[Transaction], Row]) -> Verdict:
        """Run `body` and append the (event-only) row it returns, in one transaction.

        An exception from `body` rolls everything back and is raised.
        """
        ...

    async def park(self, incarnation: int, uid: str, cause: str, detail: str, now: float) -> None:
        """Set status `attention` without a journal row (the journal itself cannot go on), keep the status
        before, and give up ownership with no `wake_at`. Messages do not make a parked execution due."""
        ...


class ClientSide(Protocol):
    """What clients and the dashboard need of a database."""

    async def create(self, header: Header) -> bool:
        """Add an unowned execution, due now. False: that (namespace, id) exists; nothing changed."""
        ...

    async def send(self, messages: Sequence[Message], audit: Sequence[AuditRecord] = ()) -> None:
        """Put messages into inboxes, raise `inbox_seq`, make unowned receivers due; with audit records, one
        transaction. A message whose key already waits is dropped. Raises `UnknownName` for an unknown
        uid."""
        ...

    async def unpark(self, uid: str, audit: AuditRecord) -> None:
        """Make an execution parked by `park` claimable again, with its status before and no `deaths`."""
        ...

    async def find(self, namespace: str, id: str) -> Header | None:
        """The execution of that id, or None."""
        ...

    async def headers(self, query: Query) -> list[Header]:
        """Headers that match, newest first."""
        ...

    async def read(self, uid: str) -> tuple[Header, list[Row], list[Message]] | None:
        """A consistent copy of an execution, its journal and its waiting inbox; changes nothing."""
        ...

    async def audited(self, uid: str) -> list[AuditRecord]:
        """The audit records of an execution, oldest first."""
        ...

    async def prune(self, uids: Sequence[str], before: float) -> list[str]:
        """Delete these executions with all that is nested in them, in one transaction; returns which.

        One stays, whole, unless it is a root and it and all that is nested in it ended before that time and
        are owned by nobody.
        """
        ...

    async def restore(self, histories: Sequence[History]) -> bool:
        """Add executions with all that is kept of them, unowned, all or none. False: an id or a uid exists.
        (Their audit records may be of others.)

        What has not ended is due at once and `lost`: elsewhere its open commands may have been dispatched.
        What has ended is due only if messages wait.
        """
        ...


class KeySide(Protocol):
    """What envelopes need of a database (see `amends.encryption`)."""

    async def add_key(self, key: Key) -> Key:
        """Add a key, unless its subject has one that is not forgotten; returns the one that it has."""
        ...

    async def keys(self, query: KeyQuery) -> list[Key]:
        """Keys that match, by id."""
        ...

    async def rewrap(self, changes: Sequence[Rewrap]) -> list[str]:
        """Replace wrapped keys, each only if it is as it was, in one transaction; returns which."""
        ...

    async def forget(self, namespace: str, subject: str, audit: AuditRecord) -> str | None:
        """Delete a subject's key, with its name, and add the audit record under ``key <id>``, in one
        transaction; returns the key's id. None: that subject has no key."""
        ...


@runtime_checkable
class Store(WorkerSide, ClientSide, KeySide, PauseSide, Queueing, Protocol):
    """What the worker, the engine and clients need of a database."""

    async def open(self) -> None:
        """Connect and bring the schema up to date. Raises `SchemaMismatch`, `StoreError`."""
        ...

    async def close(self) -> None:
        """Let go of everything; committed work stays."""
        ...

    async def tidy(self) -> None:
        """Housekeeping for a quiet moment (a worker calls it when it has been idle for a while)."""
        ...


class Shared(Store, Protocol):
    """A store that several workers may serve at the same time (``shared = True``)."""

    def surplus(self) -> int:
        """How many executions its worker has more than a fair share, where others have the same definitions
        and less to do, as of the last look (each look is told once)."""
        ...


Told = Callable[[list[Verdict] | AmendsError | None], None]
"""Hears a commit's end: verdicts; `Fenced`, `CommitUnknown`; or None (nothing changed, `commit` says why)."""


class Prompt(Store, Protocol):
    """A store whose commits need no task of their own (it has `commit_soon`)."""

    def commit_soon(self, incarnation: int, writes: Sequence[Write], told: Told) -> bool:
        """Begin a commit, the only one; `told` is called later, once, in a callback of the loop. False: use
        `commit`, nothing was begun."""


def is_prompt(store: Store) -> TypeGuard[Prompt]:
    """Can it begin a commit without a task? Itself: what stands before a store must see each commit."""
    return hasattr(type(store), "commit_soon")


def is_shared(store: Store) -> TypeGuard[Shared]:
    """May several workers serve it at the same time?"""
    return getattr(store, "shared", False)


def commits_aside(store: Store) -> bool:
    """Does somebody else carry out what it commits, while this process can go on (``aside = True``)?"""
    return getattr(store, "aside", False)
