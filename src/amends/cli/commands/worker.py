"""``amends worker``: serve a store until stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator

import rich_click as click

from ...encryption.environment import codec_from_environment
from ...engine.engine import Engine
from ...engine.health import Report, report_of
from ...engine.health import health as answering
from ...engine.queue_worker import QueueWorker
from ...engine.reaching import reach
from .. import apps, logs
from ..desk import Desk
from ..exits import Exit, Problem
from ..options import Where, command
from ..resolve import Place
from ..serving import engine_of, refuse_wrong_module
from ..supervisor import Reporting, Supervisor, of_this_process

_log = logging.getLogger("amends.cli")
_LOOK = 0.1  # seconds between looks whether a standby has taken over
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@command("amends worker app --store sqlite:///orders.db")
@click.argument("module", required=False)
@click.option("--no-standby", is_flag=True, help="Fail if another worker serves the store, do not wait.")
@click.option("--park-unknown", is_flag=True, help="Work although no saga in the store is defined here.")
@click.option("--processes", type=click.IntRange(min=1), help="So many, started again when they end.")
@click.option("--queue", "-q", "queues", multiple=True, help="Run the steps of this queue, and no sagas.")
@click.option("--health", metavar="HOST:PORT", help="Answer /live and /ready over HTTP there.")
@click.option("--log-level", default="info", show_default=True, type=click.Choice(logs.LEVELS))
async def worker(
    where: Where,
    *,
    module: str | None,
    no_standby: bool,
    park_unknown: bool,
    processes: int | None,
    queues: tuple[str, ...],
    health: str | None,
    log_level: str,
) -> int:
    """Serve a store: run its sagas until stopped.

    One worker serves a file; a second stands by and takes over when the first is gone. SIGTERM or Ctrl-C
    drains: running steps may end, then it stops. A second signal stops at once, which loses nothing: whoever
    takes over goes on. MODULE holds the sagas, or one Engine with its own store and settings. With --queue it
    runs steps alone, of which MODULE needs to hold no more; any number of such workers serve a store.
    """
    if processes is not None:
        _begin_log(where, log_level)
        own = [*([module] if module else []), "--log-level", log_level]
        own += [word for name in queues for word in ("--queue", name)]
        own += ["--no-standby"] * no_standby + ["--park-unknown"] * park_unknown + ["--json"] * where.json
        return await _supervise(where, own, processes, health)
    reporting = of_this_process()
    app = apps.load(module)
    if queues:
        _begin_log(where, log_level)
        return await _serve_queues(*_queue_worker(where, app, queues), health, reporting)
    engine, place = engine_of(where, app)
    if not park_unknown:
        await refuse_wrong_module(where, place, app, engine, all_known=False)
    _begin_log(where, log_level)
    stop = _Stop(engine)
    async with _watched(engine, stop, health, reporting):
        if await reach(engine.store, stop.asked):
            async with engine:
                if not engine.working:
                    _second(place, where, no_standby=no_standby)
                announcing = asyncio.create_task(_announce(engine, place))
                await stop.asked.wait()
                announcing.cancel()
    _log.info("stopped")
    return Exit.OK


def _queue_worker(where: Where, app: apps.App, queues: tuple[str, ...]) -> tuple[QueueWorker, Place]:
    """With what the module's own engine has, or for the store that was named."""
    if app.engine is not None:
        engine, place = engine_of(where, app)
        return QueueWorker.like(engine, queues), place
    codec = codec_from_environment()
    return QueueWorker(where.place.url, queues=queues, namespace=where.namespace, codec=codec), where.place


async def _serve_queues(
    worker: QueueWorker, place: Place, address: str | None, reporting: Reporting | None
) -> int:
    """Run steps alone. How it is: working, from when it has opened until it drains."""
    state = ["opening"]

    def report() -> Report:
        more = {"process": os.getpid(), "running": worker.running}
        return Report(live=True, ready=state[0] == "working", state=state[0], more=more)

    stop = asyncio.Event()

    async def orphaned(to: Reporting) -> None:
        await to.until_orphaned(report)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        if address is not None:
            await stack.enter_async_context(answering(address, report))
        if reporting is not None:
            stack.callback(asyncio.create_task(orphaned(reporting)).cancel)
        if await reach(worker.store, stop):
            await stack.enter_async_context(worker)
            state[0] = "working"
            names = ", ".join(worker.queues)
            _log.info("process %d serves queues of %s: %s", os.getpid(), place.shown, names)
            await worker.until_asked(stop)
            state[0] = "draining"
            for number in _SIGNALS:
                loop.remove_signal_handler(number)  # a second one ends it at once
    _log.info("stopped")
    return Exit.OK


def _begin_log(where: Where, level: str) -> None:
    logs.begin(json=where.json, level=level, colour=where.output.err.color_system is not None)


async def _supervise(where: Where, arguments: list[str], processes: int, address: str | None) -> int:
    command = [sys.executable, "-m", *where.words("worker"), *arguments]
    supervisor = Supervisor(command, processes)
    async with contextlib.AsyncExitStack() as stack:
        if address is not None:
            await stack.enter_async_context(answering(address, supervisor.report))
        return await supervisor.run()


@contextlib.asynccontextmanager
async def _watched(
    engine: Engine, stop: _Stop, address: str | None, reporting: Reporting | None
) -> AsyncIterator[None]:
    """Whoever asks how it is, is told: from before it opens until it is closed."""

    async def report(to: Reporting) -> None:
        await to.until_orphaned(lambda: report_of(engine))
        stop.ask("the supervisor is gone")

    async with contextlib.AsyncExitStack() as stack:
        if address is not None:
            await stack.enter_async_context(answering(address, lambda: report_of(engine)))
        if reporting is not None:
            task = asyncio.create_task(report(reporting))
            stack.callback(task.cancel)
        yield


def _second(place: Place, where: Where, *, no_standby: bool) -> None:
    first = Desk(place, where.namespace).worker()
    who = f"process {first}" if first else "another worker"
    if no_standby:
        raise Problem(
            f"{who} is the worker of {place.shown}; one file has one worker",
            hint="stop that one first, or leave out --no-standby to stand by until it is gone",
            exit=Exit.REFUSED,
            code="second_worker",
        )
    _log.warning("standing by: %s is the worker of %s; this one takes over when it is gone", who, place.shown)


async def _announce(engine: Engine, place: Place) -> None:
    """Say what is served, as soon as it is."""
    while not engine.working:  # noqa: ASYNC110 - an engine announces this only in its log
        await asyncio.sleep(_LOOK)
    names = ", ".join(saga.name for saga in engine.sagas)
    _log.info("process %d serves %s: %s", os.getpid(), place.shown, names)


class _Stop:
    """The first signal asks for a drain, the second ends the process where it stands."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.asked = asyncio.Event()
        """Set by the first signal."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._signal, number)

    def ask(self, why: str) -> None:
        """Ask for a drain."""
        if not self.asked.is_set():
            running, grace = self._engine.stats().get("attempts", 0), self._engine.settings.grace
            _log.info(
                "%s: draining, %s attempt(s) have %g s to end; again to stop at once", why, running, grace
            )
            self.asked.set()

    def _signal(self, number: int) -> None:
        name = signal.Signals(number).name
        if not self.asked.is_set():
            self.ask(name)
            return
        running = self._engine.stats().get("attempts", 0)
        _log.warning(
            "%s again: stopping at once, %s attempt(s) are cut off; their outcome is unknown", name, running
        )
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(128 + number)  # as safe as a crash: what is durable counts
