"""A saga of the latest deploy: a worker knows it once it has imported this module, and sets it aside before."""

from __future__ import annotations

from amends import saga

from .shop import buy


@saga(name="acceptance.newest")
async def newest() -> None:
    await buy(1)
    await buy(2)
