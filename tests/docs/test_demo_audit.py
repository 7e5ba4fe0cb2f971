"""The audit's rules, on books that say exactly one thing; the books and amends compared."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from amends import Status
from amends.demo.audit import CORE, audit
from amends.demo.report import compare
from amends.demo.services import SERVICE_OF, SERVICES
from amends.demo.services.books import Books, book_path

Row = tuple[str, str, int]  # account, key, amount
DELIVERED: list[Row] = [(account, account, 1) for account in CORE]
NOTHING = ["money 0", "stock 0", "label 0", "parcel 0"]


def write(folder: Path, rows: list[Row], order: str = "order-1") -> None:
    """Books that add up and say `rows`."""
    books = {name: Books(book_path(folder, name)) for name in SERVICES}
    for account, key, amount in rows:
        books[SERVICE_OF[account]].enter(key, order, account, amount)
    for book in books.values():
        book.close()


@pytest.mark.parametrize(
    ("rows", "delivered", "undone"),
    [
        ([], 0, 0),
        (DELIVERED, 1, 0),
        ([("money", "m", 700), ("money", "m", -700)], 0, 1),
        ([("stock", "s", 1), ("label", "l", 1), ("label", "l", -1), ("stock", "s", -1)], 0, 1),
        ([*DELIVERED, ("invoice", "i", 1), ("reminder", "r1", 1), ("reminder", "r2", 1)], 1, 0),
    ],
)
def test_right_books_pass(tmp_path: Path, rows: list[Row], delivered: int, undone: int) -> None:
    write(tmp_path, rows)
    report = audit(tmp_path)
    assert report.findings == []
    assert (len(report.delivered), len(report.undone)) == (delivered, undone)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("money", "m", 7)], "neither delivered nor undone: money 1, stock 0, label 0, parcel 0"),
        (DELIVERED[1:], "neither delivered nor undone: money 0, stock 1"),
        ([*DELIVERED, ("stock", "stock", -1)], "neither delivered nor undone: money 1, stock 0"),
        ([*DELIVERED, ("money", "money", 1)], "the action money of order-1 was done twice"),
        ([*DELIVERED, ("money", "m2", 1)], "neither delivered nor undone: money 2"),
        (
            [*DELIVERED, ("money", "m2", 1), ("money", "m2", -1)],
            "money was done 2 times, under different keys",
        ),
        ([("money", "m", 7), ("money", "m", -6)], "money was done and undone, and +1 is left"),
        (
            [("money", "m", 7), ("money", "m", -7), ("money", "m", -7)],
            "the action m of order-1 was undone twice",
        ),
        ([("stock", "s", -1)], "neither delivered nor undone: money 0, stock -1"),
        (
            [("invoice", "i", 1), ("money", "m", 5), ("money", "m", -5)],
            "neither delivered nor undone: money 0, stock 0, label 0, parcel 0, invoice 1",
        ),
    ],
)
def test_wrong_books_are_found(tmp_path: Path, rows: list[Row], said: str) -> None:
    write(tmp_path, rows)
    assert any(said in finding for finding in audit(tmp_path).findings), audit(tmp_path).findings


def test_a_missing_book_is_found(tmp_path: Path) -> None:
    write(tmp_path, DELIVERED)
    book_path(tmp_path, "shipping").unlink()
    assert "shipping.db is missing" in audit(tmp_path).findings


def test_a_damaged_file_is_found(tmp_path: Path) -> None:
    write(tmp_path, DELIVERED)
    book_path(tmp_path, "shipping").write_bytes(b"this was once a database\n" * 400)
    assert any("shipping.db is damaged" in finding for finding in audit(tmp_path).findings)


def test_amends_and_the_books_are_compared(tmp_path: Path) -> None:
    write(tmp_path, DELIVERED, "a")
    report = audit(tmp_path)
    assert compare(statuses(a="completed", b="compensated"), report) == []
    assert compare(statuses(a="compensated", b="completed"), report) == [
        "a: amends says compensated, the books say otherwise",
        "b: amends says completed, the books say otherwise",
    ]
    assert compare(statuses(a="attention"), report) == ["a: amends says attention (why)"]


def statuses(**ended: str) -> dict[str, Status]:
    now = datetime.now(UTC)
    return {
        number: Status(
            id=number, uid="", saga="", version="", status=status, cause="why", created_at=now, updated_at=now
        )
        for number, status in ended.items()
    }
