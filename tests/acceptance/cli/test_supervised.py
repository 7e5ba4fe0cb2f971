"""`amends worker --processes N` and the health endpoints, in real processes on a real PostgreSQL (and a file)."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.cli.test_processes import Process, amends, wait
from tests.stores import execute, new_schema, url_of

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")]

APP = """
import asyncio, os
from pathlib import Path
from amends import saga, step

@step(name="supervised.step", timeout=600)
async def work(name: str) -> int:
    with Path("tries").open("a") as file:
        file.write(f"{name} {os.getpid()}\\n")
    while not Path("go").exists():
        await asyncio.sleep(0.01)
    return os.getpid()

@saga(name="supervised.saga")
async def busy(name: str) -> int:
    return await work(name)
"""

Start = Callable[..., Process]


@pytest.fixture
def store(postgres: str) -> Iterator[str]:
    with new_schema(postgres) as schema:
        yield url_of(postgres, schema, "&lease=2&look=0.1")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    (tmp_path / "app.py").write_text(APP)
    started: list[Process] = []

    def begin(*arguments: str) -> Process:
        started.append(Process(tmp_path, *arguments))
        return started[-1]

    yield begin
    for process in started:
        children = pids(process)
        process.popen.kill()
        process.popen.wait(60)
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)


def pids(process: Process) -> list[int]:
    """The supervisor's children."""
    path = Path(f"/proc/{process.popen.pid}/task/{process.popen.pid}/children")
    return [int(pid) for pid in path.read_text().split()] if path.exists() else []


def ask(address: str, path: str, method: str = "GET") -> tuple[int, Any]:
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        body = answer.read()
        return answer.status, json.loads(body) if body else None
    finally:
        connection.close()


def address_of(process: Process) -> str:
    text = process.said("health checks: http://")
    return text.split("health checks: http://")[1].split("/live")[0]


def is_ready(address: str) -> bool:
    return ask(address, "/ready")[0] == 200


def all_ready(address: str, count: int) -> bool:
    return bool(ask(address, "/ready")[1]["state"] == f"{count} of {count} ready")


def test_several_processes_share_the_work_and_drain_on_sigterm(
    start: Start, store: str, tmp_path: Path
) -> None:
    worker = start("worker", "app", "--store", store, "--processes", "2", "--health", "127.0.0.1:0")
    address = address_of(worker)
    wait(lambda: all_ready(address, 2))
    assert len(pids(worker)) == 2
    (tmp_path / "go").touch()
    for number in range(30):
        amends(
            tmp_path, "start", "app:busy", "--store", store, "--args", f'["{number}"]', "--id", f"b-{number}"
        )
        if number > 4 and len(served_by(tmp_path)) == 2:
            break
    wait(lambda: len(served_by(tmp_path)) == 2)
    worker.send(signal.SIGTERM)
    assert worker.end() == 0
    assert "2 worker(s) drain" in worker.text
    assert worker.text.count("amends.cli: stopped") == 2


def served_by(folder: Path) -> set[str]:
    return {line.split()[1] for line in (folder / "tries").read_text().splitlines()}


def test_a_crashed_one_is_started_again_and_its_work_goes_on(
    start: Start, store: str, tmp_path: Path
) -> None:
    worker = start("worker", "app", "--store", store, "--processes", "1", "--health", "127.0.0.1:0")
    address = address_of(worker)
    wait(lambda: is_ready(address))
    amends(tmp_path, "start", "app:busy", "--store", store, "--args", '["a"]', "--id", "a")
    wait((tmp_path / "tries").exists)
    (first,) = pids(worker)
    os.kill(first, signal.SIGKILL)
    worker.said("worker 1 ended (SIGKILL); again in 0.5 s")
    wait(lambda: is_ready(address) and pids(worker) != [first])
    (tmp_path / "go").touch()
    wait(lambda: execute_status(store, "a") == "completed")
    assert ask(address, "/ready")[1]["workers"][0]["restarts"] == 1
    worker.send(signal.SIGTERM)
    assert worker.end() == 0


