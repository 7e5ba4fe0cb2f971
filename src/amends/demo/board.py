"""What there is to see of a run: figures that change, and events that happen."""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ..clock import Clock
from .services import SERVICES
from .services.books import HELD, book_path, look
from .services.faults import Fault

VERDICTS = {
    "duplicate": "came again: answered from the books, done once",
    "null": "undo of what never came: nothing to do, and sealed",
    "hanging": "came after its undo: turned away",
}
"""What the barrier said to requests that were not simply carried out."""


@dataclass
class Board:
    """The figures of a run. Counts of requests, faults and verdicts come from the services' notes."""

    clock: Clock
    total: int
    kills: int
    restarts: int
    began: float = 0.0
    started: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    killed: int = 0
    restarted: int = 0
    requests: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    pids: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.began = self.clock.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return self.clock.monotonic() - self.began

    @property
    def ended(self) -> int:
        """Orders that have come to an end."""
        return sum(self.statuses[status] for status in ENDED)

    @property
    def progress(self) -> float:
        """How far the run has come, from 0 to 1: orders that came in count half, those that ended whole."""
        return (self.started + self.ended) / (2 * self.total)

    def read_notes(self, folder: Path) -> None:
        """Count anew what the services have noted."""
        faults, verdicts, requests = Counter[str](), Counter[str](), 0
        for service in SERVICES:
            for fault, verdict, count in _notes(book_path(folder, service)):
                requests += 0 if verdict == HELD else count
                if fault and verdict != HELD:
                    faults[fault] += count
                verdicts[verdict] += count
        self.faults, self.verdicts, self.requests = faults, verdicts, requests


ENDED = ("completed", "compensated", "partially_compensated", "terminated")


def _notes(path: Path) -> list[tuple[str | None, str, int]]:
    try:
        return look(path, "SELECT fault, verdict, count(*) FROM requests GROUP BY fault, verdict")
    except sqlite3.OperationalError:  # the service has not made it yet
        return []


def all_faults(board: Board) -> dict[str, int]:
    """Each kind of fault, and how often it happened."""
    counts = {fault.value: board.faults[fault] for fault in Fault}
    return counts | {"service killed, restarted": board.restarted, "worker killed": board.killed}
