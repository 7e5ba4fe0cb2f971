"""What people see: it fits the terminal, has colours only where wanted, and says what to type next."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest
from rich.console import Console

from amends.cli.output import THEME, Output
from amends.cli.render import text
from amends.cli.watch import Fitting
from amends.kernel.failures import fault_of
from tests.unit.cli import shop
from tests.unit.cli.conftest import Done

Amends = Callable[..., Done]
Order = Callable[[str], Path]
KINDS = ["completed", "gift", "held", "stuck", "compensated", "waiting"]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Make stdout a terminal of that width."""

    def become(width: int) -> None:
        def console(file: Any) -> Console:
            return Console(file=file, theme=THEME, highlight=False, width=width, force_terminal=True)

        monkeypatch.setattr("amends.cli.output._console", console)

    return become


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


@pytest.mark.parametrize("width", [60, 80, 140])
@pytest.mark.parametrize("kind", KINDS)
def test_pages_fit_the_terminal(
    kind: str, width: int, order: Order, amends: Amends, terminal: Callable[[int], None]
) -> None:
    order(kind)
    terminal(width)
    for given in (["show", "order-1001"], ["list"], ["doctor", "--app", "app"]):
        out = plain(amends(*given).out)
        assert max(map(len, out.splitlines())) <= width, out
        assert "1001" in out or given[0] == "doctor"


def test_colours_are_for_terminals(order: Order, amends: Amends, terminal: Callable[[int], None]) -> None:
    order("stuck")
    assert "\x1b" not in amends("show", "order-1001").out
    terminal(80)
    assert "\x1b[1;31m" in amends("show", "order-1001").out


def test_no_color_is_heeded(
    order: Order, amends: Amends, terminal: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    order("stuck")
    terminal(80)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", amends("show", "order-1001").out)


def test_a_terminal_that_cannot_redraw_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "dumb")
    assert not Output(json=False).live
    assert not Output(json=True).live


@pytest.mark.parametrize(
    ("kind", "typed"),
    [
        (
            "stuck",
            [
                "amends retry order-1001 --action 1",
                "amends resolve order-1001 --action 1 --reason '…'",
                "amends skip order-1001 --action 1 --reason '…'",
                "amends worker",
            ],
        ),
        (
            "held",
            [
                "amends retry order-1001 --action 3",
                "amends resolve order-1001 --action 3 --value '…' --reason '…'",
                "amends skip order-1001 --action 3 --reason '…'",
                "amends cancel order-1001 --reason '…'",
                "amends worker",
            ],
        ),
        ("waiting", ["amends send order-1001 approved --value '…'", "amends worker"]),
        ("completed", []),
        ("compensated", []),
    ],
)
def test_what_to_type_next(kind: str, typed: list[str], order: Order, amends: Amends) -> None:
    order(kind)
    found = re.findall(r"  (amends .*)", amends("show", "order-1001").out)
    assert found == typed


def test_what_is_suggested_repeats_how_the_store_was_named(order: Order, amends: Amends) -> None:
    order("stuck")
    page = amends("show", "order-1001", "--store", "sqlite:///orders.db").out
    assert "amends retry --store sqlite:///orders.db order-1001 --action 1" in page
    page = amends("show", "order-1001", "--store", "sqlite:///orders.db?patience=1").out
    assert "amends retry --store 'sqlite:///orders.db?patience=1' order-1001" in page


def test_who_serves_is_said(order: Order, amends: Amends) -> None:
    folder = order("waiting")
    assert "nobody serves this store" in amends("show", "order-1001").out
    with shop.worker(folder):
        page = amends("show", "order-1001").out
    assert re.search(r"worker +process \d+ serves this store", page)
    assert "amends worker" not in page


def test_nested_sagas_are_shown_inside_their_parent(order: Order, amends: Amends) -> None:
    order("gift")
    lines = amends("show", "order-1001").out.splitlines()
    place = next(n for n, line in enumerate(lines) if "wrap (saga)" in line)
    assert lines[place + 1].startswith("  ✔ 1 reserve")


