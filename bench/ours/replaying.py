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
SLICES = 20


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


def cpu_seconds(run: Callable[[], None]) -> float:
    began = time.process_time()
    run()
    return time.process_time() - began


def one_round(journal: Sequence[Row], steps: int, times: int) -> tuple[float, float]:
    """CPU seconds of both, in alternating slices so that both meet the same moments of a shared machine."""
    ours = theirs = 0.0
    each = max(1, times // SLICES)
    for _ in range(SLICES):
        ours += cpu_seconds(lambda: replay(journal, each))
        theirs += cpu_seconds(lambda: bare(steps, each))
    return ours, theirs


def measure(steps: int, rows: int, rounds: int) -> dict[str, Any]:
    """About `rows` rows a round by us and by the bare loop, per second of CPU."""
    journal = record(steps)
    times = rows // len(journal)
    count = max(1, times // SLICES) * SLICES * len(journal)
    one_round(journal, steps, times // 5)
    seconds = [one_round(journal, steps, times) for _ in range(rounds)]
    return {
        "replay": [count / ours for ours, _ in seconds],
        "bare": [count / theirs for _, theirs in seconds],
        "journal_bytes": sum(len(row.events + row.commands) for row in journal),
    }


if __name__ == "__main__":
    _, given = asked()
    answer(measure(**given))