def execute_status(store: str, id: str) -> str:
    url, _, options = store.partition("?schema=") if "?schema=" in store else store.partition("&schema=")
    schema = options.partition("&")[0]
    return str(execute(url, f"SELECT status FROM {schema}.executions WHERE id = %s", id)[0][0])


def test_a_drain_waits_for_what_runs_and_a_second_signal_does_not(
    start: Start, store: str, tmp_path: Path
) -> None:
    worker = start("worker", "app", "--store", store, "--processes", "1", "--health", "127.0.0.1:0")
    address = address_of(worker)
    wait(lambda: is_ready(address))
    amends(tmp_path, "start", "app:busy", "--store", store, "--args", '["a"]', "--id", "a")
    wait((tmp_path / "tries").exists)
    worker.send(signal.SIGTERM)
    worker.said("1 attempt(s) have")
    assert ask(address, "/ready")[0] == 503
    assert ask(address, "/live")[0] == 200
    worker.send(signal.SIGTERM)
    assert worker.end() == 128 + signal.SIGTERM
    assert "cut off" in worker.text


def test_what_cannot_work_is_not_tried_again(start: Start, store: str) -> None:
    worker = start("worker", "nonsense", "--store", store, "--processes", "2")
    assert worker.end() == 2
    assert "cannot work (exit code 2); stopping" in worker.text
    assert "again in" not in worker.text


def test_workers_whose_supervisor_is_killed_drain(start: Start, store: str) -> None:
    worker = start("worker", "app", "--store", store, "--processes", "2", "--health", "127.0.0.1:0")
    address = address_of(worker)
    wait(lambda: all_ready(address, 2))
    children = pids(worker)
    worker.send(signal.SIGKILL)
    worker.end()
    wait(lambda: worker.text.count("the supervisor is gone: draining") == 2)
    wait(lambda: not any(alive(child) for child in children))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_stuck_worker_does_not_answer_and_is_seen_by_its_supervisor(
    start: Start, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = start("worker", "app", "--store", store, "--processes", "1", "--health", "127.0.0.1:0")
    address = address_of(worker)
    wait(lambda: is_ready(address))
    (child,) = pids(worker)
    os.kill(child, signal.SIGSTOP)
    try:
        wait(lambda: ask(address, "/live")[0] == 503)
        assert ask(address, "/live")[1]["workers"][0]["state"] == "stuck"
    finally:
        os.kill(child, signal.SIGCONT)
    wait(lambda: ask(address, "/live")[0] == 200)


def test_health_of_a_single_worker_and_of_one_that_stands_by(start: Start, tmp_path: Path) -> None:
    first = start("worker", "app", "--health", "127.0.0.1:0")
    address = address_of(first)
    wait(lambda: is_ready(address))
    status, said = ask(address, "/ready")
    assert (status, said["state"], said["process"]) == (200, "working", first.popen.pid)
    assert ask(address, "/live", "HEAD") == (200, None)
    assert ask(address, "/elsewhere")[0] == 404
    assert ask(address, "/live", "POST")[0] == 405
    second = start("worker", "app", "--health", "127.0.0.1:0")
    other = address_of(second)
    second.said("standing by")
    assert (ask(other, "/live")[0], *ask(other, "/ready"))[:2] == (200, 503)
    assert ask(other, "/ready")[1]["state"] == "standing by"
    first.send(signal.SIGTERM)
    wait(lambda: is_ready(other))


def test_an_address_that_is_taken_or_none_is_said(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = start("worker", "app", "--health", f"127.0.0.1:{port}")
        assert refused.end() == 6
        assert f"cannot listen on 127.0.0.1:{port}" in refused.text
    wrong = start("worker", "app", "--processes", "2", "--health", "8080")
    assert wrong.end() == 6
    assert "expected HOST:PORT" in wrong.text
