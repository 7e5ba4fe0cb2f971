"""Signatures: arguments by name, defaults for what an older journal lacks, annotations to read it with."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from amends import DefinitionError, PayloadError, Resource, Transaction, codec, injected, saga, step
from amends.definition.signature import Signature


@dataclass
class Order:
    number: str
    gift: bool = False


async def charge(order: Order, currency: str = "EUR", *, tags: list[str] = [], fast: bool = False) -> Order:  # noqa: B006
    return order


def written(fn: Any, *args: Any, **kwargs: Any) -> bytes:
    """The journal's form of a call's arguments."""
    return codec.encode(Signature(fn).bind(args, kwargs))


# ---------------------------------------------------------------- binding


def test_arguments_are_written_by_name() -> None:
    text = written(charge, Order("o"), fast=True)
    assert text == b'{"order":{"number":"o","gift":false},"currency":"EUR","tags":[],"fast":true}'


def test_however_they_are_given() -> None:
    assert written(charge, Order("o"), "USD") == written(charge, currency="USD", order=Order("o"))


def test_mutable_defaults_are_not_shared() -> None:
    signature = Signature(charge)
    first: Any = signature.bind((Order("o"),), {})
    first.tags.append("x")
    second: Any = signature.bind((Order("o"),), {})
    assert second.tags == []
    assert charge.__kwdefaults__ == {"tags": [], "fast": False}


def test_keyword_only_parameters_stay_so() -> None:
    assert Signature(charge).plan == (("order", "currency"), ("tags", "fast"), {})
    with pytest.raises(TypeError, match=r"charge\(\): Extra positional arguments"):
        Signature(charge).bind((Order("o"), "EUR", []), {})


def test_positional_only_parameters() -> None:
    async def ship(order: str, /, pieces: int) -> None: ...

    call: Any = Signature(ship).bind(("o", 2), {})
    assert (call.order, call.pieces) == ("o", 2)


def test_a_function_without_parameters() -> None:
    async def tick() -> None: ...

    assert written(tick) == b"{}"


def test_names_that_structs_use_themselves() -> None:
    async def odd(self_: int, name: str, args: int, fields: int, type: str) -> None: ...

    assert written(odd, 1, "n", 2, 3, "t") == b'{"self_":1,"name":"n","args":2,"fields":3,"type":"t"}'


def test_optional_parameters_may_come_before_required_keywords() -> None:
    async def mixed(a: int = 1, *, b: int, c: int = 3) -> None: ...

    assert written(mixed, b=2) == b'{"a":1,"b":2,"c":3}'


# ---------------------------------------------------------------- reading back


def test_arguments_come_back_as_their_annotations() -> None:
    signature = Signature(charge)
    call = signature.bind((Order("o", gift=True), "USD"), {"tags": ["a"]})
    assert signature.decode_args(codec.encode(call)) == call
    assert signature.decode_args(codec.encode(call)).order == Order("o", gift=True)


def test_a_new_parameter_with_a_default_reads_an_older_journal() -> None:
    async def before(order: Order) -> None: ...

    call = Signature(charge).decode_args(written(before, Order("o")))
    assert (call.order, call.currency, call.tags, call.fast) == (Order("o"), "EUR", [], False)


def test_a_new_field_with_a_default_reads_an_older_journal() -> None:
    call = Signature(charge).decode_args(b'{"order":{"number":"o"}}')
    assert call.order == Order("o", gift=False)


def test_a_parameter_that_is_gone_is_passed_over() -> None:
    assert Signature(charge).decode_args(b'{"order":{"number":"o"},"colour":"red"}').order == Order("o")


def test_a_new_parameter_without_default_does_not_fit() -> None:
    async def after(order: Order, customer: str) -> None: ...

    with pytest.raises(PayloadError, match=r"arguments of .*after does not fit .*customer") as caught:
        Signature(after).decode_args(written(charge, Order("o")))
    assert "give new fields a default" in caught.value.hint


def test_results_come_back_as_the_annotation() -> None:
    assert Signature(charge).result.decode(b'{"number":"o"}') == Order("o")


def test_without_annotations_values_are_plain_json() -> None:
    def loose(order, pieces=1): ...

    signature = Signature(loose)
    assert signature.decode_args(written(loose, {"a": [1]})).order == {"a": [1]}
    assert signature.result.decode(b'{"a":1}') == {"a": 1}


def test_a_result_of_none() -> None:
    async def nothing(order: str) -> None: ...

    assert Signature(nothing).result.decode(b"null") is None


def test_a_result_that_cannot_be_read_back_is_refused() -> None:
    @dataclass
    class Other:
        number: str

    async def either(order: str) -> Order | Other: ...

    with pytest.raises(DefinitionError, match=r"result of .*either: .* cannot be read back") as caught:
        Signature(either, 0, locals()).result  # noqa: B018
    assert "tag" in caught.value.hint


# ---------------------------------------------------------------- resources


class Pool: ...


def test_resources_are_left_out_and_known_by_type() -> None:
    async def insert(
        order: str, db: Resource[Pool], tx: Resource[Transaction] = injected, *, n: int = 1
    ) -> None: ...

    assert Signature(insert).plan == (("order",), ("n",), {"db": Pool, "tx": Transaction})
    assert written(insert, "o") == b'{"order":"o","n":1}'


# ---------------------------------------------------------------- annotations


def test_annotations_that_name_nothing_are_explained() -> None:
    async def lost(order: Nowhere) -> None: ...  # noqa: F821

    with pytest.raises(
        DefinitionError, match=r"an annotation of .*lost cannot be resolved: name 'Nowhere'"
    ) as caught:
        Signature(lost).args  # noqa: B018
    assert "not under TYPE_CHECKING" in caught.value.hint


def test_names_around_a_nested_function_are_found() -> None:
    @dataclass
    class Local:
        number: str

    @step
    async def charge_local(local: Local) -> Local:
        return local

    @charge_local.compensation
    async def refund_local(paid: Local | None, local: Local) -> None: ...

    @saga
    async def place_local(local: Local) -> Local:
        return await charge_local(local)

    call = place_local(Local("o"))
    assert place_local.signature.decode_args(codec.encode(call.args)) == call.args
    assert charge_local.signature.result.decode(b'{"number":"o"}') == Local("o")
    assert asyncio.run(place_local.fn(Local("o"))) == Local("o")


def test_names_two_functions_up_are_found() -> None:
    class Outer: ...

    def middle() -> Any:
        assert Outer

        @step
        async def inner(count: int) -> int:
            return count

        return inner

    assert middle().signature.plan == (("count",), (), {})
