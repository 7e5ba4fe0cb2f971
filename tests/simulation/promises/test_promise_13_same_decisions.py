"""Promise 13: same code, same journal, same decisions; values are compared, and a real divergence parks."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import amends
from amends import Rejected, Settings, Signal, saga, step

from .book import OK, hang
from .world import World

go = Signal[str]("go")

Body = Callable[..., Coroutine[Any, Any, Any]]


def deploy(world: World, before: Body, after: Body, *, at: str = "gate") -> amends.Result[Any]:
    """Run `before` until the step `at` has begun, kill its worker, go on with `after`."""

    async def main() -> amends.Result[Any]:
        old = saga(name="promise13")(before)
        async with world.engine(old) as engine:
            await engine.start(old(), id="one")
            await world.book.begun(at)
            await world.crash(engine)
        new = saga(name="promise13")(after)
        async with world.engine(new) as engine:
            return await engine.handle(new, "one").outcome()

    return world.run(main)


def gate(world: World) -> Any:
    """A step that hangs until its worker dies, and succeeds when it is tried again."""
    return world.book.step("gate", hang, OK)


# ---------------------------------------------------------------- no divergence


def test_the_same_code_goes_on(world: World) -> None:
    a, wait = world.book.step("a"), gate(world)

    async def body() -> str:
        await a("1")
        async with asyncio.TaskGroup() as group:
            group.create_task(a("2"))
            group.create_task(a("3"))
        await asyncio.sleep(5)
        amends.uuid()
        return f"{await wait()} {amends.random().random():.3f} {amends.now()}"

    result = deploy(world, body, body)
    assert result.status == "completed"
    world.book.audit(crashes=1)


def test_a_new_field_with_a_default_is_no_divergence(world: World) -> None:
    wait = gate(world)
    given: list[Any] = []

    @dataclasses.dataclass
    class Order:
        id: str

    @step(name="promise13.pay")
    async def pay(order: Order) -> Order:
        given.append(order)
        return order

    @pay.compensation
    async def refund(result: Order | None, order: Order) -> None:
        given.append(("undo", result, order))

    async def before() -> str:
        await pay(Order("o-1"))
        return await wait()

    def later() -> Body:
        @dataclasses.dataclass
        class Order:
            id: str
            currency: str = "EUR"

        @step(name="promise13.pay")
        async def pay(order: Order, urgent: bool = False) -> Order:
            given.append((order, urgent))
            return order

        @pay.compensation
        async def refund(result: Order | None, order: Order, urgent: bool = False) -> None:
            given.append(("undo", result, order, urgent))

        async def after() -> str:
            paid = await pay(Order("o-1"))
            assert paid.currency == "EUR"
            await wait()
            raise ValueError("undo it with today's types")

        return after

    result = deploy(world, before, later())
    assert result.status == "compensated"
    assert len(given) == 2, "the action itself was not repeated"
    undo = given[1]
    assert (undo[0], undo[1].currency, undo[2].currency, undo[3]) == ("undo", "EUR", "EUR", False)


def test_a_new_field_beside_two_patches_is_no_divergence(world: World) -> None:
    """All of it in one row, so that the row's text differs and each command is compared."""
    wait = gate(world)

    async def before() -> str:
        amends.patched("first")
        amends.patched("second")
        return await wait("x")

    given: list[Any] = []

    def later() -> Body:
        @step(name="gate", retry=amends.Retry(attempts=1))
        async def wait(tag: str, extra: int = 7) -> str:
            given.append((tag, extra))
            return "later"

        async def after() -> str:
            amends.patched("first")
            amends.patched("second")
            return await wait("x")

        return after

    result = deploy(world, before, later())
    assert (result.status, result.value) == ("completed", "later")
    assert given == [("x", 7)]


@pytest.mark.parametrize("refactored", ["helper", "keyword", "local names", "comments", "logging"])
def test_a_refactoring_is_no_divergence(world: World, refactored: str) -> None:
    a, wait = world.book.step("a"), gate(world)

    async def before() -> str:
        await a("1")
        await wait("2")
        return await a("3")

    async def both() -> None:
        await a("1")
        await wait("2")

    async def helper() -> str:
        await both()
        return await a("3")

    async def keyword() -> str:
        await a(tag="1")
        await wait(tag="2")
        return await a(tag="3")

    async def local_names() -> str:
        tags = iter("123")
        await a(next(tags))
        await wait(next(tags))
        return await a(next(tags))

    async def logging() -> str:
        amends.logger.info("one")
        await a("1")
        amends.logger.info("two")
        await wait("2")
        return await a("3")

    bodies = {
        "helper": helper,
        "keyword": keyword,
        "local names": local_names,
        "comments": before,
        "logging": logging,
    }
    result = deploy(world, before, bodies[refactored])
    assert (result.status, result.value) == ("completed", "a:3")
    world.book.audit(crashes=1)


