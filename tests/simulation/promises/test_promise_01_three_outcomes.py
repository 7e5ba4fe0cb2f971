"""Promise 1: a dispatched action ends succeeded, rejected (certainly no effect) or unknown; taint; probes."""

from __future__ import annotations

from typing import Any

import pytest

import amends
from amends import SEALED, UNRESOLVED, NotSent, Rejected, Retry, StepFailed, saga

from .book import OK, Book, Call, hang
from .world import World

TWICE = Retry(attempts=2, delay=1, jitter=0)
THRICE = Retry(attempts=3, delay=1, jitter=0)


class CardDeclined(Exception):
    """Named in `rejects=`."""


class WornOut(CardDeclined):
    """A subclass of what is named in `rejects=`."""


def outcome_of(world: World, step: Any) -> str:
    """Run a saga of this one step; how did the saga see it fail, and was it settled?"""
    seen: list[str] = []

    @saga(name="promise1")
    async def one() -> str:
        try:
            return await step("x")
        except StepFailed as failure:
            seen.append(failure.outcome)
            raise
        except CardDeclined:
            seen.append("rejected")
            raise

    async def main() -> amends.Result[str]:
        async with world.engine(one) as engine:
            return await (await engine.start(one(), id="one")).outcome()

    result = world.run(main)
    if result.status == "completed":
        assert not seen
        return "succeeded"
    assert result.status == "compensated"
    assert len(set(seen)) == 1
    return seen[0]


def undo_calls(book: Book) -> list[Call]:
    return [c for c in book.calls if c.direction == "undo"]


@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        (OK, "succeeded"),
        (Rejected("card declined"), "rejected"),
        (CardDeclined("limit"), "rejected"),
        (WornOut("chip"), "rejected"),
        (NotSent("no route"), "rejected"),
        (ConnectionRefusedError("nobody listens"), "rejected"),
        (ConnectionResetError("peer"), "unknown"),
        (BrokenPipeError("mid-request"), "unknown"),
        (TimeoutError("client's own"), "unknown"),
        (ValueError("bug after the request"), "unknown"),
        (ExceptionGroup("several", [Rejected("a"), ValueError("b")]), "unknown"),
        (hang, "unknown"),  # the step's timeout
    ],
    ids=lambda value: value if isinstance(value, str) else getattr(value, "__name__", type(value).__name__),
)
def test_every_end_has_one_of_three_outcomes(world: World, end: Any, outcome: str) -> None:
    pay = world.book.step("pay", end, timeout=5, rejects=CardDeclined)

    assert outcome_of(world, pay) == outcome

    world.book.audit()
    # Only what may have had an effect is compensated, and it is told that the outcome is unknown.
    undone = undo_calls(world.book)
    assert len(undone) == (1 if outcome == "unknown" else 0)
    for call in undone:
        assert call.outcome == "unknown"
        assert call.result is None


@pytest.mark.parametrize(
    ("attempts", "outcome"),
    [
        ([NotSent("a"), NotSent("b")], "rejected"),
        ([NotSent("a"), Rejected("b")], "rejected"),
        ([ConnectionRefusedError("a"), Rejected("b")], "rejected"),
        ([ConnectionResetError("a"), Rejected("b")], "unknown"),
        ([ConnectionResetError("a"), NotSent("b")], "unknown"),
        ([NotSent("a"), ConnectionResetError("b")], "unknown"),
        ([hang, Rejected("b")], "unknown"),
        ([hang, OK], "succeeded"),
        ([NotSent("a"), OK], "succeeded"),
    ],
)
def test_taint_one_unclear_attempt_makes_a_later_rejection_unknown(
    world: World, attempts: list[Any], outcome: str
) -> None:
    pay = world.book.step("pay", *attempts, timeout=5, retry=TWICE)

    assert outcome_of(world, pay) == outcome

    assert [c.attempt for c in world.book.of("pay")] == [1, 2]
    world.book.audit(retried=True)
    assert len(undo_calls(world.book)) == (outcome == "unknown")


def test_taint_is_not_washed_off_by_an_attempt_that_was_not_sent(world: World) -> None:
    pay = world.book.step("pay", ValueError("?"), NotSent("b"), Rejected("c"), retry=THRICE)

    assert outcome_of(world, pay) == "unknown"


def test_a_rejection_is_final(world: World) -> None:
    pay = world.book.step("pay", Rejected("no"), OK, retry=THRICE)

    assert outcome_of(world, pay) == "rejected"
    assert len(world.book.of("pay")) == 1


def test_a_participant_that_remembers_rejections_clears_the_taint(world: World) -> None:
    pay = world.book.step(
        "pay", ConnectionResetError("?"), Rejected("no"), retry=TWICE, remembers_rejections=True
    )

    assert outcome_of(world, pay) == "rejected"
    assert not undo_calls(world.book)


