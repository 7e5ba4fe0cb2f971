"""``amends doctor``: what is wrong with a store and its surroundings?"""

from __future__ import annotations

from ...clock import SystemClock
from ...engine.engine import Engine
from ...errors import AmendsError
from ...store.sqlite import checkup
from ...store.sqlite.liveness import holder
from .. import apps
from ..desk import Desk
from ..doctor import Finding, Level, examine_machine, examine_store
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
        found += _store(place)
        if any(one.check == "schema" and one.level is Level.PROBLEM for one in found):
            code = Exit.STORE
        elif serving:
            found.append(await _definitions(where, place, serving[0]))
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
        where.output.show(f"{place.url} (from {place.said_by})", "", report(found))
    return code


def _module(where: Where, app: str | None) -> tuple[tuple[Engine, Place] | None, Problem | None]:
    """What the module serves and where, if one is named; or what is wrong with it."""
    try:
        loaded = apps.load_if_named(app)
        return None if loaded is None else engine_of(where, loaded), None
    except Problem as error:
        return None, error


def _store(place: Place) -> list[Finding]:
    must_exist(place)
    file = place.file
    if file is None:
        hint = "only SQLite files are looked into; see docs/postgresql.md for what to ask a server"
        return [careful("store", f"{place.url} is no file", hint)]
    now = SystemClock().now()
    found = checkup.facts(str(file), now, thorough=True)
    return list(examine_store(place.url, file, found, holder(str(file)), now))


async def _definitions(where: Where, place: Place, engine: Engine) -> Finding:
    async with Desk(place, where.namespace) as desk:
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
        "store": place.url,
        "ok": all(finding.level is not Level.PROBLEM for finding in findings),
        "findings": findings,
    }
