"""The first release."""

from __future__ import annotations

from amends import saga

from ..shop import buy, refuse


@saga(name="acceptance.rolling", version="1")
async def first(end: str = "") -> int:
    for place in range(1, 4):
        await buy(place, 0.05)
    if end:
        await refuse(4)
    return 1


SAGAS = [first]
