"""The registry: definitions by name and version, and near names when there is none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from amends import DefinitionError, Engine, Saga, saga, step
from amends.definition.registry import REGISTRY, Registry
from amends.errors import MissingDefinition


@pytest.fixture(autouse=True)
def own_names() -> Iterator[None]:
    """What is declared here is forgotten again."""
    steps, sagas = dict(REGISTRY.steps), dict(REGISTRY.sagas)
    yield
    REGISTRY.steps, REGISTRY.sagas = steps, sagas


def make(name: str, version: str = "") -> Saga[[], None]:
    @saga(name=name, version=version)
    async def body() -> None: ...

    return body


def test_decorators_register() -> None:
    @step(name="registry.charge")
    async def charge() -> None: ...

    assert REGISTRY.step("registry.charge") is charge
    first = make("registry.place")
    second = make("registry.place", "2")
    assert REGISTRY.saga("registry.place", "") is first
    assert REGISTRY.saga("registry.place", "2") is second


def test_a_later_definition_replaces_the_earlier_one() -> None:
    make("registry.place")
    later = make("registry.place")
    assert REGISTRY.saga("registry.place", "") is later


def test_a_name_that_another_function_has_is_told() -> None:
    """Undone by name, the first step's effect would be handed to the second one's compensation."""

    @step(name="registry.hotel")
    async def hotel() -> None: ...

    with pytest.warns(
        RuntimeWarning, match=r"'registry.hotel' is that of hotel \(.*\) and of flight"
    ) as told:

        @step(name="registry.hotel")
        async def flight() -> None: ...

    assert told[0].filename == __file__
    make("registry.place")
    with pytest.warns(
        RuntimeWarning, match=r"the saga name 'registry.place' is that of body .* and of other"
    ):

        @saga(name="registry.place")
        async def other() -> None: ...


def test_an_engine_refuses_two_sagas_of_one_name() -> None:
    with pytest.raises(DefinitionError, match=r"two sagas of the name 'registry.place' and the version '2'"):
        Engine(sagas=[make("registry.place", "2"), make("registry.place", "2")])
    same = make("registry.place")
    Engine(sagas=[same, make("registry.place", "2"), same])


@pytest.mark.parametrize(
    ("given", "hint"), [(None, "sqlite:///sagas.db"), (Path("orders.db"), "sqlite:///orders.db")]
)
def test_an_engine_without_a_url_says_what_one_looks_like(given: Any, hint: str) -> None:
    with pytest.raises(DefinitionError, match="takes a URL or a Store, got") as caught:
        Engine(given)
    assert hint in caught.value.hint


def test_an_engine_looks_at_its_own_first() -> None:
    outer, inner = make("registry.place"), make("registry.place")
    parent = Registry()
    parent.add_saga(outer)
    own = Registry(parent)
    assert own.saga("registry.place", "") is outer
    own.add_saga(inner)
    assert own.saga("registry.place", "") is inner
    assert parent.saga("registry.place", "") is outer


def test_a_missing_version_names_those_there_are() -> None:
    registry = Registry(Registry())
    registry.add_saga(make("place", "1"))
    assert registry.parent is not None
    registry.parent.add_saga(make("place", "2"))
    with pytest.raises(
        MissingDefinition, match="saga 'place' has no version '3' here, only '1', '2'"
    ) as caught:
        registry.saga("place", "3")
    assert caught.value.hint == "keep the old version registered until its executions have ended"


def test_a_missing_name_brings_near_ones() -> None:
    parent = Registry()
    registry = Registry(parent)

    @step(name="registry.charge")
    async def charge() -> None: ...

    registry.add_step(charge)
    parent.add_saga(make("orders.place"))
    with pytest.raises(MissingDefinition, match=r"no step named 'registry\.charg' is defined") as caught:
        registry.step("registry.charg")
    assert caught.value.hint == "did you mean 'registry.charge'?"
    with pytest.raises(MissingDefinition, match=r"no saga named 'order\.place' is defined") as caught:
        registry.saga("order.place", "")
    assert caught.value.hint == "did you mean 'orders.place'?"


def test_without_near_names_it_says_where_to_put_it() -> None:
    with pytest.raises(MissingDefinition) as caught:
        Registry().step("a")
    assert caught.value.hint == "import the module that defines it"
    with pytest.raises(MissingDefinition) as caught:
        Registry().saga("a", "")
    assert caught.value.hint == "give it to Engine(sagas=[…])"


def test_an_object_s_methods_are_bound_to_it() -> None:
    class Base:
        @step(name="registry.Base.charge")
        async def charge(self) -> None: ...

        @step(name="registry.Base.weigh")
        async def weigh(self) -> None: ...

    class Shop(Base):
        @step(name="registry.Shop.weigh")
        async def weigh(self) -> None: ...

        @saga(name="registry.Shop.place")
        async def place(self) -> None: ...

    shop = Shop()
    registry = Registry()
    registry.add_instance(shop)
    assert registry.step("registry.Base.charge").instance is shop
    assert registry.step("registry.Shop.weigh").instance is shop
    assert registry.saga("registry.Shop.place", "").instance is shop
