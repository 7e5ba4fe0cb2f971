"""Why an action could not even be attempted, in one word, with what to do in the message."""

from __future__ import annotations

from typing import Any

import amends
from amends import Resource, Transaction, saga

from .world import World


class Pool:
    """A resource that nobody gives."""


async def parked(world: World, shop: Any) -> Any:
    async with world.engine(shop) as engine:
        handle = await engine.start(shop(), id="one")
        result = await handle.outcome()
        assert result.status == "attention"
        return result.items[0]


def test_a_missing_resource_is_called_so(world: World) -> None:
    @amends.step(name="whys.step")
    async def needs(db: Resource[Pool] = amends.injected) -> None: ...

    @saga(name="whys")
    async def shop() -> None:
        await needs()

    item = world.run(lambda: parked(world, shop))
    assert (item["why"], item["outcome"]) == ("resource", "rejected")
    assert "Pool" in item["error"]["message"]


def test_a_missing_resource_of_a_transactional_step_is_called_so(world: World) -> None:
    @amends.step(name="whys.step", transaction=True)
    def needs(tx: Resource[Transaction] = amends.injected, db: Resource[Pool] = amends.injected) -> None: ...

    @saga(name="whys")
    async def shop() -> None:
        await needs()

    item = world.run(lambda: parked(world, shop))
    assert (item["why"], item["outcome"]) == ("resource", "rejected")


def test_arguments_of_another_type_are_called_so_and_can_be_replaced(world: World) -> None:
    @amends.step(name="whys.step")
    async def pay(amount: int) -> int:
        return amount

    @saga(name="whys")
    async def shop() -> int:
        return await pay("ten")  # type: ignore[arg-type]

    async def main() -> int:
        item = await parked(world, shop)
        assert (item["why"], item["outcome"]) == ("arguments", "rejected")
        assert "Expected `int`, got `str`" in item["error"]["message"]
        async with world.engine(shop) as engine:
            handle = engine.handle(shop, "one")
            await handle.retry(args=(10,), reason="it was a word")
            return await handle.result()

    assert world.run(main) == 10
