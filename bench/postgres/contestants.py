"""The contestants of a round on PostgreSQL, each in a process and a schema (or database) of its own."""

from __future__ import annotations

import itertools
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..peers import environment
from ..probe import ROOT, ProbeFailed, command, last_line, probe
from ..rounds import Contestant, Result
from . import servers

OURS, RAW = "bench.postgres.ours", "bench.postgres.raw"
DBOS = "bench.peers.dbos_postgres"
ABSURD = "bench.peers.absurd_program"
RESTATE = "bench.peers.restate_program"
_numbers = itertools.count(1)


def new_name() -> str:
    """For a schema, or a database."""
    return f"bench_{next(_numbers)}"


def ours(url: str, schema: str = "", **parameters: Any) -> Result:
    """One worker of ours."""
    return probe(OURS, "load", url=url, schema=schema or new_name(), **parameters)


def together(what: str, given: Sequence[dict[str, Any]], ahead: float = 8.0) -> list[Result]:
    """Several of ours at once; their windows open at one moment, when all are warm."""
    begin = time.time() + ahead
    running = [
        subprocess.Popen(
            command(OURS, what, {**each, "begin": begin}),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for each in given
    ]
    said = [process.communicate() for process in running]
    for process, (_, error) in zip(running, said, strict=True):
        if process.returncode:
            raise ProbeFailed(f"{OURS} {what}\n{error[-4000:]}")
    return [last_line(out) for out, _ in said]


def raw(url: str, schema: str, batch: float) -> Result:
    """The same rows again."""
    return probe(RAW, "copy", url=url, schema=schema, batch=max(1, round(batch)))


def behind_http(url: str, **parameters: Any) -> Contestant:
    """Ours, whose steps are as far away as Restate's."""

    def run(shared: Path) -> Result:
        with servers.hop() as address:
            return ours(url, hop=address, **parameters)

    return run


def dbos(url: str, pool: int, api: str, **parameters: Any) -> Contestant:
    """DBOS with that pool (0: its default), by that interface."""

    def run(shared: Path) -> Result:
        with servers.new_database(url, new_name()) as own:
            python = environment.python("dbos")
            return probe(DBOS, "throughput", python=python, url=own, pool=pool, api=api, **parameters)

    return run


def absurd(url: str, clients: int, **parameters: Any) -> Contestant:
    """Absurd with as many workers."""

    def run(shared: Path) -> Result:
        with servers.new_database(url, new_name()) as own:
            python = environment.python("absurd")
            return probe(ABSURD, "load", python=python, url=own, clients=clients, **parameters)

    return run


def restate(**parameters: Any) -> Contestant:
    """Restate's server, its services, and its client."""

    def run(shared: Path) -> Result:
        python = environment.python("restate")
        (port,) = servers.free_ports(1)
        with servers.restate(shared) as (ingress, admin):
            serving = subprocess.Popen([python, "-m", "bench.peers.restate_services", str(port)], cwd=ROOT)
            try:
                time.sleep(2.0)
                service = f"http://127.0.0.1:{port}"
                result = probe(
                    RESTATE,
                    "load",
                    python=python,
                    ingress=ingress,
                    admin=admin,
                    service=service,
                    **parameters,
                )
            finally:
                serving.kill()  # it waits for ever for streams that Restate keeps open
                serving.wait()
        result["configuration"]["restate-server"] = environment.RESTATE_SERVER.rpartition("@")[2]
        return result

    return run


def serving(url: str, schema: str, **parameters: Any) -> subprocess.Popen[str]:
    """A worker of ours that works until it is killed; returns once it has said that it has started."""
    process = subprocess.Popen(
        command(OURS, "serve", {"url": url, "schema": schema, **parameters}),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    if not process.stdout.readline():
        raise ProbeFailed(f"a worker ended with {process.wait()}")
    return process
