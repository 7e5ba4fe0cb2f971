"""Promise 14: what the saga sees is what the journal holds: decoded from its encoding even when live."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import uuid
from typing import Any

import msgspec
import pytest

import amends
from amends import Rejected, Retry, Signal, StepFailed, saga, step

from .book import OK, ONCE, hang
from .world import World


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Payment:
    id: str
    amount: decimal.Decimal
    at: dt.datetime
    colour: Colour = Colour.RED
    notes: list[str] = dataclasses.field(default_factory=list)


PAYMENT = Payment("p-1", decimal.Decimal("1.10"), dt.datetime(2026, 1, 1, tzinfo=dt.UTC), notes=["a"])


def seen_live_and_replayed(world: World, make: Any) -> tuple[Any, Any]:
    """What a body sees the first time, and what it sees when another worker replays it."""
    seen: list[Any] = []
    gate = world.book.step("gate", hang, OK)

    @saga(name="promise14")
    async def shop() -> None:
        seen.append(await make())
        await gate()

    async def main() -> None:
        async with world.engine(shop) as engine:
            await engine.start(shop(), id="one")
            await world.book.begun("gate")
            await world.crash(engine)
        async with world.engine(shop) as engine:
            assert (await engine.handle(shop, "one").outcome()).status == "completed"

    world.run(main)
    assert len(seen) == 2
    return seen[0], seen[1]


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (tuple[int, ...], [1, 2], (1, 2)),
        (list[int], (1, 2), [1, 2]),
        (Any, (1, 2), [1, 2]),
        (Any, {1}, [1]),
        (set[int], {2, 1}, {1, 2}),
        (float, 1, 1.0),
        (dict[int, str], {1: "a"}, {1: "a"}),
        (Any, {1: "a"}, {"1": "a"}),
        (bytes, b"\x00\xff", b"\x00\xff"),
        (decimal.Decimal, decimal.Decimal("1.10"), decimal.Decimal("1.10")),
        (Any, decimal.Decimal("1.10"), "1.10"),
        (uuid.UUID, uuid.UUID(int=5), uuid.UUID(int=5)),
        (dt.timedelta, dt.timedelta(days=3), dt.timedelta(days=3)),
        (Payment, PAYMENT, PAYMENT),
        (Payment | None, None, None),
        (str, "ünï\u2028\x00", "ünï\u2028\x00"),
    ],
    ids=str,
)
def test_a_result_is_what_its_encoding_says(world: World, annotation: Any, value: Any, expected: Any) -> None:
    async def give():  # type: ignore[no-untyped-def]
        return value

    give.__annotations__["return"] = annotation
    given = step(name="promise14.give")(give)

    live, replayed = seen_live_and_replayed(world, lambda: given())

    assert live == replayed == expected
    assert type(live) is type(replayed) is type(expected)


def test_no_object_is_shared_between_step_saga_and_journal(world: World) -> None:
    shared: list[Any] = []

    @step(name="promise14.give")
    async def give() -> list[str]:
        value = ["from the step"]
        shared.append(value)
        return value

    @give.compensation
    async def take(result: list[str] | None) -> None:
        shared.append(result)

    @saga(name="promise14")
    async def shop() -> None:
        value = await give()
        shared[0].append("scribbled by the step afterwards")
        assert value == ["from the step"]
        value.append("scribbled by the saga")
        raise ValueError("no")

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            return await (await engine.start(shop(), id="one")).outcome()

    result = world.run(main)
    assert result.error is not None
    assert result.error["type"] == "ValueError", result
    assert shared[1] == ["from the step"]


def test_arguments_are_what_was_given_not_what_became_of_it(world: World) -> None:
    got: list[Any] = []

    @step(name="promise14.take")
    async def take(basket: dict[str, Any]) -> None:
        got.append(dict(basket))

    @saga(name="promise14")
    async def shop() -> None:
        basket = {"n": 1}
        call = take(basket)
        task = __import__("asyncio").create_task(call)
        await __import__("asyncio").sleep(0)
        basket["n"] = 2
        await task

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            return await (await engine.start(shop(), id="one")).outcome()

    assert world.run(main).status == "completed"
    assert got == [{"n": 1}]


class CardDeclined(Exception):
    def __init__(self, reason: str, limit: int = 0) -> None:
        super().__init__(reason, limit)
        self.reason = reason
        self.limit = limit


class OverLimit(CardDeclined):
    """A subclass is rebuilt as itself."""


class SoldOut(Rejected):
    """A rejection of the user's own."""


