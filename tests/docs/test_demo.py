"""The demo runs, what it finds is right, and its audit can fail."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from amends.demo.__main__ import main
from amends.demo.audit import audit
from amends.demo.services import ABLATION, NO_BARRIER, SERVICES
from amends.demo.services.books import book_path
from amends.demo.services.faults import CLUMSY, Fault, Plan, Request
from tests.docs.pages import ROOT

COMPANY = ROOT.parent / "shared" / "conformance" / "logs" / "interval_event_log.csv"
Done = subprocess.CompletedProcess[str]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "amends.demo", *map(str, arguments)]


def demo(*arguments: object, **environment: str) -> Done:
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """A small run: its folder and what it printed."""
    folder = tmp_path_factory.mktemp("demo") / "run"
    return folder, demo("--orders", 40, "--kills", 2, "--seed", 3, "--keep", folder)


@pytest.mark.slow
def test_it_runs_and_shows_what_it_does(kept: tuple[Path, Done]) -> None:
    folder, done = kept
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    kills = re.findall(r"^ +[0-9.]+ s  SIGKILL for worker [12], \d+ orders", done.stdout, re.MULTILINE)
    assert len(kills) == 2
    for service in SERVICES:
        assert f"SIGKILL for the {service} service" in done.stdout
        assert f"{service} is back" in done.stdout
    for fault in Fault:
        assert re.search(rf"^  {fault} +[1-9]", done.stdout, re.MULTILINE), fault
    assert "OK: every order is net one or net zero:" in done.stdout
    assert "\x1b" not in done.stdout  # plain text where it is no terminal
    assert f"--audit {folder}" in done.stdout
    report = audit(folder)
    assert len(report.delivered) > 10
    assert len(report.undone) > 3
    assert report.charged - report.refunded > 0


@pytest.mark.slow
def test_a_run_that_ends_early_meets_all_its_kills(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--orders", "1", "--kills", "1"]) == 0
    said = capsys.readouterr().out
    assert "service killed, restarted  3" in said
    assert re.search(r"worker killed +1$", said, re.MULTILINE)


CORRUPTIONS = {
    "amount": ("payment", "UPDATE ledger SET amount = amount + 1 WHERE id = 4"),
    "balance": ("payment", "UPDATE ledger SET balance = balance - 1 WHERE id = 4"),
    "order": ("inventory", "UPDATE ledger SET order_id = 'order-9999' WHERE id = 3"),
    "account": ("shipping", "UPDATE ledger SET account = 'parcel' WHERE id = 1"),
    "key": ("inventory", "UPDATE ledger SET key = (SELECT key FROM ledger WHERE id = 1) WHERE id = 2"),
    "removed": ("shipping", "DELETE FROM ledger WHERE id = 2"),
    "last removed": ("shipping", "DELETE FROM ledger WHERE id = (SELECT max(id) FROM ledger)"),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", CORRUPTIONS)
def test_one_corrupted_row_makes_it_fail(kept: tuple[Path, Done], tmp_path: Path, what: str) -> None:
    folder = tmp_path / "run"
    shutil.copytree(kept[0], folder)
    assert main(["--audit", str(folder)]) == 0
    service, sql = CORRUPTIONS[what]
    connection = sqlite3.connect(book_path(folder, service))
    with connection:
        assert connection.execute(sql).rowcount == 1
    connection.close()
    assert main(["--audit", str(folder)]) == 1


@pytest.mark.slow
def test_a_run_without_the_barrier_is_caught() -> None:
    done = demo("--orders", 30, "--kills", 1, **{ABLATION: NO_BARRIER})
    assert done.returncode == 1, done.stdout
    assert f"{ABLATION}={NO_BARRIER}: " in done.stdout
    verdict = done.stdout[done.stdout.index("WRONG") :]
    assert "was done twice" in verdict


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1, 11))
def test_ten_seeds(seed: int) -> None:
    done = demo("--seed", seed)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.soak
@pytest.mark.skipif(not COMPANY.exists(), reason="the company's log is not beside this checkout")
def test_the_companys_log() -> None:
    done = demo("--log", COMPANY)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "paid and delivered: 1,125 in the log, 1,125 in the books" in done.stdout
    assert "cancelled, all undone: 141 in the log, 141 in the books" in done.stdout
    assert "the same activities, order by order: 1,266 of 1,266" in done.stdout


# ---------------------------------------------------------------- processes


def waited(process: subprocess.Popen[str], wanted: str) -> list[int]:
    """Read until a line says `wanted`; returns the processes that were named so far."""
    assert process.stdout is not None
    pids = []
    for line in process.stdout:
        pids += [int(pid) for pid in re.findall(r"\(process (\d+)\)", line)]
        if wanted in line:
            return pids
    pytest.fail(f"it never said {wanted!r}")


def all_gone(pids: list[int]) -> bool:
    """Have these processes ended, at the latest after a while?"""
    for _ in range(200):
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left(number: signal.Signals) -> None:
    with subprocess.Popen(
        command("--kills", 0), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        pids = waited(process, "SIGKILL for the")
        assert len(pids) == len(SERVICES) + 1
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert all_gone(pids)
    if number is not signal.SIGKILL:
        assert process.returncode == 130
        assert errors == "interrupted; all processes of the demo have been stopped\n"


@pytest.mark.slow
def test_a_worker_that_fails_makes_it_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "apsw.py").write_text("raise ImportError('no apsw here')")
    assert main(["--orders", "3", "--keep", str(tmp_path / "run")]) == 1
    said = capsys.readouterr().out
    assert "The run failed: worker did not start; the end of its log:" in said
    assert "no apsw here" in said


@pytest.mark.slow
def test_orders_that_do_not_end_make_it_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("amends.demo.run.PATIENCE", 0.0)
    assert main(["--kills", "0"]) == 1
    assert "The run failed: no order has ended for 0 s" in capsys.readouterr().out


@pytest.mark.slow
def test_files_that_cannot_grow_make_it_fail() -> None:
    """As on a full disk, but for everybody: no file gets larger than this."""
    limit = (300_000, 300_000)
    done = subprocess.run(
        command("--kills", 0),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "\nThe run failed: " in done.stdout  # who notices first, amends or a service, is chance
    assert "disk" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_service_that_cannot_write_its_books_ends() -> None:
    code = (
        "import asyncio, sqlite3\n"
        "from amends.demo.services.injector import _or_give_up\n"
        "async def write(): raise sqlite3.OperationalError('database or disk is full')\n"
        "asyncio.run(_or_give_up(write()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == os.EX_IOERR
    assert done.stderr == "the books cannot be written: database or disk is full\n"


@pytest.mark.slow
def test_books_are_closed_in_order(kept: tuple[Path, Done]) -> None:
    """A service that stops leaves one file, with all that it wrote in it."""
    for service in SERVICES:
        log = book_path(kept[0], service).with_suffix(".db-wal")  # the audit, which reads, makes an empty one
        assert not log.exists() or log.stat().st_size == 0


def test_importing_amends_does_not_import_the_demo() -> None:
    code = "import sys, amends; sys.exit(any(name.startswith('amends.demo') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ---------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--orders", "0"], "'0' is not a whole number of at least 1"),
        (["--orders", "many"], "'many' is not a whole number of at least 1"),
        (["--kills", "-1"], "'-1' is not a whole number of at least 0"),
        (["--audit", "nowhere"], "--audit nowhere: no such folder"),
        (["--audit", "."], "--audit .: no books in it; expected payment.db"),
        (["--audit", ".", "--orders", "3"], "give it alone"),
        (["--keep", str(ROOT)], "it must be a new or an empty folder"),
        (["--keep", str(ROOT / "README.md")], "it must be a new or an empty folder"),
        (["--log", "nowhere.csv"], "--log nowhere.csv: no such file"),
        (["--log", str(ROOT / "README.md")], "expected a process log, .csv or .xes"),
    ],
)
def test_wrong_options_are_explained(
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        code = main(arguments, prog="amends demo")
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert "amends demo" in shown.err


def test_what_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("amends.demo.command.NEEDED", ("msgspec", "no_such_library"))
    assert main([]) == 2
    assert "need no_such_library; install: pip install 'amends[demo]'" in capsys.readouterr().err


# ---------------------------------------------------------------- faults


def requests() -> list[Request]:
    return [
        Request(f"order-{n}", account, direction, attempt)
        for n in range(500)
        for account in ("money", "stock", "label", "parcel")
        for direction in ("do", "undo")
        for attempt in (1, 2, 3)
    ]


def test_a_seed_decides_the_faults() -> None:
    once, again, other = (
        [Plan(seed, doomed=True).fault(request) for request in requests()] for seed in (1, 1, 2)
    )
    assert once == again
    assert once != other
    assert set(once) == {None, *Fault}


def test_what_must_end_does() -> None:
    for doomed in (True, False):
        plan = Plan(5, doomed=doomed)
        for request in requests():
            if request.attempt > CLUMSY and (request.direction == "undo" or not doomed):
                assert plan.fault(request) is None
