"""Random streams of operations on the memory store and on SQLite: equal answers, equal contents, after
every one.

The memory store is simple enough to be believed; what SQLite does differently is found here.  `seq` numbers
may differ (only their order is promised), so messages are named by their place in the inbox.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hypothesis import currently_in_test_context, given, note, settings
from hypothesis import strategies as st

from amends.errors import AmendsError
from amends.kernel.entries import Row
from amends.store import MemoryStore, SqliteStore, Store
from amends.store.port import AuditRecord, Change, Header, Message, Query, Release, Write

NAMES = "abcdefgh"
WEIGHTS = {
    "commit": 40, "claim": 16, "create": 4, "send": 12, "park": 8, "unpark": 9, "transact": 5,
    "retire": 2, "crash": 3, "register": 1, "reopen": 1, "stale": 2, "burst": 6, "rush": 3,
}  # fmt: skip
TIMES = (5.0, 10.0, 20.0, 30.0)


@dataclass(frozen=True)
class W:
    """A write, in terms that mean something on either store."""

    uid: str
    start: bool
    id: str
    step: int | None  # where the row goes, counted from the head; None: no row
    text: str
    change: str
    release: tuple[float | None, int, bool] | None
    children: list[tuple[str, str, bool]]
    messages: list[tuple[str, str, str]]
    consumed: list[int]


class Chance:
    """Draws one operation from one number, so that a failing stream shrinks to few operations quickly."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._pick = self._random.choice

    def operation(self) -> tuple[Any, ...]:
        """An operation; commits most often, and mostly sensible ones."""
        kinds = list(WEIGHTS)
        (kind,) = self._random.choices(kinds, weights=list(WEIGHTS.values()))
        return kind, *getattr(self, f"_{kind}", tuple)()

    def _commit(self) -> tuple[Any, ...]:
        batch = [self._write(uid) for uid in self._random.sample(NAMES, self._pick([1, 2, 3, 5, 8]))]
        return ([_without_messages_ahead(batch, place) for place in range(len(batch))],)

    _stale = _commit

    def _claim(self) -> tuple[Any, ...]:
        return self._pick(TIMES), self._pick([1, 2, 8])

    def _create(self) -> tuple[Any, ...]:
        return self._names()

    def _send(self) -> tuple[Any, ...]:
        return self._messages(3), self._pick([True, False])

    def _burst(self) -> tuple[Any, ...]:
        return ([self._send() for _ in range(self._random.randint(2, 6))],)

    def _rush(self) -> tuple[Any, ...]:
        return ([self._create() for _ in range(self._random.randint(2, 6))],)

    def _park(self) -> tuple[Any, ...]:
        return (self._pick(NAMES),)

    _unpark = _park

    def _transact(self) -> tuple[Any, ...]:
        return self._pick(NAMES), self._pick([0, 0, -1]), self._text()

    def _register(self) -> tuple[Any, ...]:
        return (self._pick(TIMES),)

    def _text(self) -> str:
        return "\ud800" if self._random.random() < 0.04 else self._pick(["[]", "[1]", "ü"])

    def _names(self) -> tuple[str, str]:
        uid = self._pick(NAMES)
        return uid, uid if self._random.random() < 0.8 else self._pick(NAMES)

    def _messages(self, most: int) -> list[tuple[str, str, str]]:
        return [
            (self._pick(NAMES), self._text(), self._pick(["", "", "k", "l"]))
            for _ in range(self._random.randint(0, most))
        ]

    def _write(self, uid: str) -> W:
        chance = self._random.random
        return W(
            uid=uid,
            start=chance() < 0.25,
            id=uid if chance() < 0.9 else self._pick(NAMES),
            step=self._pick([0, 0, 0, 0, 0, 0, -1, None]),
            text=self._text(),
            change=self._pick(["", "", "", "running", "completed", "attention"]),
            release=(self._pick([None, *TIMES]), self._pick([0, 0, 0, -1]), chance() < 0.1)
            if chance() < 0.4
            else None,
            children=[
                (*self._names(), self._pick([True, False])) for _ in range(self._pick([0, 0, 0, 0, 1, 2]))
            ],
            messages=self._messages(self._pick([0, 0, 1, 2])),
            consumed=[place for place in range(3) if chance() < 0.3],
        )


