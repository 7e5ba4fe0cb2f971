"""Sagas as objects, and what saga code may not do outside of a saga."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Callable
from typing import Any

import pytest

import amends
from amends import DefinitionError, NotInSaga, SagaCall, Signal, saga, step
from amends.definition.registry import REGISTRY


@step
async def charge(order: str) -> str:
    return order


@saga
async def place_order(order: str, *, fast: bool = False) -> str:
    """Place an order."""
    return await charge(order)


@saga(name="unit.sagas.many", version="2", deadline=dt.timedelta(minutes=1))
async def place_many(orders: list[str]) -> int:
    return len(orders)


async def wait(awaitable: Any) -> Any:
    return await awaitable


def test_a_saga_looks_like_its_function() -> None:
    assert place_order.__name__ == "place_order"
    assert place_order.__doc__ == "Place an order."
    assert repr(place_order) == f"<saga {__name__}.place_order>"
    assert repr(place_many) == "<saga unit.sagas.many version 2>"
    assert REGISTRY.saga("unit.sagas.many", "2") is place_many


def test_a_call_holds_arguments_and_deadline() -> None:
    call = place_order("o", fast=True)
    assert isinstance(call, SagaCall)
    assert (call.args.order, call.args.fast) == ("o", True)
    assert call.deadline is None
    assert place_many([]).deadline == 60.0
    assert place_many([]).options(deadline=5).deadline == 5.0
    assert place_many([]).options().deadline == 60.0
    assert repr(call) == f"<call of saga {__name__}.place_order>"


def test_fn_is_the_plain_function() -> None:
    assert asyncio.run(place_order.fn("o")) == "o"  # its steps just run: a unit test needs no engine


def test_awaited_outside_of_a_saga_it_says_what_to_do() -> None:
    with pytest.raises(
        NotInSaga, match=r"place_order was awaited outside of a saga; it needs an engine"
    ) as caught:
        asyncio.run(wait(place_order("o")))
    assert caught.value.hint == "await engine.run(place_order(…), id=…)"


def test_wrong_arguments_are_refused_where_they_are_given() -> None:
    with pytest.raises(TypeError, match=r"place_order\(\): Missing required argument 'order'"):
        place_order()


def test_a_saga_is_async() -> None:
    def blocking(order: str) -> str:
        return order

    with pytest.raises(DefinitionError, match=r"a saga is an async def; .*blocking' is not") as caught:
        saga(blocking)
    assert "put blocking work into steps" in caught.value.hint


def test_options_without_a_name_are_explained() -> None:
    with pytest.raises(
        DefinitionError, match=r"@saga stands above a function, and was given 'orders\.place'"
    ):
        saga("orders.place")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"deadline": 0}, "deadline must be a positive number of seconds"),
        ({"recovery": {ValueError: "askk"}}, "recovery of ValueError cannot be 'askk'"),
        ({"name": " orders.place"}, "a durable name must be visible text"),
    ],
)
def test_wrong_options_are_explained_when_declared(options: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        saga(**options)(place_order.fn)


def test_methods_are_bound_to_their_object() -> None:
    class Shop:
        def __init__(self, name: str) -> None:
            self.name = name

        @saga
        async def place(self, order: str) -> str:
            return f"{self.name} {order}"

    east = Shop("east")
    call = east.place("o")
    assert call.args.__struct_fields__ == ("order",)
    assert asyncio.run(wait(east.place.begin(call.args))) == "east o"
    assert Shop.place.instance is None


# ---------------------------------------------------------------- outside of a saga


@pytest.mark.parametrize(
    ("use", "said", "hint"),
    [
        (
            amends.current,
            r"amends\.current\(\) was called outside of a saga, step or compensation",
            "in a test",
        ),
        (lambda: amends.patched("x"), r"amends\.patched\(\) was called outside", "inside a @saga"),
        (amends.random, r"amends\.random\(\) was called outside", "use the random module"),
        (amends.uuid, r"amends\.uuid\(\) was called outside", "use uuid.uuid4()"),
        (
            lambda: amends.undo_with(charge, "o"),
            r"amends\.undo_with\(\) was called outside",
            "inside a @saga",
        ),
        (
            lambda: asyncio.run(wait(amends.pivot())),
            r"amends\.pivot\(\) was called outside",
            "inside a @saga",
        ),
        (
            lambda: asyncio.run(wait(amends.continue_as_new(1))),
            r"amends\.continue_as_new\(\) was called outside",
            "inside a @saga",
        ),
        (
            lambda: asyncio.run(wait(Signal[int]("s").receive())),
            r"Signal\('s'\)\.receive\(\) was called outside",
            "handle.send(signal, value)",
        ),
        (
            lambda: asyncio.run(wait(amends.savepoint().__aenter__())),
            r"amends\.savepoint\(\) was called outside",
            "inside a @saga",
        ),
    ],
)
def test_saga_code_outside_of_a_saga_is_explained(use: Callable[[], Any], said: str, hint: str) -> None:
    with pytest.raises(NotInSaga, match=said) as caught:
        use()
    assert hint in caught.value.hint


def test_now_is_the_clock_outside_of_a_saga() -> None:
    assert abs(amends.now() - dt.datetime.now(dt.UTC)) < dt.timedelta(seconds=5)


def test_the_logger_works_outside_of_a_saga(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "amends.saga"):
        amends.logger.info("hello %s", "you")
    assert caplog.messages == ["hello you"]


# ---------------------------------------------------------------- signals


def test_a_signal_knows_its_type() -> None:
    assert Signal[int]("n").type is int
    assert Signal[list[int]]("n").type == list[int]
    assert Signal("n", type=int).type is int
    assert Signal("n").type is Any
    assert repr(Signal[int]("n")) == "Signal('n')"
