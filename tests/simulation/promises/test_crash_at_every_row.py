"""Kill the worker before and after each commit, and at the begin and the end of each dispatch: the end is the same.

Each saga here is first run undisturbed; then once for every point at which its worker can die (or the
acknowledgement of its commit get lost), and it must come to the same status, value and effects, with the same keys,
and at most one more dispatch of what was in flight.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import amends
from amends import Rejected, Resource, Retry, Signal, StepFailed, Transaction, injected, saga
from amends.kernel import entries as e
from amends.store.port import Query

from .book import OK
from .world import World, unknown

go = Signal[str]("go")

Drive = Callable[[amends.Engine, Any], Awaitable[None]]


class Shape:
    """A saga to kill: its definition on a world's book, and perhaps somebody who acts on it from outside."""

    def __init__(
        self, name: str, build: Callable[[World], Any], drive: Drive | None = None, **wanted: Any
    ) -> None:
        self.name = name
        self.build = build
        self.drive = drive
        self.wanted = wanted


async def work(call: Any) -> None:
    await asyncio.sleep(1)


def simple(name: str, *parts: str, fails: bool = False) -> Callable[[World], Any]:
    def build(world: World) -> Any:
        steps = {part: world.book.step(part, work, undo=(work,)) for part in parts}
        bad = world.book.step("bad", Rejected("no"))

        @saga(name=f"crash.{name}")
        async def shop() -> list[str]:
            found = [await step() for step in steps.values()]
            if fails:
                await bad()
            return found

        return shop

    return build


def parallel(world: World) -> Any:
    a, b, c, d = (world.book.step(n, work, undo=(work,)) for n in "abcd")
    bad = world.book.step("bad", TimeoutError("?"))

    @saga(name="crash.parallel")
    async def shop() -> str:
        await a()
        async with asyncio.TaskGroup() as group:
            group.create_task(b())
            group.create_task(c())
        await asyncio.sleep(5)
        await d()
        return await bad()

    return shop


def alternatives(world: World) -> Any:
    third = world.book.step("third", work)
    second = world.book.step("second", TimeoutError("?"), undo=(work,))
    first = world.book.step(
        "first",
        ValueError("?"),
        ConnectionResetError("?"),
        retry=Retry(attempts=2, delay=3),
        fallback=[second, third],
    )

    @saga(name="crash.alternatives")
    async def shop() -> str:
        return await first("x")

    return shop


def saved(world: World) -> Any:
    a, b, c = (world.book.step(n, work, undo=(work,)) for n in "abc")
    bad = world.book.step("bad", ConnectionResetError("?"))

    @saga(name="crash.saved")
    async def shop() -> str:
        await a()
        try:
            async with amends.savepoint():
                await asyncio.gather(b("1"), b("2"))
                await bad()
        except StepFailed:
            return await c()
        return "?"

    return shop


def nested(fails: bool) -> Callable[[World], Any]:
    def build(world: World) -> Any:
        a, b, c = (world.book.step(n, work, undo=(work,)) for n in "abc")
        bad = world.book.step("bad", TimeoutError("?"))

        @saga(name="crash.nested.child")
        async def child(tag: str) -> str:
            await b(tag)
            return await c(tag)

        @saga(name="crash.nested")
        async def shop() -> list[str]:
            await a()
            found = list(await asyncio.gather(child("x"), child("y")))
            if fails:
                await bad()
            return found

        return shop

    return build


def pivoted(world: World) -> Any:
    a, c = world.book.step("a", work), world.book.step("c", work)
    b = world.book.step("b", *[ValueError("?")] * 3, OK, retry=Retry(attempts=1, delay=1))

    @saga(name="crash.pivoted", deadline=60)
    async def shop() -> str:
        await a()
        await amends.pivot()
        await b()
        return await c()

    return shop


def timed(world: World) -> Any:
    slow, after = (
        world.book.step("slow", lambda call: asyncio.sleep(1000), undo=(work,)),
        world.book.step("after"),
    )

    @saga(name="crash.timed")
    async def shop() -> str:
        await asyncio.sleep(10)
        try:
            await asyncio.wait_for(slow(), 10)
        except TimeoutError:
            await asyncio.sleep(10)
        return await after()

    return shop


