"""Replay in the kernel against the bare loop, alternating in one process.

The journal is recorded by the kernel itself from `work.long_run` (`steps` steps, then a wait for a
signal), so its last row leaves the saga waiting and loading it replays every row.  Ours is all that
recovery does once the rows are read: check positions and checksums, decode, run the saga's code, compare
what it decides with what is journaled.  The bare loop drives the same coroutine through the same number
of activations.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from amends.definition.registry import REGISTRY
from amends.kernel import entries as e
from amends.kernel.entries import Row
from amends.kernel.instance import PYTHON, Instance
from amends.kernel.limits import Limits

from ..driving import answer, asked
from . import work
from .bare import drive

LIMITS = Limits()


def instance() -> Instance:
    return Instance("u" * 32, "long", work.long_run.name, "", REGISTRY, LIMITS)


def record(steps: int) -> list[Row]:
    """The journal of one execution up to its wait for the signal."""
    made, now = instance(), 1_700_000_000.0
    arguments = e.Raw(msgspec.json.encode({"x": 0, "steps": steps}))
    decision = made.activate([e.Started(arguments, python=PYTHON)], now)
    rows = [made.seal(decision)]
    for value in range(1, steps + 1):
        (action,) = decision.run
        decision = made.activate([e.Completed(action.id, e.Raw(b"%d" % value))], now + value)
        rows.append(made.seal(decision))
    assert not decision.run
    made.discard()
    return rows


def replay(rows: Sequence[Row], times: int) -> None:
    for _ in range(times):
        loaded = instance()
        loaded.load(rows)
        loaded.discard()


def bare(steps: int, times: int) -> None:
    for _ in range(times):
        drive(work.long_run.fn(0, steps), 1, steps + 1)


def rows_per_second(run: Callable[[], None], rows: int) -> float:
    began = time.perf_counter()
    run()
    return rows / (time.perf_counter() - began)


def measure(steps: int, rows: int, rounds: int) -> dict[str, Any]:
    """About `rows` rows, alternately by us and by the bare loop."""
    journal = record(steps)
    times = max(1, rows // len(journal))
    count = times * len(journal)
    replay(journal, times // 5 + 1)
    bare(steps, times // 5 + 1)
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(rows_per_second(lambda: replay(journal, times), count))
        theirs.append(rows_per_second(lambda: bare(steps, times), count))
    return {"replay": ours, "bare": theirs, "journal_bytes": sum(len(r.events + r.commands) for r in journal)}


if __name__ == "__main__":
    _, given = asked()
    answer(measure(**given))
