"""The schema in a database: its version, and the migrations that bring it up to date.

Migrations are numbered files, applied in order, each recorded in the table `schema`, all in one transaction
under a lock that lets one process at a time do it.  A test holds `schema.sql` equal to what they make.
Change by expansion: add, never rename or drop what an older release still uses, because workers of two
releases meet on one database during an upgrade.
"""

from __future__ import annotations

from importlib import resources

from ...errors import SchemaMismatch
from .link import Link, Run
from .statement import read

LOCK = 0x616D656E6473  # "amends"
_PRESENT = "SELECT to_regclass(%(table)s::text) IS NOT NULL"


def migrations() -> list[tuple[int, str]]:
    """Number and file name of each migration, in order."""
    folder = resources.files(__package__).joinpath("migrations")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [(int(name[:4]), name) for name in names]


async def version(run: Run, schema: str) -> int:
    """The number of the last migration applied; 0 for none."""
    if not (await run(_PRESENT, {"table": f"{schema}.schema"}))[0][0]:
        return 0
    found = await run(f"SELECT max(version) FROM {schema}.schema", {})  # noqa: S608  # a checked name
    return int(found[0][0] or 0)


async def bring_up_to_date(link: Link, schema: str) -> None:
    """Apply what is missing. Raises `SchemaMismatch` when the database is ahead of this release."""
    known = migrations()
    if _check(await version(link.fetch, schema), known[-1][0], schema):
        return

    async def migrate(run: Run) -> None:
        await _turn(run)
        await run(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        await run(
            f"CREATE TABLE IF NOT EXISTS {schema}.schema (version integer PRIMARY KEY, name text NOT NULL)"
        )
        present = await version(run, schema)  # again: another process may have been quicker
        _check(present, known[-1][0], schema)
        for number, name in known:
            if number > present:
                await run(read(f"migrations/{name}").replace("{schema}", schema))
                record = f"INSERT INTO {schema}.schema VALUES (%(number)s, %(name)s)"  # noqa: S608  # a checked name
                await run(record, {"number": number, "name": name})

    await link.transact(migrate)


async def _turn(run: Run) -> None:
    """Wait until no other process migrates, however long that is: `patience` is for what holds the tables."""
    patience = (await run("SELECT current_setting('lock_timeout')"))[0][0]
    await run("SET LOCAL lock_timeout = 0")
    await run("SELECT pg_advisory_xact_lock(%(key)s)", {"key": LOCK})
    await run("SELECT set_config('lock_timeout', %(patience)s, true)", {"patience": patience})


def _check(present: int, known: int, schema: str) -> bool:
    if present > known:
        raise SchemaMismatch(
            f"the schema {schema} is at version {present}, and this release of amends knows up to {known}",
            hint="upgrade amends here to the release that made it; a schema never goes back",
        )
    return present == known