def _without_messages_ahead(batch: list[W], place: int) -> W:
    """Whether a message reaches an execution that a later write of its batch starts is not promised."""
    later = {
        uid for write in batch[place + 1 :] for uid in (write.uid, *(child[0] for child in write.children))
    }
    write = batch[place]
    return replace(write, messages=[message for message in write.messages if message[0] not in later])


@dataclass
class Side:
    """One store, and what the driver knows of it."""

    store: Store
    me: int = 0
    retired: list[int] = field(default_factory=lambda: [99])

    async def apply(self, operation: tuple[Any, ...]) -> Any:
        """Carry out an operation; its answer in comparable form."""
        name, *arguments = operation
        action: Callable[..., Awaitable[Any]] = getattr(self, f"_{name}")
        try:
            return await action(*arguments)
        except AmendsError as error:
            return type(error).__name__

    async def _commit(self, batch: list[W]) -> Any:
        built = [await self._write(write) for write in batch]
        verdicts = await self.store.commit(self.me, built)
        return [(verdict.code, verdict.awake) for verdict in verdicts]

    async def _stale(self, batch: list[W]) -> Any:
        return await self.store.commit(self.retired[-1], [await self._write(write) for write in batch])

    async def _write(self, write: W) -> Write:
        found = await self.store.read(write.uid)
        head, inbox, seen = (len(found[1]), found[2], found[0].inbox_seq) if found else (0, [], 0)
        row = None
        if write.step is not None:
            row = Row(max(0, head + write.step), 3.0 + head, write.text, "[]", head)
        release = None
        if write.release is not None:
            wake_at, behind, lost = write.release
            release = Release(wake_at, max(0, seen + behind), lost)
        return Write(
            write.uid,
            row=row,
            start=_header(write.uid, write.id) if write.start else None,
            change=Change(write.change, cause="c", detail=write.text) if write.change else None,
            release=release,
            children=[
                _header(uid, id, parent=write.uid, owner=self.me if mine else None)
                for uid, id, mine in write.children
            ],
            messages=[Message(*message) for message in write.messages],
            consumed=[inbox[place].seq for place in write.consumed if place < len(inbox)],
        )

    async def _claim(self, now: float, limit: int) -> Any:
        claims = await self.store.claim(self.me, now, limit)
        return [(c.header, c.rows, _plain(c.inbox), c.lost, c.deaths) for c in claims]

    async def _create(self, uid: str, id: str) -> Any:
        return await self.store.create(_header(uid, id))

    async def _send(self, messages: list[tuple[str, str, str]], audit: bool) -> Any:
        records = [AuditRecord(1.0, uid, "me", "send", text) for uid, text, _ in messages] if audit else []
        return await self.store.send([Message(*message) for message in messages], records)

    async def _burst(self, sendings: list[tuple[Any, ...]]) -> Any:
        """Several clients send at once."""
        return await self._at_once([self._send(*sending) for sending in sendings])

    async def _rush(self, names: list[tuple[str, str]]) -> Any:
        """Several clients start at once."""
        return await self._at_once([self._create(*each) for each in names])

    async def _at_once(self, actions: list[Any]) -> Any:
        answers = await asyncio.gather(*actions, return_exceptions=True)
        return [type(answer).__name__ if isinstance(answer, Exception) else answer for answer in answers]

    async def _park(self, uid: str) -> Any:
        return await self.store.park(self.me, uid, "poison", "{}", 40.0)

    async def _unpark(self, uid: str) -> Any:
        return await self.store.unpark(uid, AuditRecord(41.0, uid, "me", "unpark"))

    async def _transact(self, uid: str, step: int, text: str) -> Any:
        found = await self.store.read(uid)
        position = max(0, (len(found[1]) if found else 0) + step)
        return (await self.store.transact(self.me, uid, lambda tx: Row(position, 2.0, text, "[]", 0))).code

    async def _retire(self) -> Any:
        await self.store.retire(self.me)
        self.retired.append(self.me)
        await self._register(15.0)

    async def _crash(self) -> Any:
        self.store.abandon()  # type: ignore[attr-defined]
        await self.store.open()
        self.retired.append(self.me)
        await self._register(25.0)

    async def _register(self, now: float) -> Any:
        me = await self.store.register(now, wait=False)
        self.me = me or self.me
        return me

    async def _reopen(self) -> Any:
        await self.store.close()
        await self.store.open()
        self.retired.append(self.me)
        await self._register(35.0)

    async def contents(self) -> Any:
        """All that can be read, in comparable form."""
        executions = {}
        for uid in NAMES:
            found = await self.store.read(uid)
            if found is not None:
                executions[uid] = (found[0], found[1], _plain(found[2]))
        news = _plain(await self.store.news(self.me, 0))
        audit = [await self.store.audited(uid) for uid in NAMES]
        headers = await self.store.headers(Query(namespace="", limit=1000))
        return executions, news, audit, headers, await self.store.next_wake()


