"""The doctor: each thing it looks at is found when it is wrong, and left alone when it is not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from amends.cli.doctor import Finding, Level, machine, store
from amends.store.sqlite import checkup, liveness
from tests.unit.cli import shop
from tests.unit.cli.conftest import Done

Amends = Callable[..., Done]
Order = Callable[[str], Path]
MIB = 1024 * 1024
OK, WARNING, PROBLEM = Level.OK, Level.WARNING, Level.PROBLEM

FACTS = checkup.Facts(
    schema=1,
    known_schema=1,
    journal_mode="wal",
    file_size=4096,
    wal_size=0,
    statuses={"completed": 3},
    due=0,
    due_since=None,
    inbox=0,
    latest=1000.0,
    damage="",
)


def facts(**changes: Any) -> checkup.Facts:
    return msgspec.structs.replace(FACTS, **changes)


@pytest.mark.parametrize(
    ("finding", "level"),
    [
        (machine.python((3, 11)), OK),
        (machine.python((3, 13)), OK),
        (machine.python((3, 10)), WARNING),
        (machine.python((3, 99)), WARNING),
        (machine.sqlite("3.51.3"), OK),
        (machine.sqlite("3.51.2"), PROBLEM),
        (machine.sqlite("3.7.0"), PROBLEM),
        (machine.sqlite("3.6.23"), OK),
        (machine.room(10_000 * MIB), OK),
        (machine.room(499 * MIB), WARNING),
        (machine.room(49 * MIB), PROBLEM),
        (machine.memory(100 * MIB), OK),
        (machine.memory(99 * MIB), WARNING),
        (machine.file_system(Path("/data/x"), [("/", "ext4")]), OK),
        (machine.file_system(Path("/data/x"), [("/", "ext4"), ("/data", "nfs4")]), PROBLEM),
        (machine.file_system(Path("/database"), [("/", "ext4"), ("/data", "nfs4")]), OK),
        (machine.file_system(Path("/data/x"), [("/", "nfs"), ("/data", "xfs")]), OK),
        (machine.file_system(Path("/tmp"), [("/tmp", "tmpfs")]), WARNING),
        (machine.file_system(Path("/tmp"), []), OK),
        (store.schema(facts()), OK),
        (store.schema(facts(schema=2)), PROBLEM),
        (store.schema(facts(known_schema=2)), WARNING),
        (store.structure(facts(damage="page 3"), Path("x")), PROBLEM),
        (store.journal_mode("delete"), WARNING),
        (store.synchronous("sqlite:///x.db"), OK),
        (store.synchronous("sqlite:///x.db?synchronous=full"), OK),
        (store.synchronous("sqlite:///x.db?synchronous=normal"), WARNING),
        (store.synchronous("sqlite:///x.db?patience=1&synchronous=OFF"), PROBLEM),
        (store.wal(facts(wal_size=20 * MIB), 7), OK),
        (store.wal(facts(wal_size=20 * MIB), None), WARNING),
        (store.wal(facts(wal_size=300 * MIB), 7), WARNING),
        (store.clock(1000.0, 1000.0), OK),
        (store.clock(1001.0, 1000.0), OK),
        (store.clock(1003.0, 1000.0), PROBLEM),
        (store.clock(None, 1000.0), OK),
        (store.serving(7), OK),
        (store.serving(0), OK),
        (store.serving(None), WARNING),
        (store.late(facts(due=2, due_since=990.0), 7, 1000.0), OK),
        (store.late(facts(due=2, due_since=960.0), 7, 1000.0), PROBLEM),
        (store.attention({"completed": 1}, 0), OK),
        (store.attention({"completed": 1, "attention": 1}, 0), PROBLEM),
    ],
)
def test_findings(finding: Finding, level: Level) -> None:
    assert finding.level is level
    assert bool(finding.do) == (level is not OK), "what is wrong comes with what to do, and only that"


def found(done: Done) -> dict[str, tuple[str, str]]:
    return {one["check"]: (one["level"], one["seen"]) for one in done.json["findings"]}


def test_a_store_that_is_well(order: Order, amends: Amends) -> None:
    folder = order("completed")
    with shop.worker(folder):
        done = amends("doctor", "--json")
    assert done.code == 0
    seen = found(done)
    assert seen["executions"] == ("ok", "1 completed")
    assert seen["worker"][1].startswith("process ")
    assert done.json["ok"]


def test_stuck_executions_are_a_problem(order: Order, amends: Amends) -> None:
    order("stuck")
    done = amends("doctor")
    assert done.code == 1
    assert "→ amends list --status attention, then amends show ID" in done.out
    assert "1 problem" in done.out


def test_definitions_that_are_gone(order: Order, amends: Amends) -> None:
    folder = order("waiting")
    (folder / "small.py").write_text(
        "from amends import saga\n\n@saga(name='shop.small')\nasync def small() -> None: ...\n"
    )
    script = "import sys; from amends.cli import main; sys.exit(main(['doctor', '--app', 'small', '--json']))"
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False
    )
    seen = found(Done(run.returncode, run.stdout, run.stderr))
    assert run.returncode == 1
    assert seen["definitions"][0] == "problem"
    assert "the module does not define shop.place_order: 1 of 1" in seen["definitions"][1]
    assert found(amends("doctor", "--app", "app", "--json"))["definitions"][0] == "ok"


def test_the_store_of_the_modules_engine_is_looked_at(order: Order, amends: Amends) -> None:
    folder = order("stuck")
    (folder / "pyproject.toml").unlink()
    (folder / "orders.db").rename(folder / "own.db")
    (folder / "eng.py").write_text(
        "from amends import Engine\nfrom app import place_order\nengine = Engine('sqlite:///own.db', sagas=[place_order])\n"
    )
    done = amends("doctor", "--app", "eng")
    assert "sqlite:///own.db (from the engine of eng)" in done.out
    assert done.code == 1


def test_a_module_that_cannot_be_loaded_does_not_hide_the_store(order: Order, amends: Amends) -> None:
    order("stuck")
    done = amends("doctor", "--app", "ap")
    assert done.code == 2
    assert "there is no module 'ap'" in done.out
    assert "1 attention" in done.out


def test_a_damaged_file(order: Order, amends: Amends) -> None:
    folder = order("completed")
    file = folder / "orders.db"
    data = bytearray(file.read_bytes())
    for place in range(4096 + 8, 8192):  # the second page: not the header, so that the file opens
        data[place] = 0xFF
    file.write_bytes(data)
    done = amends("doctor")
    assert done.code in {1, 5}
    assert "damaged" in done.out


def test_it_changes_nothing(order: Order, amends: Amends) -> None:
    file = order("stuck") / "orders.db"
    before = file.read_bytes()
    amends("doctor")
    assert file.read_bytes() == before


def test_facts_of_a_file(order: Order) -> None:
    file = str(order("waiting") / "orders.db")
    db = apsw.Connection(file)
    db.execute("UPDATE amends_executions SET wake_at = 5, updated_at = 7")
    db.close()
    read = checkup.facts(file, 100.0)
    assert (read.due, read.due_since, read.latest, read.statuses) == (1, 7.0, 7.0, {"running": 1})
    assert checkup.facts(file, 4.0).due == 0


def test_who_holds_the_lock(order: Order) -> None:
    file = order("completed") / "orders.db"
    assert liveness.holder(str(file)) is None
    lock = liveness.WorkerLock(str(file))
    assert lock.take()
    assert liveness.holder(str(file)) not in {None, 0}
    Path(lock.path).write_text("")
    assert liveness.holder(str(file)) == 0
    lock.release()
    assert liveness.holder(str(file)) is None
    assert lock.take(), "asking does not keep the lock"
    lock.release()