def left_behind(world: World) -> Any:
    a, slow = (
        world.book.step("a", work),
        world.book.step("slow", lambda call: asyncio.sleep(1000), undo=(work,)),
    )

    @saga(name="crash.left")
    async def shop() -> str:
        asyncio.create_task(slow())  # noqa: RUF006 - left behind on purpose
        return await a()

    return shop


def again(world: World) -> Any:
    a, bad = world.book.step("a", work, undo=(work,)), world.book.step("bad", TimeoutError("?"))

    @saga(name="crash.again")
    async def shop(n: int = 0) -> str:
        await a(str(n))
        if n < 2:
            await amends.continue_as_new(n + 1)
        return await bad()

    return shop


def noted(world: World) -> Any:
    a, note, bad = (
        world.book.step("a", work),
        world.book.step("note", work, undo=None),
        world.book.step("bad", TimeoutError("?")),
    )

    @saga(name="crash.noted")
    async def shop() -> str:
        amends.undo_with(note, "1")
        await a()
        amends.undo_with(note, "2")
        return await bad()

    return shop


def stuck_undo(world: World) -> Any:
    a = world.book.step(
        "a", undo=(ValueError("no"), ValueError("no"), OK), undo_options={"retry": Retry(attempts=2, delay=5)}
    )
    b, bad = world.book.step("b", undo=(work,)), world.book.step("bad", TimeoutError("?"))

    @saga(name="crash.stuck")
    async def shop() -> str:
        await b()
        await a()
        return await bad()

    return shop


async def retry_when_stuck(engine: amends.Engine, handle: Any) -> None:
    while True:
        status = await handle.status()
        if status.status == "attention":
            await handle.retry()
        await asyncio.sleep(1)


def signalled(world: World) -> Any:
    a, b = world.book.step("a", work), world.book.step("b", work)

    @saga(name="crash.signalled")
    async def shop() -> list[str]:
        first = await go.receive()
        await a(first)
        second = await go.receive()
        return [first, await b(second)]

    return shop


async def send_two(engine: amends.Engine, handle: Any) -> None:
    await asyncio.sleep(3)
    await handle.send(go, "one", key="1")
    await asyncio.sleep(3)
    await handle.send(go, "two", key="2")


def cancelled(world: World) -> Any:
    a, b = world.book.step("a", work, undo=(work,)), world.book.step("b", work, undo=(work,))
    slow = world.book.step("slow", lambda call: asyncio.sleep(100_000), undo=(work,))

    @saga(name="crash.cancelled")
    async def shop() -> str:
        await asyncio.gather(a(), b())
        return await slow()

    return shop


async def cancel_late(engine: amends.Engine, handle: Any) -> None:
    while True:
        history = str(await handle.history())
        if "'slow'" in history and (await handle.status()).status == "running":
            await handle.cancel("enough")
            return
        await asyncio.sleep(1)


SHAPES = [
    Shape("linear", simple("linear", "a", "b", "c"), status="completed", remaining=["a", "b", "c"]),
    Shape("failing", simple("failing", "a", "b", "c", fails=True), status="compensated", remaining=[]),
    Shape("parallel", parallel, status="compensated", remaining=[]),
    Shape("alternatives", alternatives, status="completed", remaining=["third:x"]),
    Shape("saved", saved, status="completed", remaining=["a", "c"]),
    Shape("nested", nested(False), status="completed", remaining=["a", "b:x", "b:y", "c:x", "c:y"]),
    Shape("nested fails", nested(True), status="compensated", remaining=[]),
    Shape("pivoted", pivoted, status="completed", remaining=["a", "b", "c"]),
    Shape("timed", timed, status="completed", remaining=["after"]),
    Shape("left behind", left_behind, status="completed", remaining=["a"]),
    Shape("again", again, status="compensated", remaining=[]),
    Shape("noted", noted, status="compensated", remaining=["note:1", "note:2"]),
    Shape("stuck undo", stuck_undo, retry_when_stuck, status="compensated", remaining=[]),
    Shape("signalled", signalled, send_two, status="completed", remaining=["a:one", "b:two"]),
    Shape("cancelled", cancelled, cancel_late, status="compensated", remaining=[]),
]


