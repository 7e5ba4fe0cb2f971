"""What a person sees of a run in a terminal, with rich: events scroll by, the figures stand below them."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .board import VERDICTS, Board, all_faults

WIDE = 110  # columns from which the figures stand side by side
PARTS = {"completed": "green", "compensated": "yellow", "under way": "cyan", "to come": "bright_black"}


class Terminal:
    """A screen that moves; a context manager, so that the terminal is itself again afterwards."""

    def __init__(self, board: Board, console: Console) -> None:
        self._board = board
        self._console = console
        self._live = Live(console=console, refresh_per_second=8, transient=True)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def event(self, text: str, *, loud: bool = False) -> None:
        """Let it scroll by, with the time."""
        line = Text(f"{self._board.elapsed:6.1f} s  ", style="bright_black")
        line.append(text, style="bold red" if loud else "default")
        self._console.print(line)

    def refresh(self, board: Board) -> None:
        """Show the figures."""
        self._live.update(panel(board, self._console.width))

    def tell(self, lines: Sequence[str], style: str = "") -> None:
        """Show a paragraph, its first line as a heading."""
        first, *rest = lines
        self._console.print(Text("\n" + first, style=style or "bold"))
        if rest:
            self._console.print(Text("\n".join(rest), style=style))


def panel(board: Board, width: int) -> Group:
    """The figures, for so many columns."""
    tables = [_orders(board), _faults(board), _barrier(board)]
    grid = Table.grid(padding=(0, 4))
    if width >= WIDE:
        grid.add_row(*tables)
    else:
        grid.add_row(tables[0], tables[1])
    rows: list[RenderableType] = [Text(), bar(board, width), Text(), grid]
    return Group(*rows) if width >= WIDE else Group(*rows, Text(), tables[2])


def bar(board: Board, width: int) -> Text:
    """The orders as one bar: completed, compensated, under way, to come."""
    text = Text("  ")
    cells, room = 0, max(10, width - 4)
    filled = 0
    for name, count in _parts(board).items():
        filled += count
        upto = round(room * filled / board.total)
        text.append("━" * (upto - cells), style=PARTS[name])
        cells = upto
    return text


def _parts(board: Board) -> dict[str, int]:
    done, undone = board.statuses["completed"], board.statuses["compensated"]
    return {
        "completed": done,
        "compensated": undone,
        "under way": max(0, board.started - done - undone),
        "to come": board.total - max(board.started, done + undone),
    }


def _orders(board: Board) -> Table:
    table = _figures(f"{board.total:,} orders")
    for name, count in _parts(board).items():
        table.add_row(Text(name, style=PARTS[name]), f"{count:,}")
    table.add_row("seconds", f"{board.elapsed:.0f}")
    table.add_row("orders/s", f"{board.ended / max(board.elapsed, 1):.0f}")
    table.add_row("requests/s", f"{board.requests / max(board.elapsed, 1):.0f}")
    return table


def _faults(board: Board) -> Table:
    table = _figures("faults")
    for kind, count in all_faults(board).items():
        table.add_row(Text(kind, style="default" if count else "bright_black"), f"{count:,}")
    return table


def _barrier(board: Board) -> Table:
    table = _figures("the services' barriers")
    for verdict, meaning in VERDICTS.items():
        table.add_row(meaning, f"{board.verdicts[verdict]:,}")
    return table


def _figures(title: str) -> Table:
    table = Table(
        title=title, title_style="bold", title_justify="left", box=None, show_header=False, pad_edge=False
    )
    table.add_column()
    table.add_column(justify="right", min_width=6)
    return table
