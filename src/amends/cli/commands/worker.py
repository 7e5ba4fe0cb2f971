"""``amends worker``: serve a store until stopped."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys

import rich_click as click

from ...engine.engine import Engine
from .. import apps, logs
from ..desk import Desk
from ..exits import Exit, Problem
from ..options import Where, command
from ..resolve import Place
from ..serving import engine_of, refuse_wrong_module

_log = logging.getLogger("amends.cli")
_LOOK = 0.1  # seconds between looks whether a standby has taken over
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@command("amends worker app --store sqlite:///orders.db")
@click.argument("module", required=False)
@click.option("--no-standby", is_flag=True, help="Fail if another worker serves the store, do not wait.")
@click.option("--park-unknown", is_flag=True, help="Work although no saga in the store is defined here.")
@click.option("--log-level", default="info", show_default=True, type=click.Choice(logs.LEVELS))
async def worker(
    where: Where, *, module: str | None, no_standby: bool, park_unknown: bool, log_level: str
) -> Exit:
    """Serve a store: run its sagas until stopped.

    One worker serves a file; a second stands by and takes over when the first is gone. SIGTERM or Ctrl-C
    drains: running steps may end, then it stops. A second signal stops at once, which loses nothing: whoever
    takes over goes on. MODULE holds the sagas, or one Engine with its own store and settings.
    """
    app = apps.load(module)
    engine, place = engine_of(where, app)
    if not park_unknown:
        await refuse_wrong_module(where, place, app, engine, all_known=False)
    logs.begin(json=where.json, level=log_level, colour=where.output.err.color_system is not None)
    stop = _Stop(engine)
    async with engine:
        if not engine.working:
            _second(place, where, no_standby=no_standby)
        announcing = asyncio.create_task(_announce(engine, place))
        await stop.asked()
        announcing.cancel()
    _log.info("stopped")
    return Exit.OK


def _second(place: Place, where: Where, *, no_standby: bool) -> None:
    first = Desk(place, where.namespace).worker()
    who = f"process {first}" if first else "another worker"
    if no_standby:
        raise Problem(
            f"{who} is the worker of {place.url}; one file has one worker",
            hint="stop that one first, or leave out --no-standby to stand by until it is gone",
            exit=Exit.REFUSED,
            code="second_worker",
        )
    _log.warning("standing by: %s is the worker of %s; this one takes over when it is gone", who, place.url)


async def _announce(engine: Engine, place: Place) -> None:
    """Say what is served, as soon as it is."""
    while not engine.working:  # noqa: ASYNC110 - an engine announces this only in its log
        await asyncio.sleep(_LOOK)
    names = ", ".join(saga.name for saga in engine.sagas)
    _log.info("process %d serves %s: %s", os.getpid(), place.url, names)


class _Stop:
    """The first signal asks for a drain, the second ends the process where it stands."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._asked = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._signal, number)

    async def asked(self) -> None:
        """Wait for the first signal."""
        await self._asked.wait()

    def _signal(self, number: int) -> None:
        name = signal.Signals(number).name
        running = self._engine.stats().get("attempts", 0)
        if not self._asked.is_set():
            grace = self._engine.settings.grace
            _log.info(
                "%s: draining, %s attempt(s) have %g s to end; again to stop at once", name, running, grace
            )
            self._asked.set()
            return
        _log.warning(
            "%s again: stopping at once, %s attempt(s) are cut off; their outcome is unknown", name, running
        )
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(128 + number)  # as safe as a crash: what is durable counts
