"""Recovery: a thousand sagas of five steps of 20 ms, all in flight, killed with SIGKILL about half-way.

A new process opens the file and finishes all of them.  Its time includes the start of the interpreter.
What was dispatched twice is counted from the steps' own book, not from any journal.  An action whose
completion was not yet durable must be dispatched again (with the same idempotency key); that is at most
one per saga here, so the bound is the number of sagas that were not finished when the process died.  The
ideal time is what is left of the steps' own 100 ms.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import book
from ..contestants import JOURNALS, OURS, PEER, configurations
from ..crash import finish, kill_at
from ..measure import Report
from ..peers.environment import python
from ..rounds import Contestant, Result, column, interleave
from ..sizes import Sizes

STEPS = 5
SECONDS = 0.02


def killed(module: str, count: int, interpreter: str = "", **more: Any) -> Contestant:
    """Crash and recover one contestant, and read the book before and after."""

    def go(shared: Path) -> Result:
        name = "-".join(["crash", *more.values()])
        notes = shared / f"{name}.book"
        given = {"path": str(shared / f"{name}.db"), "notes": str(notes), "count": count, **more}
        kill_at(module, notes, count * STEPS // 2, {**given, "seconds": SECONDS}, python=interpreter)
        before = book.read(notes)
        result = finish(module, python=interpreter, **given)
        after = book.read(notes)
        assert after.distinct == count * STEPS, f"{after.distinct} of {count * STEPS} actions ran"
        return {
            **result,
            "dispatched_before": before.distinct,
            "open_at_kill": before.open,
            "twice": after.twice,
            "unfinished": count - before.finished(STEPS),
            "left": count * STEPS - before.returned,
        }

    return go


def run(sizes: Sizes) -> Report:
    """Ours in every round, the peer once in each configuration."""
    count = sizes.crashed
    report = Report("recovery", f"{count:,} sagas of {STEPS} x 20 ms in flight, kill -9 half-way, restart")
    results = interleave(sizes.rounds, {"amends": killed(OURS, count)})
    if sizes.peer_crashed:
        interpreter = python()
        results |= interleave(
            1,
            {
                name: killed(PEER, sizes.peer_crashed, interpreter, journal=journal)
                for name, journal in JOURNALS.items()
            },
        )
    for who, each in results.items():
        of = "" if who == "amends" else f" ({sizes.peer_crashed} sagas)"
        report.line(who, f"restart until all complete{of}", "s", column(each, "total_seconds"))
        report.line(who, "actions left", "", column(each, "left"))
        report.line(who, "open at the kill (by the book)", "", column(each, "open_at_kill"))
        report.line(who, "dispatched twice", "", column(each, "twice"))
    mine = results["amends"]
    complete = [float(result["complete"]) for result in mine]
    report.at_least("executions complete", complete, count, "")
    worst = [result["twice"] / max(1, result["unfinished"]) for result in mine]
    report.at_most("dispatched twice / in flight", worst, 1)
    configurations(report, results)
    return report