class Odd(Exception):
    """Its constructor is not what its args say."""

    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}")


class Unnamed(Exception):
    """Named nowhere."""


def failure_seen(error: BaseException, **options: Any) -> Any:
    """A body that reports how it sees a step fail."""

    @step(name="promise14.fail", retry=ONCE, **options)
    async def fail() -> str:
        raise error

    async def look() -> Any:
        try:
            await fail()
        except Exception as failure:
            names = ("reason", "limit", "type", "outcome", "details", "step", "message")
            return type(failure), {name: getattr(failure, name, None) for name in names}, failure.args
        return None

    return look


@pytest.mark.parametrize(
    ("error", "options", "type_"),
    [
        (CardDeclined("limit", 5), {"rejects": CardDeclined}, CardDeclined),
        (CardDeclined("limit", 5), {"raises": CardDeclined}, CardDeclined),
        (OverLimit("limit", 5), {"rejects": CardDeclined}, OverLimit),
        (CardDeclined("limit", 5), {}, StepFailed),
        (Rejected("no", details={"a": [1, 2]}), {}, StepFailed),
        (Rejected("no", details={"a": [1, 2]}), {"raises": Rejected}, Rejected),
        (SoldOut("no", details=[1]), {"raises": SoldOut}, SoldOut),
        (Odd(code=7), {"raises": Odd}, StepFailed),
        (Unnamed("?"), {"raises": CardDeclined}, StepFailed),
        (Unnamed(object()), {}, StepFailed),
        (TimeoutError("slow"), {"raises": TimeoutError}, TimeoutError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_an_error_is_what_its_encoding_says(
    world: World, error: BaseException, options: dict[str, Any], type_: type
) -> None:
    live, replayed = seen_live_and_replayed(world, failure_seen(error, **options))

    assert live[0] is replayed[0] is type_
    assert live[1] == replayed[1]
    assert str(live[2]) == str(replayed[2])
    if type_ is StepFailed:
        assert live[1]["type"] == type(error).__name__
        assert live[1]["outcome"] == ("rejected" if isinstance(error, Rejected) else "unknown")
    if isinstance(error, Rejected):
        assert live[1]["details"] == error.details
    if type_ in (CardDeclined, OverLimit):
        assert (live[1]["reason"], live[1]["limit"]) == ("limit", 5)


def test_no_exception_object_passes_from_step_to_saga(world: World) -> None:
    """What is rebuilt is another object: no traceback, cause or scribbling goes along."""
    raised: list[BaseException] = []
    caught: list[BaseException] = []

    @step(name="promise14.fail", rejects=CardDeclined)
    async def fail() -> str:
        error = CardDeclined("no", 3)
        error.secret = object()  # type: ignore[attr-defined]
        raised.append(error)
        raise error from KeyError("inner")

    @saga(name="promise14")
    async def shop() -> None:
        try:
            await fail()
        except CardDeclined as error:
            caught.append(error)

    async def main() -> None:
        async with world.engine(shop) as engine:
            await engine.run(shop(), id="one")

    world.run(main)
    assert caught[0] is not raised[0]
    assert not hasattr(caught[0], "secret")
    assert caught[0].__cause__ is None


NASTY: list[BaseException] = [
    ValueError("lone surrogate \udc80"),
    ValueError("nul \x00 and \u2028"),
    ValueError("x" * 100_000),
    Rejected({"reason": "not even text"}),  # type: ignore[arg-type]
    Rejected("details that cannot be journaled", details=object()),
    Rejected("details \udc80", details={"text": "\udc80"}),
    Rejected("details too long", details=["x" * 100_000]),
    ValueError(float("nan")),
    ValueError(object()),
]


class BadText(Exception):
    """Its text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class BadRepr(Exception):
    """Neither can its repr."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    __str__ = __repr__


@pytest.mark.parametrize("direction", ["do", "undo"])
@pytest.mark.parametrize(
    "error",
    [*NASTY, BadText(), BadRepr()],
    ids=[f"{n}-{type(e).__name__}" for n, e in enumerate([*NASTY, BadText(), 0])],
)
def test_an_error_that_cannot_be_told_as_it_is_is_told_as_well_as_possible(
    world: World, error: BaseException, direction: str
) -> None:
    """It must neither get lost, nor stop the worker, nor spoil the journal."""
    fails = world.book.step(
        "fails",
        error if direction == "do" else OK,
        undo=(error, OK) if direction == "undo" else (OK,),
        undo_options={"retry": Retry(attempts=2, delay=1)},
    )
    other, gate = world.book.step("other"), world.book.step("gate", hang, OK)

    @saga(name="promise14")
    async def shop() -> str:
        try:
            await fails()
            raise ValueError("undo")
        except (StepFailed, ValueError):
            await gate()
            raise

    @saga(name="promise14.other")
    async def elsewhere() -> str:
        return await other()

    async def main() -> amends.Result[Any]:
        async with world.engine(shop) as engine:
            handle = await engine.start(shop(), id="one")
            await world.book.begun("gate")
            assert await engine.run(elsewhere(), id="two") == "other:"
            assert (await handle.status()).status == "running"
            await world.crash(engine)
        async with world.engine(shop) as engine:
            handle = engine.handle(shop, "one")
            assert len(await handle.history()) > 1
            return await handle.outcome()

    result = world.run(main)
    assert result.status == "compensated"
    assert world.book.remaining == ["other"]


def test_signals_children_and_ends_are_decoded_too(world: World) -> None:
    paid = Signal[Payment]("paid")

    @saga(name="promise14.child")
    async def child() -> tuple[int, Payment]:
        return 1, PAYMENT

    @saga(name="promise14")
    async def shop(payment: Payment) -> tuple[Payment, Payment, tuple[int, Payment]]:
        payment.notes.append("scribbled")
        return payment, await paid.receive(), await child()

    async def main() -> None:
        async with world.engine(shop) as engine:
            given = dataclasses.replace(PAYMENT, notes=[])
            handle = await engine.start(shop(given), id="one")
            await handle.send(paid, PAYMENT)
            first, second, third = await handle.result()
            assert (first.notes, second, third) == (["scribbled"], PAYMENT, (1, PAYMENT))
            assert given.notes == []
            assert isinstance(second.at, dt.datetime)
            assert isinstance(third, tuple)

    world.run(main)


def test_equal_values_have_equal_bytes(world: World) -> None:
    """The order of keys is fixed, so the same id with the same arguments is the same execution."""

    @saga(name="promise14")
    async def shop(basket: dict[str, int], tags: set[str]) -> int:
        return len(basket)

    async def main() -> None:
        async with world.engine(shop) as engine:
            first = await engine.start(shop({"a": 1, "b": 2}, {"x", "y", "z"}), id="one")
            second = await engine.start(shop({"b": 2, "a": 1}, {"z", "y", "x"}), id="one")
            assert (await first.status()).uid == (await second.status()).uid
            with pytest.raises(amends.IdInUse):
                await engine.start(shop({"a": 1}, set()), id="one")

    world.run(main)


def test_a_journal_is_plain_json(world: World) -> None:
    a = world.book.step("a")

    @saga(name="promise14")
    async def shop() -> str:
        return await a("x")

    async def main() -> None:
        async with world.engine(shop) as engine:
            await engine.run(shop(), id="one")
            for row in await world.rows("one"):
                msgspec.json.decode(row.events)
                msgspec.json.decode(row.commands)

    world.run(main)
