"""The audit: what the participants' books say, and nothing else.

An order must be *delivered* (each book says one, so its price was paid once) or *undone* (each book
says zero, and as much was refunded as was charged).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from .books import BadLine, Books, Entry, Line, book_path, read


@dataclass
class Page:
    """What one book says of one order."""

    done: int = 0
    undone: int = 0
    amount: int = 0
    undone_amount: int = 0

    @property
    def net(self) -> int:
        """How often it was done and stands."""
        return self.done - self.undone


@dataclass
class Report:
    """The result of an audit. No `findings`: all is as it must be."""

    counts: dict[str, Counter[Entry]] = field(default_factory=dict)
    charged: int = 0
    refunded: int = 0
    delivered: set[str] = field(default_factory=set)
    undone: set[str] = field(default_factory=set)
    findings: list[str] = field(default_factory=list)


def audit(folder: Path) -> Report:
    """Read the books of a run and judge them."""
    report = Report()
    pages: dict[str, dict[str, Page]] = {}
    for name in Books.NAMES:
        lines = _read(folder, name, report)
        report.counts[name] = Counter(line.entry for line in lines)
        for order, page in _pages(name, lines, report).items():
            pages.setdefault(order, {})[name] = page
    for order in sorted(pages):
        _judge(order, pages[order], report)
    return report


def _read(folder: Path, name: str, report: Report) -> list[Line]:
    path = book_path(folder, name)
    if not path.exists():
        report.findings.append(f"{path.name} is missing")
        return []
    lines = []
    for line in read(path):
        if isinstance(line, BadLine):
            report.findings.append(f"{path.name} line {line.number} {line.why}")
        else:
            lines.append(line)
    return lines


def _pages(name: str, lines: list[Line], report: Report) -> dict[str, Page]:
    """Add up a book by order; no key may count twice, in either direction."""
    pages: dict[str, Page] = {}
    counted: Counter[tuple[str, Entry]] = Counter()
    for line in lines:
        page = pages.setdefault(line.order, Page())
        counted[line.key, line.entry] += 1
        if line.entry is Entry.DONE:
            page.done += 1
            page.amount += line.amount
        elif line.entry is Entry.UNDONE:
            page.undone += 1
            page.undone_amount += line.amount
        if line.entry in (Entry.DONE, Entry.UNDONE) and counted[line.key, line.entry] > 1:
            report.findings.append(f"{line.order}: the {name} counted one key twice as {line.entry.value}")
    return pages


def _judge(order: str, pages: dict[str, Page], report: Report) -> None:
    found = [
        f"{order}: {page.done} times in the book of the {name}, under different keys"
        for name, page in pages.items()
        if page.done > 1
    ]
    bank = pages.get("bank", Page())
    report.charged += bank.amount
    report.refunded += bank.undone_amount
    nets = [pages.get(name, Page()).net for name in Books.NAMES]
    if nets == [1, 1, 1, 1]:
        report.delivered.add(order)
    elif nets == [0, 0, 0, 0]:
        report.undone.add(order)
        if bank.amount != bank.undone_amount:
            found.append(f"{order}: charged {bank.amount} and refunded {bank.undone_amount} cents")
    else:
        said = ", ".join(f"{name} {net}" for name, net in zip(Books.NAMES, nets, strict=True))
        found.append(f"{order}: neither delivered nor undone ({said})")
    report.findings += found


def table(report: Report) -> str:
    """The books in figures."""
    rows = [["", *(entry.value for entry in Entry), "stands"]]
    for name, count in report.counts.items():
        figures = [*(count[entry] for entry in Entry), count[Entry.DONE] - count[Entry.UNDONE]]
        rows.append([name, *map(str, figures)])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for name, *cells in rows:
        cells_ = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
        lines.append("  ".join(["", name.ljust(widths[0]), *cells_]))
    return "\n".join(lines)


def money(cents: int) -> str:
    """Cents as people write them."""
    return f"{cents / 100:,.2f}"


def told(report: Report, orders: int | None = None) -> str:
    """The report in words, the verdict last. `orders`: how many there were, if that is known."""
    kept = money(report.charged - report.refunded)
    flow = f"{money(report.charged)} charged - {money(report.refunded)} refunded = {kept} kept"
    lines = [
        "What the participants' own books say:",
        "",
        table(report),
        "",
        "  again: a repeated request, answered from the book.  sealed: undone, but it had never come.",
        "  late: came after its undo, and was turned away.",
        "",
        f"  delivered     {len(report.delivered):5}   paid once, one piece taken, one label, one parcel",
        f"  undone        {len(report.undone):5}   money, stock and labels all back to zero",
        *_untouched(report, orders),
        f"  money         {flow}",
        "",
    ]
    if report.findings:
        lines += [f"WRONG ({len(report.findings)}):", *(f"  {text}" for text in report.findings)]
    else:
        lines.append("OK: no order is half done, none was charged twice.")
    return "\n".join(lines)


def _untouched(report: Report, orders: int | None) -> list[str]:
    if orders is None or report.findings:
        return []
    count = orders - len(report.delivered) - len(report.undone)
    return [f"  in no book    {count:5}   ended before anything was done for them"]
