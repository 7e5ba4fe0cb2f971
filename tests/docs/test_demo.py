"""The demo runs, its audit is right, and its audit can fail."""

from __future__ import annotations

import re
import subprocess
import sys
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from amends import Rejected, Status
from amends.definition.context import CURRENT, Current
from amends.demo.__main__ import main
from amends.demo.audit import audit, told
from amends.demo.books import BadLine, Book, Books, Entry, Line, book_path, read
from amends.demo.run import compare
from amends.demo.shop import TROUBLES, orders


def demo(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "amends.demo", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A small run: its folder and what it printed."""
    folder = tmp_path_factory.mktemp("demo") / "run"
    return folder, demo("--orders", 21, "--kills", 2, "--seed", 3, "--keep", folder)


@pytest.mark.slow
def test_it_runs_and_shows_what_it_does(kept: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, done = kept
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert (
        len(
            re.findall(
                r"^ +[0-9.]+ s  SIGKILL for worker [12], \d+ orders under way", done.stdout, re.MULTILINE
            )
        )
        == 2
    )
    assert "worker 3" in done.stdout
    assert "all 21 orders have ended" in done.stdout
    assert "OK: no order is half done, none was charged twice." in done.stdout
    assert "\x1b" not in done.stdout  # plain text, for terminals and logs alike
    report = audit(folder)
    assert report.delivered
    assert report.undone


@pytest.mark.slow
def test_one_changed_character_makes_it_fail(
    kept: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    folder, _ = kept
    assert demo("--audit", folder).returncode == 0
    for name in Books.NAMES:
        book_path(tmp_path, name).write_bytes(book_path(folder, name).read_bytes())
    bank = book_path(tmp_path, "bank")
    lines = bank.read_bytes().splitlines(keepends=True)
    lines[4] = re.sub(rb'"amount":(\d+)', lambda m: b'"amount":%d' % (int(m[1]) + 1), lines[4])
    bank.write_bytes(b"".join(lines))
    done = demo("--audit", tmp_path)
    assert done.returncode == 1
    assert "bank.book line 5 does not match its check sum" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--orders", "0"], "'0' is not a whole number of at least 1"),
        (["--orders", "many"], "'many' is not a whole number of at least 1"),
        (["--kills", "-1"], "'-1' is not a whole number of at least 0"),
        (["--audit", "nowhere"], "--audit nowhere: no such folder"),
        (["--keep", "."], "it must be a new or an empty folder"),
    ],
)
def test_wrong_arguments_are_explained(arguments: list[str], said: str) -> None:
    done = demo(*arguments)
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.slow
def test_orders_that_do_not_end_make_it_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("amends.demo.run.Run._hangs", lambda self, ended: ended > 3)
    assert main(["--kills", "0"]) == 1
    assert "orders have not ended: order-" in capsys.readouterr().out


@pytest.mark.slow
def test_a_worker_that_fails_makes_it_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "apsw.py").write_text("raise ImportError('no apsw here')")
    assert main(["--orders", "3", "--keep", str(tmp_path / "run")]) == 1
    assert "the worker did not start; its last words:" in capsys.readouterr().out


def test_amends_and_the_books_are_compared() -> None:
    wanted = orders(3, 1)
    numbers = [order.number for order in wanted]
    ended = dict(zip(numbers, ["completed", "compensated", "completed"], strict=True))
    assert compare(statuses(ended), wanted, {numbers[0], numbers[2]}) == []
    assert compare(statuses(ended), wanted, {numbers[0], numbers[1]}) == [
        f"{numbers[1]}: amends says compensated, the books say otherwise",
        f"{numbers[2]}: amends says completed, the books say otherwise",
    ]
    stuck = statuses({**ended, numbers[1]: "attention"})
    assert compare(stuck, wanted, {numbers[0], numbers[2]}) == [f"{numbers[1]}: amends says attention (why)"]


def statuses(ended: dict[str, str]) -> dict[str, Status]:
    now = datetime.now(UTC)
    return {
        number: Status(
            id=number, uid="", saga="", version="", status=status, cause="why", created_at=now, updated_at=now
        )
        for number, status in ended.items()
    }


def test_importing_amends_does_not_import_the_demo() -> None:
    code = "import sys, amends; sys.exit(any(name.startswith('amends.demo') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_seed_decides_the_orders() -> None:
    assert orders(60, 1) == orders(60, 1)
    assert orders(60, 1) != orders(60, 2)
    for count in (len(TROUBLES), 60):
        assert {order.trouble for order in orders(count, 4)} == set(TROUBLES)
    assert len(orders(3, 1)) == 3


# ---------------------------------------------------------------- a participant


@pytest.fixture
def inside_a_step() -> Iterator[None]:
    token = CURRENT.set(Current("order-1", "uid", 0, "demo.place_order", step="demo.charge", action="1"))
    yield
    CURRENT.reset(token)


def entries(book: Book) -> list[str]:
    found = read(book.path)
    assert not any(isinstance(line, BadLine) for line in found)
    return [line.entry.value for line in found if isinstance(line, Line)]


@pytest.mark.usefixtures("inside_a_step")
def test_a_book_does_each_action_once(tmp_path: Path) -> None:
    book = Book(tmp_path / "a.book")
    book.do("order-1", 5)
    book.do("order-1", 5)
    book.undo("order-1")
    book.undo("order-1")
    with pytest.raises(Rejected, match="undone before it arrived"):
        book.do("order-1", 5)
    book.close()
    assert entries(book) == ["done", "again", "undone", "undone again", "late"]


@pytest.mark.usefixtures("inside_a_step")
def test_a_book_seals_what_never_came(tmp_path: Path) -> None:
    book = Book(tmp_path / "a.book")
    book.undo("order-1")
    with pytest.raises(Rejected):
        book.do("order-1", 5)
    book.close()
    assert entries(book) == ["sealed", "late"]


@pytest.mark.usefixtures("inside_a_step")
def test_a_book_remembers_over_restarts(tmp_path: Path) -> None:
    for _ in range(2):
        book = Book(tmp_path / "a.book")
        book.do("order-1", 5)
        book.close()
    assert entries(book) == ["done", "again"]


def test_a_damaged_book_is_not_written_on(tmp_path: Path) -> None:
    path = tmp_path / "a.book"
    path.write_bytes(b"00000000 {}\n")
    with pytest.raises(ValueError, match=r"a\.book line 1 cannot be read"):
        Book(path)


# ---------------------------------------------------------------- the audit can fail

BANK, WAREHOUSE, LABELS, COURIER = Books.NAMES
DELIVERED = [(name, Entry.DONE, "1", 1) for name in Books.NAMES]


def write(folder: Path, rows: list[tuple[str, Entry, str, int]]) -> None:
    """Books with right check sums that say `rows`: (book, entry, action, amount) of one order."""
    sums = dict.fromkeys(Books.NAMES, 0)
    for name in Books.NAMES:
        book_path(folder, name).touch()
    for name, entry, action, amount in rows:
        text = msgspec.json.encode(Line(entry, "order-1", f"uid/0/{action}", amount))
        sums[name] = zlib.crc32(text, sums[name])
        with book_path(folder, name).open("ab") as file:
            file.write(b"%08x %s\n" % (sums[name], text))


@pytest.mark.parametrize(
    "rows",
    [
        [],
        DELIVERED,
        [*DELIVERED, (BANK, Entry.AGAIN, "1", 1)],
        [(BANK, Entry.DONE, "1", 7), (BANK, Entry.UNDONE, "1", 7), (BANK, Entry.UNDONE_AGAIN, "1", 7)],
        [(BANK, Entry.SEALED, "1", 0), (BANK, Entry.LATE, "1", 0)],
    ],
)
def test_right_books_pass(tmp_path: Path, rows: list[tuple[str, Entry, str, int]]) -> None:
    write(tmp_path, rows)
    report = audit(tmp_path)
    assert report.findings == []
    assert "OK: " in told(report)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            [(BANK, Entry.DONE, "1", 7)],
            "neither delivered nor undone (bank 1, warehouse 0, labels 0, courier 0)",
        ),
        (DELIVERED[1:], "neither delivered nor undone (bank 0, warehouse 1"),
        ([*DELIVERED, (BANK, Entry.DONE, "1", 1)], "the bank counted one key twice as done"),
        ([*DELIVERED, (BANK, Entry.DONE, "2", 1)], "2 times in the book of the bank, under different keys"),
        (
            [*DELIVERED, (BANK, Entry.DONE, "2", 1), (BANK, Entry.UNDONE, "2", 1)],
            "2 times in the book of the bank, under different keys",
        ),
        (
            [*DELIVERED, (WAREHOUSE, Entry.UNDONE, "1", 1)],
            "neither delivered nor undone (bank 1, warehouse 0",
        ),
        (
            [(BANK, Entry.DONE, "1", 7), (BANK, Entry.UNDONE, "1", 6)],
            "charged 7 and refunded 6 cents",
        ),
        (
            [(BANK, Entry.DONE, "1", 7), (BANK, Entry.UNDONE, "1", 7), (BANK, Entry.UNDONE, "1", 7)],
            "the bank counted one key twice as undone",
        ),
    ],
)
def test_wrong_books_are_found(tmp_path: Path, rows: list[tuple[str, Entry, str, int]], said: str) -> None:
    write(tmp_path, rows)
    report = audit(tmp_path)
    assert any(said in finding for finding in report.findings), report.findings
    assert "WRONG" in told(report)


@pytest.mark.parametrize("damage", ["amount", "order", "sum", "torn", "removed", "swapped"])
def test_damaged_books_are_found(tmp_path: Path, damage: str) -> None:
    rows = [(BANK, Entry.DONE, "1", 7), (BANK, Entry.AGAIN, "1", 7), (BANK, Entry.UNDONE, "1", 7)]
    write(tmp_path, rows)
    path = book_path(tmp_path, BANK)
    lines = path.read_bytes().splitlines(keepends=True)
    if damage == "amount":
        lines[1] = lines[1].replace(b'"amount":7', b'"amount":8')
    elif damage == "order":
        lines[1] = lines[1].replace(b"order-1", b"order-2")
    elif damage == "sum":
        lines[1] = b"00000000" + lines[1][8:]
    elif damage == "torn":
        lines[1] = lines[1][:20] + b"\n"
    elif damage == "removed":
        del lines[1]
    else:
        lines[0], lines[1] = lines[1], lines[0]
    path.write_bytes(b"".join(lines))
    assert any(re.search(r"bank\.book line [12] ", finding) for finding in audit(tmp_path).findings)


def test_a_missing_book_is_found(tmp_path: Path) -> None:
    write(tmp_path, DELIVERED)
    book_path(tmp_path, COURIER).unlink()
    assert "courier.book is missing" in audit(tmp_path).findings