async def live(world: World, shape: Shape, definition: Any, arm: Callable[[Any], None] | None) -> Any:
    """One life of a worker: the result, or None when it was killed; its wire tells the rest."""
    wire = world.wire()
    if arm is not None:
        arm(wire)
    async with world.engine(definition, wire=wire) as engine:

        async def serve() -> Any:
            handle = await engine.start(definition(), id="one")
            acting = asyncio.create_task(shape.drive(engine, handle)) if shape.drive else None
            try:
                while (result := await handle.outcome()).status == "attention":
                    assert shape.drive, result
                    await asyncio.sleep(1)
                return result
            finally:
                if acting is not None:
                    acting.cancel()
                    await asyncio.gather(acting, return_exceptions=True)

        serving = asyncio.create_task(serve())
        died = asyncio.create_task(wire.crashed.wait())
        await asyncio.wait([serving, died], return_when=asyncio.FIRST_COMPLETED)
        died.cancel()
        if not wire.crashed.is_set():
            return serving.result()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await world.crash(engine)
    return None


async def open_actions(world: World) -> set[tuple[str, str, str]]:
    """(uid, action, direction) of all that has an intent and no outcome in the journals."""
    store = world.store()
    await store.open()
    found: set[tuple[str, str, str]] = set()
    parked: set[tuple[str, str, str]] = set()
    try:
        for header in await store.headers(Query(limit=100)):
            _, rows, _ = await store.read(header.uid)
            for row in rows:
                for event in e.decode_events(row.events):
                    if isinstance(event, (e.Completed, e.Failed)):
                        found.discard((header.uid, event.id, "do"))
                    if isinstance(event, (e.Undone, e.UndoFailed)):
                        found.discard((header.uid, event.id, "undo"))
                    if isinstance(event, e.UndoFailed):
                        parked.add((header.uid, event.id, "undo"))
                    if isinstance(event, e.Retried):
                        found |= parked
                for command in e.decode_commands(row.commands):
                    if isinstance(command, e.RunStep):
                        found.add((header.uid, command.id, "do"))
                    if isinstance(command, (e.Undo, e.UndoWith)):
                        found.add((header.uid, command.id, "undo"))
    finally:
        await store.close()
    return found


def counts(world: World) -> Counter[tuple[str, str, str]]:
    return Counter((c.name, c.tag, c.direction) for c in world.book.calls)


def check(world: World, shape: Shape, base: Any, result: Any, disturbed: set[tuple[str, str, str]]) -> None:
    base_result, base_counts = base
    assert (result.status, result.value) == (base_result.status, base_result.value), result
    assert result.status == shape.wanted["status"]
    assert [r["step"] for r in result.residue] == [r["step"] for r in base_result.residue]
    assert world.book.remaining == shape.wanted["remaining"]
    world.book.audit(crashes=1, retried=True)
    for what, count in counts(world).items():
        name, _, direction = what
        where = {
            (c.uid, c.action, c.key.rpartition("/")[2])
            for c in world.book.calls
            if (c.name, c.tag, c.direction) == what
        }
        extra = count - base_counts[what]
        if direction == "undo" and not base_counts[what]:
            # a rejection that followed a lost attempt is unknown, and settled
            assert any(c.how == "rejected" for c in world.book.of(name)), world.book.calls
            continue
        assert extra <= 1, f"{what} was dispatched {count} times: {world.book.calls}"
        assert extra <= 0 or where & disturbed, (
            f"{what} was not in flight, and dispatched again: {world.book.calls}"
        )


def undisturbed(worlds: Callable[[], World], shape: Shape) -> tuple[Any, int, int]:
    world = worlds()
    definition = shape.build(world)
    result = world.run(lambda: live(world, shape, definition, None))
    assert result.status == shape.wanted["status"], result
    assert world.book.remaining == shape.wanted["remaining"]
    return (result, counts(world)), world.wires[0].commits, len(world.book.calls)