def test_a_participant_that_remembers_rejections_clears_nothing_by_other_errors(world: World) -> None:
    pay = world.book.step(
        "pay", ConnectionResetError("?"), NotSent("no"), retry=TWICE, remembers_rejections=True
    )

    assert outcome_of(world, pay) == "unknown"
    assert len(undo_calls(world.book)) == 1


# ---------------------------------------------------------------- recoveries


def crash_in_step(world: World, pay: Any, *, crashes: int = 1) -> amends.Result[str]:
    """Kill the worker while the first `crashes` attempts of `pay` are in flight, then let it run."""

    @saga(name="promise1")
    async def one() -> str:
        return await pay("x")

    async def main() -> amends.Result[str]:
        for number in range(crashes):
            async with world.engine(one) as engine:
                await engine.start(one(), id="one")
                await world.book.begun("pay", count=number + 1)
                await world.crash(engine)
        async with world.engine(one) as engine:
            return await engine.handle(one, "one").outcome()

    return world.run(main)


def test_a_command_open_at_a_recovery_counts_as_an_unknown_attempt(world: World) -> None:
    pay = world.book.step("pay", hang, Rejected("no"))

    result = crash_in_step(world, pay)

    assert result.status == "compensated"
    assert [c.outcome for c in undo_calls(world.book)] == ["unknown"]
    world.book.audit(crashes=1)


def test_a_command_open_at_a_recovery_is_forgotten_by_nobody_when_the_next_worker_dies_too(
    world: World,
) -> None:
    """The second recovery has journaled nothing of the first one's taint."""
    pay = world.book.step("pay", hang, hang, hang, Rejected("no"))

    result = crash_in_step(world, pay, crashes=3)

    assert result.status == "compensated"
    assert [c.outcome for c in undo_calls(world.book)] == ["unknown"]
    world.book.audit(crashes=3)


def test_a_command_open_at_a_recovery_taints_though_later_attempts_are_certain(world: World) -> None:
    pay = world.book.step(
        "pay", hang, NotSent("a"), NotSent("b"), Rejected("c"), retry=Retry(attempts=9, delay=1)
    )

    result = crash_in_step(world, pay)

    assert result.status == "compensated"
    assert [c.outcome for c in undo_calls(world.book)] == ["unknown"]


def test_a_participant_that_remembers_rejections_clears_the_taint_of_a_recovery(world: World) -> None:
    pay = world.book.step("pay", hang, Rejected("no"), remembers_rejections=True)

    result = crash_in_step(world, pay)

    assert result.status == "compensated"
    assert not undo_calls(world.book)


@pytest.mark.parametrize("how", ["crash", "drain", "evict"])
def test_taint_outlives_the_worker_that_saw_it(world: World, how: str) -> None:
    """Between an unclear attempt and a rejection lies a wait, during which the memory of it is lost."""
    if how == "evict":
        world.settings = amends.Settings(linger=0.0, resident=0)
    pay = world.book.step("pay", ValueError("?"), Rejected("no"), retry=Retry(attempts=2, delay=100, cap=100))

    @saga(name="promise1")
    async def one() -> str:
        return await pay("x")

    async def main() -> amends.Result[str]:
        async with world.engine(one) as engine:
            handle = await engine.start(one(), id="one")
            await world.book.begun("pay")
            await world.passes(10)
            if how == "evict":
                assert (await world.header("one")).owner is None
                return await handle.outcome()
            if how == "crash":
                await world.crash(engine)
        async with world.engine(one) as engine:
            return await engine.handle(one, "one").outcome()

    result = world.run(main)

    assert result.status == "compensated"
    assert [c.outcome for c in undo_calls(world.book)] == ["unknown"]
    assert [c.attempt for c in world.book.of("pay")] == [1, 2]
    world.book.audit(retried=True)


def test_an_attempt_that_died_with_its_worker_counts_once(world: World) -> None:
    """That it may have had an effect is remembered from sleep to sleep; each of them is no further attempt."""
    world.settings = amends.Settings(linger=0.0, resident=0)
    retry = Retry(attempts=5, delay=100, factor=1, jitter=0)
    pay = world.book.step("pay", hang, ValueError("?"), retry=retry)

    @saga(name="promise1")
    async def one() -> str:
        return await pay("x")

    async def main() -> amends.Result[str]:
        async with world.engine(one) as engine:
            await engine.start(one(), id="one")
            await world.book.begun("pay")
            await world.crash(engine)
        async with world.engine(one) as engine:
            return await engine.handle(one, "one").outcome()

    assert world.run(main).status == "compensated"
    assert [c.attempt for c in world.book.of("pay")] == [1, 2, 3, 4, 5]
    world.book.audit(crashes=1, retried=True)


