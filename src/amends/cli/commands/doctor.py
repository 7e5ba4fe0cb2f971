"""``amends doctor``: what is wrong with a store and its surroundings?"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from ...clock import SystemClock
from ...encryption.codec import Codec
from ...encryption.environment import codec_from_environment
from ...engine.engine import Engine
from ...errors import AmendsError, StoreError
from ...store import Store, open_store
from ...store.enclosed import as_kept
from ...store.places import Places
from ...store.sqlite import checkup
from ...store.sqlite.liveness import holder
from .. import apps
from ..desk import Desk
from ..doctor import (
    Finding,
    Level,
    examine_keys,
    examine_machine,
    examine_placement,
    examine_server,
    examine_store,
)
from ..doctor.finding import careful, fine, problem
from ..exits import Exit, Problem
from ..options import Where, app_option, command
from ..render.checkup import report
from ..resolve import Place, must_exist
from ..serving import engine_of, unknown


@command("amends doctor --store sqlite:///orders.db --app app")
@app_option
async def doctor(where: Where, app: str | None) -> Exit:
    """Look for what is wrong with a store and its surroundings.

    It changes nothing. With --app it also looks for executions whose saga the module does not define. Exit
    code 0: no problem (there may be warnings); 1: a problem; 5: the store cannot be read.
    """
    serving, module = _module(where, app)
    place = serving[1] if serving else where.place
    found = [*examine_machine(place.file)]
    code = Exit.OK
    try:
        found += await _store(place, None if serving is None else serving[0])
        bad = [one.level for one in found if one.check == "schema" and one.level is not Level.OK]
        if Level.PROBLEM in bad:
            code = Exit.STORE
        elif serving and (place.file is not None or not bad):  # a look must not bring a server up to date
            found.append(await _definitions(where, place, serving[0]))
        codec = serving[0].codec if serving and serving[0].codec else codec_from_environment()
        if codec is not None and not bad:
            found += await _keys(where, place, serving[0] if serving else None, codec)
    except AmendsError as error:
        found.append(problem("store", error.message, error.hint))
        code = Exit.STORE
    if module is not None:
        found.append(problem("module", module.message, module.hint))
    if code is Exit.OK and any(one.level is Level.PROBLEM for one in found):
        code = Exit.FAILED if module is None else module.exit
    if where.json:
        where.output.data(_form(place, found))
    else:
        where.output.show(f"{place.shown} (from {place.said_by})", "", report(found))
    return code


def _module(where: Where, app: str | None) -> tuple[tuple[Engine, Place] | None, Problem | None]:
    """What the module serves and where, if one is named; or what is wrong with it."""
    try:
        loaded = apps.load_if_named(app)
        return None if loaded is None else engine_of(where, loaded), None
    except Problem as error:
        return None, error


async def _store(place: Place, engine: Engine | None) -> list[Finding]:
    file, now = place.file, SystemClock().now()
    if file is None and place.lasts:
        return await _server(open_store(place.url) if engine is None else engine.store, now)
    must_exist(place)
    if file is None:
        return [careful("store", f"{place.shown} is no file", "nothing of it outlives its process")]
    found = checkup.facts(str(file), now, thorough=True)
    return list(examine_store(place.url, file, found, holder(str(file)), now))


async def _server(store: Store, now: float) -> list[Finding]:
    """Of one server, or of each that the store is on: one that is not there hides nothing of the others."""
    if not isinstance(store, Places):
        return await _one_server(store, now)
    found, family = [], ""
    for member in store.members:
        try:
            found += await _one_server(member.store, now)
            said = await member.store.placement()
            family = family or ("" if said is None else said.family)
            found.append(examine_placement(member, said, family))
        except StoreError as error:
            found.append(problem("store", f"{member.share.said}: {error.message}", error.hint))
    return found


async def _one_server(store: Store, now: float) -> list[Finding]:
    from ...store.postgres import checkup as server  # noqa: PLC0415 - only who uses it needs its driver
    from ...store.postgres.core import Core  # noqa: PLC0415

    assert isinstance(store, Core)
    return list(examine_server(await server.facts(store, now), now))


@contextlib.asynccontextmanager
async def _desk(where: Where, place: Place, engine: Engine | None) -> AsyncIterator[Desk]:
    async with contextlib.AsyncExitStack() as stack:
        store = None
        if place.file is None and engine is not None:  # its own URL may say more than can be shown
            store = engine.store
            await store.open()
            stack.push_async_callback(store.close)
        yield await stack.enter_async_context(Desk(place, where.namespace, store))


async def _keys(where: Where, place: Place, engine: Engine | None, codec: Codec) -> list[Finding]:
    async with _desk(where, place, engine) as desk:
        return [found async for found in examine_keys(as_kept(desk.store), codec)]


async def _definitions(where: Where, place: Place, engine: Engine) -> Finding:
    async with _desk(where, place, engine) as desk:
        foreign, count = await unknown(desk, engine)
    if not foreign:
        return fine("definitions", f"the module defines the sagas of all {count} unfinished executions")
    names = sorted({header.saga for header in foreign})
    return problem(
        "definitions",
        f"the module does not define {', '.join(names)}: {len(foreign)} of {count} unfinished executions, "
        f"such as {foreign[0].id}",
        "deploy the code that defines them, or cancel them",
    )


def _form(place: Place, findings: list[Finding]) -> dict[str, object]:
    return {
        "store": place.shown,
        "ok": all(finding.level is not Level.PROBLEM for finding in findings),
        "findings": findings,
    }
