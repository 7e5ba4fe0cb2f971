"""``amends run`` and ``amends start``: begin an execution, with or without waiting for its outcome."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from typing import Any

import rich_click as click

from ...clock import SystemClock
from ...engine.client import Client
from ...engine.engine import Engine
from ...store.port import Header
from .. import apps, forms, logs, resolve, values
from ..apps import App
from ..desk import Desk
from ..exits import Exit, Problem
from ..options import Where, command
from ..outcomes import of_status
from ..render.execution import execution
from ..resolve import Place
from ..serving import engine_of, refuse_wrong_module
from ..views import look
from ..watch import Lines, follow
from .list import pairs

saga_argument = click.argument("saga", metavar="MODULE:SAGA")
args_option = click.option(
    "--args", "args", metavar="JSON", help="Arguments: an object by name or a list; @file or - for stdin."
)
id_option = click.option("--id", help="The execution's id, such as the order's number (default: a new one).")
deadline_option = click.option(
    "--deadline",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="Undo it if not done by then.",
)
attribute_option = click.option(
    "--attribute", "-a", "attributes", multiple=True, metavar="KEY=VALUE", help="Kept with it, for `list`."
)


_EXAMPLE = """app:place_order --args '{"order": {"id": "1001", "cents": 4999}}' --id order-1001"""


@command(f"amends run {_EXAMPLE}")
@saga_argument
@args_option
@id_option
@attribute_option
@deadline_option
@click.option("--timeout", type=float, metavar="SECONDS", help="Wait at most so long; it goes on by itself.")
@click.option("--park-unknown", is_flag=True, help="Work although the store holds sagas not defined here.")
async def run(
    where: Where,
    *,
    saga: str,
    args: str | None,
    id: str | None,
    attributes: tuple[str, ...],
    deadline: float | None,
    timeout: float | None,
    park_unknown: bool,
) -> Exit:
    """Run a saga and wait for its outcome.

    It shows the steps as they happen; the exit code says how it ended. The same id with the same arguments
    is the same execution, so that a command may be repeated. While another worker serves the store, that one
    does the work.
    """
    app, call = _call(saga, args, deadline)
    engine, place = engine_of(where, app)
    if not park_unknown:
        await refuse_wrong_module(where, place, app, engine, all_known=True)
    logs.quiet()
    _new_store(where, place)
    with contextlib.redirect_stdout(sys.stderr) if where.json else contextlib.nullcontext():
        header = await _run(where, place, engine, call, id, pairs(attributes), timeout)
    if where.json:
        where.output.data(forms.outcome(header))
    return of_status(header.status)


async def _run(
    where: Where,
    place: Place,
    engine: Engine,
    call: Any,
    id: str | None,
    attributes: dict[str, str],
    timeout: float | None,
) -> Header:
    async with engine, Desk(place, engine.namespace, engine.store, engine.codec) as desk:
        if not engine.working:
            where.output.note(f"{_somebody(desk)} serves {place.shown} and does the work", style="quiet")
        before = SystemClock().now()
        handle = await engine.start(call, id=id, attributes=attributes)
        if not where.json:
            is_new = (await handle.status()).created_at.timestamp() >= before
            said = "started" if is_new else "was started before; what was done is not done again"
            where.output.note(f"{handle.id} {said}", style="quiet")
        console = where.output.out if where.output.live else where.output.err
        watching = asyncio.create_task(
            follow(
                where,
                desk,
                handle.id,
                on=console,
                changed=_silent if where.json else Lines(console),
                transient=True,
            )
        )
        try:
            async with asyncio.timeout(timeout):
                await handle.outcome()
                await watching
        except TimeoutError as error:
            raise TimeoutError(
                f"{handle.id} has not ended after {timeout:g} s; it goes on while a worker serves"
                f" {place.shown}"
            ) from error
        except asyncio.CancelledError:
            grace = f"; steps that run have {engine.settings.grace:g} s to end" if engine.working else ""
            note = f"{handle.id} goes on when a worker serves {place.shown}{grace}"
            where.output.note(note, style="careful")
            raise
        finally:
            watching.cancel()
        view = await look(where, desk, handle.id)
        if view.worker == os.getpid():
            view.worker = None  # soon
        if not where.json:
            where.output.show(execution(view, where.output.out.width))
        return view.header


@command(f"amends start {_EXAMPLE}")
@saga_argument
@args_option
@id_option
@attribute_option
@deadline_option
async def start(
    where: Where,
    *,
    saga: str,
    args: str | None,
    id: str | None,
    attributes: tuple[str, ...],
    deadline: float | None,
) -> Exit:
    """Start a saga; a worker takes it from there.

    It returns when the execution is durable. The same id with the same arguments is the same execution: then
    it tells how that stands.
    """
    app, call = _call(saga, args, deadline)
    engine, place = engine_of(where, app)
    if not place.lasts:
        raise Problem(
            f"{place.shown} ends with this process, so nothing could run there",
            hint="name a file: --store sqlite:///orders.db, or use `amends run`",
        )
    _new_store(where, place)
    before = SystemClock().now()
    async with Client(place.url, namespace=engine.namespace, codec=engine.codec) as client:
        handle = await client.start(call, id=id, attributes=pairs(attributes))
    async with Desk(place, engine.namespace, codec=engine.codec) as desk:
        header, worker = await desk.find(handle.id), desk.worker()
    if where.json:
        where.output.data(forms.execution(header))
        return Exit.OK
    is_new = header.created_at >= before  # however far a worker is with it by now
    where.output.show(f"{header.id} {'started' if is_new else f'was started before: {header.status}'}")
    if header.finished_at is not None:
        return Exit.OK
    if worker is None:
        where.output.note(f"nobody serves {place.shown} yet: {where.worker()}", style="careful")
    else:
        where.output.note(f"follow it: {where.again('show')} {header.id} --watch", style="quiet")
    return Exit.OK


def _call(spec: str, args: str | None, deadline: float | None) -> tuple[App, Any]:
    if ":" not in spec and (known := resolve.settings().app):
        spec = f"{known.partition(':')[0]}:{spec}"
    app = apps.load(spec)
    return app, values.call(app.saga(spec), args, deadline)


def _new_store(where: Where, place: Place) -> None:
    if place.file is not None and not place.file.exists():
        where.output.note(f"making a new store: {place.file} (from {place.said_by})", style="careful")


def _somebody(desk: Desk) -> str:
    worker = desk.worker()
    return f"process {worker}" if worker else "another worker"


def _silent(view: Any) -> None:
    """Programs are told the end only."""
