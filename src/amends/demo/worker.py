"""The process that gets killed: ``python -m amends.demo.worker SETUP`` works on the orders of a run."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

import msgspec

from amends import Engine, Limits, Settings

from .calls import Services
from .company import fulfil
from .processes import Setup, follow_parent, ready
from .services.books import store_url
from .shop import place_order

STEPS = 48  # more at once than the services can answer in time would only make timeouts


async def serve(setup: Setup) -> None:
    """Work until SIGTERM."""
    # grace: no request goes on for longer once its caller is dead.  deaths: what is there each time a
    # worker dies is set aside as the likely cause of it, and here nothing is.
    settings = Settings(steps=STEPS, grace=0.5, limits=Limits(deaths=1000))
    url = store_url(Path(setup.folder))
    resources = [Services(setup)]
    async with Engine(url, sagas=[place_order, fulfil], resources=resources, settings=settings) as engine:
        ready()
        await engine.serve()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(process)d %(levelname)s %(message)s")
    follow_parent()
    asyncio.run(serve(msgspec.json.decode(sys.argv[1], type=Setup)))
