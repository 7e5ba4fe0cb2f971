"""Many connections at once send copies, compensations, rejections and probes of the same actions, some of which die on
the way; then everything that was answered and everything in the service's own ledger is checked.

The plan comes from a seed. Who is faster is up to the machine, and the check does not care.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import threading
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

import psycopg

from amends import Rejected
from amends.participants.barrier import Barrier, Entry, Found, Hanging
from tests.conformance.barrier.reference import Answer, Call, explained
from tests.unit.participants.links import POSTGRES, SQLITE, Link, done

KINDS = ["do"] * 8 + ["undo"] * 5 + ["reject"] * 3 + ["seal"] + ["probe"] * 2
FAULTS = ["none"] * 24 + ["roll back"] * 4 + ["close", "terminate"]
WORKERS = 6
TOGETHER = 3  # actions under way at the same time


@dataclass(frozen=True)
class Request:
    number: int
    action: str
    kind: str
    fault: str


def plan(seed: int, operations: int) -> list[Request]:
    """Two to nine requests an action; those of three neighbours are mixed."""
    chance = random.Random(seed)
    actions: list[list[tuple[str, str]]] = []
    left = operations
    while left > 0:
        action, size = f"seed{seed}/0/a{len(actions)}", min(left, chance.randint(2, 9))
        actions.append([(action, chance.choice(KINDS)) for _ in range(size)])
        left -= size
    mixed: list[tuple[str, str]] = []
    for at in range(0, len(actions), TOGETHER):
        group = [asked for action in actions[at : at + TOGETHER] for asked in action]
        chance.shuffle(group)
        mixed += group
    return [Request(n, action, kind, chance.choice(FAULTS)) for n, (action, kind) in enumerate(mixed)]


@dataclass
class World:
    """A service with a database, and everything that was asked of it."""

    driver: str
    place: str
    barrier: Barrier = field(default_factory=Barrier)
    calls: dict[str, list[Call]] = field(default_factory=lambda: defaultdict(list))
    seen: Counter[str] = field(default_factory=Counter)
    _clock: Any = field(default_factory=itertools.count)
    _waiting: deque[Request] = field(default_factory=deque)

    def run(self, requests: list[Request]) -> None:
        """All requests, by as many connections as there are workers: threads, or tasks where that is their way."""
        asyncio.run(self._prepare())
        self._waiting.extend(requests)
        if self.driver in {"asyncpg", "psycopg async"}:
            asyncio.run(self._in_tasks())
        else:
            errors: list[BaseException] = []

            def work() -> None:
                try:
                    asyncio.run(self._work())
                except BaseException as error:
                    errors.append(error)

            threads = [threading.Thread(target=work) for _ in range(WORKERS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            if errors:
                raise errors[0]
        last = sorted({request.action for request in requests})
        self._waiting.extend(Request(-1, action, "probe", "none") for action in last)
        asyncio.run(self._work())

    async def _in_tasks(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(self._work())

    def _open(self) -> Any:
        return {**SQLITE, **POSTGRES}[self.driver](self.place)

    async def _prepare(self) -> None:
        async with self._open() as link:
            if self.driver in SQLITE:
                await done(link.execute("PRAGMA journal_mode=WAL"))
            await done(link.begin())
            await done(self.barrier.create_table(link.connection))
            await done(link.execute("CREATE TABLE ledger (action text, direction text)"))
            await done(link.commit())

    async def _work(self) -> None:
        while self._waiting:
            with contextlib.suppress(_Gone):
                async with self._open() as link:
                    if self.driver in SQLITE:
                        # Patience first: the next statement opens the file, which another may hold.
                        await done(link.execute("PRAGMA busy_timeout=60000"))
                        await done(link.execute("PRAGMA synchronous=OFF"))
                    while self._waiting:
                        try:
                            request = self._waiting.popleft()
                        except IndexError:
                            break
                        await self._serve(link, request)

    async def _serve(self, link: Link, request: Request) -> None:
        began = next(self._clock)
        answer: Answer | None = None
        try:
            answer = await self._answer(link, request)
        finally:
            self.seen[f"fault: {request.fault}" if answer is None else f"{request.kind}: {answer[0]}"] += 1
            call = Call(request.kind, value_of(request), began, next(self._clock), answer)
            self.calls[request.action].append(call)

    async def _answer(self, link: Link, request: Request) -> Answer | None:
        await done(link.begin())
        found = await self._ask(link, request)
        if isinstance(found, Entry) and found.execute:
            row = f"('{request.action}', '{request.kind}')"
            await done(link.execute(f"INSERT INTO ledger VALUES {row}"))
        await asyncio.sleep(0)
        if request.fault == "roll back":
            await done(link.rollback())
            return None
        if request.fault in {"close", "terminate"}:
            await self._kill(link, request.fault)
        await done(link.commit())
        return said(found)

    async def _ask(self, link: Link, request: Request) -> Entry | Found:
        key = f"{request.action}/{'undo' if request.kind == 'undo' else 'do'}"
        connection, value = link.connection, value_of(request)
        if request.kind in {"do", "undo"}:
            return await done(self.barrier.enter(connection, key, reply=value))
        if request.kind == "reject":
            return await done(self.barrier.reject(connection, key, value))
        return await done(getattr(self.barrier, request.kind)(connection, key))

    async def _kill(self, link: Link, how: str) -> None:
        """The connection dies before the commit: from this side, or (PostgreSQL) from the other."""
        if how == "close" or self.driver in SQLITE:
            await done(getattr(link.connection, "terminate", link.connection.close)())
            raise _Gone
        (pid,) = (await link.rows("SELECT pg_backend_pid()"))[0]
        with psycopg.connect(self.place, autocommit=True) as other:
            assert other.execute("SELECT pg_terminate_backend(%s, 10000)", [pid]).fetchone() == (True,)
        try:
            await done(link.commit())
        except Exception as error:  # each driver has its own word for it
            raise _Gone from error
        raise AssertionError("committed on a connection that the server had ended")

    # ------------------------------------------------------------ the check

    async def ledger(self) -> dict[str, Counter[str]]:
        """What the service really did, from its own books."""
        books: dict[str, Counter[str]] = defaultdict(Counter)
        async with self._open() as link:
            await done(link.begin())
            for action, direction in await link.rows("SELECT action, direction FROM ledger"):
                books[action][direction] += 1
            await done(link.rollback())
        return books

    def violations(self) -> list[str]:
        """Everything that cannot be. The first kind looks at effects alone, the second at answers."""
        books = asyncio.run(self.ledger())
        found = []
        for action, calls in self.calls.items():
            effects = books[action]
            told = Counter(call.kind for call in calls if call.answer and call.answer[0] == "execute")
            if effects["do"] > 1 or effects["undo"] > effects["do"]:
                found.append(f"{action}: done {effects['do']} times, undone {effects['undo']} times")
            if effects != told:
                found.append(f"{action}: effects {dict(effects)}, but committed with a verdict: {dict(told)}")
            if not explained(calls):
                found.append(f"{action}: no order explains {calls}")
        return found


class _Gone(Exception):
    """The connection is dead; the worker opens another."""


def value_of(request: Request) -> Any:
    """What the request brings along, its own number, so that an answer says whose it is."""
    return f"no. {request.number}"


def said(found: Entry | Found) -> Answer:
    """An answer of the barrier in the words of the reference."""
    if isinstance(found, Found):
        return found.outcome, found.reply if found.outcome == "succeeded" else None
    try:
        return found.verdict.value, found.answer()
    except Hanging:
        return "hanging", None
    except Rejected as refused:
        return "rejected", refused.message