def test_a_change_after_the_head_is_no_divergence(world: World) -> None:
    a, wait, other = world.book.step("a"), gate(world), world.book.step("other")

    async def before() -> str:
        await a()
        return await wait()

    async def after() -> str:
        await a()
        await wait()
        return await other()

    result = deploy(world, before, after)
    assert (result.status, result.value) == ("completed", "other:")


def test_a_patch_lets_both_go_on(world: World) -> None:
    """Old executions keep the old way, new ones take the new; also when evicted in between."""
    world.settings = Settings(linger=0.0, resident=0)
    a, b, wait = world.book.step("a"), world.book.step("b"), gate(world)

    async def before() -> str:
        await a("old")
        return await wait()

    async def after() -> str:
        way = "new" if amends.patched("b-first") else "old"
        if way == "new":
            await b("new")
        await a(way)
        if way == "old":
            await wait()
        await asyncio.sleep(100)
        return way

    assert deploy(world, before, after).value == "old"

    async def again() -> str:
        new = saga(name="promise13")(after)
        async with world.engine(new) as engine:
            return await engine.run(new(), id="two")

    assert world.run(again) == "new"


# ---------------------------------------------------------------- divergence


def changed_bodies(world: World) -> dict[str, tuple[Body, Body, str, str]]:
    """Pairs of bodies that decide differently, with a piece of each side as the error must show it."""
    a, b, c, wait = (*(world.book.step(n) for n in "abc"), gate(world))

    @saga(name="promise13.child")
    async def child(n: int) -> int:
        return n

    @saga(name="promise13.child2")
    async def child2(n: int) -> int:
        return n

    async def base() -> str:
        await a("1")
        await wait()
        return await b("2")

    async def two() -> str:
        await asyncio.gather(a("1"), b("2"))
        return await wait()

    async def swapped() -> str:
        await asyncio.gather(b("2"), a("1"))
        return await wait()

    async def other_step() -> str:
        await c("1")
        return await wait()

    async def other_argument() -> str:
        await a("one")
        return await wait()

    async def one_more() -> str:
        await a("1")
        await c("?")
        return await wait()

    async def one_less() -> str:
        return await wait()

    async def sleeping() -> str:
        await asyncio.sleep(5)
        return await wait()

    async def sleeping_longer() -> str:
        await asyncio.sleep(50)
        return await wait()

    async def with_note() -> str:
        amends.undo_with(c, "old")
        return await wait()

    async def with_other_note() -> str:
        amends.undo_with(c, "new")
        return await wait()

    async def with_other_undo() -> str:
        amends.undo_with(b, "old")
        return await wait()

    async def with_child() -> str:
        await child(1)
        return await wait()

    async def with_other_child() -> str:
        await child2(1)
        return await wait()

    async def with_child_otherwise() -> str:
        await child(2)
        return await wait()

    async def saved() -> str:
        async with amends.savepoint():
            await a("1")
        return await wait()

    async def early() -> str:
        await a("1")
        return "early"

    async def fails() -> str:
        await a("1")
        raise ValueError("early")

    async def pivots() -> str:
        await a("1")
        await amends.pivot()
        return await wait()

    return {
        "another step": (base, other_step, '"a"', '"c"'),
        "another argument": (base, other_argument, '"1"', '"one"'),
        "one more": (base, one_more, '"gate"', '"c"'),
        "one less": (base, one_less, '"a"', '"gate"'),
        "swapped": (two, swapped, '"a"', '"b"'),
        "another time": (sleeping, sleeping_longer, '"timer"', '"timer"'),
        "another note": (with_note, with_other_note, '"old"', '"new"'),
        "another undo": (with_note, with_other_undo, '"c"', '"b"'),
        "another child": (with_child, with_other_child, "promise13.child", "promise13.child2"),
        "a child otherwise": (with_child, with_child_otherwise, '"n":1', '"n":2'),
        "another scope": (base, saved, '"a"', '"savepoint"'),
        "an early return": (base, early, '"gate"', "return"),
        "an early failure": (base, fails, '"gate"', "unwind"),
        "a pivot": (base, pivots, '"gate"', "pivot"),
    }


