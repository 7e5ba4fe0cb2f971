"""A shop for the tests of the command line, written to a folder as `app.py`, and stores in which order-1001 is
in a state of choice. A store is made once and copied.
"""

from __future__ import annotations

import asyncio
import importlib
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from amends import Engine
from amends.engine.sync import Sync

PROJECT = """
[tool.amends]
store = "sqlite:///orders.db"
app = "app"
"""

APP = """
from dataclasses import dataclass
from pathlib import Path

from amends import Rejected, Retry, Signal, saga, step

approved = Signal[dict]("approved")


@dataclass
class Order:
    id: str
    cents: int
    address: str = "1 Main Street"


@step(name="shop.charge", retry=Retry(attempts=1))
async def charge(order: Order) -> str:
    return f"payment-{order.id}"


@charge.compensation(retry=Retry(attempts=1))
async def refund(payment: str | None, order: Order) -> None:
    if not Path("repaired").exists():
        raise ConnectionError("payment is down")


@step(name="shop.reserve")
async def reserve(order: Order) -> str:
    return f"reservation-{order.id}"


@reserve.compensation
async def release(reservation: str | None, order: Order) -> None: ...


@step(name="shop.ship", retry=Retry(attempts=1), recovery={ValueError: "ask"})
async def ship(order: Order, reservation: str) -> str:
    if order.address == "nowhere":
        raise Rejected("no courier goes there")
    if order.address == "flood":
        raise ValueError("the road is under water")
    return f"parcel-{order.id}"


@ship.compensation
async def recall(parcel: str | None, order: Order, reservation: str) -> None: ...


@saga(name="shop.wrap")
async def wrap(order: Order) -> str:
    return await reserve(order)


@saga(name="shop.place_order")
async def place_order(order: Order) -> str:
    await charge(order)
    reservation = await reserve(order)
    if order.address == "ask first":
        await approved.receive()
    if order.address == "gift":
        reservation = await wrap(order)
    return await ship(order, reservation)


@saga(name="shop.other")
async def other() -> int:
    return 7
"""

# What to order so that it ends or stops so.
ADDRESSES = {
    "completed": "1 Main Street",
    "gift": "gift",
    "waiting": "ask first",
    "held": "flood",
    "stuck": "nowhere",  # its refund fails
    "compensated": "nowhere",
}


def write(folder: Path) -> None:
    """The project's files."""
    (folder / "app.py").write_text(APP)
    (folder / "pyproject.toml").write_text(PROJECT)


@contextmanager
def module(folder: Path) -> Iterator[object]:
    """The folder's `app`, imported for a while."""
    before = list(sys.path)
    sys.path.insert(0, str(folder))
    sys.modules.pop("app", None)
    try:
        yield importlib.import_module("app")
    finally:
        sys.path[:] = before
        sys.modules.pop("app", None)


def worker(folder: Path) -> Sync:
    """A worker of this process for the folder's store; enter it."""
    with module(folder) as app:
        sagas = [app.place_order, app.other]  # type: ignore[attr-defined]
    return Engine(f"sqlite:///{folder / 'orders.db'}", sagas=sagas).sync


def fill(folder: Path, kind: str) -> None:
    """Make a store in which order-1001 is in that state, and nobody works."""
    write(folder)
    asyncio.run(_fill(folder, kind))


async def _fill(folder: Path, kind: str) -> None:
    with module(folder) as app:
        order = app.Order("1001", 4999, ADDRESSES[kind])  # type: ignore[attr-defined]
        engine = Engine(f"sqlite:///{folder / 'orders.db'}", sagas=[app.place_order])  # type: ignore[attr-defined]
        async with engine:
            call = app.place_order(order)  # type: ignore[attr-defined]
            handle = await engine.start(call, id="order-1001", attributes={"customer": "42"})
            if kind != "waiting":
                await handle.outcome()
                return
            while not any(c["type"] == "await" for row in await handle.history() for c in row["commands"]):
                await asyncio.sleep(0)


def copy(source: Path, target: Path) -> None:
    """A folder's files for a test of its own."""
    shutil.copytree(source, target, dirs_exist_ok=True)