def test_a_cancelled_attempt_is_unknown(world: World) -> None:
    pay = world.book.step("pay", hang)

    @saga(name="promise1")
    async def one() -> str:
        return await pay("x")

    async def main() -> amends.Result[str]:
        async with world.engine(one) as engine:
            handle = await engine.start(one(), id="one")
            await world.book.begun("pay")
            await handle.cancel("changed my mind")
            return await handle.outcome()

    result = world.run(main)

    assert (result.status, result.cause) == ("compensated", "cancelled")
    assert [c.outcome for c in undo_calls(world.book)] == ["unknown"]
    world.book.audit()


def test_a_step_that_raises_cancellation_by_itself_is_unknown(world: World) -> None:
    """A client library that cancels itself (a nested timeout that leaks) says nothing about the effect."""
    import asyncio

    pay = world.book.step("pay", asyncio.CancelledError("inner"))

    assert outcome_of(world, pay) == "unknown"
    assert len(undo_calls(world.book)) == 1


def test_a_result_that_comes_after_all_counts(world: World) -> None:
    """Told to stop at its timeout, the attempt brings a value instead: the action succeeded."""

    async def stubborn(call: Call) -> None:
        import asyncio

        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return

    pay = world.book.step("pay", stubborn, timeout=5)

    assert outcome_of(world, pay) == "succeeded"
    assert not undo_calls(world.book)


# ---------------------------------------------------------------- probes


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("paid", "succeeded"),
        (SEALED, "rejected"),
        (UNRESOLVED, "unknown"),
        (ConnectionResetError("the probe failed"), "unknown"),
        (hang, "unknown"),
        (42, "unknown"),  # no answer that the step could have given
    ],
    ids=["value", "sealed", "unresolved", "raises", "hangs", "nonsense"],
)
@pytest.mark.parametrize("end", [ConnectionResetError("?"), hang], ids=["reset", "timeout"])
def test_a_probe_resolves_an_unknown_outcome_or_leaves_it(
    world: World, end: Any, answer: Any, outcome: str
) -> None:
    pay = world.book.step("pay", end, timeout=5)
    asked: list[Any] = []

    @pay.probe
    async def look(tag: str = "") -> Any:
        asked.append(amends.current().idempotency_key)
        if isinstance(answer, Exception):
            raise answer
        if answer is hang:
            await hang(world.book.calls[0])
        return answer

    assert outcome_of(world, pay) == outcome

    assert asked == [world.book.of("pay")[0].key], "once, and about that very action"
    assert len(undo_calls(world.book)) == (outcome == "unknown")


@pytest.mark.parametrize("end", [OK, Rejected("no"), NotSent("no")], ids=["ok", "rejected", "not sent"])
def test_a_probe_is_not_asked_when_the_outcome_is_known(world: World, end: Any) -> None:
    pay = world.book.step("pay", end)
    asked: list[str] = []

    @pay.probe
    async def look(tag: str = "") -> Any:
        asked.append(tag)
        return "paid"

    outcome_of(world, pay)
    assert not asked


def test_a_probe_is_asked_after_the_last_attempt_only(world: World) -> None:
    pay = world.book.step("pay", ValueError("?"), ValueError("?"), retry=TWICE)
    asked: list[int] = []

    @pay.probe
    async def look(tag: str = "") -> Any:
        asked.append(len(world.book.of("pay")))
        return "paid"

    assert outcome_of(world, pay) == "succeeded"
    assert asked == [2]


def test_a_probe_that_its_worker_did_not_survive_costs_no_certainty(world: World) -> None:
    """Killed while the probe was under way: the action is open, so it is unknown until it says otherwise."""
    pay = world.book.step("pay", ConnectionResetError("?"), Rejected("no"))
    asked: list[str] = []

    @pay.probe
    async def look(tag: str = "") -> Any:
        asked.append(tag)
        world.book.stir()
        if len(asked) == 1:
            await hang(world.book.calls[0])
        return UNRESOLVED

    @saga(name="promise1")
    async def one() -> str:
        return await pay("x")

    async def main() -> amends.Result[str]:
        async with world.engine(one) as engine:
            await engine.start(one(), id="one")
            await world.book.until(lambda: asked)
            await world.crash(engine)
        async with world.engine(one) as engine:
            return await engine.handle(one, "one").outcome()

    result = world.run(main)

    assert result.status == "compensated"
    assert [c.outcome for c in undo_calls(world.book)] == ["unknown"]
    world.book.audit(crashes=1)