CHANGES = [
    "another step",
    "another argument",
    "one more",
    "one less",
    "swapped",
    "another time",
    "another note",
    "another undo",
    "another child",
    "a child otherwise",
    "another scope",
    "an early return",
    "an early failure",
    "a pivot",
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_real_divergence_parks_with_both_sides_shown_and_runs_nothing(world: World, change: str) -> None:
    before, after, journal, code = changed_bodies(world)[change]
    calls: list[int] = []

    async def main() -> amends.Result[Any]:
        old = saga(name="promise13")(before)
        async with world.engine(old) as engine:
            await engine.start(old(), id="one")
            await world.book.begun("gate")
            await world.crash(engine)
        calls.append(len(world.book.calls))
        rows = await world.rows("one")
        new = saga(name="promise13")(after)
        async with world.engine(new) as engine:
            handle = engine.handle(new, "one")
            parked = await handle.outcome()
            await asyncio.sleep(1000)
            assert len(world.book.calls) == calls[0], "it never runs on by guess"
            assert await world.rows("one") == rows
            assert (parked.status, parked.cause) == ("attention", "divergence")
            (item,) = parked.items
            said = item["message"].splitlines()
            assert journal in next(line for line in said if "journal:" in line)
            assert code in next(line for line in said if "code:" in line)
            assert "amends.patched" in item["do"]
            assert "retry" in item["do"]
        # The earlier code goes on where it was.
        old = saga(name="promise13")(before)
        async with world.engine(old) as engine:
            handle = engine.handle(old, "one")
            await handle.retry(reason="rolled back")
            return await world.ended(handle)

    assert world.run(main).status == "completed"
    world.book.audit(crashes=1)


@pytest.mark.parametrize("change", CHANGES)
def test_a_diverged_execution_can_be_undone_from_its_journal(world: World, change: str) -> None:
    before, after, _, _ = changed_bodies(world)[change]

    async def main() -> amends.Result[Any]:
        old = saga(name="promise13")(before)
        async with world.engine(old) as engine:
            await engine.start(old(), id="one")
            await world.book.begun("gate")
            await world.crash(engine)
        new = saga(name="promise13")(after)
        async with world.engine(new) as engine:
            handle = engine.handle(new, "one")
            assert (await handle.outcome()).cause == "divergence"
            await handle.cancel("undo it")
            return await world.ended(handle)

    result = world.run(main)
    assert (result.status, result.cause) == ("compensated", "cancelled")
    noted = [c for c in world.book.calls if c.name == "c" and c.direction == "do"]
    assert [c.tag for c in noted] == (["old"] if "note" in change or "undo" in change else [])
    assert [r for r in world.book.remaining if r != "c:old"] == []


def test_code_that_decides_by_chance_is_found_out(world: World) -> None:
    a, b, wait = world.book.step("a"), world.book.step("b"), gate(world)
    coin = random.Random(0)
    sides = iter([True, False])

    async def body() -> str:
        await (a if next(sides) else b)(str(coin.random()))
        return await wait()

    result = deploy(world, body, body)
    assert (result.status, result.cause) == ("attention", "divergence")


# ---------------------------------------------------------------- same decisions at every eviction


@pytest.mark.parametrize(
    "settings", [Settings(linger=0.0, resident=0), Settings()], ids=["evicting", "resident"]
)
def test_evicted_at_every_wait_it_decides_the_same(world: World, settings: Settings) -> None:
    world.settings = settings
    a, b, bad = (world.book.step(n, lambda call: asyncio.sleep(7)) for n in ("a", "b", "bad"))
    no = world.book.step("no", Rejected("no"))
    said: list[str] = []

    @saga(name="promise13.child")
    async def child(n: int) -> int:
        await asyncio.sleep(3)
        await a(f"child {n}")
        return n + amends.random().randrange(10**9)

    @saga(name="promise13")
    async def shop() -> list[Any]:
        found: list[Any] = [str(amends.uuid()), amends.random().random()]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(child(n)) for n in range(3)]
            group.create_task(b("beside"))
        found += [task.result() for task in tasks]
        try:
            async with amends.savepoint():
                await bad("inside")
                await asyncio.sleep(20)
                await no()
        except amends.StepFailed:
            found.append("undone")
        try:
            found.append(await go.receive(timeout=30))
        except TimeoutError:
            found.append("no signal")
        found.append(await go.receive())
        found.append(amends.now().timestamp())
        said.append("body")
        return found

    async def main() -> list[Any]:
        async with world.engine(shop, ids=_Ids()) as engine:
            handle = await engine.start(shop(), id="one")
            await asyncio.sleep(200)
            await handle.send(go, "hello")
            return await handle.result()

    found = world.run(main)
    assert found[:2] == [str(_expected().uuid), _expected().chance]
    assert found[5:8] == ["undone", "no signal", "hello"]
    assert found[8] == pytest.approx(1_800_000_200.0, abs=1.0)
    assert world.book.remaining == ["a:child 0", "a:child 1", "a:child 2", "b:beside"]
    world.book.audit()
    if settings.linger == 0:
        assert len(said) >= 1


class _Ids:
    """Always the same uids, so that chance (seeded by them) can be compared between runs."""

    def __init__(self) -> None:
        self._next = 0

    def uid(self, now: float) -> str:
        self._next += 1
        return f"{self._next:032x}"


@dataclasses.dataclass
class _Expected:
    uuid: str
    chance: float


def _expected() -> _Expected:
    """What the saga draws, from the definition of its stream: by execution, run and task."""
    import uuid

    chance = random.Random(f"{1:032x}/0/")
    return _Expected(str(uuid.UUID(int=chance.getrandbits(128), version=4)), chance.random())
