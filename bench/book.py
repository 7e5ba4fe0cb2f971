"""The steps' own book: an append-only file that says which actions were dispatched and which returned.

It is the participants' evidence, independent of what any journal claims.  Lines are one small `write`
each on a descriptor opened with O_APPEND, so they survive `kill -9` of the writer (the page cache is the
kernel's) and never mix.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

_descriptors: dict[str, int] = {}


def note(path: str, mark: str, saga: int, step: int) -> None:
    """Append one line; `mark` is `+` (dispatched) or `-` (returned)."""
    if path not in _descriptors:
        _descriptors[path] = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(_descriptors[path], b"%s %d %d\n" % (mark.encode(), saga, step))


@dataclass(frozen=True)
class Reading:
    """What the book says: lines, distinct actions, actions dispatched more than once."""

    dispatched: int
    returned: int
    distinct: int
    twice: int
    open: int
    """Actions dispatched and not returned."""
    last: Counter[int]
    """How often each step's number was returned."""

    def finished(self, steps: int) -> int:
        """Sagas whose last step (numbers begin at 0) has returned at least once."""
        return self.last[steps - 1]


def read(path: Path) -> Reading:
    """Count the book's lines."""
    begun: Counter[bytes] = Counter()
    ended: Counter[bytes] = Counter()
    for line in path.read_bytes().splitlines() if path.exists() else ():
        (begun if line[:1] == b"+" else ended)[line[2:]] += 1
    numbers: Counter[int] = Counter(int(action.split()[1]) for action in ended)
    return Reading(
        dispatched=begun.total(),
        returned=ended.total(),
        distinct=len(begun),
        twice=sum(1 for times in begun.values() if times > 1),
        open=sum((begun - ended).values()),
        last=numbers,
    )


def lines(path: Path) -> int:
    """How many actions were dispatched so far (cheap enough to poll)."""
    return path.read_bytes().count(b"+") if path.exists() else 0
