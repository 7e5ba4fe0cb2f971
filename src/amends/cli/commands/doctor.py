"""``amends doctor``: what is wrong with a store and its surroundings?"""

from __future__ import annotations

from collections.abc import AsyncIterator

from ...clock import SystemClock
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
    place = where.place
    findings = list(examine_machine(place.file))
    code = Exit.OK
    try:
        findings += _store(place)
        if any(one.check == "schema" and one.level is Level.PROBLEM for one in findings):
            code = Exit.STORE
        else:
            findings += [finding async for finding in _definitions(where, app)]
    except (AmendsError, Problem) as error:
        hint = getattr(error, "hint", "")
        findings.append(problem("store" if isinstance(error, AmendsError) else "module", _first(error), hint))
        code = Exit.STORE if isinstance(error, AmendsError) else error.exit
    if code is Exit.OK and any(finding.level is Level.PROBLEM for finding in findings):
        code = Exit.FAILED
    if where.json:
        where.output.data(_form(place, findings))
    else:
        where.output.show(f"{place.url} (from {place.said_by})", "", report(findings))
    return code


def _store(place: Place) -> list[Finding]:
    must_exist(place)
    file = place.file
    if file is None:
        return [careful("store", f"{place.url} is no file", "this release keeps executions in SQLite files")]
    now = SystemClock().now()
    found = checkup.facts(str(file), now, thorough=True)
    return list(examine_store(place.url, file, found, holder(str(file)), now))


async def _definitions(where: Where, app: str | None) -> AsyncIterator[Finding]:
    loaded = apps.load(app, need=False)
    if loaded is None:
        return
    engine, place = engine_of(where, loaded)
    async with Desk(place, where.namespace) as desk:
        foreign, count = await unknown(desk, engine)
    if not foreign:
        yield fine("definitions", f"{loaded.name} defines the sagas of all {count} unfinished executions")
        return
    names = sorted({header.saga for header in foreign})
    yield problem(
        "definitions",
        f"{loaded.name} does not define {', '.join(names)}: {len(foreign)} of {count} unfinished executions, "
        f"such as {foreign[0].id}",
        "deploy the code that defines them, or cancel them",
    )


def _first(error: AmendsError | Problem) -> str:
    return error.message


def _form(place: Place, findings: list[Finding]) -> dict[str, object]:
    return {
        "store": place.url,
        "ok": all(finding.level is not Level.PROBLEM for finding in findings),
        "findings": findings,
    }