def _plain(messages: list[Message]) -> list[tuple[str, str, str]]:
    assert [m.seq for m in messages] == sorted({m.seq for m in messages})
    return [(m.uid, m.event, m.key) for m in messages]


def _header(uid: str, id: str, parent: str = "", owner: int | None = None) -> Header:
    return Header(
        uid=uid, id=id, saga="s", input="[]", created_at=1.0, parent=parent, root=parent, owner=owner
    )


async def compare(path: Path, seeds: list[int], **options: Any) -> None:
    left = Side(MemoryStore())
    right = Side(SqliteStore(path, synchronous="OFF", **options))
    for side in (left, right):
        await side.store.open()
        await side.apply(("register", 0.0))
    try:
        for seed in seeds:
            operation = Chance(seed).operation()
            if currently_in_test_context():
                note(f"{operation}")
            answers = [await side.apply(operation) for side in (left, right)]
            assert answers[0] == answers[1], operation
            contents = [await side.contents() for side in (left, right)]
            assert contents[0] == contents[1], operation
            seen.update(kinds(operation[0], answers[0]))
    finally:
        await right.store.close()


def kinds(name: str, answer: Any) -> set[str]:
    """What happened, for the account of what was tried at all."""
    if isinstance(answer, str):
        return {f"{name}: {answer}"}
    if name == "commit":
        return {"commit: awake" if awake else f"commit: {code.value}" for code, awake in answer}
    return {f"{name}: {bool(answer) if name in {'claim', 'create', 'register'} else 'done'}"}


seen: set[str] = set()
streams = st.lists(st.integers(0, 2**64 - 1), min_size=5, max_size=40)
numbers = itertools.count()


@settings(max_examples=300)
@given(seeds=streams)
def test_memory_and_sqlite_agree(tmp_path_factory: Any, seeds: list[int]) -> None:
    path = tmp_path_factory.getbasetemp() / f"agree-{next(numbers)}.db"
    asyncio.run(compare(path, seeds))


@settings(max_examples=60)
@given(seeds=streams)
def test_memory_and_sqlite_agree_in_the_thread(tmp_path_factory: Any, seeds: list[int]) -> None:
    path = tmp_path_factory.getbasetemp() / f"thread-{next(numbers)}.db"
    asyncio.run(compare(path, seeds, inline_rows=0, inline_seconds=-1.0))


def test_streams_reach_everything(tmp_path: Path) -> None:
    """A comparison of nothing but refusals would prove little."""
    seen.clear()
    for number in range(40):
        chance = random.Random(number)
        asyncio.run(compare(tmp_path / f"{number}.db", [chance.getrandbits(64) for _ in range(60)]))
    assert set(WANTED) <= seen, set(WANTED) - seen


WANTED = (
    "claim: False", "claim: True", "create: False", "create: True", "stale: Fenced", "transact: done",
    "commit: awake", "commit: committed", "commit: conflict", "commit: poison",
    "crash: done", "reopen: done", "retire: done", "register: False",
    "send: StoreError", "send: UnknownName", "send: done",
    "park: Refused", "park: UnknownName", "park: done",
    "unpark: Refused", "unpark: UnknownName", "unpark: done",
)  # fmt: skip
