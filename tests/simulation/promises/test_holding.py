"""Waiting because the participant asks for it: `retry_after`, and `NotYet`, which costs the step nothing."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

import amends
from amends import NotSent, NotYet, Rejected, Resource, Retry, Settings, StepFailed, injected, saga
from amends.errors import AmendsError
from amends.kernel import entries as e

from .book import OK, ONCE, hang
from .world import World

EVEN = Retry(attempts=3, delay=1, jitter=0, factor=1)


class Busy(Exception):
    """Any exception may say when to come again."""

    retry_after = 7.5


class Nonsense(Exception):
    def __init__(self, retry_after: Any) -> None:
        super().__init__()
        self.retry_after = retry_after


def run(world: World, step: Any, **options: Any) -> amends.Result[Any]:
    """A saga of this one step."""

    @saga(name="holding")
    async def one() -> str:
        return await step("x").options(**options)

    async def main() -> amends.Result[Any]:
        async with world.engine(one) as engine:
            return await (await engine.start(one(), id="one")).outcome()

    return world.run(main)


def gaps(world: World, direction: str = "do") -> list[float]:
    """Seconds between the calls of the step."""
    times = [c.at for c in world.book.of("pay", direction)]
    return [round(b - a, 3) for a, b in itertools.pairwise(times)]


# ---------------------------------------------------------------- retry_after


def test_a_retry_waits_as_long_as_the_participant_asks(world: World) -> None:
    pay = world.book.step("pay", Busy(), NotSent("later", retry_after=20), OK, retry=EVEN)
    assert run(world, pay).status == "completed"
    assert gaps(world) == [7.5, 20]


def test_the_policys_own_wait_counts_when_it_is_longer(world: World) -> None:
    pay = world.book.step("pay", NotSent("later", retry_after=0.2), OK, retry=EVEN)
    assert run(world, pay).status == "completed"
    assert gaps(world) == [1]


@pytest.mark.parametrize("asked", [-3, float("nan"), float("inf"), "soon", None, []])
def test_nonsense_is_not_waited_for(world: World, asked: Any) -> None:
    pay = world.book.step("pay", Nonsense(asked), OK, retry=EVEN)
    assert run(world, pay).status == "completed"
    assert gaps(world) == [1]


@pytest.mark.parametrize("limits", [{"retry": Retry(total=15)}, {"schedule_to_close": 15}])
def test_a_wait_past_the_steps_time_gives_up_now(world: World, limits: dict[str, Any]) -> None:
    pay = world.book.step("pay", NotSent("later", retry_after=20), OK, retry=EVEN)
    result = run(world, pay, **limits)
    assert result.status == "compensated"
    assert len(world.book.of("pay")) == 1


def test_a_compensation_waits_too(world: World) -> None:
    pay = world.book.step("pay", ValueError("?"), undo=(Busy(), OK), undo_options={"retry": EVEN})
    assert run(world, pay).status == "compensated"
    assert gaps(world, "undo") == [7.5]


# ---------------------------------------------------------------- NotYet


def not_yet(seconds: float = 10) -> NotYet:
    return NotYet("the service is down", retry_after=seconds)


def test_holding_uses_up_no_attempt(world: World) -> None:
    pay = world.book.step(
        "pay", *[not_yet()] * 20, ValueError("?"), OK, retry=Retry(attempts=2, delay=1, jitter=0)
    )
    assert run(world, pay).status == "completed"
    assert [c.attempt for c in world.book.of("pay")] == [1] * 21 + [2]
    assert gaps(world) == [10] * 20 + [1]


@pytest.mark.parametrize("limits", [{"retry": Retry(attempts=9, total=5)}, {"schedule_to_close": 5}])
def test_holding_uses_up_no_time(world: World, limits: dict[str, Any]) -> None:
    pay = world.book.step("pay", *[not_yet()] * 9, NotSent("no"), OK, retry=EVEN)
    assert run(world, pay, **limits).status == "completed"


def test_the_time_of_other_attempts_still_counts(world: World) -> None:
    script = (NotSent("no", retry_after=3), not_yet(100), NotSent("no", retry_after=3), OK)
    pay = world.book.step("pay", *script, retry=Retry(attempts=9, total=5))
    assert run(world, pay).status == "compensated"
    assert gaps(world) == [3, 100]


def test_holding_has_had_no_effect(world: World) -> None:
    pay = world.book.step("pay", not_yet(), Rejected("no"))
    assert run(world, pay).status == "compensated"
    assert not world.book.of("pay", "undo")


def test_holding_washes_nothing_off(world: World) -> None:
    pay = world.book.step("pay", ValueError("?"), not_yet(), Rejected("no"), retry=EVEN)
    assert run(world, pay).status == "compensated"
    assert len(world.book.of("pay", "undo")) == 1


class Unclear(Exception):
    """Any exception may say that its attempt does not count."""

    counts = False
    retry_after = 5


def test_an_unclear_attempt_that_does_not_count_is_not_certain_for_that(world: World) -> None:
    pay = world.book.step("pay", *[Unclear()] * 5, Rejected("no"), retry=Retry(attempts=1))
    assert run(world, pay).status == "compensated"
    assert gaps(world) == [5] * 5
    assert len(world.book.of("pay", "undo")) == 1


def test_who_does_not_want_to_hold_says_so(world: World) -> None:
    pay = world.book.step("pay", not_yet(), OK, retry=EVEN, rejects=NotYet)
    assert run(world, pay).status == "compensated"
    assert len(world.book.of("pay")) == 1


def test_a_compensation_holds_and_does_not_give_up(world: World) -> None:
    pay = world.book.step(
        "pay", ValueError("?"), undo=(*[not_yet()] * 30, OK),
        undo_options={"retry": Retry(attempts=1, total=5)},
    )  # fmt: skip
    assert run(world, pay).status == "compensated"
    assert gaps(world, "undo") == [10] * 30
    assert {c.attempt for c in world.book.of("pay", "undo")} == {1}


def test_holding_outlives_the_worker(world: World) -> None:
    """The journal says until when, so that a new worker neither asks earlier nor counts otherwise."""
    pay = world.book.step(
        "pay", *[not_yet(100)] * 2, NotSent("no"), OK, retry=Retry(attempts=2, delay=1, jitter=0, total=5)
    )

    @saga(name="holding")
    async def one() -> str:
        return await pay("x")

    async def main() -> None:
        async with world.engine(one) as engine:
            await engine.start(one(), id="one")
            await world.passes(150)
            await world.crash(engine)
        async with world.engine(one) as engine:
            assert (await engine.handle(one, "one").outcome()).status == "completed"

    world.run(main)
    assert [c.attempt for c in world.book.of("pay")] == [1, 1, 1, 2]
    assert gaps(world) == [100, 100, 1]


@pytest.mark.parametrize("waits", [not_yet(10_000), NotSent("later", retry_after=10_000)])
def test_a_cancel_ends_the_wait(world: World, waits: Any) -> None:
    """Also when the execution sleeps in the store meanwhile: nobody waits out a wait that has no purpose."""
    pay = world.book.step("pay", waits, retry=EVEN)

    @saga(name="holding")
    async def one() -> str:
        return await pay("x")

    async def main() -> None:
        async with world.engine(one) as engine:
            handle = await engine.start(one(), id="one")
            await world.passes(1)
            await handle.cancel("changed our mind")
            assert (await handle.outcome()).status == "compensated"

    world.run(main)
    assert len(world.book.calls) == 1


@pytest.mark.parametrize("commit", ["lands", "is not needed"])
def test_a_retry_that_comes_due_while_its_execution_is_given_up_begins_once(
    world: World, commit: str
) -> None:
    """The commit that gives it up takes longer than the wait: whoever owns it afterwards begins the attempt."""
    pay = world.book.step(
        "pay", ValueError("?"), Rejected("no"), OK, retry=Retry(attempts=3, delay=5, jitter=0)
    )
    world.settings = Settings(poll=0.1, grace=1.0, resident=0, linger=60)
    word = amends.Signal[int]("word")

    @saga(name="holding")
    async def one() -> str:
        return await pay("x")

    async def main() -> amends.Result[Any]:
        wire = world.wire()
        async with world.engine(one, wire=wire) as engine:
            handle = await engine.start(one(), id="one")
            while wire.commits < 2:
                await world.passes(0.001)
            wire.hold()
            await world.passes(3)
            if commit != "lands":
                await handle.send(word, 1)  # what comes meanwhile keeps it in memory
            await world.passes(7)
            assert len(world.book.of("pay")) == 1, "nothing is dispatched before it is clear by whom"
            wire.release()
            return await handle.outcome()

    result = world.run(main)
    assert [c.attempt for c in world.book.of("pay")] == [1, 2]
    assert result.status == "compensated"
    assert len(world.book.of("pay", "undo")) == 1, "tainted by the first attempt"


def test_journals_from_before_the_pause_replay() -> None:
    fault = e.Fault("ValueError", "?")
    old = b'[["attempt_failed","1",1,["ValueError","?",null],true,5.0]]'
    assert e.decode_events(old.decode()) == [e.AttemptFailed("1", 1, fault, True, 5.0)]


# ---------------------------------------------------------------- what a client asks of the attempt


def test_an_attempt_that_waited_in_line_has_its_whole_time(world: World) -> None:
    seen: dict[str, float] = {}

    @amends.step(name="line", timeout=10, limit=1, retry=ONCE)
    async def work(tag: str) -> None:
        deadline = amends.current().deadline_at
        assert deadline is not None
        seen[tag] = deadline - world.clock.now()
        await world.passes(8)

    @saga(name="holding")
    async def one(tag: str) -> None:
        await work(tag)

    async def main() -> None:
        async with world.engine(one) as engine:
            for tag in "ab":
                await engine.start(one(tag), id=tag)
            for tag in "ab":
                assert (await engine.handle(one, tag).outcome()).status == "completed"

    world.run(main)
    assert seen == {"a": pytest.approx(10), "b": pytest.approx(10)}


def test_the_deadline_is_cut_by_the_time_for_all_attempts(world: World) -> None:
    left: list[float] = []

    @amends.step(name="cut", timeout=10, schedule_to_close=12, retry=EVEN)
    async def work(tag: str) -> None:
        deadline = amends.current().deadline_at
        assert deadline is not None
        left.append(deadline - world.clock.now())
        await world.passes(6)
        raise ValueError("?")

    assert run(world, work).status == "compensated"
    assert left == pytest.approx([10, 5])


class Bank:
    async def find(self, key: str) -> str:
        return f"found by {key.rpartition('/')[2]}"


def test_a_probe_gets_its_resources(world: World) -> None:
    @amends.step(name="pay", timeout=5, retry=ONCE)
    async def pay(tag: str, bank: Resource[Bank] = injected) -> str:
        await hang(None)  # type: ignore[arg-type]
        return ""

    @pay.probe
    async def look(tag: str, bank: Resource[Bank] = injected) -> str:
        deadline = amends.current().deadline_at
        assert deadline is not None
        assert deadline > world.clock.now(), "the probe has a time of its own"
        return await bank.find(amends.current().idempotency_key)

    @saga(name="holding")
    async def one() -> str:
        return await pay("x")

    async def main(resources: list[Any]) -> amends.Result[Any]:
        async with world.engine(one, resources=resources) as engine:
            return await (await engine.start(one(), id="one")).outcome()

    assert world.run(lambda: main([Bank()])).value == "found by do"


def test_a_probe_without_its_resource_resolves_nothing(world: World, caplog: Any) -> None:
    pay = world.book.step("pay", ConnectionResetError("?"))

    @pay.probe
    async def look(tag: str, bank: Resource[Bank] = injected) -> str:
        return "never"

    seen: list[str] = []

    @saga(name="holding")
    async def one() -> None:
        try:
            await pay("x")
        except StepFailed as failure:
            seen.append(failure.outcome)

    async def main() -> None:
        async with world.engine(one) as engine:
            await engine.run(one(), id="one")

    world.run(main)
    assert seen == ["unknown"]
    assert "needs the resource bank: Bank" in caplog.text


def test_the_errors_say_what_they_are() -> None:
    held = NotYet("down", retry_after=3, hint="wait")
    assert isinstance(held, NotSent)
    assert isinstance(held, AmendsError)
    assert (held.code, held.retry_after, str(held)) == ("not_yet", 3, "down\n  → wait")
    assert NotSent("x").retry_after is None
