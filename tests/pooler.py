"""PgBouncer in transaction mode, in front of the server of the tests: `pooler`.

It is installed by scripts/install-tools and started when the first test of a process asks.
AMENDS_TEST_PGBOUNCER=postgresql://user@host:6432/postgres names one that already runs, in front of the server that
AMENDS_TEST_POSTGRES names (with ``ignore_startup_parameters = extra_float_digits``).
"""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from tests import tools

VARIABLE = "AMENDS_TEST_PGBOUNCER"
CONNECTIONS = 3
"""To the server, for each database: fewer than a worker has, so that they are shared."""
CONFIGURATION = """
[databases]
* = host={host} port={port} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {connections}
max_client_conn = 500
ignore_startup_parameters = {ignored}
"""


@pytest.fixture(scope="session")
def pooler(postgres: str) -> Iterator[Callable[[str], str]]:
    """Makes of the URL of a database of the test server the one that leads there through the pooler."""
    if given := os.environ.get(VARIABLE):
        yield lambda url: urlunsplit(urlsplit(given)._replace(path=urlsplit(url).path))
        return
    with running(postgres) as through:
        yield through


@contextmanager
def running(postgres: str, *ignored: str) -> Iterator[Callable[[str], str]]:
    """A pooler of one's own, in front of that server; `ignored`: more of what clients say that it drops."""
    tools.must_have("the store behind PgBouncer", "pgbouncer")
    from psycopg.conninfo import conninfo_to_dict

    server = conninfo_to_dict(postgres)
    listen = _free_port()
    text = CONFIGURATION.format(
        host=server["host"],
        port=server.get("port", 5432),
        user=server["user"],
        listen=listen,
        connections=CONNECTIONS,
        ignored=",".join(("extra_float_digits", *ignored)),
    )
    with tempfile.TemporaryDirectory(prefix="pgbouncer-") as folder:
        configuration = Path(folder) / "pgbouncer.ini"
        configuration.write_text(text)
        process = subprocess.Popen([tools.find("pgbouncer") or "", "-q", *_as_whom(), str(configuration)])
        try:
            _wait_for(listen, process)
            address = f"{server['user']}@127.0.0.1:{listen}"
            yield lambda url: f"postgresql://{address}{urlsplit(url).path}"
        finally:
            process.kill()
            process.wait()


def _as_whom() -> list[str]:
    """It refuses to run as root, and must be let to the socket of the server."""
    from tests.cluster import unprivileged

    user = unprivileged()
    return [] if user is None else ["-u", user]


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 20
    while True:
        assert process.poll() is None, f"pgbouncer ended with {process.returncode}"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < until, "pgbouncer does not listen"
            time.sleep(0.05)
