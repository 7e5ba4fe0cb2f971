"""The command line in real processes: workers, their signals and standbys, kills, pipes, the keyboard.

Everything waits for what a process says or for what the store holds, with one far deadline.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from tests.unit.cli import shop

pytestmark = pytest.mark.slow
PATIENCE = 60.0  # seconds without which a test counts as hung
AMENDS = [sys.executable, "-m", "amends"]
ENV = {name: value for name, value in os.environ.items() if not name.startswith("AMENDS_")}

# A step that says when it runs, and ends when it is told to.
SLOW = """
import asyncio
from pathlib import Path
from amends import saga, step

@step(name="slow.step", timeout=600)
async def slow(name: str) -> str:
    with Path("tries").open("a") as file:
        file.write(f"{name}\\n")
    while not Path("go").exists():
        await asyncio.sleep(0.01)
    return name

@saga(name="slow.saga")
async def patient(name: str) -> str:
    return await slow(name)
"""


class Process:
    """A command that runs; `said` waits for words on its stderr or stdout."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.log = folder / f"log-{time.monotonic_ns()}"
        with self.log.open("wb") as log:
            self.popen = subprocess.Popen(
                [*AMENDS, *arguments], cwd=folder, env=ENV, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    @property
    def text(self) -> str:
        return self.log.read_text()

    def said(self, words: str) -> str:
        wait(lambda: words in self.text or self.popen.poll() is not None)
        assert words in self.text, self.text
        return self.text

    def send(self, number: int) -> None:
        self.popen.send_signal(number)

    def end(self) -> int:
        return self.popen.wait(PATIENCE)


def wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not until():
        assert time.monotonic() < deadline, "hung"
        time.sleep(0.01)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Start commands in the test's folder; whatever still runs at its end is killed."""
    shop.write(tmp_path)
    (tmp_path / "slow.py").write_text(SLOW)
    started: list[Process] = []

    def begin(*arguments: str) -> Process:
        started.append(Process(tmp_path, *arguments))
        return started[-1]

    yield begin
    for process in started:
        process.popen.kill()
        process.popen.wait(PATIENCE)


def amends(folder: Path, *arguments: str, code: int = 0) -> str:
    done = subprocess.run(
        [*AMENDS, *arguments],
        cwd=folder,
        env=ENV,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def status(folder: Path, id: str) -> str:
    return str(json.loads(amends(folder, "show", id, "--json"))["status"])


def tries(folder: Path) -> int:
    file = folder / "tries"
    return len(file.read_text().splitlines()) if file.exists() else 0


Start = Callable[..., Process]


def test_a_worker_says_what_it_serves_and_stops_when_asked(start: Start, tmp_path: Path) -> None:
    worker = start("worker", "app")
    worker.said(
        f"process {worker.popen.pid} serves sqlite:///{tmp_path}/orders.db: shop.other, shop.place_order, shop.wrap"
    )
    worker.send(signal.SIGTERM)
    assert worker.end() == 0
    assert "SIGTERM: draining, 0 attempt(s) have 5 s to end; again to stop at once" in worker.text
    assert worker.text.rstrip().endswith("stopped")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_drain_lets_running_steps_end(number: signal.Signals, start: Start, tmp_path: Path) -> None:
    worker = start("worker", "slow")
    worker.said(" serves ")
    amends(tmp_path, "start", "slow:patient", "--args", '["a"]', "--id", "a")
    wait(lambda: tries(tmp_path) == 1)
    worker.send(number)
    worker.said("draining, 1 attempt(s)")
    (tmp_path / "go").touch()
    assert worker.end() == 0
    worker = start("worker", "slow")
    wait(lambda: status(tmp_path, "a") == "completed")
    assert tries(tmp_path) == 1, "what the step returned was journaled by the first worker"


def test_the_second_signal_stops_at_once_and_loses_nothing(start: Start, tmp_path: Path) -> None:
    worker = start("worker", "slow")
    worker.said(" serves ")
    amends(tmp_path, "start", "slow:patient", "--args", '["a"]', "--id", "a")
    wait(lambda: tries(tmp_path) == 1)
    worker.send(signal.SIGTERM)
    worker.said("draining")
    worker.send(signal.SIGTERM)
    assert worker.end() == 128 + signal.SIGTERM
    assert "1 attempt(s) are cut off; their outcome is unknown" in worker.text
    (tmp_path / "go").touch()
    start("worker", "slow")
    wait(lambda: status(tmp_path, "a") == "completed")
    assert tries(tmp_path) == 2


def test_a_standby_takes_over_from_a_killed_worker(start: Start, tmp_path: Path) -> None:
    first = start("worker", "slow")
    first.said(" serves ")
    second = start("worker", "slow")
    second.said(f"standing by: process {first.popen.pid} is the worker of")
    assert " serves sqlite" not in second.text
    amends(tmp_path, "start", "slow:patient", "--args", '["a"]', "--id", "a")
    wait(lambda: tries(tmp_path) == 1)
    first.send(signal.SIGKILL)
    first.end()
    second.said(f"process {second.popen.pid} serves ")
    (tmp_path / "go").touch()
    wait(lambda: status(tmp_path, "a") == "completed")
    report = json.loads(amends(tmp_path, "doctor", "--json"))
    assert {one["check"]: one["seen"] for one in report["findings"]}[
        "worker"
    ] == f"process {second.popen.pid}"


def test_a_standby_can_be_stopped(start: Start) -> None:
    start("worker", "slow").said(" serves ")
    second = start("worker", "slow")
    second.said("standing by")
    second.send(signal.SIGTERM)
    assert second.end() == 0


def test_the_json_form_of_a_worker(start: Start) -> None:
    worker = start("worker", "app", "--json")
    worker.said(" serves ")
    worker.send(signal.SIGTERM)
    assert worker.end() == 0
    lines: list[dict[str, Any]] = [json.loads(line) for line in worker.text.splitlines()]
    assert [set(line) for line in lines] == [{"at", "level", "logger", "message"}] * 3
    assert [(line["level"], line["logger"]) for line in lines] == [("info", "amends.cli")] * 3


def test_a_module_that_logs_in_its_own_way_is_left_to_it(start: Start, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "import logging\nfrom app import other\nlogging.basicConfig(level='INFO', format='OWN %(message)s')\n"
    )
    worker = start("worker", "own")
    worker.said("OWN process ")


def test_a_worker_with_the_wrong_module_refuses(start: Start, tmp_path: Path) -> None:
    amends(tmp_path, "start", "app:other", "--id", "x")
    done = start("worker", "slow")
    assert done.end() == 6
    assert "1 of 1 unfinished executions" in done.text
    assert "are of sagas that slow does not define (shop.other); they would be parked" in done.text
    assert status(tmp_path, "x") == "running"
    start("worker", "slow", "--park-unknown").said("parked (missing_definition)")
    wait(lambda: status(tmp_path, "x") == "attention")


def test_run_does_not_touch_what_it_cannot_do(start: Start, tmp_path: Path) -> None:
    amends(tmp_path, "start", "app:other", "--id", "x")
    amends(tmp_path, "start", "slow:patient", "--args", '["a"]', "--id", "a")
    (tmp_path / "go").touch()
    done = start("run", "slow:patient", "--args", '["b"]', "--id", "b")
    assert done.end() == 6
    assert "1 of 2 unfinished" in done.text
    assert status(tmp_path, "x") == status(tmp_path, "a") == "running"


def test_run_leaves_the_work_to_the_worker_that_serves(start: Start, tmp_path: Path) -> None:
    worker = start("worker", "app")
    worker.said(" serves ")
    run = start("run", "app:other", "--id", "x")
    assert run.end() == 0
    assert f"process {worker.popen.pid} serves " in run.text
    assert "7" in run.text


def test_the_keyboard_ends_the_waiting_not_the_saga(start: Start, tmp_path: Path) -> None:
    run = start("run", "slow:patient", "--args", '["a"]', "--id", "a")
    wait(lambda: tries(tmp_path) == 1)
    run.said("a started")
    run.send(signal.SIGINT)
    assert run.end() == 130
    assert "a goes on when a worker serves" in run.text
    assert "Traceback" not in run.text
    (tmp_path / "go").touch()
    start("worker", "slow")
    wait(lambda: status(tmp_path, "a") == "completed")


def test_run_waits_no_longer_than_told(start: Start, tmp_path: Path) -> None:
    worker = start("worker", "slow")
    worker.said(" serves ")
    run = start("run", "slow:patient", "--args", '["a"]', "--id", "a", "--timeout", "0.3")
    assert run.end() == 124
    assert "a has not ended after 0.3 s; it goes on while a worker serves" in run.text
    assert status(tmp_path, "a") == "running"


def test_the_json_of_run_is_clean_although_steps_print(start: Start, tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(
        "from amends import saga, step\n\n@step\nasync def shout() -> int:\n    print('LOUD')\n    return 1\n\n"
        "@saga\nasync def noise() -> int:\n    return await shout()\n"
    )
    out = amends(tmp_path, "run", "loud:noise", "--json")
    assert json.loads(out)["result"] == 1


def test_watching_ends_with_the_execution(start: Start, tmp_path: Path) -> None:
    start("worker", "slow").said(" serves ")
    amends(tmp_path, "start", "slow:patient", "--args", '["a"]', "--id", "a")
    plain, json_lines = start("show", "a", "--watch"), start("show", "a", "--watch", "--json")
    plain.said("1 step started")
    json_lines.said('"status":"running"')
    (tmp_path / "go").touch()
    assert plain.end() == json_lines.end() == 0
    assert "1 step succeeded after" in plain.text
    found = [json.loads(line)["status"] for line in json_lines.text.splitlines()]
    assert (found[0], found[-1]) == ("running", "completed")


def test_waiting_for_what_nobody_does_says_so(start: Start, tmp_path: Path) -> None:
    shop.fill(tmp_path, "stuck")
    (tmp_path / "repaired").touch()
    retry = start("retry", "order-1001", "--wait")
    retry.said("waiting for somebody to serve this store: amends worker")
    start("worker")
    assert retry.end() == 1
    assert "order-1001 compensated (failed)" in retry.text


def test_pipes(start: Start, tmp_path: Path) -> None:
    shop.fill(tmp_path, "stuck")
    pipe = (
        f"{sys.executable} -m amends list --status attention --ids | xargs {sys.executable} -m amends retry"
    )
    done = subprocess.run(
        ["bash", "-c", pipe], cwd=tmp_path, env=ENV, capture_output=True, text=True, check=False
    )
    assert done.stdout == "order-1001: retry recorded\n"
    head = f"set -o pipefail; {sys.executable} -m amends history order-1001 | head -c 1"
    done = subprocess.run(
        ["bash", "-c", head], cwd=tmp_path, env=ENV, capture_output=True, text=True, check=False
    )
    assert "rror" not in done.stderr  # (that a message waits may be said before the pipe is closed, or not)


def packing(folder: Path) -> bool:
    """Does the order wait for its timer? (Read from the file: a command takes longer to start than it packs.)"""
    with contextlib.closing(apsw.Connection(str(folder / "orders.db"))) as store:
        store.set_busy_timeout(10_000)
        return bool(
            store.execute("SELECT 1 FROM amends_journal WHERE commands LIKE '%\"timer\"%'").fetchall()
        )


def test_the_new_project_is_killed_and_recovers(start: Start, tmp_path: Path) -> None:
    """What the README of `amends init` tells to do, waiting for what happens instead of by the clock."""
    amends(tmp_path, "init", "shop")
    folder = tmp_path / "shop"
    given = '{"order": {"id": "1003", "cents": 250, "packing": 3}}'
    amends(folder, "start", "app:place_order", "--args", given, "--id", "order-1003")
    first = Process(folder, "worker")
    try:
        wait(lambda: packing(folder))
    finally:
        first.send(signal.SIGKILL)
        first.end()
    second = Process(folder, "worker")
    try:
        assert "completed" in amends(folder, "show", "order-1003", "--watch")
        assert second.text.count("charging") == 0, "the payment was journaled"
        assert first.text.count("charging") == 1
    finally:
        second.popen.kill()
        second.end()


QUEUED = """
from amends import saga, step

@step(name="queued.step", queue="emails")
async def queued(name: str) -> str:
    return f"mail to {name}"

@saga(name="queued.saga")
async def posted(name: str) -> str:
    return await queued(name)
"""


def test_a_worker_of_a_queue_runs_steps_and_no_sagas(start: Start, tmp_path: Path) -> None:
    (tmp_path / "post.py").write_text(QUEUED)
    server = start("worker", "post", "--queue", "emails")
    server.said(f"process {server.popen.pid} serves queues of sqlite:///{tmp_path}/orders.db: emails")
    amends(tmp_path, "start", "post:posted", "--args", '{"name": "ann"}', "--id", "mail-1")
    owner = start("worker", "post", "--no-standby")  # the other is no worker of executions
    wait(lambda: status(tmp_path, "mail-1") == "completed")
    server.send(signal.SIGTERM)
    assert server.end() == 0
    owner.send(signal.SIGTERM)
    assert owner.end() == 0


ENGINE = """
from amends import Engine, Resource, injected

class Sender:
    pass

@step(name="queued.with", queue="parcels")
async def sent(name: str, by: Resource[Sender] = injected) -> str:
    return f"{type(by).__name__} to {name}"

@saga(name="queued.parcel")
async def parcel(name: str) -> str:
    return await sent(name)

engine = Engine("sqlite:///own.db", sagas=[parcel], resources=[Sender()], namespace="eu")
"""


def test_a_worker_of_a_queue_has_what_the_modules_engine_has(start: Start, tmp_path: Path) -> None:
    (tmp_path / "post.py").write_text(QUEUED + ENGINE)
    server = start("worker", "post", "--queue", "parcels")
    server.said("own.db: parcels")
    owner = start("worker", "post")
    named = ("--store", "sqlite:///own.db", "--namespace", "eu")
    amends(tmp_path, "start", "post:parcel", "--args", '{"name": "ann"}', "--id", "parcel-1", *named)
    wait(lambda: "Sender to ann" in amends(tmp_path, "show", "parcel-1", *named))
    for each in (server, owner):
        each.send(signal.SIGTERM)
        assert each.end() == 0


def test_a_worker_of_a_queue_that_no_step_has(start: Start, tmp_path: Path) -> None:
    (tmp_path / "post.py").write_text(QUEUED)
    worker = start("worker", "post", "--queue", "email")
    worker.said("did you mean 'emails'?")
    assert worker.end() == 3
