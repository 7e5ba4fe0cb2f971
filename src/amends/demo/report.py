"""What is said at the end: the faults, what amends says, what the books say, and the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from amends import Status

from .audit import ACTIVITIES, CORE, Report
from .board import VERDICTS, Board, all_faults
from .history import History
from .services import SERVICE_OF
from .services.faults import Fault

SHOWN = 12  # findings at most; the rest is counted


def table(rows: Sequence[Sequence[object]], *, texts: int = 1) -> list[str]:
    """Rows in columns; the first `texts` columns to the left, figures to the right."""
    cells = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines = []
    for row in cells:
        line = [
            cell.ljust(width) if place < texts else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  " + "  ".join(line).rstrip())
    return lines


def faults(board: Board, seed: int, *, doomed: bool) -> list[str]:
    """How often each kind of fault happened; a kind that never did is said."""
    counts = all_faults(board)
    lines = [
        f"Faults on {board.requests:,} requests (drawn from seed {seed}, the same for the same attempt):",
        "",
    ]
    lines += table([(kind, count) for kind, count in counts.items() if count] or [("none", 0)])
    if not doomed:
        counts.pop(Fault.REJECTED)
        lines.append(f"  {Fault.REJECTED}: not in this run, the log says how each order ends")
    if missing := [kind for kind, count in counts.items() if not count]:
        lines.append(f"  never happened in this run: {', '.join(missing)} (more orders or kills bring them)")
    return lines


def barrier(board: Board) -> list[str]:
    """What the services' barriers had to do."""
    rows = [(verdict, board.verdicts[verdict], meaning) for verdict, meaning in VERDICTS.items()]
    widths = max(len(f"{count:,}") for _, count, _ in rows)
    lines = ["What the barrier in each service caught:", ""]
    return lines + [f"  {verdict:9}  {count:>{widths},}  {meaning}" for verdict, count, meaning in rows]


def account_book(report: Report, orders: int | None) -> list[str]:
    """The books in figures. `orders`: how many there were, if that is known."""
    rows: list[Sequence[object]] = [("", "", "done", "undone", "stands")]
    others = [name for name in SERVICE_OF if name in report.accounts and name not in CORE]
    for name in (*CORE, *others):
        account = report.accounts[name]
        rows.append(
            (SERVICE_OF.get(name, "?"), name, account.done, account.undone, account.done - account.undone)
        )
    kept = f"{_money(report.charged)} taken - {_money(report.refunded)} given back"
    lines = [
        "The audit. It reads the ledgers of the three services, and nothing else:",
        "",
        *table(rows, texts=2),
        "",
    ]
    ends: list[Sequence[object]] = [
        ("delivered", len(report.delivered), "paid once, one piece taken, one label, one parcel"),
        ("undone", len(report.undone), "money, stock, label and parcel all net zero"),
    ]
    if orders is not None and not report.findings:
        nowhere = orders - len(report.delivered) - len(report.undone)
        ends.append(("in no book", nowhere, "ended before anything was done for them"))
    width = max(len(f"{count:,}") for _, count, _ in ends)
    lines += [f"  {name:10}  {count:>{width},}  {meaning}" for name, count, meaning in ends]
    return [*lines, f"  {'money':10}  {kept} = {_money(report.charged - report.refunded)} kept"]


def _money(cents: int) -> str:
    return f"{cents / 100:,.2f}"


def against_log(report: Report, histories: Sequence[History]) -> list[str]:
    """The log and the books side by side."""
    in_log, in_books = Counter[str](), Counter[str]()
    for history in histories:
        in_log += history.activities
        in_books += report.activities[history.order]
    rows: list[Sequence[object]] = [("activity", "log", "books")]
    rows += [
        (activity, in_log[activity], in_books[activity]) for activity in dict.fromkeys(ACTIVITIES.values())
    ]
    same = sum(report.activities[history.order] == history.activities for history in histories)
    paid = sum(history.answer == "paid" for history in histories)
    return [
        "The process log against the services' books:",
        "",
        *table(rows),
        "",
        f"  paid and delivered: {paid:,} in the log, {len(report.delivered):,} in the books",
        f"  cancelled, all undone: {len(histories) - paid:,} in the log, {len(report.undone):,} in the books",
        f"  the same activities, order by order: {same:,} of {len(histories):,}",
    ]


def compare(statuses: Mapping[str, Status], report: Report) -> list[str]:
    """Where amends and the books disagree: completed must be delivered, and compensated must not."""
    found = []
    for number, status in statuses.items():
        if status.status not in ("completed", "compensated"):
            found.append(f"{number}: amends says {status.status} ({status.cause})")
        elif (status.status == "completed") != (number in report.delivered):
            found.append(f"{number}: amends says {status.status}, the books say otherwise")
    return found


def differences(report: Report, histories: Sequence[History]) -> list[str]:
    """Orders whose activities in the books are not those of the log, or that ended otherwise."""
    found = []
    for history in histories:
        books = report.activities[history.order]
        if books != history.activities:
            more, fewer = books - history.activities, history.activities - books
            said = [
                *(f"+{n} {name}" for name, n in more.items()),
                *(f"-{n} {name}" for name, n in fewer.items()),
            ]
            found.append(f"{history.order}: not the activities of the log: {', '.join(said)}")
        ended = "paid" if history.order in report.delivered else "cancelled"
        if ended != history.answer:
            found.append(f"{history.order}: {history.answer} in the log, {ended} in the books")
    return found


def statuses_told(statuses: Mapping[str, Status], board: Board) -> list[str]:
    """How amends sees the orders, and how fast it went."""
    count = Counter(
        f"{status.status} ({status.cause})" if status.cause else status.status for status in statuses.values()
    )
    lines = ["What amends says of the orders:", ""]
    lines += table([(name, count[name]) for name in sorted(count, reverse=True)])
    seconds = max(board.seconds, 0.001)
    orders, requests = board.ended / seconds, board.requests / seconds
    return [*lines, f"  in {seconds:.1f} s: {orders:.0f} orders and {requests:.0f} requests a second"]


def verdict(findings: Sequence[str]) -> list[str]:
    """The last lines."""
    if not findings:
        return ["OK: every order is net one or net zero: none half done, none charged twice."]
    lines = [f"WRONG ({len(findings)}):", *(f"  {said}" for said in findings[:SHOWN])]
    return lines + ([f"  and {len(findings) - SHOWN} more"] if len(findings) > SHOWN else [])
