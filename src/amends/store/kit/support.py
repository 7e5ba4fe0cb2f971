"""What the cases are written with: a subject, a register of cases, small builders, and checks that explain.

The checks raise `AssertionError` by themselves, so that they hold under ``python -O`` and show both sides
without a test runner's help.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...kernel.entries import Row
from ..port import Change, Claim, Code, Header, Message, Release, Store, Verdict, Write

Case = Callable[["Subject"], Awaitable[None]]


@dataclass
class Subject:
    """One empty database under test.

    `connect` gives a fresh, opened handle on it (as another process would have); `crash` ends a handle as
    ``kill -9`` would.  `fill` makes the next write find no room, `relieve` gives room again; None: cannot
    be arranged. `sql`: transactional steps can execute SQL, with parameters marked by `mark`.  `many`:
    several workers serve one database at a time; otherwise one does, and others wait.
    """

    connect: Callable[[], Awaitable[Store]]
    crash: Callable[[Store], Awaitable[None]]
    fill: Callable[[Store], Awaitable[None]] | None = None
    relieve: Callable[[Store], Awaitable[None]] | None = None
    sql: bool = True
    mark: str = "?"
    many: bool = False
    opened: list[Store] = field(default_factory=list)

    async def open(self) -> Store:
        """A handle that is closed when the case is over."""
        store = await self.connect()
        self.opened.append(store)
        return store

    async def worker(self, now: float = 0.0) -> tuple[Store, int]:
        """A handle that is registered as the worker."""
        store = await self.open()
        incarnation = await store.register(now, wait=False)
        holds(
            incarnation is not None, "nobody else is registered, so register(wait=False) gives an incarnation"
        )
        assert incarnation is not None
        return store, incarnation

    async def kill(self, store: Store) -> None:
        """End a handle as a crash would."""
        self.opened.remove(store)
        await self.crash(store)

    async def close(self) -> None:
        """Close what is still open."""
        while self.opened:
            await self.opened.pop().close()


CASES: dict[str, tuple[Case, frozenset[str]]] = {}
"""Every case by its name, with the abilities that it needs of its subject."""


def case(*needs: str) -> Callable[[Case], Case]:
    """Register a case; `needs` names abilities of the subject (``sql``, ``fill``, ``many``, ``single``)
    without which it is skipped."""

    def add(function: Case) -> Case:
        CASES[function.__name__] = function, frozenset(needs)
        return function

    return add


# ---------------------------------------------------------------- checks


def holds(condition: object, about: str) -> None:
    """Fail unless the condition is true; `about` says what should be."""
    if not condition:
        raise AssertionError(about)


def same(got: Any, want: Any, about: str) -> None:
    """Fail unless the two are equal."""
    if got != want:
        raise AssertionError(f"{about}\n  wanted: {want!r}\n  got:    {got!r}")


async def refuses(kind: type[Exception], action: Awaitable[Any], about: str) -> None:
    """Fail unless the action raises that error."""
    try:
        got = await action
    except kind:
        return
    raise AssertionError(f"{about}\n  wanted: {kind.__name__}\n  got:    {got!r}")


def codes(verdicts: Sequence[Verdict]) -> list[str]:
    """Verdicts in short: ``committed``, ``awake``, ``conflict``, ``poison``."""
    return ["awake" if verdict.awake else verdict.code.value for verdict in verdicts]


def all_committed(verdicts: Sequence[Verdict]) -> None:
    """Fail unless every write was committed as asked."""
    same(codes(verdicts), [Code.COMMITTED.value] * len(verdicts), "every write is committed")


# ---------------------------------------------------------------- builders

UNSTORABLE = "\ud800"  # half a surrogate pair: no database that stores UTF-8 takes it


def header(uid: str, **fields: Any) -> Header:
    """A header whose id is its uid, unless told otherwise."""
    return Header(**{"uid": uid, "id": uid, "saga": "shop.order", "input": "[]", "created_at": 1.0, **fields})


def row(position: int, now: float = 1.0, events: str = '[["fired","1"]]', commands: str = "[]") -> Row:
    """A row; stores do not look at checksums."""
    return Row(position, now, events, commands, 7 * position)


def start(uid: str, **fields: Any) -> Write:
    """A write that starts an execution with its first row."""
    return Write(uid, start=header(uid, **fields), row=row(0))


def asleep(uid: str, position: int, wake_at: float | None = None, seen: int = 0) -> Write:
    """A write that appends a row and lets go of the execution."""
    return Write(uid, row=row(position), release=Release(wake_at, seen))


def done(uid: str, position: int, status: str = "completed", seen: int = 0) -> Write:
    """A write that ends an execution."""
    change = Change(status, result='{"id":1}', finished_at=9.0)
    return Write(uid, row=row(position, 9.0), change=change, release=Release(None, seen))


def to(uid: str, event: str = '["fired","9"]', key: str = "") -> Message:
    """A message."""
    return Message(uid, event, key)


async def positions(store: Store, uid: str) -> list[int]:
    """The positions of an execution's rows, as stored."""
    found = await store.read(uid)
    return [] if found is None else [each.position for each in found[1]]


async def head_of(store: Store, uid: str) -> Header:
    """The stored header of an execution that exists."""
    found = await store.read(uid)
    if found is None:
        raise AssertionError(f"the store has an execution {uid}")
    return found[0]


async def inbox_of(store: Store, uid: str) -> list[str]:
    """The events that wait in an execution's inbox."""
    found = await store.read(uid)
    return [] if found is None else [message.event for message in found[2]]


async def claim_one(store: Store, incarnation: int, now: float = 100.0) -> Claim:
    """The only execution that is due."""
    claims = await store.claim(incarnation, now, 10)
    same(len(claims), 1, "one execution is due")
    return claims[0]


async def told(store: Store) -> None:
    """Wait until `changed` says that there may be something new (a hint may take a moment to arrive)."""
    for _ in range(1000):
        if await store.changed():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("`changed` becomes True")
