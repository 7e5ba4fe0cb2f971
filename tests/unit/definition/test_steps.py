"""Steps as objects: what a call is, what awaiting it outside of a saga does, and what is refused."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from amends import (
    DefinitionError,
    NotInSaga,
    Recovery,
    Rejected,
    Resource,
    Retry,
    Step,
    StepCall,
    injected,
    step,
)
from amends.definition.registry import REGISTRY

place: ContextVar[str] = ContextVar("place", default="nowhere")


@dataclass
class Order:
    number: str
    pieces: int = 1


class Pool:
    def __init__(self, name: str) -> None:
        self.name = name


@step
async def charge(order: Order, currency: str = "EUR", *, fast: bool = False) -> str:
    """Charge the card."""
    return f"{order.number} {currency} {fast}"


@step
def weigh(order: Order) -> tuple[str, str]:
    return threading.current_thread().name, place.get()


@step(name="unit.steps.insert", timeout=timedelta(seconds=3), limit=2)
async def insert(order: Order, db: Resource[Pool] = injected) -> str:
    return f"{order.number} {db.name}"


async def wait(call: StepCall[Any]) -> Any:
    return await call


ORDER = Order("order-1")


# ---------------------------------------------------------------- definitions


def test_a_step_looks_like_its_function() -> None:
    assert charge.__name__ == "charge"
    assert charge.__doc__ == "Charge the card."
    assert charge.__module__ == __name__
    assert inspect.iscoroutinefunction(charge.fn)
    assert repr(charge) == f"<step {__name__}.charge>"
    assert REGISTRY.step(charge.name) is charge


def test_options_are_kept() -> None:
    assert insert.name == "unit.steps.insert"
    assert insert.explicit_name
    assert not charge.explicit_name
    assert insert.options.timeout == 3.0
    assert insert.options.limit == 2
    assert insert.is_async
    assert not weigh.is_async


# ---------------------------------------------------------------- calls


def test_a_call_runs_nothing_until_it_is_awaited() -> None:
    ran = []

    @step
    async def note() -> None:
        ran.append(1)

    call = note()
    assert isinstance(call, StepCall)
    assert ran == []
    asyncio.run(wait(call))
    assert ran == [1]


def test_a_call_holds_its_arguments() -> None:
    call = charge(ORDER, fast=True)
    assert (call.args.order, call.args.currency, call.args.fast) == (ORDER, "EUR", True)
    assert repr(call) == f"<call of step {__name__}.charge>"


def test_fn_is_the_plain_function() -> None:
    assert asyncio.run(charge.fn(ORDER)) == "order-1 EUR False"
    assert weigh.fn(ORDER)[1] == "nowhere"


def test_awaited_outside_of_a_saga_it_just_runs() -> None:
    assert asyncio.run(wait(charge(ORDER, "USD", fast=True))) == "order-1 USD True"


def test_a_plain_def_runs_in_a_thread_with_its_caller_s_context() -> None:
    async def main() -> tuple[str, str]:
        place.set("here")
        return await weigh(ORDER)

    thread, seen = asyncio.run(main())
    assert thread != threading.current_thread().name
    assert seen == "here"


def test_exceptions_come_out_as_they_are() -> None:
    @step
    async def refuse() -> None:
        raise Rejected("no", details=[1])

    @step
    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(Rejected, match="no"):
        asyncio.run(wait(refuse()))
    with pytest.raises(ZeroDivisionError):
        asyncio.run(wait(fail()))


def test_asyncio_takes_calls_as_coroutines() -> None:
    async def main() -> list[Any]:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(charge(ORDER))
        return [
            task.result(),
            *await asyncio.gather(charge(ORDER), charge(ORDER, "USD")),
            await asyncio.wait_for(charge(ORDER), 5),
            await asyncio.create_task(charge(ORDER)),
        ]

    euro, dollar = "order-1 EUR False", "order-1 USD False"
    assert asyncio.run(main()) == [euro, euro, dollar, euro, euro]
    assert asyncio.run(charge(ORDER)) == euro


def test_a_call_in_a_task_can_be_cancelled() -> None:
    @step
    async def sleep() -> None:
        await asyncio.sleep(60)

    async def main() -> bool:
        task = asyncio.create_task(sleep())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return task.cancelled()

    assert asyncio.run(main())


def test_options_change_one_call_only() -> None:
    retry = Retry(attempts=1)
    call = charge(ORDER)
    changed = call.options(timeout=timedelta(minutes=1), retry=retry, heartbeat=2, schedule_to_close=90)
    policy = changed.policy
    assert (policy.timeout, policy.retry, policy.heartbeat, policy.schedule_to_close) == (
        60.0,
        retry,
        2.0,
        90.0,
    )
    assert changed.args is call.args
    assert call.policy is charge.options
    assert changed.options(heartbeat=3).policy.timeout == 60.0
    assert insert(ORDER).options(retry=retry).policy.timeout == 3.0


def test_options_are_checked() -> None:
    with pytest.raises(DefinitionError, match="timeout must be a positive number of seconds"):
        charge(ORDER).options(timeout=0)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (charge, r"charge\(\): Missing required argument 'order'"),
        (lambda: charge(ORDER, "EUR", True), r"charge\(\): Extra positional arguments"),
        (lambda: charge(ORDER, curency="EUR"), r"charge\(\): Unexpected keyword argument 'curency'"),
        (lambda: charge(ORDER, order=ORDER), r"charge\(\): Argument 'order' given by name and position"),
    ],
)
def test_wrong_arguments_are_refused_where_they_are_given(call: Callable[[], Any], said: str) -> None:
    with pytest.raises(TypeError, match=said):
        call()


# ---------------------------------------------------------------- resources


def test_resources_are_no_arguments() -> None:
    call = insert(ORDER)
    assert call.args.__struct_fields__ == ("order",)
    assert insert.signature.plan == (("order",), (), {"db": Pool})


def test_a_resource_is_handed_in_by_name_in_tests() -> None:
    assert asyncio.run(wait(insert(ORDER, db=Pool("test")))) == "order-1 test"


def test_a_resource_that_nobody_gave_is_explained() -> None:
    with pytest.raises(NotInSaga, match=r"a resource was used \(\.name\) that nobody gave") as caught:
        asyncio.run(wait(insert(ORDER)))
    assert "outside of an engine pass it yourself" in caught.value.hint


# ---------------------------------------------------------------- fallback


def test_outside_of_a_saga_a_fallback_is_left_out() -> None:
    @step
    async def by_invoice(order: Order) -> str:
        return "invoice"

    @step(fallback=[by_invoice])
    async def by_card(order: Order) -> str:
        raise Rejected("declined")

    assert by_card.fallback == (by_invoice,)
    with pytest.raises(Rejected):  # the function itself is what a unit test wants to see
        asyncio.run(wait(by_card(ORDER)))


def test_one_step_may_be_the_fallback() -> None:
    assert step(name="unit.steps.falling_back", fallback=charge)(weigh.fn).fallback == (charge,)


# ---------------------------------------------------------------- methods


class Shop:
    def __init__(self, name: str) -> None:
        self.name = name

    @step(name="unit.steps.Shop.charge")
    async def charge(self, order: Order) -> str:
        return f"{self.name} {order.number}"

    @charge.compensation
    async def refund(self, payment: str | None, order: Order) -> str:
        return f"{self.name} {payment} {order.number}"

    @step
    def weigh(self, order: Order, *, scale: int = 1) -> str:
        return f"{self.name} {scale}"

    @staticmethod
    @step
    async def open(order: Order) -> str:
        return order.number


def test_methods_are_bound_to_their_object() -> None:
    east, west = Shop("east"), Shop("west")
    assert asyncio.run(wait(east.charge(ORDER))) == "east order-1"
    assert asyncio.run(wait(west.charge(ORDER))) == "west order-1"
    assert asyncio.run(wait(west.weigh(ORDER, scale=3))) == "west 3"
    assert east.charge.instance is east
    assert isinstance(Shop.charge, Step)
    assert Shop.charge.instance is None


def test_self_is_not_journaled() -> None:
    assert Shop("east").charge(ORDER).args.__struct_fields__ == ("order",)
    assert Shop("east").weigh(ORDER).args.__struct_fields__ == ("order", "scale")


def test_a_bound_step_shares_name_and_compensation() -> None:
    east = Shop("east")
    assert east.charge.name == Shop.charge.name == "unit.steps.Shop.charge"
    assert east.charge.undo is Shop.charge.undo
    assert asyncio.run(east.refund("p", ORDER)) == "east p order-1"


def test_static_methods() -> None:
    assert asyncio.run(wait(Shop.open(ORDER))) == "order-1"
    assert asyncio.run(wait(Shop("east").open(ORDER))) == "order-1"


# ---------------------------------------------------------------- refusals


def test_the_other_order_of_staticmethod_is_explained() -> None:
    with pytest.raises(DefinitionError, match="@step stands above @staticmethod") as caught:
        step(staticmethod(lambda: None))
    assert caught.value.hint == "write @staticmethod above @step"
    with pytest.raises(DefinitionError, match="@step stands above @classmethod") as caught:
        step(classmethod(lambda cls: None))
    assert "an ordinary method" in caught.value.hint


@pytest.mark.parametrize("given", ["payments.charge", 10])
def test_options_without_a_name_are_explained(given: Any) -> None:
    with pytest.raises(
        DefinitionError, match=f"@step stands above a function, and was given {given!r}"
    ) as caught:
        step(given)
    assert '@step(name="payments.charge")' in caught.value.hint


def test_a_transactional_step_is_a_plain_def() -> None:
    async def write(order: Order) -> None: ...

    with pytest.raises(DefinitionError, match=r"the transactional step .*write is async") as caught:
        step(transaction=True)(write)
    assert "plain def" in caught.value.hint


def test_arguments_need_names() -> None:
    async def many(*orders: Order) -> None: ...

    async def options(**options: int) -> None: ...

    with pytest.raises(
        DefinitionError, match=r"many has the parameter \*orders; arguments are journaled by name"
    ):
        step(many)
    with pytest.raises(DefinitionError, match=r"options has the parameter \*\*options"):
        step(options)


@pytest.mark.parametrize(
    ("options", "said", "hint"),
    [
        ({"limit": 0}, "limit must be at least 1, got 0", ""),
        ({"retry": 5}, "retry takes a Retry, got 5", "retry=Retry(attempts=5)"),
        ({"retry": None}, "retry takes a Retry, got None", "retry=Retry(attempts=3)"),
        ({"retry": Retry}, "retry takes a Retry, got <class", "retry=Retry(attempts=3)"),
        (
            {"timeout": -1},
            "timeout must be a positive number of seconds or a timedelta, got -1",
            "leave it out",
        ),
        ({"heartbeat": "5"}, "heartbeat must be a positive number of seconds or a timedelta, got '5'", ""),
        ({"rejects": ["ValueError"]}, "rejects takes exception classes, got 'ValueError'", ""),
        ({"raises": 3}, "raises takes exception classes, got 3", ""),
        (
            {"recovery": {ValueError: "backwards"}},
            "recovery of ValueError cannot be 'backwards'",
            "'backward'",
        ),
        ({"recovery": {"ValueError": "ask"}}, "recovery takes exception classes, got 'ValueError'", ""),
        ({"fallback": [print]}, r"fallback takes steps, got \[<built-in function print>\]", "fallback="),
        (
            {"name": ""},
            "a durable name must be visible text without spaces around it, got ''",
            "payments.charge",
        ),
    ],
)
def test_wrong_options_are_explained_when_declared(options: dict[str, Any], said: str, hint: str) -> None:
    with pytest.raises(DefinitionError, match=said) as caught:
        step(**options)(charge.fn)
    assert hint in caught.value.hint


def test_a_retry_that_is_none_is_refused_for_a_call_and_a_compensation() -> None:
    declared = step(name="steps.retry")(charge.fn)
    wrong: Any = 0
    with pytest.raises(DefinitionError, match="retry takes a Retry, got 0"):
        declared(Order("1")).options(retry=wrong)
    with pytest.raises(DefinitionError, match="retry takes a Retry, got 0"):
        declared.compensation(retry=wrong)


def test_recovery_takes_words_and_members() -> None:
    policy: dict[Any, Any] = {ValueError: "ask", OSError: Recovery.FORWARD}
    declared = step(name="unit.steps.recovering", recovery=policy)(charge.fn)
    assert declared.options.recovery == {ValueError: Recovery.ASK, OSError: Recovery.FORWARD}
