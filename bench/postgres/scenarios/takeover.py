"""Takeover: many sagas in flight, all of one worker, which is killed; another, which stands by, takes all of
them.

Each saga runs steps that take so many seconds and end evenly, so the steady load is in flight / seconds.
What the participants see is counted from the journals: a step's end is a row.  What the database does is
counted by the server: rows written and transactions a second.  "All claimed" is read from the store: of
what is open, nothing is the dead worker's, or nobody's, any more.  The bar on the load is formed from the
server's rows written a second, in the busiest three seconds of the takeover against the mean of the steady
time.
"""

from __future__ import annotations

import itertools
import os
import signal
import time
from dataclasses import dataclass
from typing import Any

import psycopg

from ...measure import Report
from .. import contestants as them
from ..sizes import Sizes

LEASE = 5.0
LOOK = 0.5
WINDOW = 3.0
THE_FIRST = 1  # incarnation in a new schema: the worker that is killed


@dataclass(frozen=True)
class Sample:
    """The server's counters, and the CPU seconds of a worker, at one moment."""

    at: float
    rows: int
    transactions: int
    cpu: float
    left: int  # executions that are not a living worker's


def run(url: str, sizes: Sizes) -> Report:
    """One round: it takes minutes in full."""
    count, seconds = sizes.in_flight, sizes.step_seconds
    report = Report(
        "takeover", f"{count:,} in flight with steps of {seconds:g} s, kill -9, another takes over"
    )
    schema = them.new_name()
    steps = max(4, round(6 * sizes.steady_seconds / seconds) + 4)
    given = {"count": count, "steps": steps, "seconds": seconds}
    first = them.serving(url, schema, start=True, **given)
    second = None
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            time.sleep(seconds)  # the first steps end: from now on the load is steady
            steady = watch(connection, schema, first.pid, sizes.steady_seconds)
            second = them.serving(url, schema, start=False, **given)
            time.sleep(2.0)
            os.kill(first.pid, signal.SIGKILL)
            killed = time.monotonic()
            taken = watch(connection, schema, second.pid, 240.0, until_claimed=True)
            after = watch(connection, schema, second.pid, max(seconds, sizes.steady_seconds))
            wrong = f"SELECT count(*) FROM {schema}.executions WHERE status NOT IN ('running', 'completed')"
            lost = connection.execute(wrong.encode()).fetchone()
    finally:
        for process in (first, second):
            if process is not None:
                process.kill()
                process.communicate()
    describe(report, killed, steady, taken, after)
    assert lost is not None
    report.at_most("executions that went wrong", [float(lost[0])], 0, "")
    return report


def describe(
    report: Report, killed: float, steady: list[Sample], taken: list[Sample], after: list[Sample]
) -> None:
    """Lines and bars."""
    began = next((s.at for s in taken if s.left < taken[0].left), taken[-1].at)
    all_claimed = taken[-1].at - killed
    report.line("takeover", "begins after the kill", "s", [began - killed])
    report.line("takeover", "all claimed after", "s", [all_claimed])
    report.at_most("all claimed", [all_claimed], 60, "s")
    for name in ("rows", "transactions", "cpu"):
        mean = (getattr(steady[-1], name) - getattr(steady[0], name)) / (steady[-1].at - steady[0].at)
        peak = max(rate(name, a, b) for samples in (taken, after) for a, b in seconds_of(samples))
        report.line("steady", f"{name} a second", "", [mean])
        report.line("takeover", f"{name} a second, busiest three", "", [peak])
        if name == "rows":
            report.at_most("rows written, busiest three seconds / steady", [peak / max(mean, 1e-9)], 2)


def rate(name: str, a: Sample, b: Sample) -> float:
    return float(getattr(b, name) - getattr(a, name)) / (b.at - a.at)


def seconds_of(samples: list[Sample]) -> list[tuple[Sample, Sample]]:
    """Pairs that are `WINDOW` seconds apart, or more: a server that works tells its counters once a second,
    and at times late, several seconds' rows at once, so a window begins and ends where they have moved.
    """
    told = [b for a, b in itertools.pairwise(samples) if b.rows != a.rows]
    pairs = []
    for a in told:
        later = next((b for b in told if b.at - a.at >= WINDOW), None)
        if later is not None:
            pairs.append((a, later))
    return pairs


def watch(
    connection: Any, schema: str, pid: int, seconds: float, *, until_claimed: bool = False
) -> list[Sample]:
    """Look again and again; with `until_claimed`, until a living worker has all of it."""
    samples: list[Sample] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        samples.append(sample(connection, schema, pid))
        if until_claimed and not samples[-1].left:
            break
        time.sleep(LOOK)
    return samples


def sample(connection: Any, schema: str, pid: int) -> Sample:
    """One look. Statistics of the server are a second old at most."""
    query = f"""
        SELECT (SELECT tup_inserted + tup_updated FROM pg_stat_database WHERE datname = current_database()),
            (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()),
            (SELECT count(*) FROM {schema}.executions WHERE owner IS NULL AND wake_at IS NOT NULL)
            + (SELECT count(*) FROM {schema}.executions WHERE owner = {THE_FIRST})
    """
    rows, transactions, left = connection.execute(query.encode()).fetchone()
    return Sample(time.monotonic(), rows, transactions, cpu_of(pid), left)


def cpu_of(pid: int) -> float:
    """CPU seconds of a process so far."""
    import psutil

    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)
