"""What a person sees of a run, as plain lines: for logs, pipes, and terminals without rich."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .board import Board


class Screen(Protocol):
    """Where a run shows itself."""

    def event(self, text: str, *, loud: bool = False) -> None:
        """Something happened."""
        ...

    def refresh(self, board: Board) -> None:
        """The figures have changed."""
        ...

    def tell(self, lines: Sequence[str], style: str = "") -> None:
        """A paragraph of the report, perhaps in colour (rich's words for it)."""
        ...


class Lines:
    """A line per event, and one with the figures each second."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._next = 0.0

    def event(self, text: str, *, loud: bool = False) -> None:
        """Print it, with the time."""
        print(f"{self._board.elapsed:6.1f} s  {text}", flush=True)

    def refresh(self, board: Board) -> None:
        """Print the figures, once a second."""
        if board.elapsed < self._next:
            return
        self._next = board.elapsed + 1.0
        self.event(figures(board))

    def tell(self, lines: Sequence[str], style: str = "") -> None:
        """Print it."""
        print("\n".join(["", *lines]), flush=True)


def figures(board: Board) -> str:
    """The figures in one line."""
    count = board.statuses
    open_orders = board.started - board.ended
    return (
        f"orders {board.started}/{board.total}: {count['completed']} completed,"
        f" {count['compensated']} compensated, {open_orders} under way;"
        f" {board.requests} requests, {sum(board.faults.values())} faults"
    )
