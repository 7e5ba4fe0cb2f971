"""The outside world: participants, each with an append-only file of what it really did.

A participant behaves as one should. It knows each action by its key, so that a repeated request is
answered from the book ("again"), an undo of what never came seals the key ("sealed"), and an action
that comes after its undo is turned away ("late"). A check sum runs through the lines, so that the
audit sees a book that somebody changed.

A line is written by one `write` call: a process that is killed leaves the whole line or nothing.
"""

from __future__ import annotations

import enum
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

import msgspec

from amends import Rejected, current


class Entry(enum.Enum):
    """What became of a request."""

    DONE = "done"
    UNDONE = "undone"
    AGAIN = "again"
    UNDONE_AGAIN = "undone again"
    SEALED = "sealed"
    LATE = "late"


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a participant did for one request. `amount` is in cents for money, in pieces otherwise."""

    entry: Entry
    order: str
    key: str
    amount: int


class BadLine(NamedTuple):
    """A line that is not as it was written."""

    number: int
    why: str


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Line).decode


class Book:
    """One participant. Its methods are thread-safe; one process at a time writes a book."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._sum = 0
        self._done: dict[str, int] = {}
        self._undone: set[str] = set()
        if path.exists():
            for line, self._sum in _checked(path):
                if isinstance(line, BadLine):
                    raise ValueError(f"{path.name} line {line.number} {line.why}")
                self._remember(line)
        self._file = path.open("ab", buffering=0)

    def close(self) -> None:
        """Write no more."""
        self._file.close()

    def do(self, order: str, amount: int) -> None:
        """Do what the running step asks, once. Raises `Rejected` when it has been undone before it came."""
        key = action_key()
        with self._lock:
            if key in self._undone:
                self._write(Line(Entry.LATE, order, key, amount))
                raise Rejected("it was undone before it arrived")
            self._write(Line(Entry.AGAIN if key in self._done else Entry.DONE, order, key, amount))

    def undo(self, order: str) -> None:
        """Undo what the compensated step did, if it did, and make sure that it cannot come later."""
        key = action_key()
        with self._lock:
            if key in self._undone:
                entry = Entry.UNDONE_AGAIN
            else:
                entry = Entry.UNDONE if key in self._done else Entry.SEALED
            self._write(Line(entry, order, key, self._done.get(key, 0)))

    def _write(self, line: Line) -> None:
        text = _encode(line)
        self._sum = zlib.crc32(text, self._sum)
        self._file.write(b"%08x %s\n" % (self._sum, text))
        self._remember(line)

    def _remember(self, line: Line) -> None:
        if line.entry is Entry.DONE:
            self._done[line.key] = line.amount
        elif line.entry in (Entry.UNDONE, Entry.SEALED):
            self._undone.add(line.key)


def action_key() -> str:
    """What an action and its compensation have in common: the idempotency key without the direction."""
    return current().idempotency_key.rpartition("/")[0]


def read(path: Path) -> list[Line | BadLine]:
    """All lines of a book, the damaged ones marked."""
    return [line for line, _ in _checked(path)]


def _checked(path: Path) -> Iterator[tuple[Line | BadLine, int]]:
    """Each line, with the check sum up to it; the lines after a damaged one are checked from there on."""
    before = 0
    for number, text in enumerate(path.read_bytes().splitlines(), 1):
        said, _, body = text.partition(b" ")
        line: Line | BadLine
        try:
            written = int(said, 16)
            line = _decode(body)
        except ValueError:
            yield BadLine(number, "cannot be read"), before
            continue
        if written != zlib.crc32(body, before):
            line = BadLine(number, "does not match its check sum")
        before = written
        yield line, before


class Books:
    """The four participants of the demo. A context manager, so that an engine takes it as a resource."""

    NAMES = ("bank", "warehouse", "labels", "courier")

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Self:
        self.bank, self.warehouse, self.labels, self.courier = (
            Book(book_path(self._folder, name)) for name in self.NAMES
        )
        return self

    def __exit__(self, *_: object) -> None:
        for book in (self.bank, self.warehouse, self.labels, self.courier):
            book.close()


def book_path(folder: Path, name: str) -> Path:
    """Where a participant's book is."""
    return folder / f"{name}.book"
