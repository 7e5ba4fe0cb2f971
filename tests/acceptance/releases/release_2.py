"""The second release."""

from __future__ import annotations

from amends import saga

from ..shop import buy, press, refuse


@saga(name="acceptance.rolling", version="2")
async def second(end: str = "") -> int:
    await buy(1)
    await press(2)
    if end:
        await refuse(3)
    return 2


SAGAS = [second]