def killed_once(world: World, shape: Shape, base: Any, arm: Callable[[Any], None]) -> bool:
    """One run with one fault. False when the fault never came to pass."""
    definition = shape.build(world)
    disturbed: set[tuple[str, str, str]] = set()

    async def main() -> Any:
        result = await live(world, shape, definition, arm)
        if result is None:
            disturbed.update(await open_actions(world))
            result = await live(world, shape, definition, None)
        elif world.wires[0].fired:  # a lost acknowledgement: the same process went on
            disturbed.update((c.uid, c.action, c.key.rpartition("/")[2]) for c in world.book.calls)
        return result

    result = world.run(main)
    check(world, shape, base, result, disturbed)
    return bool(world.wires[0].fired or world.wires[0].crashed.is_set())


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
@pytest.mark.parametrize("fault", ["before", "after", "unknown before", "unknown after"])
def test_at_every_commit(worlds: Callable[[], World], shape: Shape, fault: str) -> None:
    base, commits, _ = undisturbed(worlds, shape)
    fired = 0
    for number in range(1, commits + 1):
        when = fault.rsplit(maxsplit=1)[-1]
        what = unknown() if fault.startswith("unknown") else "crash"
        fired += killed_once(worlds(), shape, base, lambda wire: wire.at(number, when, what))  # noqa: B023
    assert fired >= commits - 1, "a fault that never came to pass tests nothing"


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
@pytest.mark.parametrize("moment", ["begun", "done"])
def test_at_every_dispatch(worlds: Callable[[], World], shape: Shape, moment: str) -> None:
    base, _, calls = undisturbed(worlds, shape)
    fired = 0
    for number in range(1, calls + 1):
        world = worlds()

        def arm(wire: Any) -> None:
            world.book.traps[number, moment] = wire.die  # noqa: B023

        fired += killed_once(world, shape, base, arm)
    assert fired >= calls // 2, "a fault that never came to pass tests nothing"


@pytest.mark.parametrize("fault", ["before", "after"])
def test_at_every_commit_in_a_group(worlds: Callable[[], World], fault: str) -> None:
    """Through the other way of committing, in which more gathers meanwhile."""

    def group() -> World:
        world = worlds()
        world.inline = False
        return world

    shape = SHAPES[6]
    base, commits, _ = undisturbed(group, shape)
    for number in range(1, commits + 1):
        killed_once(group(), shape, base, lambda wire: wire.at(number, fault, "crash"))  # noqa: B023


def test_evicted_at_every_wait(worlds: Callable[[], World]) -> None:
    """Not killed, but out of memory whenever there is nothing to do: each activation follows a replay."""
    for shape in SHAPES:
        base, _, _ = undisturbed(worlds, shape)
        world = worlds()
        world.settings = amends.Settings(linger=0.0, resident=0, grace=1.0)
        definition = shape.build(world)
        result = world.run(lambda: live(world, shape, definition, None))  # noqa: B023
        check(world, shape, base, result, set())


@pytest.mark.parametrize("worlds", ["sqlite"], indirect=True)  # (the memory store has no database)
@pytest.mark.parametrize("fault", ["before", "after", "unknown before", "unknown after"])
def test_a_transactional_step_takes_effect_once(worlds: Callable[[], World], fault: str) -> None:
    """Its effect and its row are one commit, so even a crash in the middle leaves exactly one of it."""

    def build(world: World) -> Any:
        a, bad = world.book.step("a", work), world.book.step("bad", TimeoutError("?"))

        @amends.step(name="crash.book", transaction=True)
        def enter(n: int, tx: Resource[Transaction] = injected) -> int:
            tx.execute("CREATE TABLE IF NOT EXISTS entries (n INTEGER)")
            tx.execute("INSERT INTO entries VALUES (?)", (n,))
            return n

        @saga(name="crash.transaction")
        async def shop() -> int:
            await a()
            first = await enter(1)
            second = await enter(2)
            try:
                await bad()
            except StepFailed:
                return first + second + await enter(3)
            return 0

        return shop

    async def entries(world: World) -> list[int]:
        store = world.store()
        await store.open()
        try:
            return [
                n
                for (n,) in store._read(lambda db: db.execute("SELECT n FROM entries ORDER BY n").fetchall())
            ]
        finally:
            await store.close()

    shape = Shape("transaction", build, status="completed", remaining=["a"])
    base, commits, _ = undisturbed(worlds, shape)
    for number in range(1, commits + 1):
        world = worlds()
        what = unknown() if fault.startswith("unknown") else "crash"
        killed_once(world, shape, base, lambda wire: wire.at(number, fault.rsplit(maxsplit=1)[-1], what))  # noqa: B023
        assert world.run(lambda: entries(world)) == [1, 2, 3]  # noqa: B023
