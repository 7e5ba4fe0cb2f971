"""Compensations: their parameters are the result, then the action's own; all else is refused at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from amends import SEALED, UNRESOLVED, DefinitionError, Kind, Resource, Retry, Step, injected, step
from amends.definition.compensation import Compensation
from amends.definition.policy import UNDO_RETRY


class Pool: ...


def reserve() -> Step[..., Any]:
    """A new step with two positional and one keyword-only argument."""

    @step
    async def reserve(order: str, pieces: int = 1, *, shelf: str = "") -> str:
        return order

    return reserve


async def put_back(stock: str | None, order: str, pieces: int = 1, *, shelf: str = "") -> str:
    return f"{stock} {order} {pieces} {shelf}"


# ---------------------------------------------------------------- declaring


def test_the_short_form() -> None:
    action = reserve()
    undo = action.compensation(put_back)
    assert action.undo is undo
    assert undo.fn is put_back
    assert undo.options.critical
    assert undo.options.kind is Kind.SEMANTIC
    assert undo.options.retry is UNDO_RETRY
    assert repr(undo) == f"<compensation of {action.name}>"


def test_options() -> None:
    def other_way(stock: str | None, order: str, pieces: int = 1, *, shelf: str = "") -> None: ...

    retry = Retry(attempts=2)
    undo = reserve().compensation(
        critical=False, kind="approximate", retry=retry, timeout=3, alternates=[other_way]
    )(put_back)
    assert not undo.options.critical
    assert undo.options.kind is Kind.APPROXIMATE
    assert undo.options.retry is retry
    assert undo.options.timeout == 3.0
    assert [fn for fn, _ in undo.candidates] == [put_back, other_way]


def test_it_can_be_called_in_tests() -> None:
    undo = reserve().compensation(put_back)
    assert asyncio.run(undo("s", "o", 2, shelf="a")) == "s o 2 a"


def test_a_compensation_serves_as_an_alternate() -> None:
    undo = reserve().compensation(put_back)
    again = reserve().compensation(alternates=[undo])(put_back)
    assert [fn for fn, _ in again.candidates] == [put_back, put_back]


def test_it_may_want_resources_that_the_action_does_not() -> None:
    async def undo(
        stock: str | None, order: str, pieces: int = 1, *, shelf: str = "", db: Resource[Pool] = injected
    ) -> None: ...

    declared = reserve().compensation(undo)
    assert declared.candidates[0][1].plan[2] == {"db": Pool}


def test_names_of_positional_arguments_may_differ() -> None:
    async def undo(stock: str | None, number: str, how_many: int = 1, *, shelf: str = "") -> None: ...

    assert reserve().compensation(undo).fn is undo


# ---------------------------------------------------------------- refusals


async def no_result(order: str, pieces: int, *, shelf: str) -> None: ...
async def too_few(stock: str | None, order: str, *, shelf: str) -> None: ...
async def too_many(stock: str | None, order: str, pieces: int, reason: str, *, shelf: str) -> None: ...
async def other_keyword(stock: str | None, order: str, pieces: int, *, rack: str) -> None: ...
async def no_keyword(stock: str | None, order: str, pieces: int) -> None: ...
async def swapped(order: str, stock: str | None, pieces: int, *, shelf: str) -> None: ...
async def nothing() -> None: ...


@pytest.mark.parametrize("wrong", [no_result, too_few, too_many, other_keyword, no_keyword, swapped, nothing])
def test_wrong_parameters_are_refused(wrong: Callable[..., Any]) -> None:
    action = reserve()
    with pytest.raises(DefinitionError, match=f"{wrong.__name__} cannot undo {action.name}") as caught:
        action.compensation(wrong)
    assert caught.value.message.endswith("expected (result, order, pieces, *, shelf)")
    assert caught.value.hint == "the action's result comes first, then the action's own arguments"
    assert action.undo is None


def test_wrong_alternates_are_refused() -> None:
    with pytest.raises(DefinitionError, match="too_few cannot undo"):
        reserve().compensation(alternates=[too_few])(put_back)


def test_an_action_without_arguments_still_gives_its_result() -> None:
    @step
    async def tick() -> int:
        return 1

    with pytest.raises(DefinitionError, match=r"its parameters are \(\), expected \(result\)"):
        tick.compensation(nothing)


def test_star_arguments_are_refused() -> None:
    async def everything(*args: Any) -> None: ...

    with pytest.raises(DefinitionError):
        reserve().compensation(everything)


def test_one_compensation_per_step() -> None:
    action = reserve()
    action.compensation(put_back)
    with pytest.raises(DefinitionError, match=r"has a compensation already \(put_back\)"):
        action.compensation(put_back)


def test_an_irreversible_step_has_none() -> None:
    @step(irreversible=True)
    async def send(text: str) -> None: ...

    async def unsend(result: None, text: str) -> None: ...

    with pytest.raises(DefinitionError, match="is declared irreversible and given a compensation"):
        send.compensation(unsend)


def test_wrong_words_are_explained() -> None:
    with pytest.raises(DefinitionError, match="kind cannot be 'perfekt'") as caught:
        reserve().compensation(kind="perfekt")
    assert caught.value.hint == "did you mean 'perfect'?"


# ---------------------------------------------------------------- methods


def test_methods_are_checked_when_the_class_is_complete() -> None:
    class Shop:
        @step
        async def reserve(self, order: str) -> str:
            return order

        @reserve.compensation
        async def put_back(self, stock: str | None, order: str) -> None: ...

    undo = Shop.reserve.undo
    assert isinstance(undo, Compensation)
    assert undo.candidates[0][1].plan[0] == ("order",)


def test_wrong_methods_are_refused() -> None:
    with pytest.raises((DefinitionError, RuntimeError)) as caught:  # RuntimeError: how Python 3.11 wraps it

        class Shop:
            @step
            async def reserve(self, order: str) -> str:
                return order

            @reserve.compensation
            async def put_back(self, order: str) -> None: ...

    error = caught.value if isinstance(caught.value, DefinitionError) else caught.value.__cause__
    assert isinstance(error, DefinitionError)
    assert error.message.endswith("its parameters are (self, order), expected (self, result, order)")


# ---------------------------------------------------------------- verify and probe


def test_verify_follows_a_compensation() -> None:
    action = reserve()

    async def is_back(stock: str | None, order: str, pieces: int = 1, *, shelf: str = "") -> bool:
        return True

    with pytest.raises(DefinitionError, match=r"has a \.verify but no \.compensation yet") as caught:
        action.verify(is_back)
    assert caught.value.hint == "declare the compensation first"
    action.compensation(put_back)
    assert action.verify(is_back) is is_back
    assert action.verifier is is_back


def test_probe_is_kept() -> None:
    action = reserve()

    async def ask(order: str, pieces: int = 1, *, shelf: str = "") -> Any:
        return UNRESOLVED

    assert action.probe(ask) is ask
    assert action.prober is ask
    assert UNRESOLVED is not SEALED