def test_a_journal_without_rows_says_so(order: Order, amends: Amends) -> None:
    order("completed")
    given = '{"order": {"id": "2", "cents": 1}}'
    assert amends("start", "app:place_order", "--args", given, "--id", "order-2").code == 0
    assert "no worker has taken it" in amends("history", "order-2").err
    assert amends("show", "order-2").code == 0


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0042, "4 ms"),
        (0.9994, "999 ms"),
        (1, "1.0 s"),
        (59.94, "59.9 s"),
        (125, "2 min 5 s"),
        (3599, "59 min"),
        (7260, "2 h 1 min"),
        (3 * 86400, "3 d"),
        (-5, "0 ms"),
        (None, ""),
    ],
)
def test_durations(seconds: float | None, said: str) -> None:
    assert text.duration(seconds) == said


@pytest.mark.parametrize(
    ("at", "said"), [(1000, "0 s ago"), (910, "2 min ago"), (1030, "in 30 s"), (1000 - 86400 * 3, "3 d ago")]
)
def test_ages(at: float, said: str) -> None:
    assert text.ago(at, 1000.0) == said


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        ([ValueError("late\nvery")], "ValueError: late"),
        ([ValueError("late"), ExceptionGroup("more", [OSError("gone")])], "ValueError: late, and others"),
    ],
)
def test_a_group_of_errors_says_which_in_a_line(errors: list[Exception], said: str) -> None:
    fault = fault_of(ExceptionGroup("unhandled errors in a TaskGroup", errors))
    assert text.in_a_line({"type": fault.type, "message": fault.message}) == said


def test_an_error_in_a_line() -> None:
    assert text.in_a_line({"type": "Rejected", "message": "no\n  → pay"}) == "Rejected: no"
    assert text.in_a_line(None) == ""


def test_what_others_wrote_cannot_steer_the_terminal(
    order: Order, amends: Amends, terminal: Callable[[int], None]
) -> None:
    folder = order("stuck")
    db = apsw.Connection(str(folder / "orders.db"))
    bad = '{"items":[{"why":"x","message":"\\u001b[2Jgone [red]b[/red]\\u009b1m","do":""}]}'
    db.execute("UPDATE amends_executions SET id = 'a\x1b[31mb', detail = ?", (bad,))
    db.close()
    for become in (lambda: None, lambda: terminal(140)):
        become()
        for out in (amends("list").out, amends("show", "a\x1b[31mb").out):
            assert "\x1b[2J" not in out
            assert "\x9b" not in out
            assert "a\x1b[31mb" not in out
            assert "gone [red]b[/red]" in plain(out)
    assert "\x1b[31m" not in amends("show", "x\x1b[31m").err.replace("\x1b[1;31m", "")


def test_marks_that_the_terminal_cannot_show(order: Order) -> None:
    folder = order("stuck")
    done = subprocess.run(
        [sys.executable, "-m", "amends", "show", "order-1001"],
        cwd=folder,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert "? 1 charge" in done.stdout


@pytest.mark.parametrize("height", [5, 12, 60])
def test_a_page_that_is_redrawn_fits_and_shows_what_is_newest(height: int) -> None:
    console = Console(width=40, height=height, force_terminal=True)
    with console.capture() as captured:
        console.print(Fitting("\n".join(["first", *(f"step {n}" for n in range(20))])), end="")
    lines = plain(captured.get()).splitlines()
    assert len(lines) == min(height - 1, 21)
    assert (lines[0].strip(), lines[-1].strip()) == ("first", "step 19")


def test_a_run_says_what_led_to_what_and_what_was_there_before(order: Order, amends: Amends) -> None:
    order("completed")
    given = '{"order": {"id": "3", "cents": 1, "address": "nowhere"}}'
    again = ("run", "app:place_order", "--args", given, "--id", "order-3")
    assert "order-3 started\n" in amends(*again).err
    told = amends(*again).err
    assert "order-3 was started before; what was done is not done again\n" in told
    said = [line.partition("  ")[2] for line in told.splitlines()]
    assert (
        said.index("turned back: failed") < said.index("2 reserve: undoing") < said.index("2 reserve: undone")
    )
    rejected = next(i for i, line in enumerate(said) if line.startswith("3 ship rejected"))
    assert rejected < said.index("2 reserve: undoing")
